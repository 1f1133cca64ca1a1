"""The audit trail records in the transaction that acts, and is never rewritten."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.audit import service
from domain.audit.service import Actor
from domain.db import Tx


def record(tx: Tx, action: str = "payout.canceled", **more: object) -> None:
    fields = {"merchant_id": 1, "subject_kind": "payout", "subject_id": 7} | more
    service.record(tx, Actor("person", "ann"), action, **fields)  # type: ignore[arg-type]


def test_an_entry_says_who_did_what_to_what_and_why(tx: Tx) -> None:
    record(tx, reason="asked for", before={"state": "approved"}, after={"state": "canceled"})
    [row] = tx.execute(text("SELECT * FROM audit_entries")).all()
    assert (row.actor_kind, row.actor_id, row.action) == ("person", "ann", "payout.canceled")
    assert (row.merchant_id, row.subject_kind, row.subject_id) == (1, "payout", "7")
    assert (row.reason, row.before, row.after) == (
        "asked for",
        {"state": "approved"},
        {"state": "canceled"},
    )
    assert row.created_at.tzinfo is not None


def test_what_json_does_not_know_is_kept_as_text(tx: Tx) -> None:
    record(tx, after={"at": datetime(2026, 6, 1, tzinfo=UTC), "share": Decimal("0.1")})
    after = tx.execute(text("SELECT after FROM audit_entries")).scalar_one()
    assert after == {"at": "2026-06-01 00:00:00+00:00", "share": "0.1"}


def test_what_is_rolled_back_was_never_done(tx: Tx) -> None:
    point = tx.begin_nested()
    record(tx)
    point.rollback()
    assert tx.execute(text("SELECT count(*) FROM audit_entries")).scalar() == 0


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_entries SET actor_id = 'bob'", "UPDATE audit_entries SET reason = NULL"],
)
def test_an_entry_is_never_rewritten(tx: Tx, statement: str) -> None:
    record(tx)
    with pytest.raises(IntegrityError, match="append-only"):
        tx.execute(text(statement))
