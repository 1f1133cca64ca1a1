"""One poison event never holds up its neighbours, and what is no event's fault is nobody's death."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from structlog.testing import capture_logs

import domain.db
from domain.db import connect, transaction
from domain.inbox import service as inbox
from domain.inbox.rules import correlation_of, lock_key
from domain.referrals.service import converting
from queues.batches import Batch, BatchItem
from tests.domain.inbox.shop import (
    PATIENCE,
    PERCENTAGE,
    TIERED,
    assert_whole,
    balance,
    conversion,
    open_shop,
    read,
    read_only,
    refund,
    rows,
    scalar,
    standing,
    wait_until_blocked,
)
from tests.workers.poisoning import cure, execute, poison, runtime
from workers.failures import is_infrastructure
from workers.ingest import apply, ingest


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """What is logged (and not rendered: a traceback with its variables takes seconds)."""
    with capture_logs() as lines:
        yield lines


def test_a_batch_from_the_queue_is_applied_in_its_order(engine: Engine) -> None:
    open_shop(engine, TIERED)
    items = [
        BatchItem("1", "m1", 0, 0, [conversion("o1", "u1"), "not json"]),
        BatchItem("2", "m2", 0, 1, [conversion("o2", "u2"), conversion("o3", "u3")]),
    ]
    ingest(runtime(engine), Batch(tuple(items)))
    assert rows(engine, "SELECT transaction_id FROM trackings ORDER BY seq") == [
        ("o1",),
        ("o2",),
        ("o3",),
    ]
    assert rows(engine, "SELECT message_id, position FROM rejected_messages") == [("m1", 1)]


def test_a_batch_that_comes_again_after_its_commit_changes_nothing(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    batch = Batch(
        (
            BatchItem(
                "1", "m1", 0, 0, [conversion("o1"), refund("o1", 50), refund("o2"), "not json"]
            ),
        )
    )
    ingest(runtime(engine), batch)
    before = standing(engine), balance(engine)
    ingest(runtime(engine), batch)
    assert (standing(engine), balance(engine)) == before
    assert scalar(engine, "SELECT count(*) FROM rejected_messages") == 1
    assert_whole(engine)


@pytest.mark.parametrize("poisoned", [{0}, {9}, {3, 4}, {0, 5, 9}, set(range(10))], ids=str)
def test_poison_events_are_found_and_kept_and_their_neighbours_are_applied(
    engine: Engine, owner: Engine, logged: list[Any], poisoned: set[int]
) -> None:
    open_shop(engine, TIERED)
    poison(owner, "trackings", "NEW.transaction_amount = 666", "RAISE EXCEPTION 'cursed'")
    texts = [conversion(f"o{i}", f"u{i}", 666 if i in poisoned else 1_000) for i in range(10)]
    apply(runtime(engine), read(*texts))
    expected = {f"o{i}/paid": "dead:bug" if i in poisoned else "applied" for i in range(10)}
    assert standing(engine) == expected
    for detail, attempts in rows(
        engine, "SELECT detail, attempts FROM inbox_events WHERE status = 'dead'"
    ):
        assert detail == "RaiseException: cursed", "and nothing of what people sent"
        assert attempts == 1
    sequence = [seq for (seq,) in rows(engine, "SELECT seq FROM trackings ORDER BY id")]
    assert sequence == list(range(1, 11 - len(poisoned))), "in the order of the batch"
    assert_whole(engine)
    assert [line["event"] for line in logged] == ["event.dead"] * len(poisoned)


def test_a_dead_event_is_tried_again_by_a_replay(engine: Engine, owner: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    poison(owner, "trackings", "true", "RAISE EXCEPTION 'cursed'")
    sale = read(conversion("o1"))
    apply(runtime(engine), sale)
    apply(runtime(engine), sale)
    assert rows(engine, "SELECT status, attempts FROM inbox_events") == [("dead", 2)]
    cure(owner, "trackings")
    apply(runtime(engine), sale)
    assert rows(engine, "SELECT status, reason, detail, attempts FROM inbox_events") == [
        ("applied", None, None, 3)
    ]
    assert balance(engine) == 1_000


def test_a_bug_in_a_rule_stops_the_event_that_provokes_it_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_shop(engine, PERCENTAGE)
    healthy = converting.reward_for

    def buggy(rule: Any, *, amount: int, history: Any) -> Any:
        if amount == 666:
            raise ValueError("odd \0 and \ud800 " + "x" * 1_000)
        return healthy(rule, amount=amount, history=history)

    monkeypatch.setattr(converting, "reward_for", buggy)
    apply(runtime(engine), read(*(conversion(f"o{i}", amount=660 + i) for i in range(10))))
    assert [i for i, s in standing(engine).items() if s != "applied"] == ["o6/paid"]
    [(detail,)] = rows(engine, "SELECT detail FROM inbox_events WHERE status = 'dead'")
    assert detail.startswith("ValueError: odd \\u0000 and \\ud800 xxx")
    assert len(detail) == 500


def test_what_cannot_even_be_claimed_is_kept_by_its_message(engine: Engine, owner: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    poison(owner, "inbox_events", "NEW.event_id = 'o3/paid'", "RAISE EXCEPTION 'cursed'")
    deliveries = read(*(conversion(f"o{i}") for i in range(6)))
    for _ in range(2):
        apply(runtime(engine), deliveries)
    assert standing(engine) == {f"o{i}/paid": "applied" for i in range(6) if i != 3}
    [(message, position, reason, detail, raw)] = rows(
        engine, "SELECT message_id, position, reason, detail, raw FROM rejected_messages"
    )
    assert (message, position, reason) == (deliveries[3].delivery.message_id, 3, "bug")
    assert "cursed" in detail
    assert bytes(raw).decode() == deliveries[3].delivery.text


def test_a_lock_that_is_held_too_long_sends_the_whole_batch_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = open_shop(engine, PERCENTAGE)
    monkeypatch.setattr(domain.db, "LOCK_TIMEOUT_MS", 100)
    hasty = connect(engine.url.render_as_string(hide_password=False))
    held = read(conversion("o5"))[0].event
    assert held is not None
    key = lock_key(acme, str(correlation_of(held.type, held.data)))
    deliveries = read(*(conversion(f"o{i}") for i in range(10)))
    with transaction(engine) as tx:
        domain.db.advisory_lock(tx, [key])
        with pytest.raises(OperationalError) as raised:
            apply(runtime(hasty), deliveries)
        assert is_infrastructure(raised.value)
    assert scalar(engine, "SELECT count(*) FROM inbox_events") == 0, "nothing is half done"
    apply(runtime(hasty), deliveries)
    assert set(standing(engine).values()) == {"applied"}
    hasty.dispose()


@pytest.mark.parametrize("table", ["inbox_events", "attributions", "trackings", "ledger_transfers"])
def test_a_connection_that_breaks_anywhere_leaves_nothing_half_done(
    engine: Engine, owner: Engine, table: str
) -> None:
    open_shop(engine, PERCENTAGE)
    poison(owner, table, "true", "PERFORM pg_terminate_backend(pg_backend_pid())")
    deliveries = read(*(conversion(f"o{i}") for i in range(10)))
    with pytest.raises((DBAPIError, psycopg.Error)) as raised:
        apply(runtime(engine), deliveries)
    assert is_infrastructure(raised.value)
    cure(owner, table)
    for name in ("inbox_events", "attributions", "trackings", "earnings", "ledger_transfers"):
        assert scalar(engine, f"SELECT count(*) FROM {name}") == 0
    apply(runtime(engine), deliveries)  # the pool has let go of the broken connection
    assert balance(engine) == 10_000


def test_a_server_that_is_read_only_since_a_failover_kills_no_event_and_is_let_go_of(
    engine: Engine, admin_url: str, logged: list[Any]
) -> None:
    open_shop(engine, PERCENTAGE)
    deliveries = read(*(conversion(f"o{i}") for i in range(8)))
    with read_only(engine, admin_url):
        with pytest.raises((DBAPIError, psycopg.Error)) as raised:
            apply(runtime(engine), deliveries)
        assert is_infrastructure(raised.value)
    assert [line for line in logged if line["event"] == "event.dead"] == []
    apply(runtime(engine), deliveries)  # on a new connection: the old one stays read-only
    assert set(standing(engine).values()) == {"applied"}


def test_a_process_that_was_frozen_in_its_transaction_tries_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends a transaction that idles; that is no bug of the one event in it."""
    open_shop(engine, PERCENTAGE)
    monkeypatch.setattr(domain.db, "IDLE_IN_TRANSACTION_MS", 100)
    watched = connect(engine.url.render_as_string(hide_password=False))
    healthy = converting.reward_for

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.4)
        return healthy(*arguments, **named)

    monkeypatch.setattr(converting, "reward_for", slow)
    with pytest.raises((DBAPIError, psycopg.Error)) as raised:
        apply(runtime(watched), read(conversion("o1")))
    assert is_infrastructure(raised.value)
    assert standing(engine) == {}
    watched.dispose()


