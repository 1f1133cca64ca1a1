"""A shared rate, on the real server."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from dramatiq.errors import ConnectionClosed

from queues.bucket import FURTHEST_RETURN_SECONDS, LONGEST_WAIT_SECONDS, Bucket, Turn
from queues.connection import connect
from tests.queues.support import Valkey

RATE = 25


@pytest.fixture
def bucket(client: redis.Redis) -> Bucket:
    return Bucket(client, "payspool", RATE)


def moments(bucket: Bucket, count: int, name: str = "stripe acct_1") -> list[float]:
    """Take ``count`` turns and say when each of them is, by this process's clock."""
    found = []
    while len(found) < count:
        turn = bucket.take(name)
        if turn.reserved:
            found.append(time.monotonic() + turn.wait)
        else:
            time.sleep(min(turn.wait, 0.2))
    return found


def test_eight_takers_together_get_no_more_moments_than_one(
    client: redis.Redis, bucket: Bucket
) -> None:
    others = [Bucket(client, "payspool", RATE) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        taken = [m for part in pool.map(lambda b: moments(b, 6), others) for m in part]
    taken.sort()
    assert len(taken) == 48
    assert taken[-1] - taken[0] >= 47 / RATE - 0.05, "all but what a round trip takes"


def test_a_turn_that_is_too_far_away_is_not_reserved_and_returns_are_spread(bucket: Bucket) -> None:
    turns = [bucket.take("stripe acct_1") for _ in range(RATE * 3)]
    reserved = [turn.wait for turn in turns if turn.reserved]
    put_off = [turn.wait for turn in turns if not turn.reserved]
    assert max(reserved) <= LONGEST_WAIT_SECONDS
    assert RATE <= len(reserved) <= RATE + 8, "and no more than have come due meanwhile"
    assert len(put_off) > RATE
    assert put_off == sorted(put_off), "they come back one after the other"
    assert min(put_off) > LONGEST_WAIT_SECONDS - 0.1


def test_nobody_is_told_to_come_back_later_than_a_bound(client: redis.Redis) -> None:
    slow = Bucket(client, "payspool", 0.1)
    waits = [slow.take("stripe acct_1").wait for _ in range(20)]
    assert max(waits) <= FURTHEST_RETURN_SECONDS


def test_names_do_not_wait_for_each_other(bucket: Bucket) -> None:
    for _ in range(RATE):
        bucket.take("stripe acct_1")
    assert bucket.take("stripe acct_2") == Turn(0.0)


def test_without_a_limit_nobody_waits(client: redis.Redis) -> None:
    free = Bucket(client, "payspool", 0)
    assert {free.take("stripe acct_1") for _ in range(100)} == {Turn(0.0)}
    assert client.keys("*bucket*") == []


def test_a_clock_that_is_set_back_stops_nobody(client: redis.Redis, bucket: Bucket) -> None:
    ahead = int((time.time() + 3600) * 1_000_000)
    client.hset("payspool:bucket.stripe acct_1", mapping={"free": ahead, "back": ahead})
    assert bucket.take("stripe acct_1") == Turn(0.0)


def test_a_bucket_that_is_not_used_is_forgotten(client: redis.Redis, bucket: Bucket) -> None:
    bucket.take("stripe acct_1")
    assert 0 < client.pttl("payspool:bucket.stripe acct_1") < 120_000


def test_a_server_that_is_away_is_said_so(own_valkey: Valkey) -> None:
    client = connect(own_valkey.url)
    own_valkey.kill()
    with pytest.raises(ConnectionClosed):
        Bucket(client, "payspool", RATE).take("stripe acct_1")
    client.close()
