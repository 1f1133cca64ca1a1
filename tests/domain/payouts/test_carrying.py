"""What a payout cannot carry stays owed: nothing is rounded away, and no amount stops a run."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.earnings import service as earnings
from domain.payouts import service
from domain.payouts.rules import Pay, Skip
from domain.payouts.rules.months import month_of
from domain.payouts.service import RunSpec
from domain.payouts.store import closing
from tests.domain.payouts import house
from tests.domain.payouts.house import JUNE, assert_whole, earn, merchant, payee

PAID = "SELECT user_id, amount, members FROM payouts WHERE state <> 'canceled' ORDER BY id"
LARGEST = 2**53 - 1


def owed(engine: Engine, user: str = "ada") -> int:
    balance: int = house.scalar(
        engine,
        "SELECT balance FROM ledger_accounts WHERE kind = 'payable' AND owner = :user",
        user=user,
    )
    return balance


def later(engine: Engine, acme: int, name: str) -> service.RunResult:
    return service.build_run(engine, RunSpec(acme, name, JUNE + timedelta(days=30)))


def test_the_last_digit_of_a_dinar_is_paid_when_others_have_joined_it(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 5_124, currency="kwd")
        [line] = service.preview(tx, RunSpec(acme, "preview", JUNE))
    assert isinstance(line.decision, Pay)
    assert (line.amount, line.decision.amount, line.decision.carried) == (5_124, 5_120, 4)

    result = house.run(engine, acme)
    assert result.by_currency == {"kwd": {"payouts": 1, "amount": 5_120, "carried": 4}}
    assert house.rows(engine, PAID) == [("ada", 5_120, 2)]
    assert owed(engine) == 4
    assert_whole(engine)
    # A second run of the same time finds nothing: what was carried over is of the next one.
    assert house.run(engine, acme, "again").reasons == {}

    with transaction(engine) as tx:
        earn(tx, acme, 1_006, currency="kwd")
    assert later(engine, acme, "july").by_currency == {"kwd": {"payouts": 1, "amount": 1_010}}
    assert owed(engine) == 0
    assert_whole(engine)


def test_less_than_can_be_moved_waits_and_says_so(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 9, currency="kwd")
        [line] = service.preview(tx, RunSpec(acme, "preview", JUNE))
    assert isinstance(line.decision, Skip)
    assert "at least 10" in line.decision.detail
    assert house.run(engine, acme).reasons == {"below_minimum": 1}
    assert owed(engine) == 9
    assert_whole(engine)


@pytest.mark.parametrize(
    ("currency", "amount", "minimum"), [("kwd", 5_124, 5_123), ("huf", 1_050, 1_001)]
)
def test_what_can_be_moved_waits_below_the_minimum_and_nothing_is_written_run_after_run(
    engine: Engine, currency: str, amount: int, minimum: int
) -> None:
    minimums = {currency: minimum}
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, amount, currency=currency)
        [line] = service.preview(tx, RunSpec(acme, "preview", JUNE, minimums=minimums))
    assert isinstance(line.decision, Skip)
    for name in ("june", "again"):
        result = house.run(engine, acme, name, minimums=minimums)
        assert (result.created, result.reasons) == (0, {"below_minimum": 1})
        assert house.rows(engine, "SELECT kind, amount FROM earnings") == [("reward", amount)]
    assert owed(engine) == amount
    assert_whole(engine)


def test_a_minimum_above_stripes_largest_is_paid_in_parts_of_the_largest(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 250_000_000)
    for month, reasons in enumerate(({}, {}, {"below_minimum": 1})):
        as_of = JUNE + timedelta(days=30 * month)
        spec = RunSpec(acme, f"run-{month}", as_of, minimums={"usd": 200_000_000})
        with transaction(engine) as tx:
            [line] = service.preview(tx, spec)
        result = service.build_run(engine, spec)
        assert result.reasons == reasons
        assert result.created == isinstance(line.decision, Pay)
    assert [row[1] for row in house.rows(engine, PAID)] == [99_999_999, 99_999_999]
    assert owed(engine) == 50_000_002
    assert_whole(engine)


def test_a_block_between_the_two_decisions_of_a_run_leaves_nothing_carried_over(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 5_124, currency="kwd")
    record = earnings.record

    def block_first(*args: Any) -> Any:
        house.execute(engine, "UPDATE payees SET blocked_reason = 'restricted'")
        return record(*args)

    monkeypatch.setattr(earnings, "record", block_first)
    assert house.run(engine, acme).reasons == {"blocked": 1}
    assert house.rows(engine, "SELECT kind, amount FROM earnings") == [("reward", 5_124)]
    assert_whole(engine)


def test_a_canceled_payout_gives_back_all_that_was_earned(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 5_124, currency="kwd")
    house.run(engine, acme)
    with transaction(engine) as tx:
        service.cancel(tx, house.scalar(engine, "SELECT id FROM payouts"), reason="again")
    assert owed(engine) == 5_124
    assert later(engine, acme, "july").by_currency["kwd"] == {
        "payouts": 1,
        "amount": 5_120,
        "carried": 4,
    }
    assert_whole(engine)


def test_an_amount_above_stripes_largest_is_paid_in_parts(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 150_000_000)
    house.run(engine, acme)
    later(engine, acme, "july")
    assert [row[1] for row in house.rows(engine, PAID)] == [99_999_999, 50_000_001]
    assert owed(engine) == 0
    assert_whole(engine)


def test_the_largest_amounts_of_events_stop_no_run_and_no_check(engine: Engine) -> None:
    users = [f"u{n}" for n in range(1_200)]
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in users[:2]:
            payee(tx, acme, user, f"acct_{user}")
        for user in users:
            earn(tx, acme, LARGEST, user)
    assert len(users) * LARGEST > 2**63, "more than a bigint holds"
    result = house.run(engine, acme)
    assert (result.created, result.reasons) == (2, {"payee_not_ready": 1_198})
    assert result.by_currency["usd"]["carried"] == 2 * (LARGEST - 99_999_999)
    assert_whole(engine)


def test_a_sum_that_no_amount_can_hold_is_refused_and_pays_everyone_else(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in ("ada", "ben"):
            payee(tx, acme, user, f"acct_{user}")
        # Debts that are not due yet keep the balance within a bigint, but not the sum of what is due.
        for _ in range(600):
            earn(tx, acme, LARGEST)
        for _ in range(600):
            earn(tx, acme, -LARGEST, due=house.JULY)
        for _ in range(600):
            earn(tx, acme, LARGEST)
        earn(tx, acme, 1_000, "ben")
    result = house.run(engine, acme)
    assert (result.created, result.reasons) == (1, {"over_limit": 1})
    assert house.rows(engine, PAID) == [("ben", 1_000, 1)]
    assert_whole(engine)


def test_runs_whose_payouts_exceed_a_bigint_together_are_summed(engine: Engine) -> None:
    """Payouts of other methods have no such limit: 1,200 of the largest amounts in one run."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        for n in range(1_200):
            payee(tx, acme, f"u{n}", "iban", method="manual")
            earn(tx, acme, LARGEST, f"u{n}")
    result = house.run(engine, acme, methods=("manual",))
    assert result.by_currency == {"usd": {"payouts": 1_200, "amount": 1_200 * LARGEST}}
    with transaction(engine) as tx:
        [total] = service.summary(tx, acme)
    assert total.amount == 1_200 * LARGEST
    assert_whole(engine)


def test_what_was_carried_over_is_neither_earned_nor_taken_back_in_the_months_close(
    engine: Engine,
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        earn(tx, acme, 5_124, currency="kwd")
    house.run(engine, acme)
    with transaction(engine) as tx:
        [row] = closing.close(tx, acme, *month_of("2026-06", "UTC"))
    assert (row.opening, row.earned, row.reversed, row.paid) == (0, 5_124, 0, 5_120)
    assert row.closing == 4


@pytest.mark.parametrize("currency", ["isk", "ugx"])
def test_a_bank_is_never_asked_for_hundredths_that_its_currency_does_not_have(
    engine: Engine, currency: str
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme, account="rcp_1", method="manual")
        earn(tx, acme, 599, currency=currency)
    made = house.run(engine, acme, methods=("manual",))
    assert made.by_currency == {currency: {"payouts": 1, "amount": 500, "carried": 99}}
    assert owed(engine) == 99
    assert_whole(engine)
