"""What fires do: once, however often their message comes, and from where they were killed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from domain import clock
from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.dead_letters import service as dead_letters
from domain.loyalty import service as loyalty
from domain.referrals import service as referrals
from domain.schedules import service as schedules
from domain.schedules.rules import Every
from domain.schedules.service import Schedule
from queues import DeadLetter, Outgoing, enqueue_many
from tests.domain.inbox.shop import (
    PERCENTAGE,
    balance,
    conversion,
    event,
    open_shop,
    refund,
    rows,
    scalar,
    send,
    standing,
)
from workers import charting, sweeps
from workers.context import Runtime
from workers.dead_letters import SqlDeadLetters, put_back

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def rt(engine: Engine, redis_url: str, namespace: str) -> Iterator[Runtime]:
    with redis.Redis.from_url(redis_url) as client:
        yield Runtime(engine, client, namespace, None, sandbox=True)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def fire(engine: Engine, name: str) -> str:
    """A fire of a schedule; returns its ``fire_at`` as a message carries it."""
    with transaction(engine) as tx:
        schedules.register(tx, Schedule(name, "sweeps", name, Every(60)))
        return schedules.run_now(tx, name).isoformat()


def test_a_fire_runs_once_however_often_its_message_comes(rt: Runtime) -> None:
    fire_at = fire(rt.engine, "some.sweep")
    calls: list[datetime] = []

    def body(at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(at)
        return {"did": 3}

    for _ in range(3):
        sweeps.sweep(rt, "some.sweep", fire_at, body)
    assert [at.isoformat() for at in calls] == [fire_at], "as of the fire, not of the clock"
    assert rows(rt.engine, "SELECT state, progress FROM schedule_fires") == [("done", {"did": 3})]


def test_a_message_of_a_fire_that_nobody_made_does_nothing(rt: Runtime) -> None:
    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("there is no such fire")

    sweeps.sweep(rt, "some.sweep", NOON.isoformat(), body)


def test_a_fire_whose_body_failed_is_taken_up_again(rt: Runtime) -> None:
    fire_at = fire(rt.engine, "some.sweep")

    def failing(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        sweeps.sweep(rt, "some.sweep", fire_at, failing)
    assert rows(rt.engine, "SELECT state, finished_at FROM schedule_fires") == [("running", None)]
    with transaction(rt.engine) as tx:
        tx.execute(text("UPDATE schedule_fires SET emitted_at = emitted_at - interval '1 minute'"))
        assert schedules.re_emit_stale(tx) == 1
    sweeps.sweep(rt, "some.sweep", fire_at, lambda _at, _progress: {"did": 1})
    assert rows(rt.engine, "SELECT state FROM schedule_fires") == [("done",)]


def test_the_recheck_settles_what_waits_in_pages(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.inbox.service.applying.RECHECK_BATCH", 2)
    open_shop(rt.engine, PERCENTAGE)
    for number in range(5):
        send(rt.engine, refund(f"o{number}"))
    # As if nobody had told the conversions of the refunds that wait for them.
    hide = "UPDATE inbox_events SET correlation = correlation || '?' WHERE status = 'waiting'"
    show = "UPDATE inbox_events SET correlation = rtrim(correlation, '?') WHERE status = 'waiting'"
    with transaction(rt.engine) as tx:
        tx.execute(text(hide))
    for number in range(4):
        send(rt.engine, conversion(f"o{number}"))
    with transaction(rt.engine) as tx:
        tx.execute(text(show))
    assert balance(rt.engine) == 4_000
    sweeps.recheck_waiting(rt, "inbox.recheck_waiting", fire(rt.engine, "inbox.recheck_waiting"))
    assert balance(rt.engine) == 0
    assert scalar(rt.engine, "SELECT count(*) FROM inbox_events WHERE status = 'waiting'") == 1
    assert rows(rt.engine, "SELECT progress FROM schedule_fires") == [({"settled": 4},)]


def test_the_recheck_buries_poison_and_goes_on_behind_it(
    rt: Runtime, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.inbox.service.applying.RECHECK_BATCH", 4)
    healthy = referrals.apply

    def buggy(tx: Tx, events: Sequence[Any], *more: Any) -> Any:
        if {"o1/r1", "o2/r1", "o6/r1"} & {one.event_id for one in events}:
            raise ValueError("cursed")
        return healthy(tx, events, *more)

    open_shop(rt.engine, PERCENTAGE)
    send(rt.engine, *(refund(f"o{number}") for number in range(8)))
    hide = "UPDATE inbox_events SET correlation = correlation || '?' WHERE status = 'waiting'"
    show = "UPDATE inbox_events SET correlation = rtrim(correlation, '?') WHERE status = 'waiting'"
    with transaction(rt.engine) as tx:
        tx.execute(text(hide))
    send(rt.engine, *(conversion(f"o{number}") for number in range(8)))
    with transaction(rt.engine) as tx:
        tx.execute(text(show))
    monkeypatch.setattr(referrals, "apply", buggy)
    sweeps.recheck_waiting(rt, "inbox.recheck_waiting", fire(rt.engine, "inbox.recheck_waiting"))
    refunds = {id_: how for id_, how in standing(rt.engine).items() if id_.endswith("/r1")}
    assert refunds == {
        f"o{number}/r1": "dead:bug" if number in (1, 2, 6) else "applied" for number in range(8)
    }
    assert balance(rt.engine) == 3_000
    assert set(rows(rt.engine, "SELECT detail FROM inbox_events WHERE status = 'dead'")) == {
        ("ValueError: cursed",)
    }
    assert rows(rt.engine, "SELECT state, progress FROM schedule_fires") == [
        ("done", {"settled": 8})
    ]
    assert [line["event"] for line in logged].count("event.dead") == 3


def test_the_recheck_comes_back_whole_if_the_database_goes(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("", {}, psycopg.OperationalError("server closed the connection"))

    open_shop(rt.engine, PERCENTAGE)
    send(rt.engine, refund("o1"))
    monkeypatch.setattr(referrals, "apply", away)
    at = fire(rt.engine, "inbox.recheck_waiting")
    with pytest.raises(OperationalError):
        sweeps.recheck_waiting(rt, "inbox.recheck_waiting", at)
    assert standing(rt.engine) == {"o1/r1": "waiting:waits_for_conversion"}


def test_a_lost_message_is_emitted_again_by_its_sweep(rt: Runtime) -> None:
    fire(rt.engine, "some.sweep")
    with transaction(rt.engine) as tx:
        tx.execute(text("DELETE FROM outbox"))
        tx.execute(text("UPDATE schedule_fires SET emitted_at = emitted_at - interval '1 minute'"))
    sweeps.re_emit(rt, "schedules.re_emit", fire(rt.engine, "schedules.re_emit"))
    assert sorted(rows(rt.engine, "SELECT actor FROM outbox")) == [
        ("schedules.re_emit",),
        ("some.sweep",),
    ]


def test_a_lost_message_is_emitted_again_once_per_backoff_which_doubles(rt: Runtime) -> None:
    fire(rt.engine, "some.sweep")
    age = "UPDATE schedule_fires SET emitted_at = emitted_at - :seconds * interval '1 second'"
    emitted = []
    for seconds in (29, 2, 0, 58, 3, 0):
        with transaction(rt.engine) as tx:
            tx.execute(text(age), {"seconds": seconds})
            emitted.append(schedules.re_emit_stale(tx))
    assert emitted == [0, 1, 0, 0, 1, 0]


def test_nothing_is_emitted_for_a_paused_queue(rt: Runtime) -> None:
    fire(rt.engine, "some.sweep")
    old = text("UPDATE schedule_fires SET emitted_at = emitted_at - interval '1 minute'")
    with transaction(rt.engine) as tx:
        tx.execute(text("UPDATE schedules SET queue = 'slow' WHERE name = 'some.sweep'"))
        tx.execute(text("DELETE FROM outbox"))
        tx.execute(old)
    rt.redis.hset(f"{rt.namespace}:paused", "slow", "by hand")
    sweeps.re_emit(rt, "schedules.re_emit", fire(rt.engine, "schedules.re_emit"))
    assert rows(rt.engine, "SELECT actor FROM outbox") == [("schedules.re_emit",)]
    rt.redis.hdel(f"{rt.namespace}:paused", "slow")
    sweeps.re_emit(rt, "schedules.re_emit", fire(rt.engine, "schedules.re_emit"))
    assert ("some.sweep",) in rows(rt.engine, "SELECT actor FROM outbox")


def test_a_fire_whose_message_died_is_emitted_no_more_until_a_person_retries_it(
    rt: Runtime,
) -> None:
    fire_at = fire(rt.engine, "some.sweep")
    with transaction(rt.engine) as tx:
        tx.execute(text("DELETE FROM outbox"))
    said = Outgoing("sweeps", "some.sweep", kwargs={"name": "some.sweep", "fire_at": fire_at})
    enqueue_many(rt.redis, [said], namespace=rt.namespace)
    ((redis_id, raw),) = rt.redis.hgetall(f"{rt.namespace}:sweeps.msgs").items()
    why = "Traceback\nValueError: no"
    letter = DeadLetter.of("sweeps", redis_id.decode(), raw, why, attempts=21, deaths=0)
    SqlDeadLetters(rt.engine).record(letter)
    assert rows(rt.engine, "SELECT state, error FROM schedule_fires") == [
        ("failed", "ValueError: no")
    ]
    sweeps.sweep(rt, "some.sweep", fire_at, lambda _at, _progress: {"did": 1})
    assert rows(rt.engine, "SELECT state FROM schedule_fires") == [("failed",)]

    with transaction(rt.engine) as tx:
        dead_letters.retry(tx, [1], Actor("person", "ada"), put_back(rt, tx))
    assert rows(rt.engine, "SELECT state, error FROM schedule_fires") == [("emitted", None)]
    sweeps.sweep(rt, "some.sweep", fire_at, lambda _at, _progress: {"did": 1})
    assert rows(rt.engine, "SELECT state, progress FROM schedule_fires") == [("done", {"did": 1})]


@pytest.mark.parametrize(
    "said",
    [
        Outgoing("sweeps", "some.sweep", kwargs={"name": "\0", "fire_at": NOON.isoformat()}),
        Outgoing("sweeps", "some.sweep", kwargs={"name": "x", "fire_at": "never"}),
        Outgoing("sweeps", "some.sweep", ({"name": "x"},)),
        Outgoing("payouts", "payouts.send", kwargs={"payout_id": 2**70}),
        Outgoing("payouts", "payouts.send", kwargs={"payout_id": "1"}),
        Outgoing("payouts", "payouts.resolve", kwargs={"attempt_id": 12345}),
    ],
)
def test_a_letter_about_no_row_is_kept_all_the_same(rt: Runtime, said: Outgoing) -> None:
    enqueue_many(rt.redis, [said], namespace=rt.namespace)
    (raw,) = rt.redis.hvals(f"{rt.namespace}:{said.queue}.msgs")
    letter = DeadLetter.of(said.queue, "id", raw, "no", attempts=1, deaths=0)
    SqlDeadLetters(rt.engine).record(letter)
    assert rows(rt.engine, "SELECT actor FROM dead_letters") == [(said.actor,)]


def test_a_broken_invariant_is_logged_and_audited_by_name(rt: Runtime, logged: list[Any]) -> None:
    open_shop(rt.engine, PERCENTAGE)
    send(rt.engine, conversion("o1"))
    sweeps.check_invariants(rt, "invariants.check", fire(rt.engine, "invariants.check"))
    assert [line for line in logged if line["log_level"] == "error"] == []
    with transaction(rt.engine) as tx:
        tx.execute(text("UPDATE ledger_accounts SET balance = 999 WHERE owner = 'ada'"))
    sweeps.check_invariants(rt, "invariants.check", fire(rt.engine, "invariants.check"))
    sentences = [line["detail"] for line in logged if line["event"] == "invariant.broken"]
    assert len(sentences) == 2, "the ledger's, and that of the earnings"
    assert all("ada" in sentence and "999" in sentence for sentence in sentences)
    audited = rows(
        rt.engine,
        "SELECT actor_kind, actor_id, reason FROM audit_entries WHERE action = 'invariant.broken' ORDER BY id",
    )
    assert audited == [("scheduler", "invariants.check", sentence) for sentence in sentences]
    assert rows(rt.engine, "SELECT progress FROM schedule_fires ORDER BY fire_at") == [
        ({"violations": 0},),
        ({"violations": 2},),
    ]


def test_the_nightly_sweep_books_the_falls_of_tiers_once(rt: Runtime) -> None:
    acme = open_shop(rt.engine, PERCENTAGE)
    with transaction(rt.engine) as tx:
        gold = [{"key": "gold", "from": 50, "basis_points": 20_000}]
        made = loyalty.create_program(
            tx, acme, "points", name="Points", currency="eur", tiers=gold, tier_days=1
        )
        assert made.expires, "so that it has a nightly sweep"
        at = clock.business_now(tx) - timedelta(days=1)
    opened = event("loyalty.card_created", "o", at, card="C1", customer_id="ada")
    earned = event("loyalty.points_earned", "e", at, card="C1", points=50)
    assert [outcome.status for outcome in send(rt.engine, opened, earned)] == ["applied"] * 2
    with transaction(rt.engine) as tx:
        ends = loyalty.tier(tx, acme, "C1", at).until
        before = ends - timedelta(hours=1)
    assert [sweeps.announce_falls(rt, acme, before) for _ in range(2)] == [1, 0]
    did = [sweeps.settle_tiers(rt, acme, ends, dry_run=dry) for dry in (True, False, False)]
    assert did == [{("points", "gold", None): 1}, {("points", "gold", None): 1}, {}]
    assert rows(rt.engine, "SELECT to_tier, reason FROM tier_changes ORDER BY id") == [
        ("gold", "earned"),
        (None, "period"),
    ]


def test_the_sweep_closes_the_holds_whose_time_is_over(rt: Runtime) -> None:
    acme = open_shop(rt.engine, PERCENTAGE)
    with transaction(rt.engine) as tx:
        loyalty.create_program(tx, acme, "points", name="Points", currency="eur")
        at = clock.business_now(tx) - timedelta(minutes=20)
    events = [
        event(f"loyalty.{type_}", type_, at, card="C1", **data)
        for type_, data in (
            ("card_created", {"customer_id": "ada"}),
            ("points_earned", {"points": 100}),
            ("points_held", {"points": 70}),
        )
    ]
    assert [outcome.status for outcome in send(rt.engine, *events)] == ["applied"] * 3
    for _ in range(2):
        at_once = fire(rt.engine, "loyalty.time_out_holds")
        sweeps.time_out_holds(rt, "loyalty.time_out_holds", at_once)
    closed = "SELECT status, closed_at = expires_at FROM point_holds"
    assert rows(rt.engine, closed) == [("timed_out", True)]
    assert scalar(rt.engine, "SELECT sum(held) FROM point_lots") == 0


def test_what_pages_sum_up_is_the_same_before_and_after_it_is_kept(rt: Runtime) -> None:
    acme = open_shop(rt.engine, PERCENTAGE)
    with transaction(rt.engine) as tx:
        loyalty.create_program(tx, acme, "points", name="Points", currency="eur")

    def card(name: str) -> None:
        opened = event(
            "loyalty.card_created", f"open-{name}", NOON, card=name, customer_id=f"user-{name}"
        )
        earned = event("loyalty.points_earned", f"earn-{name}", NOON, card=name, points=100)
        assert [one.status for one in send(rt.engine, opened, earned)] == ["applied"] * 2

    def told() -> tuple[int, int, int]:
        with transaction(rt.engine) as tx:
            [one] = loyalty.summary(tx, acme)
        return one.cards, one.issued, one.outstanding

    card("C1")
    for cards in (1, 2):
        assert told() == (cards, 100 * cards, 100 * cards)
        for _ in range(2):
            charting.roll_up(rt, "charts.roll_up", fire(rt.engine, "charts.roll_up"))
        assert told() == (cards, 100 * cards, 100 * cards)
        assert scalar(rt.engine, "SELECT cards FROM loyalty_rollups") == cards
        if cards == 1:
            card("C2")
    with transaction(rt.engine) as tx:
        assert sweeps.broken_invariants(tx) == []
