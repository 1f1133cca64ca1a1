"""The database itself refuses what would break a card's history, whoever writes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from domain.db import Tx
from domain.ledger import service as ledger
from domain.ledger.rules import Transfer, points_account
from domain.loyalty import service

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

INSERT = """
    INSERT INTO loyalty_transactions (merchant_id, card_id, program_id, program_version, seq, type,
        points_delta, points_balance_after, stamps_balance_after, explanation, transaction_at{columns})
    SELECT {merchant}, {card}, program_id, {version}, {seq}, '{type}', {delta}, {after}, 0, '{{}}', now(){values}
    FROM cards WHERE number = 'C1'
"""


@pytest.fixture
def card(tx: Tx, shop: Any) -> Any:
    """Card C1 with 10 points after two rows."""
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 10)])
    return shop


def insert(tx: Tx, **values: Any) -> None:
    given = {
        "seq": 3,
        "type": "points_adjustment",
        "delta": 5,
        "after": 15,
        "merchant": "merchant_id",
        "card": "id",
        "version": 1,
    }
    extra = dict(values.pop("extra", {"reason": "'goodwill'"}))
    given |= values
    given["columns"] = "".join(f", {column}" for column in extra)
    given["values"] = "".join(f", {value}" for value in extra.values())
    tx.execute(text(INSERT.format(**given)))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE loyalty_transactions SET points_delta = 11 WHERE seq = 2",
        "UPDATE loyalty_program_versions SET earn_points = 9",
        "UPDATE point_lots SET points = 11",
        "UPDATE point_lots SET available_at = now()",
        "UPDATE point_lots SET expires_at = now()",
    ],
)
def test_what_was_written_stays(tx: Tx, card: Any, statement: str) -> None:
    with pytest.raises(IntegrityError, match=r"append-only|only remaining and held"):
        tx.execute(text(statement))


def test_an_allocation_stays(tx: Tx, card: Any) -> None:
    card.apply(tx, [card.redeem("C1", 4)])
    with pytest.raises(IntegrityError, match="append-only"):
        tx.execute(text("UPDATE lot_allocations SET points = 3"))


@pytest.mark.parametrize(
    "table",
    [
        "loyalty_programs",
        "loyalty_program_versions",
        "cards",
        "loyalty_transactions",
        "point_lots",
        "lot_allocations",
    ],
)
def test_the_runtime_role_deletes_and_truncates_nothing(tx: Tx, table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with pytest.raises(ProgrammingError, match="permission denied"), tx.begin_nested():
            tx.execute(text(statement))


def test_a_row_that_follows_is_accepted(tx: Tx, card: Any) -> None:
    insert(tx)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": 4},  # a gap
        {"after": 16},  # not what it follows from
        {"after": 5},
        {"delta": 0, "after": 10, "type": "card_reactivated", "seq": 5},
        {"merchant": "merchant_id + 1"},
        {"card": "id + 1"},
        {"card": "id + 1", "seq": 1, "after": 5},
        {"version": 2},
    ],
)
def test_a_row_that_does_not_follow_is_refused(tx: Tx, card: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=r"does not follow|there is no version"):
        insert(tx, **wrong)


def test_a_sequence_number_is_used_once(tx: Tx, card: Any) -> None:
    with pytest.raises(IntegrityError, match="uq_loyalty_transactions_card_id_seq"):
        insert(tx, seq=2, delta=5, after=5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "points_earned", "delta": -5, "after": 5},
        {"type": "points_redeemed"},
        {"type": "points_expired"},
        {"type": "points_adjustment", "delta": 0, "after": 10},
        {"type": "card_deactivated"},
        {"type": "welcome_bonus", "delta": -1, "after": 9},
        {"type": "welcome_bonus"},  # once, at enrolment
        {"type": "points_voided"},  # without its original
        {"type": "points_adjustment", "extra": {}},  # without a reason
        {"type": "points_gifted"},
        {"type": "points_expired", "delta": -5, "after": 5, "extra": {"store_id": "'s1'"}},
        {"type": "points_expired", "delta": -5, "after": 5, "extra": {"staff_pin_id": "'p'"}},
        {"type": "points_expired", "delta": -5, "after": 5, "extra": {"terminal_device_id": "'d'"}},
        {"type": "points_expired", "delta": -5, "after": 5, "extra": {"ip_address": "'::1'"}},
    ],
)
def test_a_row_that_its_type_forbids_is_refused(tx: Tx, card: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="violates check constraint"):
        insert(tx, **wrong)


def test_an_event_makes_one_row_of_a_type(tx: Tx, card: Any) -> None:
    inbox_id = tx.execute(
        text("SELECT inbox_id FROM loyalty_transactions WHERE type = 'points_earned'")
    ).scalar_one()
    with pytest.raises(IntegrityError, match="uq_loyalty_transactions_inbox"):
        insert(tx, type="points_earned", extra={"inbox_id": inbox_id})


@pytest.mark.parametrize(
    "change",
    [
        "points_balance = 11",
        "last_seq = 1",
        "last_seq = 3",
        "stamps_balance = 1",
        "points_balance = 0, last_seq = 0",
        "merchant_id = merchant_id + 1",
        "program_id = program_id + 1",
    ],
)
def test_a_card_cannot_say_other_than_its_last_row(tx: Tx, card: Any, change: str) -> None:
    with pytest.raises(IntegrityError, match=r"are not those of its row|its history only grows"):
        tx.execute(text(f"UPDATE cards SET {change}"))


def test_a_card_begins_empty(tx: Tx, card: Any) -> None:
    with pytest.raises(IntegrityError, match="are not those of its row"):
        tx.execute(
            text(
                """
                INSERT INTO cards (merchant_id, program_id, number, customer_id, points_balance, last_activity_at)
                SELECT merchant_id, program_id, 'C2', 'eve', 100, now() FROM cards
                """
            )
        )


@pytest.mark.parametrize("remaining", [-1, 11])
def test_a_lot_never_holds_less_than_nothing_or_more_than_it_had(
    tx: Tx, card: Any, remaining: int
) -> None:
    with pytest.raises(IntegrityError, match=r"ck_point_lots_(remaining|held)"):
        tx.execute(text("UPDATE point_lots SET remaining = :n"), {"n": remaining})


def test_a_lot_is_of_the_card_of_its_credit_and_no_larger(tx: Tx, card: Any) -> None:
    card.apply(tx, [card.enrol("C2")])
    copy = """
        INSERT INTO point_lots (merchant_id, card_id, program_id, transaction_id, points, remaining,
                                occurred_at, available_at, policy)
        SELECT merchant_id, {card}, program_id, transaction_id, {points}, 1, now(), now(), '{{}}'
        FROM point_lots
    """
    other = "(SELECT id FROM cards WHERE number = 'C2')"
    for wrong in ({"card": other, "points": 10}, {"card": "card_id", "points": 11}):
        with pytest.raises(IntegrityError, match="is of another card"), tx.begin_nested():
            tx.execute(text(copy.format(**wrong)))


def test_a_debit_takes_from_its_own_card_only(tx: Tx, card: Any) -> None:
    card.apply(tx, [card.enrol("C2"), card.earn("C2", 10), card.redeem("C1", 4)])
    for lot in (
        "(SELECT l.id FROM point_lots l JOIN cards c ON c.id = l.card_id WHERE number = 'C2')",
        "-1",
    ):
        with pytest.raises(IntegrityError, match="is of another card"), tx.begin_nested():
            tx.execute(
                text(
                    f"""
                    INSERT INTO lot_allocations (merchant_id, debit_transaction_id, lot_id, points)
                    SELECT merchant_id, id, {lot}, 1 FROM loyalty_transactions WHERE points_delta < 0
                    """
                )
            )


def test_a_credit_cannot_consume_lots(tx: Tx, card: Any) -> None:
    with pytest.raises(IntegrityError, match="it is no debit"):
        tx.execute(
            text(
                """
                INSERT INTO lot_allocations (merchant_id, debit_transaction_id, lot_id, points)
                SELECT merchant_id, transaction_id, id, 1 FROM point_lots
                """
            )
        )


def test_the_invariants_find_what_the_guards_cannot(tx: Tx, card: Any) -> None:
    assert service.check_invariants(tx) == []
    tx.execute(text("UPDATE point_lots SET remaining = 9"))
    tx.execute(text("UPDATE cards SET expire_check_on = inactivity_deadline + interval '1 day'"))
    told = service.check_invariants(tx)
    assert len(told) == 3, told
    assert "its lots hold 9" in told[0]


def test_the_invariants_find_a_ledger_that_owes_something_else(tx: Tx, card: Any) -> None:
    issued, liability = (
        points_account(card.merchant_id, kind, "beans")
        for kind in ("points_issued", "points_liability")
    )
    ledger.post(tx, [Transfer(issued, liability, 1, "points_earned", "test", 1, NOON)])
    (told,) = service.check_invariants(tx)
    assert "its cards hold 10 points, the ledger owes 11" in told


def test_numbers_and_customers_are_of_one_card(tx: Tx, card: Any) -> None:
    card.apply(tx, [card.enrol("C2")])
    second = "INSERT INTO cards (merchant_id, program_id, number, customer_id, last_activity_at)"
    for number, customer in (("C1", "other"), ("C3", "of-C1")):
        values = (
            f" SELECT merchant_id, program_id, '{number}', '{customer}', now() FROM cards LIMIT 1"
        )
        with pytest.raises(IntegrityError, match="uq_cards"), tx.begin_nested():
            tx.execute(text(second + values))
    with pytest.raises(IntegrityError, match="uq_cards"), tx.begin_nested():
        tx.execute(text("UPDATE cards SET number = 'C1' WHERE number = 'C2'"))
    with pytest.raises(IntegrityError, match="its customer stays"), tx.begin_nested():
        tx.execute(text("UPDATE cards SET customer_id = 'other' WHERE number = 'C2'"))