def test_a_database_without_our_schema_makes_no_event_look_poisoned(
    engine: Engine, owner: Engine
) -> None:
    open_shop(engine, PERCENTAGE)
    execute(owner, "ALTER TABLE trackings RENAME COLUMN explanation TO reasons")
    deliveries = read(*(conversion(f"o{i}") for i in range(4)))
    with pytest.raises((DBAPIError, psycopg.Error)) as raised:
        apply(runtime(engine), deliveries)
    assert is_infrastructure(raised.value)
    execute(owner, "ALTER TABLE trackings RENAME COLUMN reasons TO explanation")
    apply(runtime(engine), deliveries)
    assert set(standing(engine).values()) == {"applied"}


def test_an_old_worker_goes_on_beside_a_newer_schema(engine: Engine, owner: Engine) -> None:
    open_shop(engine, TIERED)

    def work(turn: int) -> None:
        texts = [conversion(f"o{turn}-{i}", f"u{i}") for i in range(2)]
        parts = [refund(f"o{turn - 1}-{i}", 10) for i in range(2)] if turn else []
        apply(runtime(engine), read(*texts, *parts))

    for turn in range(8):  # its statements are prepared by now
        work(turn)
    for table in (
        "inbox_events",
        "codes",
        "programs",
        "attributions",
        "referrer_states",
        "trackings",
    ):
        execute(owner, f"ALTER TABLE {table} ADD COLUMN newer int DEFAULT 5")
    for turn in range(8, 12):
        work(turn)
    assert set(standing(engine).values()) == {"applied"}


