"""Rewards of cash: points become an earning, exactly once, and a void takes it back, paid or not."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.db import Tx, transaction
from domain.earnings import service as earnings
from domain.loyalty import service
from domain.payouts import service as payouts
from domain.payouts.service import RunSpec
from tests.domain.loyalty.books import told
from tests.domain.payouts import house

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
REWARDS = [{"id": "cash5", "description": "5 EUR", "points": 300, "cash": 500}]


@pytest.fixture
def shop(tx: Tx, open_shop: Any) -> Any:
    """A shop that pays 5 EUR for 300 points, and a card with 1,000."""
    opened = open_shop(tx, rewards=REWARDS)
    opened.apply(tx, [opened.enrol("C1", "ada"), opened.earn("C1", 1_000)])
    return opened


def cash(shop: Any, **data: Any) -> Any:
    return shop.event("points_redeemed", NOON, card="C1", **{"reward_id": "cash5", **data})


def owed(tx: Tx) -> list[tuple[Any, ...]]:
    assert service.check_invariants(tx) == []
    assert earnings.check_invariants(tx) == []
    found = tx.execute(
        text(
            "SELECT user_id, kind, amount, currency, reverses_id IS NOT NULL FROM earnings ORDER BY id"
        )
    )
    return [tuple(row) for row in found]


def test_points_become_an_earning_of_the_cardholder(tx: Tx, shop: Any) -> None:
    assert told(shop.apply(tx, [cash(shop)])) == [-300]
    assert owed(tx) == [("ada", "cash_redemption", 500, "eur", False)]
    [balance] = earnings.summary(tx, shop.merchant_id, "ada", NOON)
    assert (balance.currency, balance.due) == ("eur", 500)


def test_a_redemption_without_the_reward_pays_nothing(tx: Tx, shop: Any) -> None:
    shop.apply(tx, [shop.redeem("C1", 300), cash(shop, points=301)])
    assert owed(tx) == []


def test_voids_take_back_their_share_and_over_all_of_them_the_whole(
    tx: Tx, shop: Any, apply: Any
) -> None:
    redeemed = cash(shop)
    parts = [shop.void(redeemed, 100) for _ in range(3)]
    assert told(apply(tx, shop, [redeemed, *parts, shop.void(redeemed)])) == [
        -300,
        *[100] * 3,
        "already_voided",
    ]
    assert [amount for _, _, amount, _, _ in owed(tx)] == [500, -166, -167, -167]
    [balance] = earnings.summary(tx, shop.merchant_id, "ada", NOON)
    assert balance.owed == 0


def test_a_later_price_of_the_reward_changes_nothing_of_what_was_redeemed(
    tx: Tx, shop: Any
) -> None:
    redeemed = cash(shop)
    shop.apply(tx, [redeemed])
    dearer = [REWARDS[0] | {"cash": 900}]
    service.change_program(tx, shop.merchant_id, "beans", NOON, rewards=dearer)
    shop.apply(tx, [shop.void(redeemed), cash(shop)])
    assert [amount for _, _, amount, _, _ in owed(tx)] == [500, -500, 900]


def test_a_retired_reward_pays_no_more(tx: Tx, shop: Any) -> None:
    service.change_program(
        tx, shop.merchant_id, "beans", NOON, rewards=[REWARDS[0] | {"id": "other"}]
    )
    (refused,) = shop.apply(tx, [cash(shop)])
    assert refused.reason == "reward_unknown"
    assert owed(tx) == []


def test_who_was_paid_is_who_gives_back_even_once_anonymized(tx: Tx, shop: Any) -> None:
    redeemed = cash(shop)
    shop.apply(tx, [redeemed, shop.event("customer_anonymized", NOON, customer_id="ada")])
    void, refused = shop.apply(tx, [shop.void(redeemed), cash(shop)])
    assert (void.points, refused.reason) == (300, "customer_unknown")
    assert [(user, amount) for user, _, amount, _, _ in owed(tx)] == [("ada", 500), ("ada", -500)]


def test_cash_is_not_held(tx: Tx, shop: Any) -> None:
    held = shop.event("points_held", NOON, card="C1", reward_id="cash5")
    assert told(shop.apply(tx, [held])) == ["reward_not_held"]


@pytest.mark.parametrize(
    "forged",
    [
        "'cash_redemption', 'loyalty_transaction', -1, NULL, 500",
        "'cash_redemption', 'tracking', 1, NULL, 500",
        "'clawback', 'loyalty_transaction', source_id, id, -501",
        "'cash_redemption', 'loyalty_transaction', source_id, NULL, 500",
    ],
)
def test_the_database_refuses_cash_that_no_redemption_gives(tx: Tx, shop: Any, forged: str) -> None:
    shop.apply(tx, [cash(shop)])

    def forge() -> None:
        with tx.begin_nested():
            tx.execute(
                text(
                    "INSERT INTO earnings (merchant_id, user_id, account_id, currency, kind, source_kind,"
                    " source_id, reverses_id, amount, available_at)"
                    f" SELECT merchant_id, user_id, account_id, currency, {forged}, now() FROM earnings"
                )
            )

    with pytest.raises(DBAPIError):
        forge()


@pytest.mark.parametrize("voided", ["before the payout", "after the payout"])
def test_what_is_voided_is_paid_to_nobody(engine: Engine, open_shop: Any, voided: str) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx, rewards=REWARDS)
        redeemed = cash(shop)
        shop.apply(tx, [shop.enrol("C1", "ada"), shop.earn("C1", 1_000), redeemed])
        house.payee(tx, shop.merchant_id, "ada")
        if voided == "before the payout":
            shop.apply(tx, [shop.void(redeemed)])
    payouts.build_run(engine, RunSpec(shop.merchant_id, "first", NOON))
    claimed = house.rows(engine, "SELECT amount, currency FROM payouts")
    assert claimed == ([] if voided == "before the payout" else [(500, "eur")])
    if voided == "after the payout":
        with transaction(engine) as tx:
            shop.apply(tx, [shop.void(redeemed)])
    with transaction(engine) as tx:
        assert owed(tx)[-1][1:3] == ("clawback", -500)
        [balance] = earnings.summary(tx, shop.merchant_id, "ada", NOON)
        assert balance.owed == (0 if voided == "before the payout" else -500)
        # What comes next is paid less what was paid for nothing.
        shop.apply(tx, [shop.earn("C1", 1_000), cash(shop), cash(shop)])
    payouts.build_run(engine, RunSpec(shop.merchant_id, "next", NOON))
    paid = house.scalar(engine, "SELECT sum(amount) FROM payouts")
    assert paid == 1_000
    with transaction(engine) as tx:
        assert earnings.check_invariants(tx) == []
