"""Refunds of purchases take their share of the points, once each."""

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.db import Tx
from tests.domain.loyalty.books import state, told

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_ten_refunds_of_a_tenth_take_all(tx: Tx, shop: Any, apply: Any) -> None:
    earn = shop.earn("C1", purchase_amount=1_090, order_reference="o1")
    tenths = [shop.refund("o1", f"r{n}", 109) for n in range(10)]
    outcomes = apply(tx, shop, [shop.enrol("C1"), earn, *tenths])
    assert told(outcomes)[1:] == [10] + [-1] * 10
    assert state(tx) == (0, 0, [0])
    assert told(apply(tx, shop, [shop.refund("o1", "r10", 1), shop.refund("o1", "r3", 109)])) == [
        "refund_exceeds_transaction",
        "duplicate_refund",
    ]


def test_refunds_take_their_share_and_no_more_than_was_earned(
    tx: Tx, shop: Any, apply: Any
) -> None:
    earn = shop.earn("C1", purchase_amount=3_000, order_reference="o1")
    outcomes = apply(
        tx,
        shop,
        [
            shop.enrol("C1"),
            earn,
            shop.redeem("C1", 25),
            shop.refund("o1", "r1", 1_000, currency="eur"),
            shop.refund("o1", "r2", 1, card="C1"),
            shop.refund("o1", "r3", 1, currency="usd"),
            shop.void(earn, 5),
            shop.refund("o1", "r4", 1_999),
        ],
    )
    assert told(outcomes)[3:] == [-10, 0, "currency_mismatch", -5, -15]
    assert outcomes[4].noted == "nothing_to_reverse"
    assert state(tx) == (-25, 25, [0])


def test_a_refund_takes_what_the_smaller_purchase_would_not_have_earned(tx: Tx, shop: Any) -> None:
    earn = shop.earn("C1", purchase_amount=10_000, order_reference="o1")
    shop.apply(tx, [shop.enrol("C1"), earn, shop.redeem("C1", 30)])
    later = NOON + 400 * DAY
    half, rest = (shop.refund("o1", r, 5_000, later) for r in ("r1", "r2"))
    assert told(shop.apply(tx, [half], later)) == [0], "20 of the 50 left would have expired"
    assert told(shop.apply(tx, [rest], later)) == [-30]
    assert state(tx) == (-30, 30, [0])


def test_a_refund_needs_an_amount_to_take_a_share_of_and_one_card(
    tx: Tx, shop: Any, apply: Any
) -> None:
    outcomes = apply(
        tx,
        shop,
        [
            shop.enrol("C1"),
            shop.enrol("C2"),
            shop.earn("C1", 10, order_reference="given"),
            shop.earn("C1", purchase_amount=1_000, order_reference="split"),
            shop.earn("C2", purchase_amount=2_000, order_reference="split"),
            shop.refund("given", "r1", 100),
            shop.refund("split", "r1", 100),
            shop.refund("split", "r1", 2_000, card="C2"),
        ],
    )
    assert told(outcomes)[5:] == ["missing_amount", "order_ambiguous", -20]


def test_an_order_that_earned_in_parts_is_clawed_back_from_each(
    tx: Tx, shop: Any, apply: Any
) -> None:
    parts = [shop.earn("C1", purchase_amount=a, order_reference="o1") for a in (1_000, 3_000)]
    outcomes = apply(tx, shop, [shop.enrol("C1"), *parts, shop.refund("o1", "r1", 2_000)])
    assert told(outcomes)[-1] == -20
    assert state(tx) == (20, 0, [5, 15])


def test_an_order_that_earned_again_after_a_refund_loses_no_more_than_its_share(
    tx: Tx, shop: Any, apply: Any
) -> None:
    first, again = (shop.earn("C1", purchase_amount=1_000, order_reference="o1") for _ in "ab")
    refunds = [shop.refund("o1", f"r{n}", amount) for n, amount in enumerate((1_000, 500, 500))]
    outcomes = apply(tx, shop, [shop.enrol("C1"), first, refunds[0], again, *refunds[1:]])
    assert told(outcomes)[1:] == [10, -10, 10, -5, -5], "15 of 20 are gone with 15.00 of 20.00"
    assert state(tx) == (0, 0, [0, 0])


def test_what_expired_beyond_its_share_of_a_refund_spares_no_other_earn(tx: Tx, shop: Any) -> None:
    later = NOON + 400 * DAY
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", purchase_amount=1_000, order_reference="o1")])
    again = shop.earn("C1", purchase_amount=1_000, order_reference="o1", time=later)
    shop.apply(tx, [again], later)
    assert told(shop.apply(tx, [shop.refund("o1", "r1", 1_000, later)], later)) == [-5]
    assert state(tx) == (5, 0, [0, 5])