def test_a_migration_that_outdates_prepared_statements_costs_a_retry_and_no_event(
    engine: Engine, owner: Engine
) -> None:
    open_shop(engine, TIERED)
    for turn in range(8):
        apply(runtime(engine), read(conversion(f"o{turn}"), refund(f"o{turn - 1}", 10)))
    execute(owner, "ALTER TABLE codes ALTER COLUMN code TYPE varchar(24)")
    deliveries = read(conversion("o8"), refund("o7", 10))
    with pytest.raises(DBAPIError, match="cached plan") as raised:
        apply(runtime(engine), deliveries)
    assert is_infrastructure(raised.value)
    apply(runtime(engine), deliveries)  # as the queue brings it back
    assert set(standing(engine).values()) == {"applied", "waiting:waits_for_conversion"}
    assert scalar(engine, "SELECT count(*) FROM trackings") == 9


def test_two_workers_with_the_same_poison_bury_it_once(engine: Engine, owner: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    poison(owner, "trackings", "NEW.transaction_amount = 666", "RAISE EXCEPTION 'cursed'")
    deliveries = read(*(conversion(f"o{i}", amount=666 if i == 2 else 100) for i in range(5)))
    with ThreadPoolExecutor(2) as pool:
        with transaction(engine) as tx:
            inbox.apply(tx, deliveries[:1])
            late = [pool.submit(apply, runtime(engine), deliveries) for _ in range(2)]
            wait_until_blocked(engine, 2)
        for one in late:
            one.result(PATIENCE)
    assert [s for s in standing(engine).values() if s != "applied"] == ["dead:bug"]
    assert balance(engine) == 40
    assert_whole(engine)


def test_a_poisoned_event_is_logged_without_the_row_that_failed(
    engine: Engine, owner: Engine, logged: list[Any]
) -> None:
    open_shop(engine, PERCENTAGE)
    execute(owner, "ALTER TABLE trackings ADD CONSTRAINT cursed CHECK (transaction_amount <> 666)")
    apply(runtime(engine), read(conversion("o1", "jane@private.example", amount=666)))
    [line] = [line for line in logged if line["event"] == "event.dead"]
    assert 'violates check constraint "cursed"' in line["exception"]
    assert "jane@private.example" not in repr(line)


def test_an_event_far_in_the_past_or_at_the_end_of_time_is_no_poison(engine: Engine) -> None:
    open_shop(engine, PERCENTAGE, hold_days=90, window_days=3_650)
    ancient = conversion("ancient", "methuselah", at=datetime(1, 1, 1, tzinfo=UTC))
    old = conversion("old", "u-70", at=datetime(1970, 1, 1, tzinfo=UTC))
    end = conversion("end", at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    apply(runtime(engine), read(ancient, old, end, conversion("o1")))
    assert standing(engine) == {
        "ancient/paid": "rejected:invalid_time",
        "old/paid": "applied",
        "end/paid": "rejected:time_in_future",
        "o1/paid": "applied",
    }
