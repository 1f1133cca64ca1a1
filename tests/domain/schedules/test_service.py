"""Each fire happens once, however many schedulers tick, and is resumed from its row."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain import clock
from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.schedules import service
from domain.schedules.rules import Cron, Every
from domain.schedules.service import AlreadyFired, Schedule

START = datetime(2026, 1, 1, tzinfo=UTC)
MONTHLY = Schedule(
    "payouts.run/acme", "sweeps", "payouts.run", Cron("0 6 1 * *"), {"merchant_id": 1}
)


def rows(engine: Engine, statement: str) -> list[Any]:
    with transaction(engine) as tx:
        return list(tx.execute(text(statement)))


def at(engine: Engine, moment: datetime) -> None:
    with transaction(engine) as tx:
        clock.simulate(tx, moment, sandbox=True)


@pytest.fixture
def monthly(engine: Engine) -> Schedule:
    at(engine, START)
    with transaction(engine) as tx:
        service.register(tx, MONTHLY)
    return MONTHLY


def tick(engine: Engine) -> int:
    with transaction(engine) as tx:
        return service.tick(tx)


def test_eight_schedulers_at_once_make_each_fire_and_its_message_once(
    engine: Engine, monthly: Schedule
) -> None:
    for month in (1, 2, 3):
        at(engine, datetime(2026, month, 1, 6, tzinfo=UTC))
        with ThreadPoolExecutor(8) as pool:
            made = sum(pool.map(lambda _: tick(engine), range(16)))
        assert made == 1
    fires = rows(engine, "SELECT fire_at FROM schedule_fires ORDER BY 1")
    assert [fire.fire_at.month for fire in fires] == [1, 2, 3]
    messages = rows(
        engine, "SELECT args->>'fire_at' AS fire_at, args->>'merchant_id' AS m FROM outbox"
    )
    assert sorted(m.fire_at for m in messages) == [
        f"2026-0{month}-01T06:00:00+00:00" for month in (1, 2, 3)
    ]
    assert {m.m for m in messages} == {"1"}


def test_the_fire_and_its_message_commit_together_or_not_at_all(
    engine: Engine, monthly: Schedule
) -> None:
    at(engine, datetime(2026, 1, 1, 6, tzinfo=UTC))

    def tick_and_die() -> None:
        with transaction(engine) as tx:
            assert service.tick(tx) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tick_and_die()
    assert (
        rows(engine, "SELECT 1 FROM schedule_fires") == rows(engine, "SELECT 1 FROM outbox") == []
    )
    assert tick(engine) == 1


def test_a_late_scheduler_makes_the_latest_run_only(engine: Engine, monthly: Schedule) -> None:
    at(engine, datetime(2026, 5, 20, tzinfo=UTC))
    assert tick(engine) == 1
    ((fire_at,),) = rows(engine, "SELECT fire_at FROM schedule_fires")
    assert fire_at == datetime(2026, 5, 1, 6, tzinfo=UTC)
    assert tick(engine) == 0


def test_a_second_message_of_a_fire_finds_it_done(engine: Engine, monthly: Schedule) -> None:
    fire_at = datetime(2026, 1, 1, 6, tzinfo=UTC)
    at(engine, fire_at)
    tick(engine)
    with transaction(engine) as tx:
        assert service.begin(tx, monthly.name, fire_at) == {}
    with transaction(engine) as tx:  # killed in between: begun again
        assert service.begin(tx, monthly.name, fire_at) == {}
        service.finish(tx, monthly.name, fire_at, {"created": 3})
    with transaction(engine) as tx:
        assert service.begin(tx, monthly.name, fire_at) is None
        assert service.begin(tx, monthly.name, fire_at + timedelta(days=1)) is None
    assert rows(engine, "SELECT progress->>'created' FROM schedule_fires") == [("3",)]


def test_a_fire_whose_message_was_lost_is_asked_for_again_ever_less_often(
    engine: Engine, monthly: Schedule
) -> None:
    at(engine, datetime(2026, 1, 1, 6, tzinfo=UTC))
    tick(engine)
    older = "UPDATE schedule_fires SET emitted_at = emitted_at - interval '31 seconds'"
    with transaction(engine) as tx:
        assert service.re_emit_stale(tx) == 0
        tx.execute(text(older))
        assert service.re_emit_stale(tx) == 1
        tx.execute(text(older))
        assert service.re_emit_stale(tx) == 0, "the second wait is twice as long"
        tx.execute(text(older))
        assert service.re_emit_stale(tx) == 1
    assert rows(engine, "SELECT count(*) FROM outbox") == [(3,)]


def test_a_paused_schedule_waits_and_catches_up_when_it_is_resumed(
    engine: Engine, monthly: Schedule
) -> None:
    with transaction(engine) as tx:
        service.pause(tx, monthly.name, by="ann", reason="bank holiday")
    at(engine, datetime(2026, 3, 2, tzinfo=UTC))
    assert tick(engine) == 0
    with transaction(engine) as tx:
        service.resume(tx, monthly.name)
    assert tick(engine) == 1
    with transaction(engine) as tx, pytest.raises(NotFound):
        service.pause(tx, "nothing", by="ann", reason="")


def test_a_fire_by_hand_is_as_of_business_time(engine: Engine, monthly: Schedule) -> None:
    at(engine, datetime(2026, 1, 10, tzinfo=UTC))
    with transaction(engine) as tx:
        assert service.run_now(tx, monthly.name) == datetime(2026, 1, 10, tzinfo=UTC)
    with transaction(engine) as tx, pytest.raises(AlreadyFired, match="as of 2026-01-10 00:00:00"):
        service.run_now(tx, monthly.name)
    assert rows(engine, "SELECT manual FROM schedule_fires") == [(True,)]


def test_registering_again_keeps_what_is_next_unless_the_timing_changed(
    engine: Engine, monthly: Schedule
) -> None:
    at(engine, datetime(2026, 1, 2, tzinfo=UTC))
    before = rows(engine, "SELECT next_fire_at FROM schedules")
    with transaction(engine) as tx:
        service.register(tx, monthly)
    assert rows(engine, "SELECT next_fire_at FROM schedules") == before
    with transaction(engine) as tx:
        service.register(tx, Schedule(monthly.name, "sweeps", "payouts.run", Cron("0 6 15 * *")))
    assert rows(engine, "SELECT next_fire_at FROM schedules") == [
        (datetime(2026, 1, 15, 6, tzinfo=UTC),)
    ]


def test_intervals_follow_the_real_clock_whatever_business_time_is(engine: Engine) -> None:
    at(engine, START)
    with transaction(engine) as tx:
        service.register(tx, Schedule("sweep", "sweeps", "x.y", Every(3600)))
        tx.execute(
            text("UPDATE schedules SET next_fire_at = clock_timestamp() - interval '3 hours'")
        )
    assert tick(engine) == 1
    assert tick(engine) == 0


def test_business_time_is_simulated_with_the_sandbox_only_and_forward_only(engine: Engine) -> None:
    at(engine, START)
    with transaction(engine) as tx, pytest.raises(Forbidden):
        clock.simulate(tx, START + timedelta(days=1), sandbox=False)
    with transaction(engine) as tx, pytest.raises(Invalid):
        clock.simulate(tx, START - timedelta(seconds=1), sandbox=True)
    with transaction(engine) as tx:
        assert clock.business_now(tx) == START
        assert clock.real_now(tx) > START + timedelta(days=30)
