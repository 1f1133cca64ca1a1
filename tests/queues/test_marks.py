"""What is kept outside of the database, on the real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis
from dramatiq.errors import ConnectionClosed

from queues.connection import connect
from queues.marks import MarkLost, Marks, OtherServer
from tests.queues.support import Valkey

HERE = "a/1/1/1"


@pytest.fixture
def marks(client: redis.Redis) -> Marks:
    return Marks(client, "payspool", 3)


def test_nothing_is_known_before_somebody_says_it(marks: Marks) -> None:
    assert marks.read() is None
    with pytest.raises(MarkLost):
        marks.keep(HERE, 1)
    assert marks.read() is None


def test_the_newest_attempts_are_kept_whatever_their_order(marks: Marks) -> None:
    assert marks.learn(HERE, [4, 2])
    for attempt in (5, 7, 6, 7):
        marks.keep(HERE, attempt)
    kept = marks.read()
    assert kept is not None
    assert (kept.server, kept.attempts) == (HERE, (5, 6, 7))
    assert 0 <= kept.age_seconds < 5


def test_another_server_keeps_nothing_and_teaches_nothing(marks: Marks) -> None:
    marks.learn(HERE, [1])
    with pytest.raises(OtherServer):
        marks.keep("a/1/2/1", 2)
    assert not marks.learn("a/1/2/1", [2])
    kept = marks.read()
    assert kept is not None
    assert (kept.server, kept.attempts) == (HERE, (1,))
    marks.replace("a/1/2/1", [9])
    marks.keep("a/1/2/1", 10)
    kept = marks.read()
    assert kept is not None
    assert kept.attempts == (9, 10)


def test_accounts_are_known_by_when_they_were_used(marks: Marks) -> None:
    marks.learn(HERE, [])
    marks.keep(HERE, 1, "7/stripe/acct_1")
    marks.keep(HERE, 2)
    now = datetime.now(UTC)
    assert marks.accounts_since(now - timedelta(minutes=1)) == ["7/stripe/acct_1"]
    assert marks.accounts_since(now + timedelta(minutes=1)) == []
    marks.replace(HERE, [])
    assert marks.accounts_since(now - timedelta(minutes=1)) == ["7/stripe/acct_1"]


def test_namespaces_know_nothing_of_each_other(client: redis.Redis, marks: Marks) -> None:
    marks.learn(HERE, [1])
    assert Marks(client, "other", 3).read() is None


def test_without_an_append_only_file_there_is_no_disk_to_wait_for(own_valkey: Valkey) -> None:
    with connect(own_valkey.url) as client:
        client.config_set("appendonly", "no")
        marks = Marks(client, "payspool", 3)
        assert marks.learn(HERE, [1])
        marks.keep(HERE, 2)
        kept = marks.read()
    assert kept is not None
    assert kept.attempts == (1, 2)


def test_a_server_that_is_away_is_a_closed_connection(own_valkey: Valkey) -> None:
    with connect(own_valkey.url, connect_timeout=0.5, read_timeout=0.5) as client:
        marks = Marks(client, "payspool", 3)
        marks.learn(HERE, [])
        own_valkey.kill()
        for call in (marks.read, lambda: marks.keep(HERE, 1), lambda: marks.learn(HERE, [])):
            with pytest.raises(ConnectionClosed):
                call()


def test_what_was_kept_survives_a_kill(own_valkey: Valkey) -> None:
    with connect(own_valkey.url) as client:
        marks = Marks(client, "payspool", 3)
        marks.learn(HERE, [])
        marks.keep(HERE, 1)
    own_valkey.kill()
    own_valkey.start()
    with connect(own_valkey.url) as client:
        kept = Marks(client, "payspool", 3).read()
    assert kept is not None
    assert kept.attempts == (1,)
