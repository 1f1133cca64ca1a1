"""What people see of cards: pages by number, a history with the newest first, and what will expire."""

from collections.abc import Callable
from datetime import timedelta

from domain.db import Tx
from domain.loyalty import service
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


def test_of_several_policies_the_earliest_is_foreseen(tx: Tx, open_shop: Open) -> None:
    shop = open_shop(tx, inactivity_days=60, expiration=[{"kind": "rolling", "days": 10}])
    shop.apply(tx, [shop.enrol("a"), shop.earn("a", 30), shop.adjust("a", 5)])
    later = NOON + 8 * DAY
    shop.apply(tx, [shop.earn("a", 12, later)], later)
    rows = views.forecast(tx, shop.merchant_id, later, later + timedelta(weeks=20))
    assert [(row.points, row.cards) for row in rows] == [(35, 1), (12, 1)]
    shop.apply(tx, [shop.enrol("b", time=later), shop.earn("b", 7, later)], later)
    service.change_program(tx, shop.merchant_id, "beans", later, expiration=[])
    shop.apply(tx, [shop.earn("b", 8, later + DAY)], later + DAY)
    rows = views.forecast(tx, shop.merchant_id, later, later + timedelta(weeks=20))
    assert [(row.points, row.cards) for row in rows] == [(35, 1), (19, 2), (8, 1)]


def test_an_entry_says_what_corrects_it_and_who_stood_behind_it(tx: Tx, open_shop: Open) -> None:
    shop = open_shop(tx)
    earned = shop.earn("a", 30, store_id="s1", staff_pin_id="ann", terminal_device_id="t1")
    voids = [shop.void(earned, 10), shop.void(earned, 5)]
    shop.apply(tx, [shop.enrol("a"), earned, *voids])
    late, early, first, _ = views.entries(tx, shop.merchant_id, "a", before=None, limit=9)
    assert (first.corrected_by, early.corrects, late.corrects) == ([3, 4], 2, 2)
    assert (first.store_id, first.staff_pin_id, first.terminal_device_id) == ("s1", "ann", "t1")
