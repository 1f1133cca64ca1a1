"""How long actors took: minutes of many processes add up, and percentiles are told within their bucket."""

import doctest
import random
from datetime import datetime, timedelta

import pytest

from domain.charts import duration_store, rules, service, store
from domain.charts.duration_store import ActorMinute
from domain.charts.rules import BOUNDS, BUCKETS, histogram, percentile
from domain.db import Tx

HOUR = timedelta(hours=1)


def test_the_example_holds() -> None:
    assert doctest.testmod(rules).failed == 0


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_percentile_is_in_the_bucket_of_the_exact_one(share: float) -> None:
    drawn = random.Random(7)
    durations = sorted(drawn.lognormvariate(-3, 1.5) for _ in range(5_000))
    exact = durations[round(share * len(durations)) - 1]
    told = percentile(histogram(durations), share)
    assert told is not None
    assert 1 / 2**0.5 <= told / exact <= 2**0.5


def test_what_takes_longer_than_all_bounds_is_told_as_the_last() -> None:
    assert percentile(histogram([5_000.0]), 0.5) == BOUNDS[-1]
    assert len(histogram([])) == BUCKETS


def minute(actor: str, at: datetime, *seconds: float, failed: int = 0) -> ActorMinute:
    return ActorMinute(actor, at, histogram(seconds), failed, round(sum(seconds) * 1000))


def test_two_processes_add_to_one_minute(tx: Tx) -> None:
    at = store.minute(tx) - timedelta(minutes=5)
    duration_store.add(tx, [minute("payouts.send", at, 0.1, 0.1), minute("a.b", at, 2.0)])
    duration_store.add(tx, [minute("payouts.send", at, 0.1, 3.0, failed=1)])
    send, other = service.actor_times(tx, HOUR)
    assert (send.actor, send.messages, send.failed, send.busy_seconds) == (
        "payouts.send",
        4,
        1,
        3.3,
    )
    assert 0.08 < send.p50 < 0.13
    assert 2.8 < send.p99 < 4.1
    assert (other.actor, other.messages) == ("a.b", 1)


def test_only_the_span_counts_and_old_minutes_are_forgotten(tx: Tx) -> None:
    now = store.minute(tx)
    duration_store.add(tx, [minute("a.b", now - 2 * HOUR, 1.0)])
    duration_store.add(tx, [minute("a.b", now - service.KEPT - HOUR, 1.0)])
    assert service.actor_times(tx, HOUR) == []
    service.keep_minute(tx, {})
    assert [one.messages for one in service.actor_times(tx, 30 * 24 * HOUR)] == [1]


def test_latencies_are_told_step_by_step_of_all_that_a_step_held(tx: Tx) -> None:
    end = store.minute(tx).replace(minute=0)
    step = timedelta(minutes=10)
    for minutes, seconds in ((11, 0.1), (12, 0.1), (15, 3.0), (21, 0.01)):
        duration_store.add(tx, [minute("events.ingest", end - timedelta(minutes=minutes), seconds)])
    duration_store.add(tx, [minute("a.b", end - step, 9.0)])
    found = service.latencies(tx, ["events.ingest", "c.d"], since=end - HOUR, step=step)
    assert list(found) == ["events.ingest"]
    half, most = found["events.ingest"]
    assert [at for at, _ in half] == [end - 3 * step, end - 2 * step]
    assert [round(seconds, 1) for _, seconds in half] == [0.0, 0.1]
    assert most[1][1] > 2
    assert service.latencies(tx, [], since=end - HOUR, step=step) == {}
