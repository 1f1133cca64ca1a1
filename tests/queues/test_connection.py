from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis
from dramatiq.errors import ConnectionClosed

from payspool_client import Publisher, QueueUnavailable
from queues import enqueue
from queues.connection import connect
from tests.queues.support import Valkey, event, losing_answers


@pytest.fixture
def losing_url(shared_valkey: Valkey, client: redis.Redis) -> Iterator[str]:
    """A way to the server on which answers to RPUSH are lost after the server ran it. The address
    asks for a retry, as a deployment's may."""
    with losing_answers(shared_valkey, b"RPUSH", times=100) as url:
        yield f"{url}?retry_on_timeout=yes"


def test_a_command_whose_answer_was_lost_is_not_repeated(
    losing_url: str, client: redis.Redis
) -> None:
    with connect(losing_url) as losing, pytest.raises(redis.ConnectionError):
        losing.rpush("list", "a")
    assert client.lrange("list", 0, -1) == [b"a"]


def test_a_send_whose_answer_was_lost_is_one_message(losing_url: str, client: redis.Redis) -> None:
    with connect(losing_url) as losing, pytest.raises(ConnectionClosed):
        enqueue(losing, "payouts", "payouts.send")
    assert client.llen("payspool:payouts") == 1


def test_a_publish_whose_answer_was_lost_says_so_and_is_one_message(
    losing_url: str, client: redis.Redis
) -> None:
    with Publisher(losing_url) as losing, pytest.raises(QueueUnavailable, match="may be queued"):
        losing.publish(event(1))
    assert client.llen("payspool:events") == 1


def test_a_server_that_does_not_answer_is_given_up_after_the_timeout(
    client: redis.Redis, url: str
) -> None:
    with connect(url, read_timeout=0.3) as impatient:
        impatient.ping()
        client.execute_command("CLIENT", "PAUSE", 600, "WRITE")
        started = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            impatient.set("a", "b")
        assert time.monotonic() - started < 0.55
    client.execute_command("CLIENT", "UNPAUSE")
