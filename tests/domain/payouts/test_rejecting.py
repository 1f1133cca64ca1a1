"""A rejected run is canceled set by set: as if each of its payouts had been canceled alone, and quickly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.earnings import service as earnings
from domain.payouts import service
from domain.payouts.errors import NotCancelable
from domain.payouts.rules.approving import Limits
from domain.payouts.service import PayeeUpdate, approving, building, unfreezing
from domain.payouts.store import approving as store
from domain.payouts.store import policies
from tests.domain.payouts import house
from tests.domain.payouts.house import JUNE, assert_whole
from tests.domain.payouts.test_races import together

BEN = Actor("person", "ben")
REASON = "run rejected: too much"


def waiting(engine: Engine, key: str, payees: int) -> tuple[int, int]:
    """A merchant and its run that waits for approval, of payees with one to three earnings each; some
    carry a part over, and some were reversed in part."""
    with transaction(engine) as tx:
        acme = house.merchant(tx, key)
        policies.put(tx, acme, "always", 72)
        policies.put_limits(tx, acme, "usd", Limits(max_day=10**12))
        users = [f"u{n:04}" for n in range(payees)]
        service.put_payees(tx, [PayeeUpdate(acme, u, "stripe", JUNE, f"acct_{u}") for u in users])
        owed = [
            house.earning(acme, 100 + n, user, currency=("usd", "eur", "kwd")[n % 3])
            for n, user in enumerate(users)
            for _ in range(1 + n % 3)
        ]
        owed += [
            house.earning(acme, -30, each.user_id, currency=each.currency, reverses=each)
            for each in owed[:10]
        ]
        earnings.record(tx, owed)
    result = house.run(engine, acme, prepared_by="ann")
    assert (result.state, result.created) == ("pending_approval", payees)
    return acme, result.run_id


def reject(engine: Engine, run_id: int) -> None:
    with transaction(engine) as tx:
        approving.reject(tx, run_id, actor=BEN, reason="too much")


def outcome(engine: Engine, acme: int) -> list[Any]:
    """What a cancellation leaves, without the numbers and times that differ from one to another."""
    return [
        house.rows(engine, query, m=acme)
        for query in (
            """
            SELECT user_id, currency, amount, members, state, error_code, error_message, look_at, next_try_at,
                   parked_reason, frozen_reason, tries, emit_count, processed_at, failed_at,
                   updated_at IS NOT NULL, reversed_amount
            FROM payouts WHERE merchant_id = :m ORDER BY user_id, currency
            """,
            """
            SELECT user_id, currency, amount, kind, payout_id FROM earnings
            WHERE merchant_id = :m ORDER BY user_id, currency, kind, amount
            """,
            """
            SELECT kind, owner, currency, balance FROM ledger_accounts
            WHERE merchant_id = :m ORDER BY 1, 2, 3
            """,
            """
            SELECT t.kind, t.amount, d.kind, d.owner, c.kind, c.owner, t.currency, t.source_kind, p.user_id,
                   t.group_id = t.id
            FROM ledger_transfers t JOIN ledger_accounts d ON d.id = t.debit_account_id
            JOIN ledger_accounts c ON c.id = t.credit_account_id
            JOIN payouts p ON p.id = t.source_id AND t.source_kind = 'payout'
            WHERE t.merchant_id = :m ORDER BY p.user_id, t.currency, t.kind
            """,
            """
            SELECT currency, payouts, amount FROM payout_run_totals WHERE merchant_id = :m ORDER BY 1
            """,
        )
    ]


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_the_rows_are_those_of_canceling_each_payout_alone(engine: Engine) -> None:
    one, _ = waiting(engine, "one", 40)
    many, run_id = waiting(engine, "many", 40)
    for (payout_id,) in house.rows(
        engine, "SELECT id FROM payouts WHERE merchant_id = :m ORDER BY id", m=one
    ):
        with transaction(engine) as tx:
            service.cancel(tx, payout_id, reason=REASON)
    reject(engine, run_id)
    approving.cancel_drafts(engine, run_id)
    assert outcome(engine, many) == outcome(engine, one)
    assert house.rows(engine, "SELECT DISTINCT payouts, amount FROM payout_run_totals") == [(0, 0)]
    assert_whole(engine)


def test_thousands_are_canceled_in_a_few_statements_and_the_next_run_pays_them(
    engine: Engine,
) -> None:
    acme, run_id = waiting(engine, "acme", 4_100)
    reject(engine, run_id)
    with counted(engine) as sent:
        approving.cancel_drafts(engine, run_id)
    # Three shards and the look that finds no more.
    assert len(sent) <= 3 * 12 + 5, len(sent)
    assert house.rows(engine, "SELECT DISTINCT state, error_message FROM payouts") == [
        ("canceled", REASON)
    ]
    assert_whole(engine)
    assert house.run(engine, acme, "next", prepared_by="ann").created == 4_100
    assert_whole(engine)


def test_a_cancellation_that_was_killed_between_shards_is_finished_by_the_sweep(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "SHARD", 7)
    _, run_id = waiting(engine, "acme", 20)
    reject(engine, run_id)
    drafts = store.drafts
    calls: list[int] = []

    def dies(tx: Any, of_run: int, limit: int) -> Any:
        calls.append(limit)
        if len(calls) == 2:
            raise ConnectionError("killed")
        return drafts(tx, of_run, limit)

    monkeypatch.setattr(store, "drafts", dies)
    with pytest.raises(ConnectionError):
        approving.cancel_drafts(engine, run_id)
    left = "SELECT count(*) FROM payouts WHERE state = 'draft'"
    assert house.scalar(engine, left) == 13
    assert_whole(engine)
    service.tend_runs(engine)
    assert house.scalar(engine, left) == 0
    assert_whole(engine)


def test_a_cancellation_beside_another_and_beside_one_payout_s_own_gives_back_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "SHARD", 5)
    _, run_id = waiting(engine, "acme", 20)
    reject(engine, run_id)
    last = house.scalar(engine, "SELECT max(id) FROM payouts")

    def alone() -> None:
        # Whoever comes second is told so.
        with suppress(NotCancelable), transaction(engine) as tx:
            service.cancel(tx, last, reason="not her")

    together(
        lambda: approving.cancel_drafts(engine, run_id),
        lambda: approving.cancel_drafts(engine, run_id),
        alone,
    )
    released = "SELECT count(*) FROM ledger_transfers WHERE kind = 'payout_released'"
    assert house.scalar(engine, released) == 20
    assert_whole(engine)


def test_a_draft_that_is_stopped_is_not_canceled_with_its_run(engine: Engine) -> None:
    _, run_id = waiting(engine, "acme", 3)
    house.execute(
        engine, "UPDATE payouts SET frozen_reason = 'paid, say the books' WHERE user_id = 'u0001'"
    )
    [(stopped,)] = house.rows(engine, "SELECT id FROM payouts WHERE user_id = 'u0001'")
    reject(engine, run_id)
    approving.cancel_drafts(engine, run_id)
    assert house.rows(engine, "SELECT user_id, state FROM payouts ORDER BY user_id") == [
        ("u0000", "canceled"),
        ("u0001", "draft"),
        ("u0002", "canceled"),
    ]
    with transaction(engine) as tx:
        assert store.unfinished(tx) == []
    with pytest.raises(IntegrityError, match="it is stopped"):
        house.execute(engine, "UPDATE payouts SET state = 'canceled' WHERE user_id = 'u0001'")
    assert_whole(engine)

    with transaction(engine) as tx:
        follows = unfreezing.propose_unfreeze(tx, stopped, evidence="it was not paid", actor=BEN)
        assert "canceled if it is rejected" in follows
    with transaction(engine) as tx:
        unfreezing.agree_unfreeze(tx, stopped, actor=Actor("person", "ann"))
    building.tend_runs(engine)
    assert house.rows(engine, "SELECT DISTINCT state FROM payouts") == [("canceled",)]
    assert_whole(engine)
