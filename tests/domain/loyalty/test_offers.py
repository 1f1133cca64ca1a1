"""What a card can redeem now, and what is missing: as a redemption would answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from domain.db import Tx
from domain.loyalty import service
from tests.domain.loyalty.books import told

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def offered(
    tx: Tx, shop: Any, card: str = "C1"
) -> dict[str | None, tuple[bool, int, int, str | None]]:
    found = service.rewards_of(tx, shop.merchant_id, card, NOON)
    assert found is not None
    return {
        one.reward_id: (one.available, one.missing_points, one.missing_stamps, one.why)
        for one in found.offers
    }


def opened(tx: Tx, open_shop: Callable[..., Any]) -> Any:
    shop = open_shop(
        tx,
        kind="hybrid",
        min_redemption=20,
        stamp_target=3,
        stamp_cooldown_minutes=0,
        rewards=[
            {"id": "sweet", "points": 10},
            {"id": "mug", "points": 50},
            {"id": "cash5", "points": 80, "cash": 500},
            {"id": "cap", "stamps": 2},
        ],
    )
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), shop.stamp("C1", 2)])
    return shop


def test_what_is_offered_counts_holds_and_debt_and_is_what_a_redemption_takes(
    tx: Tx, open_shop: Callable[..., Any]
) -> None:
    shop = opened(tx, open_shop)
    shop.apply(tx, [shop.event("points_held", card="C1", points=40)])
    assert offered(tx, shop) == {
        "sweet": (False, 0, 0, "below_min_redemption"),
        "mug": (True, 0, 0, None),
        "cash5": (False, 20, 0, "insufficient_points"),
        "cap": (True, 0, 0, None),
        None: (False, 0, 1, "insufficient_stamps"),
    }
    asked = [
        *(shop.event("points_redeemed", card="C1", reward_id=r) for r in ("sweet", "cash5", "mug")),
        shop.event("stamp_redeemed", card="C1"),
    ]
    assert told(shop.apply(tx, asked)) == [
        "below_min_redemption", "insufficient_points", -50, "insufficient_stamps",
    ]  # fmt: skip
    shop.apply(tx, [shop.adjust("C1", -60)])
    assert offered(tx, shop)["mug"] == (False, 50, 0, "insufficient_points")


def test_a_card_out_of_use_is_offered_nothing_and_a_merged_one_what_its_survivor_is(
    tx: Tx, open_shop: Callable[..., Any]
) -> None:
    shop = opened(tx, open_shop)
    shop.apply(tx, [shop.event("card_deactivated", card="C1")])
    assert {why for _, _, _, why in offered(tx, shop).values()} == {"card_inactive"}
    assert service.rewards_of(tx, shop.merchant_id, "C9", NOON) is None


def test_cash_is_not_offered_where_nobody_is_known_to_pay(
    tx: Tx, open_shop: Callable[..., Any]
) -> None:
    shop = opened(tx, open_shop)
    shop.apply(tx, [shop.event("customer_anonymized", customer_id="of-C1")])
    assert offered(tx, shop)["cash5"] == (False, 0, 0, "customer_unknown")
    assert offered(tx, shop)["mug"] == (True, 0, 0, None)
