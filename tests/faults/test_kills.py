"""Every kind of process is killed with -9 while events come in and money goes out; nothing is lost,
nothing counts twice, and nobody is paid twice.

FAULTS_ROUNDS sets how many kills (10 by default; `make faults` runs more).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import cycle, islice

import pytest

from tests.e2e.installation import Installation, installed, wait_for
from tests.e2e.shop import open_shop
from tests.faults.campaign import (
    REFERRERS,
    ROUND_SECONDS,
    all_events,
    assert_each_counts_once,
    assert_each_is_paid_once,
    build_run,
    campaign,
    can_build_a_run,
    tell,
)

pytestmark = [pytest.mark.xdist_group("kills"), pytest.mark.slow]

ROUNDS = int(os.environ.get("FAULTS_ROUNDS", "10"))
SERVER_ROUNDS = max(4, ROUNDS // 5)
BACK_SECONDS = 30.0
"""Within so long what a killed process held is acknowledged by another: 8 s of silence, a pass of the
janitor, the work, and time for a process to start that is the only one of its kind (twice what the
bar allows where the machine does nothing else; the run prints what it took)."""

# What is killed in turn, and on which queue it is to hold messages in that moment.
VICTIMS: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (("worker", "--queue", "events"), "events"),
    (("worker", "--queue", "payouts"), "payouts"),
    (("relay",), None),
    (("scheduler",), None),
    (("worker", "--queue", "sweeps"), None),
    (("api", "--port"), None),
    (("worker", "--queue", "events"), "events"),
    (("worker", "--queue", "payouts"), "payouts"),
    (("worker", "--queue", "events"), "events"),
    (("relay",), None),
)


@pytest.fixture
def pipeline() -> Iterator[Installation]:
    with installed(PAYSPOOL_EVENT_WORKERS="2") as installation:
        started = installation.up()
        yield installation
        started.interrupt()
        assert started.end() == 0, started.said()
        assert installation.remains(0) == []


def test_whatever_is_killed_each_event_counts_once_and_each_payee_is_paid_once(
    pipeline: Installation,
) -> None:
    shop = open_shop(pipeline, "acme", *REFERRERS)
    events = all_events(shop, ROUNDS)
    with campaign(pipeline, shop, events) as reaper:
        for words, queue in islice(cycle(VICTIMS), ROUNDS):
            reaper.kill(words, queue)
            build_run(pipeline, shop)
            time.sleep(ROUND_SECONDS - 1)
    tell(reaper)
    assert max(death.back for death in reaper.deaths if death.back is not None) < BACK_SECONDS
    assert_each_counts_once(pipeline, events)
    assert_each_is_paid_once(pipeline, shop, events)
    for words, _ in VICTIMS:
        wait_for(f"{words} runs again", lambda w=words: pipeline.pid_of(*w), 15)


def test_when_the_servers_themselves_are_killed_all_that_was_acknowledged_counts_once(
    pipeline: Installation,
) -> None:
    shop = open_shop(pipeline, "acme", *REFERRERS)
    events = all_events(shop, SERVER_ROUNDS)
    valkey = (f"unixsocket:{pipeline.endpoints().run_dir}/valkey.sock",)
    postgres = ("-D", str(pipeline.data / "up" / "postgres"))
    with campaign(pipeline, shop, events) as reaper:
        for words in islice(cycle((valkey, postgres)), SERVER_ROUNDS):
            reaper.kill(words, None)
            time.sleep(ROUND_SECONDS)
            wait_for("PostgreSQL is back", lambda: can_build_a_run(pipeline, shop), 30)
    tell(reaper)
    assert_each_counts_once(pipeline, events)
    assert_each_is_paid_once(pipeline, shop, events)
