"""Many schedulers, many schedules, and what becomes of their fires."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain import clock
from domain.db import transaction
from domain.errors import NotFound
from domain.outbox import service as outbox
from domain.schedules import service, store
from domain.schedules.rules import Cron, Every
from domain.schedules.service import Schedule

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with transaction(engine) as tx:
        return [tuple(row) for row in tx.execute(text(statement))]


def execute(engine: Engine, statement: str) -> None:
    with transaction(engine) as tx:
        tx.execute(text(statement))


def at(engine: Engine, moment: datetime) -> None:
    with transaction(engine) as tx:
        clock.simulate(tx, moment, sandbox=True)


def register(engine: Engine, *schedules: Schedule) -> None:
    with transaction(engine) as tx:
        for one in schedules:
            service.register(tx, one)


def tick(engine: Engine) -> int:
    with transaction(engine) as tx:
        return service.tick(tx)


def daily(name: str, **more: Any) -> Schedule:
    return Schedule(name, "sweeps", "some.sweep", Cron("0 6 * * *"), {"of": name}, **more)


def test_schedulers_share_many_schedules_and_each_fire_has_one_message(engine: Engine) -> None:
    at(engine, START)
    register(engine, *(daily(f"s{i:02}", catch_up="all" if i % 2 else "latest") for i in range(30)))
    for day in (1, 2, 6):
        at(engine, START + day * DAY)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: tick(engine), range(12)))
    fires = rows(engine, "SELECT name, fire_at FROM schedule_fires ORDER BY 1, 2")
    messages = rows(engine, "SELECT args->>'name', (args->>'fire_at')::timestamptz FROM outbox")
    assert sorted(messages) == fires
    for number in range(30):
        days = [f.day for name, f in fires if name == f"s{number:02}"]
        assert days == ([1, 2, 3, 4, 5, 6] if number % 2 else [1, 2, 6])
    assert rows(engine, "SELECT DISTINCT next_fire_at FROM schedules") == [
        (START + 6 * DAY + timedelta(hours=6),)
    ]


def test_a_message_says_whom_to_call_with_what(engine: Engine) -> None:
    at(engine, START)
    with transaction(engine) as tx:
        merchant = tx.execute(
            text("INSERT INTO merchants (key, name, mode) VALUES ('a', 'a', 'test') RETURNING id")
        ).scalar_one()
    register(engine, daily("one", merchant_id=merchant))
    at(engine, START + DAY)
    tick(engine)
    assert rows(engine, "SELECT merchant_id, queue, actor, args FROM outbox") == [
        (
            merchant,
            "sweeps",
            "some.sweep",
            {"of": "one", "name": "one", "fire_at": "2026-01-01T06:00:00+00:00"},
        )
    ]


def test_a_scheduler_that_is_killed_in_its_transaction_leaves_no_fire_and_no_message(
    engine: Engine,
) -> None:
    at(engine, START)
    register(engine, daily("one"), daily("two"))
    at(engine, START + DAY)

    def die() -> None:
        with transaction(engine) as tx:
            assert service.tick(tx) == 2
            mine = tx.execute(text("SELECT pg_backend_pid()")).scalar_one()
            execute(engine, f"SELECT pg_terminate_backend({mine}, 5000)")

    with pytest.raises(DBAPIError):
        die()
    assert rows(engine, "SELECT 1 FROM schedule_fires UNION ALL SELECT 1 FROM outbox") == []
    assert tick(engine) == 2


def test_a_schedule_that_one_scheduler_holds_keeps_no_other_waiting(engine: Engine) -> None:
    at(engine, START)
    register(engine, daily("one"))
    at(engine, START + DAY)
    with transaction(engine) as tx:
        assert service.tick(tx) == 1
        with transaction(engine) as other:
            other.execute(text("SET LOCAL lock_timeout = '1s'"))
            assert service.tick(other) == 0
    assert tick(engine) == 0


def test_one_tick_takes_so_many_schedules_and_the_next_the_rest(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DUE_PER_TICK", 4)
    at(engine, START)
    register(engine, *(daily(f"s{i}") for i in range(10)))
    at(engine, START + DAY)
    assert [tick(engine) for _ in range(4)] == [4, 4, 2, 0]


def test_a_schedule_fires_neither_early_nor_twice_at_its_moment(engine: Engine) -> None:
    at(engine, START)
    register(engine, daily("one"))
    six = START + timedelta(hours=6)
    at(engine, six - timedelta(microseconds=1))
    assert tick(engine) == 0
    at(engine, six)
    assert (tick(engine), tick(engine)) == (1, 0)


def test_a_paused_schedule_of_all_makes_up_for_everything_when_it_is_resumed(
    engine: Engine,
) -> None:
    at(engine, START)
    register(engine, daily("one", catch_up="all"))
    with transaction(engine) as tx:
        service.pause(tx, "one", by="ann", reason="bank holiday")
        assert [(r.paused_by, r.pause_reason) for r in store.listing(tx)] == [
            ("ann", "bank holiday")
        ]
    at(engine, START + 3 * DAY)
    register(engine, daily("one", catch_up="all"))  # a restart does not resume it
    assert tick(engine) == 0
    with transaction(engine) as tx:
        service.resume(tx, "one")
    assert tick(engine) == 3


def test_a_paused_schedule_can_still_be_fired_by_hand(engine: Engine) -> None:
    at(engine, START)
    register(engine, daily("one"))
    with transaction(engine) as tx:
        service.pause(tx, "one", by="ann", reason="later")
        fire_at = service.run_now(tx, "one")
    assert rows(engine, "SELECT fire_at, manual, state FROM schedule_fires") == [
        (fire_at, True, "emitted")
    ]
    assert rows(engine, "SELECT count(*) FROM outbox") == [(1,)]
    with transaction(engine) as tx, pytest.raises(NotFound):
        service.run_now(tx, "nothing")


def test_an_interval_is_fired_by_hand_as_of_the_real_clock(engine: Engine) -> None:
    at(engine, START)
    register(engine, Schedule("sweep", "sweeps", "x.y", Every(3600)))
    with transaction(engine) as tx:
        fire_at = service.run_now(tx, "sweep")
        assert abs(clock.real_now(tx) - fire_at) < timedelta(seconds=30)


def test_two_schedulers_agree_on_the_moments_of_an_interval(engine: Engine) -> None:
    register(engine, Schedule("sweep", "sweeps", "x.y", Every(1)))
    for _ in range(3):
        execute(engine, "UPDATE schedules SET next_fire_at = next_fire_at - interval '2 seconds'")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: tick(engine), range(8)))
    fires = rows(engine, "SELECT extract(epoch FROM fire_at) % 1 FROM schedule_fires")
    assert {int(rest * 1_000_000) for (rest,) in fires} == {0}
    assert rows(engine, "SELECT count(*) FROM outbox") == [(len(fires),)]


def test_finishing_twice_changes_nothing_but_the_time(engine: Engine) -> None:
    at(engine, START)
    register(engine, daily("one"))
    at(engine, START + DAY)
    tick(engine)
    fire_at = START + timedelta(hours=6)
    for _ in range(2):
        with transaction(engine) as tx:
            service.begin(tx, "one", fire_at)
            service.finish(tx, "one", fire_at, {"did": 3})
    [(state, progress, started, finished)] = rows(
        engine, "SELECT state, progress, started_at, finished_at FROM schedule_fires"
    )
    assert (state, progress) == ("done", {"did": 3})
    assert started <= finished
    with transaction(engine) as tx:
        service.finish(tx, "one", fire_at + DAY, {"did": 4})  # unknown: nothing
        assert store.open_fires(tx, business_only=True) == 0


def test_who_takes_a_fire_up_waits_for_who_has_it(engine: Engine) -> None:
    at(engine, START)
    register(engine, daily("one"))
    at(engine, START + DAY)
    tick(engine)
    fire_at = START + timedelta(hours=6)

    def take_up() -> Any:
        with transaction(engine) as tx:
            return service.begin(tx, "one", fire_at)

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            assert service.begin(tx, "one", fire_at) == {}
            second = pool.submit(take_up)
            service.finish(tx, "one", fire_at, {})
        assert second.result(30) is None


def test_a_lost_message_comes_again_after_30_seconds_and_then_half_as_often_up_to_an_hour(
    engine: Engine,
) -> None:
    at(engine, START)
    register(engine, daily("one"))
    at(engine, START + DAY)
    tick(engine)
    waits = []
    for _ in range(9):
        low, high = 0, 10_000
        while high - low > 1:  # the shortest age at which it is emitted again
            middle = (low + high) // 2
            with engine.connect() as connection, connection.begin() as undone:
                connection.execute(
                    text(
                        "UPDATE schedule_fires SET emitted_at = clock_timestamp() - :age * interval '1 second'"
                    ),
                    {"age": middle},
                )
                again = service.re_emit_stale(connection)
                undone.rollback()
            low, high = (low, middle) if again else (middle, high)
        waits.append(high)
        execute(
            engine,
            f"UPDATE schedule_fires SET emitted_at = clock_timestamp() - interval '{high} seconds'",
        )
        with transaction(engine) as tx:
            assert service.re_emit_stale(tx) == 1
    assert waits == [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
    assert rows(engine, "SELECT emit_count FROM schedule_fires") == [(10,)]


def test_finished_fires_of_intervals_are_pruned_and_those_of_cron_are_kept(engine: Engine) -> None:
    at(engine, START)
    register(engine, daily("one"), Schedule("sweep", "sweeps", "x.y", Every(60)))
    execute(
        engine,
        """
        INSERT INTO schedule_fires (name, fire_at, state, emitted_at, finished_at)
        SELECT name, now() - minutes * interval '1 minute', state, now(),
               CASE WHEN state IN ('done', 'failed') THEN now() END
        FROM (VALUES ('one', 999, 'done'), ('sweep', 59, 'done'), ('sweep', 61, 'done'),
                     ('sweep', 62, 'failed'), ('sweep', 63, 'running'), ('sweep', 64, 'emitted'))
             AS f (name, minutes, state)
        """,
    )
    with transaction(engine) as tx:
        service.re_emit_stale(tx)
    left = rows(engine, "SELECT name, state FROM schedule_fires ORDER BY fire_at")
    assert left == [
        ("one", "done"),
        ("sweep", "emitted"),
        ("sweep", "running"),
        ("sweep", "done"),
    ]


def test_an_emitted_message_reaches_the_relay_as_it_was_asked_for(engine: Engine) -> None:
    at(engine, START)
    register(engine, daily("one"))
    at(engine, START + DAY)
    tick(engine)
    sent: list[Any] = []
    with transaction(engine) as tx:
        assert outbox.relay(tx, lambda queue, messages: sent.append((queue, list(messages)))) == 1
    [(queue, [(actor, args)])] = sent
    assert (queue, actor, args["name"]) == ("sweeps", "some.sweep", "one")
