"""Points that are about to expire are announced ahead, once for each card and deadline."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.db import Tx
from domain.loyalty import service

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def told(tx: Tx, shop: Any) -> list[tuple[str, int, datetime]]:
    return [(n.card, n.points, n.expires_at) for n in service.notices(tx, shop.merchant_id)]


def announce(tx: Tx, shop: Any, at: datetime) -> int:
    new, after = 0, 0
    while True:
        made, last = service.announce_expiring(tx, shop.merchant_id, at, after)
        new += made
        if last is None:
            return new
        after = last


def test_a_deadline_is_announced_once_and_a_moved_one_anew(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, inactivity_days=30)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), shop.enrol("C2")])
    deadline = datetime(2026, 7, 2, tzinfo=UTC)
    assert announce(tx, shop, deadline - 14 * DAY) == 0, "not before its time"
    soon = deadline - 13 * DAY
    assert [announce(tx, shop, soon), announce(tx, shop, soon + DAY)] == [1, 0]
    assert told(tx, shop) == [("C1", 100, deadline)]
    active = deadline - DAY
    shop.apply(tx, [shop.redeem("C1", 10, active)], active)
    moved = datetime(2026, 8, 1, tzinfo=UTC)
    assert announce(tx, shop, active) == 0
    assert announce(tx, shop, moved - DAY) == 1
    assert told(tx, shop)[-1] == ("C1", 90, moved)


def test_lots_that_go_together_are_one_notice_and_others_their_own(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, expiration=[{"kind": "rolling", "days": 10}])
    later = NOON + 2 * DAY
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 60), shop.earn("C1", 40)])
    shop.apply(tx, [shop.earn("C1", 5, later)], later)
    assert announce(tx, shop, later) == 2
    first = datetime(2026, 6, 12, tzinfo=UTC)
    assert told(tx, shop) == [("C1", 100, first), ("C1", 5, first + 2 * DAY)]


def test_what_is_gone_and_what_a_program_keeps_to_itself_is_not_announced(
    tx: Tx, open_shop: Any
) -> None:
    shop = open_shop(tx, inactivity_days=5, notice_days=None)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 60)])
    assert announce(tx, shop, NOON + 4 * DAY) == 0
    service.change_program(tx, shop.merchant_id, "beans", NOON, notice_days=2)
    assert announce(tx, shop, NOON + 8 * DAY) == 0, "it has passed"
    assert announce(tx, shop, NOON + 4 * DAY) == 1


def test_a_notice_stays(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, inactivity_days=5)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 60)])
    announce(tx, shop, NOON)
    with pytest.raises(DBAPIError), tx.begin_nested():
        tx.execute(text("UPDATE expiry_notices SET points = 1"))
