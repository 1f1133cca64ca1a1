"""What people see of cards: pages by number, a history with the newest first, and what will expire."""

from collections.abc import Callable
from datetime import timedelta

from domain.db import Tx
from domain.loyalty.store import views
from tests.domain.loyalty.conftest import NOON, Shop

Open = Callable[..., Shop]
DAY = timedelta(days=1)


def test_what_will_expire_is_told_by_the_week_in_which_it_does(tx: Tx, open_shop: Open) -> None:
    shop = open_shop(tx, inactivity_days=10)
    shop.apply(
        tx,
        [
            shop.enrol("a"),
            shop.earn("a", 30),
            shop.enrol("b", time=NOON + 8 * DAY),
            shop.earn("b", 12, time=NOON + 8 * DAY),
            shop.enrol("c"),
        ],
        now=NOON + 9 * DAY,
    )

    def told(weeks: int) -> list[tuple[int, int]]:
        now = NOON + 9 * DAY
        rows = views.forecast(tx, shop.merchant_id, now, now + timedelta(weeks=weeks))
        assert [row.week for row in rows] == sorted(row.week for row in rows)
        assert all(row.week.weekday() == 0 for row in rows)
        return [(row.points, row.cards) for row in rows]

    assert told(1) == [(30, 1)]
    assert told(4) == [(30, 1), (12, 1)]
    assert told(0) == []


def test_cards_come_by_number_and_their_history_newest_first(tx: Tx, open_shop: Open) -> None:
    shop = open_shop(tx)
    shop.apply(tx, [shop.enrol("a"), shop.earn("a", 30), shop.enrol("b"), shop.redeem("a", 10)])

    def numbers(after: str | None = None, customer: str | None = None) -> list[str]:
        rows = views.cards(tx, shop.merchant_id, customer_id=customer, after=after, limit=1)
        return [row.number for row in rows]

    assert numbers() == ["a"]
    assert numbers(after="a") == ["b"]
    assert numbers(customer="of-b") == ["b"]
    assert [row.number for row in views.find_card(tx, "of-a")] == ["a"]
    newest = views.entries(tx, shop.merchant_id, "a", before=None, limit=2)
    assert [(row.type, row.points_balance_after) for row in newest] == [
        ("points_redeemed", 20),
        ("points_earned", 30),
    ]
    older = views.entries(tx, shop.merchant_id, "a", before=newest[-1].seq, limit=9)
    assert older[-1].type == "card_created"
    assert views.entries(tx, shop.merchant_id + 1, "a", before=None, limit=9) == []
