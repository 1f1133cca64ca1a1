"""What the API tells of queues and rows, and how long it may take to tell it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, make_url, text

from domain.audit.service import Actor
from domain.db import connect, transaction
from domain.inbox import service as inbox
from domain.loyalty import service as loyalty
from domain.loyalty.service import velocity_desk as desk
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts import service
from domain.schedules import service as schedules
from domain.schedules.rules import Cron, Every
from domain.schedules.service import Schedule
from payspool.metrics.state import READ_SECONDS, StateCollector
from queues.connection import connect as connect_redis
from queues.dead import DeadLetter
from queues.pause import Pause, Pauses
from queues.send import Outgoing, enqueue_many
from tests.domain.inbox import shop
from tests.domain.payouts import house
from tests.payspool.metrics.scraped import Samples, samples
from workers.dead_letters import SqlDeadLetters

QUEUES = ("events", "payouts", "sweeps")


def scrape(collector: StateCollector) -> Samples:
    """What a scrape shows."""
    registry = CollectorRegistry()
    registry.register(collector)
    return samples(registry)


@pytest.fixture
def collector(engine: Engine, redis_url: str, namespace: str) -> StateCollector:
    return StateCollector(engine, redis_url, namespace, QUEUES)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as listener:
        yield listener.getsockname()[1]


def away(url: str, port: int) -> Engine:
    gone = make_url(url).set(host="127.0.0.1", port=port, query={})
    return connect(gone.render_as_string(hide_password=False), pool_size=1)


def test_an_empty_installation_shows_zeros_and_not_nothing(collector: StateCollector) -> None:
    seen = scrape(collector)
    for server in ("valkey", "postgresql"):
        assert seen["payspool_server_up", (server,)] == 1
    for queue in QUEUES:
        assert seen["payspool_queue_ready_messages", (queue,)] == 0
        assert seen["payspool_queue_oldest_age_seconds", (queue,)] == 0
    for state in ("approved", "sending", "unknown", "failed"):
        assert seen["payspool_payouts_unsettled", (state,)] == 0
    assert ("payspool_payouts_unsettled", ("paid",)) not in seen
    assert seen["payspool_payout_attempts_open", ("unknown",)] == 0
    assert seen["payspool_payout_differences_open", ("paid_twice",)] == 0
    assert seen["payspool_payout_stops", ("failover",)] == 0
    assert seen["payspool_reversal_requests_open", ("unknown",)] == 0
    assert seen["payspool_velocity_cases_open", ("hold",)] == 0
    assert seen["payspool_velocity_cases_oldest_seconds", ("flag",)] == 0
    assert seen["payspool_inbox_events", ("dead",)] == 0
    assert seen["payspool_outbox_pending_rows", ()] == 0
    assert 0 < seen["payspool_valkey_memory_used_ratio", ()] < 1
    known = {labels for name, labels in seen if name == "payspool_state_known"}
    assert known == {
        (part,)
        for part in (
            *("inbox", "dead_letters", "outbox", "payouts", "attempts", "sweeps", "invariants"),
            *("differences", "stops"),
            *("reversals", "webhooks", "velocity"),
        )
    }
    # Nobody checked yet: no figure is better than a false one.
    assert ("payspool_invariants_broken", ()) not in seen


def test_what_waits_is_counted_with_its_age(
    collector: StateCollector, engine: Engine, redis_url: str, namespace: str
) -> None:
    with connect_redis(redis_url) as client:
        sent = [Outgoing("payouts", "payouts.send", kwargs={"payout_id": n}) for n in range(3)]
        enqueue_many(client, sent, namespace=namespace)
    with transaction(engine) as tx:
        outbox.emit(tx, [OutboxMessage("payouts", "payouts.send", {"payout_id": 1})] * 2)
        outbox.emit(tx, [OutboxMessage("payouts", "payouts.send", {}, delay_seconds=3600)])
        tx.execute(text("UPDATE outbox SET run_at = run_at - interval '90 s' WHERE id = 1"))
    seen = scrape(collector)
    assert seen["payspool_queue_ready_messages", ("payouts",)] == 3
    assert 0 <= seen["payspool_queue_oldest_age_seconds", ("payouts",)] < 30
    assert seen["payspool_outbox_pending_rows", ()] == 3
    assert 90 <= seen["payspool_outbox_oldest_due_seconds", ()] < 120


def test_a_sweep_is_late_until_it_begins_and_a_paused_one_never(
    collector: StateCollector, engine: Engine
) -> None:
    now = datetime.now(UTC)
    with transaction(engine) as tx:
        schedules.register(tx, Schedule("a", "sweeps", "late.to_fire", Every(5)))
        schedules.register(tx, Schedule("b", "sweeps", "late.to_begin", Every(3600)))
        schedules.register(tx, Schedule("c", "sweeps", "runs", Cron("0 3 * * *"), merchant_id=None))
        schedules.register(tx, Schedule("d", "sweeps", "paused", Every(5)))
        schedules.pause(tx, "d", by="test", reason="test")
        tx.execute(
            text("UPDATE schedules SET next_fire_at = :at WHERE name IN ('a', 'd')"),
            {"at": now - timedelta(seconds=100)},
        )
        schedules.run_now(tx, "b")
        at = schedules.run_now(tx, "c")
        schedules.begin(tx, "c", at)
        tx.execute(text("UPDATE schedule_fires SET created_at = created_at - interval '50 s'"))
        tx.execute(text("UPDATE schedule_fires SET started_at = started_at - interval '40 s'"))
    seen = scrape(collector)
    lag = {labels[0]: value for (name, labels), value in seen.items() if "sweep_lag" in name}
    assert 100 <= lag["late.to_fire"] < 130
    assert 50 <= lag["late.to_begin"] < 80
    assert (lag["runs"], lag["paused"]) == (0, 0)
    assert 40 <= seen["payspool_sweep_running_seconds", ("runs",)] < 70
    assert seen["payspool_sweep_open_fires", ("late.to_begin",)] == 1


def test_the_last_check_of_the_invariants_is_told_and_not_made(
    collector: StateCollector, engine: Engine
) -> None:
    with transaction(engine) as tx:
        schedules.register(tx, Schedule("invariants.check", "sweeps", "invariants.check", Every(9)))
        at = schedules.run_now(tx, "invariants.check")
        schedules.begin(tx, "invariants.check", at)
        schedules.finish(tx, "invariants.check", at, {"violations": 2})
    seen = scrape(collector)
    assert seen["payspool_invariants_broken", ()] == 2
    assert abs(seen["payspool_invariants_checked_timestamp_seconds", ()] - at.timestamp()) < 30


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_a_server_that_is_away_is_told_in_time_and_hides_nothing_of_the_other(
    engine: Engine, database_url: str, redis_url: str, namespace: str, silent: int, how: str
) -> None:
    port = silent if how == "silent" else 1
    gone = away(database_url, port)
    for collector, missing, there in (
        (StateCollector(gone, redis_url, namespace, QUEUES), "postgresql", "payspool_queue_ready"),
        (
            StateCollector(engine, f"redis://127.0.0.1:{port}/0", namespace, QUEUES),
            "valkey",
            "payspool_outbox_pending",
        ),
    ):
        began = time.monotonic()
        seen = scrape(collector)
        assert time.monotonic() - began < READ_SECONDS + 2
        assert seen["payspool_server_up", (missing,)] == 0
        up = {labels[0]: value for (name, labels), value in seen.items() if "server_up" in name}
        assert sum(up.values()) == 1
        assert any(name.startswith(there) for name, _ in seen)
    gone.dispose()


def test_a_figure_that_takes_too_long_is_left_out_and_the_others_stay(
    collector: StateCollector, engine: Engine
) -> None:
    with engine.connect() as holder:
        holder.execute(text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"))
        began = time.monotonic()
        seen = scrape(collector)
        assert time.monotonic() - began < READ_SECONDS + 2
        holder.rollback()
    assert seen["payspool_server_up", ("postgresql",)] == 1
    known = {labels[0]: value for (name, labels), value in seen.items() if name.endswith("_known")}
    assert [part for part, value in known.items() if not value] == ["outbox"]
    assert ("payspool_outbox_pending_rows", ()) not in seen
    assert ("payspool_inbox_events", ("dead",)) in seen


def test_scrapes_at_once_share_one_reading(collector: StateCollector) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(collector.state())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert all(state is found[0] for state in found)


def test_unsettled_payouts_and_their_money_are_told_and_settled_ones_are_not(
    collector: StateCollector, engine: Engine
) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        for user, amount in (("ada", 1_000), ("zoe", 250)):
            house.payee(tx, acme, user)
            house.earn(tx, acme, amount, user)
    house.run(engine, acme)
    failed, paid = (id_ for (id_,) in house.rows(engine, "SELECT id FROM payouts ORDER BY amount"))
    house.record(engine, house.begin(engine, paid), house.SUCCESS)
    house.record(engine, house.begin(engine, failed), house.CLOSED)
    seen = scrape(collector)
    assert seen["payspool_payouts_unsettled", ("failed",)] == 1
    assert seen["payspool_payouts_unsettled_minor_units", ("usd", "failed")] == 250
    assert sum(v for (name, _), v in seen.items() if name == "payspool_payouts_unsettled") == 1
    assert seen["payspool_payouts_frozen", ()] == 0
    assert seen["payspool_payout_attempts_unknown_oldest_seconds", ()] == 0


def test_an_unknown_attempt_is_told_with_its_age(
    engine: Engine, redis_url: str, namespace: str
) -> None:
    def look() -> Samples:  # a new one each time: one would show the figures of the same second
        return scrape(StateCollector(engine, redis_url, namespace, QUEUES))

    attempt = house.begin(engine, house.one_payout(engine))
    assert look()["payspool_payout_attempts_open", ("sending",)] == 1
    house.record(engine, attempt, house.SILENCE)
    seen = look()
    assert seen["payspool_payout_attempts_open", ("unknown",)] == 1
    assert seen["payspool_payout_attempts_open", ("sending",)] == 0
    assert 0 < seen["payspool_payout_attempts_unknown_oldest_seconds", ()] < 60
    assert seen["payspool_payouts_unsettled", ("unknown",)] == 1


def test_a_reversal_without_an_outcome_is_told_with_its_age(
    engine: Engine, redis_url: str, namespace: str
) -> None:
    def look() -> Samples:
        return scrape(StateCollector(engine, redis_url, namespace, QUEUES))

    payout_id = house.one_payout(engine)
    house.record(engine, house.begin(engine, payout_id), house.SUCCESS)
    oldest = "payspool_reversal_requests_unknown_oldest_seconds"
    assert look()[oldest, ()] == 0
    with transaction(engine) as tx:
        merchant_id = service.route(tx, payout_id).merchant_id
        ada = Actor("person", "ada")
        service.request_reversal(tx, merchant_id, payout_id, amount=None, reason="so", actor=ada)
    assert look()["payspool_reversal_requests_open", ("created",)] == 1
    with transaction(engine) as tx:
        for state in ("sending", "unknown"):
            tx.exec_driver_sql(
                "UPDATE reversal_requests SET state = %(state)s, params = '{}', params_hash = '',"
                " api_version = 'v', sent_at = coalesce(sent_at, now())",
                {"state": state},
            )
    seen = look()
    assert seen["payspool_reversal_requests_open", ("unknown",)] == 1
    assert seen["payspool_reversal_requests_open", ("created",)] == 0
    assert 0 < seen[oldest, ()] < 60


class Unlogged:
    """Who paused is told elsewhere; here only that somebody did."""

    def paused(self, queue: str, reason: str) -> None: ...
    def resumed(self, queue: str, pause: Pause) -> None: ...


def test_a_paused_queue_and_a_dead_letter_are_told(
    collector: StateCollector, engine: Engine, redis_url: str, namespace: str
) -> None:
    with connect_redis(redis_url) as client:
        Pauses(client, namespace).pause("payouts", by="ann", reason="test", log=Unlogged())
    died = DeadLetter.of("sweeps", "m-1", b"not a message", "unreadable", attempts=1, deaths=0)
    SqlDeadLetters(engine).record(died)
    seen = scrape(collector)
    paused = {labels[0]: value for (name, labels), value in seen.items() if "paused" in name}
    assert paused == {"events": 0, "payouts": 1, "sweeps": 0}
    assert seen["payspool_dead_letters_open", ("sweeps",)] == 1
    assert seen["payspool_dead_letters_open", ("events",)] == 0


def test_stops_and_open_differences_are_told_by_kind(
    engine: Engine, collector: StateCollector
) -> None:
    with transaction(engine) as tx:
        tx.execute(
            text(
                """
                WITH m AS (INSERT INTO merchants (key, name, mode) VALUES ('acme', 'A', 'test') RETURNING id),
                     r AS (INSERT INTO reconciliations (merchant_id, method, platform_account, from_at, to_at,
                                                        settled_before, continues)
                           SELECT id, 'stripe', 'acct_1', now() - interval '1 day', now(), now(), true FROM m
                           RETURNING id, merchant_id),
                     s AS (INSERT INTO payout_stops (kind, reason, stopped_by)
                           VALUES ('failover', 'older', 'the watermark'), ('kill_switch', 'wrong', 'ann'))
                INSERT INTO payout_differences (merchant_id, method, platform_account, kind, subject, currency,
                    day, first_seen, last_seen, last_run_id, state, resolved_by, resolved_at, resolved_note)
                SELECT merchant_id, 'stripe', 'acct_1', 'fee', d.subject, 'usd', now(), now(), now(), id,
                       d.state, d.by, d.at, d.note
                FROM r, (VALUES ('attempt 1', 'open', NULL, CAST(NULL AS timestamptz), NULL),
                                ('attempt 2', 'resolved', 'ann', now(), 'known')) d (subject, state, by, at, note)
                """
            )
        )
    seen = scrape(collector)
    assert seen["payspool_payout_stops", ("failover",)] == 1
    assert seen["payspool_payout_stops", ("breaker",)] == 0
    assert seen["payspool_payout_differences_open", ("fee",)] == 1
    assert seen["payspool_payout_differences_open", ("missing_here",)] == 0


def test_what_was_too_fast_is_counted_until_a_person_has_decided_it(
    engine: Engine, collector: StateCollector
) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        loyalty.create_program(tx, acme, "p", name="P", currency="eur", backdating_days=3650)
    for then, first in (("hold", 0), ("flag", 10)):
        limit = {"per": "card", "what": "earn", "minutes": 60, "count": 1, "then": then}
        with transaction(engine) as tx:
            desk.set_policy(tx, acme, None, [limit], actor=Actor("person", "ann"))
        card = {"card": f"C{first}", "customer_id": f"u{first}"}
        shop.send(engine, shop.event("loyalty.card_created", f"c{first}", **card))
        for n in range(first, first + 3):
            earn = {"card": f"C{first}", "points": 5}
            shop.send(engine, shop.event("loyalty.points_earned", f"e{n}", **earn))
    with transaction(engine) as tx:
        newest = desk.cases(tx, acme, limit=1)[0]
        inbox.reject_case(tx, acme, newest.id, actor=Actor("person", "ann"), reason="not so")
    seen = scrape(collector)
    open_ = "payspool_velocity_cases_open"
    assert (seen[open_, ("hold",)], seen[open_, ("flag",)]) == (2, 1)
    oldest = "payspool_velocity_cases_oldest_seconds"
    assert 0 < seen[oldest, ("flag",)] <= seen[oldest, ("hold",)] < 60
