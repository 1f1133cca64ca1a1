"""A tier that is about to fall is announced ahead, once for each card, tier and end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.db import Tx, transaction
from domain.loyalty import service
from domain.loyalty.service import tiers
from tests.domain.loyalty.conftest import NOON
from tests.domain.loyalty.test_concurrency import together
from tests.domain.loyalty.test_tiers import opened, settle

DAY = timedelta(days=1)
END = datetime(2026, 7, 2, tzinfo=UTC)
"""Of what was earned at NOON, in a program of 30 days."""


@pytest.fixture
def club(tx: Tx, open_shop: Callable[..., Any]) -> Any:
    """A shop with silver from 100 and gold from 300 points of 30 days; C1 is a new card."""
    return opened(tx, open_shop)


def told(tx: Tx, shop: Any) -> list[tuple[Any, ...]]:
    return [
        (n.card, n.from_tier, n.to_tier, n.points, n.missing, n.falls_at)
        for n in service.tier_notices(tx, shop.merchant_id)
    ]


def announce(tx: Tx, shop: Any, at: datetime) -> int:
    new, after = 0, 0
    while True:
        made, last = service.announce_falls(tx, shop.merchant_id, at, after)
        new += made
        if last is None:
            return new
        after = last


def test_a_fall_is_announced_once_with_what_is_missing(tx: Tx, club: Any) -> None:
    club.apply(tx, [club.earn("C1", 250)])
    club.apply(tx, [club.earn("C1", 120, NOON + 5 * DAY)], NOON + 5 * DAY)
    assert announce(tx, club, END - 14 * DAY) == 0, "not before its time"
    soon = END - 14 * DAY + timedelta(microseconds=1)
    assert [announce(tx, club, soon), announce(tx, club, soon + DAY)] == [1, 0]
    assert told(tx, club) == [("C1", "gold", "silver", 370, 180, END)]


def test_an_earn_that_moves_the_end_makes_a_notice_of_its_own(tx: Tx, club: Any) -> None:
    club.apply(tx, [club.earn("C1", 100)])
    assert announce(tx, club, END - 2 * DAY) == 1
    kept = END - DAY
    club.apply(tx, [club.earn("C1", 100, kept)], kept)
    assert announce(tx, club, kept) == 0, "what was missing is there"
    settle(tx, club, END)
    assert announce(tx, club, END + 20 * DAY) == 1
    moved = datetime(2026, 8, 1, tzinfo=UTC)
    assert told(tx, club)[1:] == [("C1", "silver", None, 100, 100, moved)]


def test_each_step_is_announced_and_what_fell_is_not(tx: Tx, club: Any) -> None:
    club.apply(tx, [club.earn("C1", 200)])
    club.apply(tx, [club.earn("C1", 150, NOON + 20 * DAY)], NOON + 20 * DAY)
    later = END + 20 * DAY
    assert announce(tx, club, END - DAY) == 1
    assert announce(tx, club, END) == 0, "that is over, whether or not it is booked"
    settle(tx, club, END)
    assert announce(tx, club, later - DAY) == 1
    assert [(row[1], row[2], row[4]) for row in told(tx, club)] == [
        ("gold", "silver", 150),
        ("silver", None, 100),
    ]


def test_a_program_that_keeps_it_to_itself_and_one_with_other_tiers_announce_nothing(
    tx: Tx, open_shop: Any
) -> None:
    shop = opened(tx, open_shop, notice_days=None)
    shop.apply(tx, [shop.earn("C1", 100)])
    assert announce(tx, shop, END - DAY) == 0
    other = [{"key": "silver", "from": 90, "basis_points": 15_000}]
    service.change_program(tx, shop.merchant_id, "beans", NOON + DAY, notice_days=3, tiers=other)
    assert announce(tx, shop, END - DAY) == 0, "not counted by them yet"
    settle(tx, shop, END - DAY)
    assert announce(tx, shop, END - DAY) == 1
    assert told(tx, shop)[0][4] == 90


def test_pages_and_sweeps_beside_each_other_announce_each_fall_once(
    engine: Engine, open_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "TIER_CARDS", 3)
    with transaction(engine) as tx:
        shop = opened(tx, open_shop)
        names = [f"C{n}" for n in range(1, 11)]
        shop.apply(tx, [shop.enrol(card) for card in names[1:]])
        shop.apply(tx, [shop.earn(card, 100) for card in names])

    def work(_worker: int) -> None:
        with transaction(engine) as tx:
            announce(tx, shop, END - DAY)

    together(3, work)
    with transaction(engine) as tx:
        assert [row[0] for row in sorted(told(tx, shop))] == sorted(names)


def test_a_notice_stays(tx: Tx, club: Any) -> None:
    club.apply(tx, [club.earn("C1", 100)])
    announce(tx, club, END - DAY)
    with pytest.raises(DBAPIError), tx.begin_nested():
        tx.execute(text("UPDATE tier_notices SET missing = 1"))
