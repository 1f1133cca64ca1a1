"""Valkey and PostgreSQL are stopped, killed, filled and emptied in the middle of a flood of events.

OUTAGES_EVENTS and OUTAGES_SECONDS say how many events and how long (`make outages`: 200,000 and 30).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from tests.e2e.shop import Shop, open_shop
from tests.faults.campaign import (
    CARDS,
    EVENTS_PER_ROUND,
    NAMESPACE,
    REFERRERS,
    Reaper,
    all_events,
    assert_each_counts_once,
    assert_each_is_paid_once,
    build_run,
    settle,
    slow_transfers,
)
from tests.faults.outages import OnOwnServers, all_outages, on_own_servers, storm

pytestmark = [pytest.mark.xdist_group("outages"), pytest.mark.slow]

EVENTS = int(os.environ.get("OUTAGES_EVENTS", "24000"))
SECONDS = float(os.environ.get("OUTAGES_SECONDS", "1"))
RETURN_SECONDS = 20.0
"""After its end: the longest backoff of a batch is 15 s, and a consumer looks every 3 s."""


@pytest.fixture
def pipeline() -> Iterator[OnOwnServers]:
    with on_own_servers(PAYSPOOL_EVENT_WORKERS="2") as installation:
        yield installation


def test_through_outages_of_both_servers_each_event_counts_once_and_workers_come_back_by_themselves(
    pipeline: OnOwnServers,
) -> None:
    shop = open_shop(pipeline, "acme", *REFERRERS)
    events = all_events(shop, max(1, EVENTS // EVENTS_PER_ROUND))
    slow_transfers(pipeline)
    before = pipeline.long_lived()
    outages = all_outages(pipeline, SECONDS)
    share = (len(events) - CARDS) // (len(outages) + 1)
    with storm(pipeline, shop, events) as flood:
        for number, outage in enumerate(outages, 1):
            build_run(pipeline, shop)  # money is on its way, too
            seen = flood.go_through(outage, CARDS + number * share)
            assert seen.waited > 0, "it was in the middle"
            assert seen.returned < RETURN_SECONDS
        flood.finish()
        flood.tell()
    come_to_rest(pipeline, shop)
    assert_each_counts_once(pipeline, events)
    assert_each_is_paid_once(pipeline, shop, events)
    assert pipeline.long_lived() == before, "none of them had to be started again"


def test_after_flushall_only_what_was_not_ingested_is_missing_and_a_replay_completes_it(
    pipeline: OnOwnServers,
) -> None:
    shop = open_shop(pipeline, "acme", *REFERRERS)
    events = all_events(shop, max(1, EVENTS // EVENTS_PER_ROUND // 4))
    slow_transfers(pipeline)
    with storm(pipeline, shop, events) as flood:
        for share in (4, 2):
            flood.go_to(len(events) // share)
            build_run(pipeline, shop)
        with redis.Redis.from_url(pipeline.endpoints().redis_url) as client:
            flood.go_to(len(events) * 3 // 4)
            # A pause, which is emptied as well: so that there is something to lose, however fast we are.
            client.hset(f"{NAMESPACE}:paused", "events", "so that it fills")
            flood.wait_until_sent(len(events) * 7 // 8)
            client.flushall()
        build_run(pipeline, shop)
        flood.flood.close()
        flood.wait_until_quiet()
    come_to_rest(pipeline, shop)
    there = {row.event_id for row in pipeline.rows("SELECT event_id FROM inbox_events")}
    counted = [event for event in events if event.id in there]
    assert len(counted) < flood.flood.acknowledged, "something was lost"
    print(f"\n{flood.flood.acknowledged} acknowledged, {len(counted)} ingested without a replay")  # noqa: T201
    assert_each_counts_once(pipeline, counted)
    assert_each_is_paid_once(pipeline, shop, counted)

    with storm(pipeline, shop, events) as replay:
        replay.finish()
    come_to_rest(pipeline, shop)
    assert_each_counts_once(pipeline, events)
    assert_each_is_paid_once(pipeline, shop, events)


def come_to_rest(pipeline: OnOwnServers, shop: Shop) -> None:
    reaper = Reaper(pipeline, shop)
    try:
        settle(pipeline, shop, reaper)
        states = reaper.states().values()
        assert [(s.queue, s.orphans, s.dead) for s in states if s.orphans or s.dead] == []
    finally:
        reaper.close()
