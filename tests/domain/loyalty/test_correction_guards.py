"""The database refuses corrections that do not fit what they correct, whoever writes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.db import Tx
from tests.domain.loyalty.books import state

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


OTHER = "(SELECT id FROM cards WHERE number = 'C2')"
VOID = """
    INSERT INTO loyalty_transactions (merchant_id, card_id, program_id, program_version, seq, type, points_delta,
        points_balance_after, stamps_balance_after, explanation, transaction_at, related_transaction_id)
    SELECT c.merchant_id, c.id, c.program_id, 1, c.last_seq + 1, 'points_voided', {delta},
           c.points_balance + {delta}, 0, '{{}}', now(),
           (SELECT id FROM loyalty_transactions WHERE card_id = {of} AND seq = {seq})
    FROM cards c WHERE number = 'C1'
"""


@pytest.mark.parametrize(
    "wrong",
    [
        {"delta": -31},  # 70 were voided before
        {"delta": 5},  # with the sign of its original
        {"delta": -5, "seq": 3},  # of a void
        {"delta": -5, "seq": 1},  # of an enrolment
        {"delta": -5, "of": OTHER},  # of another card
    ],
)
def test_the_database_refuses_a_void_that_does_not_fit_its_original(
    tx: Tx, shop: Any, wrong: dict[str, Any]
) -> None:
    earn = shop.earn("C1", 100)
    shop.apply(tx, [shop.enrol("C1"), earn, shop.void(earn, 70)])
    shop.apply(tx, [shop.enrol("C2"), shop.earn("C2", 100), shop.earn("C1", 100)])
    values = {"of": "c.id", "seq": 2, **wrong}
    with pytest.raises(IntegrityError, match=r"cannot be its original|sign_by_type"):
        tx.execute(text(VOID.format(**values)))


@pytest.mark.parametrize("first", ["C1", "C2"])
def test_the_database_looks_at_every_void_of_a_statement_that_voids_one_earn_twice(
    tx: Tx, shop: Any, first: str
) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])
    shop.apply(tx, [shop.enrol("C2"), shop.earn("C2", 100)])
    of = "(SELECT id FROM cards WHERE number = 'C1')"
    twice = VOID.format(delta=-5, of=of, seq=2).replace(
        "WHERE number = 'C1'\n", f"ORDER BY number <> '{first}'"
    )
    assert twice.count("ORDER BY") == 1
    with pytest.raises(IntegrityError, match="cannot be its original"):
        tx.execute(text(twice))


def test_the_database_sums_the_voids_that_one_statement_brings(tx: Tx, shop: Any) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])
    tenth = VOID.format(delta=-10, of="c.id", seq=2)
    many = tenth.replace("c.last_seq + 1", "c.last_seq + n").replace(
        "c.points_balance + -10", "c.points_balance - 10 * n"
    )
    numbered = many.replace("FROM cards c WHERE", "FROM cards c, generate_series(1, 11) n WHERE")
    with pytest.raises(IntegrityError, match="exceeded by its corrections"):
        tx.execute(text(numbered))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE point_debts SET points = points + 1",
        "UPDATE point_debts SET remaining = remaining + 1",
        "UPDATE cards SET points_debt = points_debt + 1",
        "UPDATE debt_repayments SET points = 1",
        "UPDATE lot_restorations SET points = 1",
        "UPDATE loyalty_refunds SET amount = 1",
        "INSERT INTO debt_repayments SELECT merchant_id, debit_transaction_id, debit_transaction_id, lot_id, 1"
        " FROM debt_repayments",
        "INSERT INTO debt_repayments SELECT r.merchant_id, t.id, r.debit_transaction_id, r.lot_id, 80"
        " FROM debt_repayments r, loyalty_transactions t WHERE t.type = 'points_earned'",
        "INSERT INTO lot_restorations SELECT r.merchant_id, t.id, r.debit_transaction_id, r.lot_id, 1"
        " FROM lot_restorations r, loyalty_transactions t WHERE t.type = 'points_earned'",
        "INSERT INTO point_debts SELECT id + 1, merchant_id, card_id, 1, 1 FROM loyalty_transactions",
    ],
)
def test_the_database_keeps_debts_and_what_was_given_back(
    tx: Tx, shop: Any, statement: str
) -> None:
    earn, spent = (
        shop.earn("C1", purchase_amount=10_000, order_reference="o1"),
        shop.redeem("C1", 90),
    )
    shop.apply(tx, [shop.enrol("C1"), earn, spent, shop.void(spent, 10)])
    shop.apply(tx, [shop.refund("o1", "r1", 10_000), shop.earn("C1", 5)])
    assert state(tx) == (-75, 75, [0, 0])
    with pytest.raises(IntegrityError):
        tx.execute(text(statement))
