"""Tiers: reached, kept, lost at the end of a period or by a refund, told once, whoever books it and when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.loyalty import service
from tests.domain.loyalty.conftest import NOON
from tests.domain.loyalty.test_concurrency import together

DAY = timedelta(days=1)
TIERS = [
    {"key": "silver", "from": 100, "basis_points": 15_000},
    {"key": "gold", "from": 300, "basis_points": 20_000},
]
ME = Actor("person", "ada@shop")


@pytest.fixture
def club(tx: Tx, open_shop: Callable[..., Any]) -> Any:
    """A shop with tiers by the points of 30 days; C1 is a new card."""
    return opened(tx, open_shop)


def opened(tx: Tx, open_shop: Callable[..., Any], **terms: Any) -> Any:
    shop = open_shop(tx, **{"tiers": TIERS, "tier_days": 30, "backdating_days": 400} | terms)
    shop.apply(tx, [shop.enrol("C1")])
    return shop


def told(tx: Tx, shop: Any, card: str = "C1") -> list[tuple[Any, ...]]:
    return [
        (one.from_tier, one.to_tier, one.reason, one.points, one.changed_at)
        for one in service.tier_changes(tx, shop.merchant_id, card=card)
    ]


def settle(tx: Tx, shop: Any, at: datetime) -> int:
    """What the nightly sweep does, until nothing is left; how many changes it booked."""
    settled, after, changes = 0, 0, 0
    while (anew := service.recount_tiers(tx, shop.merchant_id, at)).cursor is not None:
        changes += len(anew.changes)
    while True:
        done = service.settle_tiers(tx, shop.merchant_id, at, after)
        settled, changes = settled + done.cards, changes + len(done.changes)
        if done.last is None:
            return changes
        after = done.last


def tier(tx: Tx, shop: Any, at: datetime, card: str = "C1") -> Any:
    seen = service.tier(tx, shop.merchant_id, card, at)
    return None if seen is None else seen.key


@pytest.mark.parametrize(
    ("points", "key"), [(99, None), (100, "silver"), (299, "silver"), (300, "gold")]
)
def test_a_threshold_is_inclusive(tx: Tx, club: Any, points: int, key: str | None) -> None:
    club.apply(tx, [club.earn("C1", points)])
    assert tier(tx, club, NOON) == key
    changes = [] if key is None else [(None, key, "earned", points, NOON)]
    assert told(tx, club) == changes


def test_each_change_names_the_row_that_brought_it_about(tx: Tx, club: Any, apply: Any) -> None:
    earns = [
        club.earn("C1", 100),
        club.earn("C1", 50, NOON + DAY),
        club.earn("C1", 150, NOON + DAY),
    ]
    apply(tx, club, earns, NOON + DAY)
    found = tx.execute(
        text(
            "SELECT c.to_tier, t.points_delta FROM tier_changes c"
            " JOIN loyalty_transactions t ON t.id = c.transaction_id ORDER BY c.id"
        )
    )
    assert [tuple(row) for row in found] == [("silver", 100), ("gold", 150)]


def test_a_tier_falls_step_by_step_as_earns_leave_the_period_each_at_its_end(
    tx: Tx, open_shop: Any
) -> None:
    booked = []
    for by_sweep in (True, False):
        shop = opened(tx, open_shop, zone="Europe/Berlin")
        shop.apply(tx, [shop.earn("C1", 200)])
        shop.apply(tx, [shop.earn("C1", 150, NOON + 5 * DAY)], NOON + 5 * DAY)
        long_after = NOON + 90 * DAY
        if by_sweep:
            assert settle(tx, shop, long_after) == 2
            assert settle(tx, shop, long_after) == 0
        assert tier(tx, shop, long_after) is None
        shop.apply(tx, [shop.earn("C1", 1, long_after)], long_after)
        booked.append(told(tx, shop))
    assert booked[0] == booked[1]
    first, second = datetime(2026, 7, 1, 22, tzinfo=UTC), datetime(2026, 7, 6, 22, tzinfo=UTC)
    assert booked[0][2:] == [
        ("gold", "silver", "period", 150, first),
        ("silver", None, "period", 0, second),
    ]


def test_a_period_ends_with_a_day_of_the_programs_zone_across_a_clock_change(
    tx: Tx, open_shop: Any
) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    shop = opened(tx, open_shop, zone="Europe/Berlin")
    shop.apply(tx, [shop.earn("C1", 100, at)], NOON)
    end = datetime(2026, 3, 31, 22, tzinfo=UTC)  # 1 April in Berlin, by then in summer time
    assert told(tx, shop) == [], "what is known only in June gives nothing in June"
    other = opened(tx, open_shop, zone="Europe/Berlin")
    other.apply(tx, [other.earn("C1", 100, at)], at)
    seen = service.tier(tx, other.merchant_id, "C1", at)
    assert seen is not None
    assert seen.until == end
    assert settle(tx, other, end - timedelta(microseconds=1)) == 0
    assert tier(tx, other, end - timedelta(microseconds=1)) == "silver"
    assert tier(tx, other, end) is None
    assert settle(tx, other, end) == 1
    assert told(tx, other)[-1] == ("silver", None, "period", 0, end)


def test_a_refund_that_takes_a_card_below_the_threshold_drops_it_at_once(
    tx: Tx, club: Any, apply: Any
) -> None:
    order = {"purchase_amount": 30_000, "order_reference": "o1"}
    later = NOON + DAY
    earn = club.earn("C1", **order)
    apply(tx, club, [earn, club.refund("o1", "r1", 100, later, card="C1")], later)
    assert tier(tx, club, later) == "silver", "299 points are left"
    apply(tx, club, [club.refund("o1", "r2", 20_000, later)], later)
    assert told(tx, club) == [
        (None, "gold", "earned", 300, later),
        ("gold", "silver", "taken_back", 299, later),
        ("silver", None, "taken_back", 99, later),
    ]
    assert tier(tx, club, later) is None
    # A void of a redemption, or an adjustment, is no earn.
    apply(tx, club, [club.adjust("C1", 500, later)], later)
    assert tier(tx, club, later) is None


def test_a_later_table_changes_the_present_and_never_the_past(tx: Tx, club: Any) -> None:
    club.apply(tx, [club.earn("C1", 150)])
    before = told(tx, club)
    changed = NOON + DAY
    higher = [{"key": "silver", "from": 200, "basis_points": 15_000}]
    service.change_program(tx, club.merchant_id, "beans", changed, tiers=higher)
    rows = "SELECT explanation, points_delta FROM loyalty_transactions ORDER BY id"
    past = tx.execute(text(rows)).all()
    assert tier(tx, club, changed) is None
    assert settle(tx, club, changed + DAY) == 1
    assert told(tx, club) == [*before, ("silver", None, "terms", 150, changed)]
    assert tx.execute(text(rows)).all() == past
    service.change_program(tx, club.merchant_id, "beans", changed + DAY, tiers=TIERS)
    club.apply(tx, [club.earn("C1", 1, changed + 2 * DAY)], changed + 2 * DAY)
    assert told(tx, club)[2:] == [(None, "silver", "terms", 150, changed + DAY)]
    versions = tx.execute(text("SELECT program_version FROM tier_changes ORDER BY id")).scalars()
    assert list(versions) == [1, 2, 3]


def test_a_merge_counts_what_both_earned(tx: Tx, club: Any) -> None:
    club.apply(tx, [club.earn("C1", 120), club.enrol("C2"), club.earn("C2", 190)])
    service.merge_cards(
        tx, club.merchant_id, "C1", "C2", actor=ME, reason="same customer", now=NOON + DAY
    )
    assert told(tx, club, "C2")[-1] == ("silver", "gold", "merged", 310, NOON + DAY)
    assert told(tx, club, "C1")[-1] == ("silver", None, "merged", 0, NOON + DAY)
    assert tier(tx, club, NOON + DAY, "C1") == "gold", "the old number leads to the other card"
    assert settle(tx, club, NOON + 60 * DAY) == 1


def test_a_dry_run_counts_and_changes_nothing(tx: Tx, club: Any) -> None:
    club.apply(tx, [club.earn("C1", 100)])
    would = service.settle_tiers(tx, club.merchant_id, NOON + 60 * DAY, dry_run=True)
    assert (would.cards, [one.after for one in would.changes]) == (1, [None])
    assert len(told(tx, club)) == 1
    assert settle(tx, club, NOON + 60 * DAY) == 1


def test_the_sweep_passes_over_a_card_that_somebody_holds(engine: Engine, open_shop: Any) -> None:
    with transaction(engine) as tx:
        shop = opened(tx, open_shop)
        shop.apply(tx, [shop.enrol("C2"), shop.earn("C1", 100), shop.earn("C2", 100)])
    at = NOON + 60 * DAY
    with transaction(engine) as held:
        held.execute(text("SELECT 1 FROM cards WHERE number = 'C1' FOR UPDATE"))
        with transaction(engine) as tx:
            assert settle(tx, shop, at) == 1
    with transaction(engine) as tx:
        assert settle(tx, shop, at) == 1
        assert settle(tx, shop, at) == 0


def test_events_and_sweeps_at_once_book_each_change_once(engine: Engine, open_shop: Any) -> None:
    cards = [f"C{n}" for n in range(1, 31)]
    with transaction(engine) as tx:
        shop = opened(tx, open_shop)
        shop.apply(tx, [shop.enrol(card) for card in cards[1:]])
        shop.apply(tx, [shop.earn(card, 100) for card in cards])
    at = NOON + 60 * DAY

    def work(worker: int) -> None:
        for card in cards[::worker]:
            with transaction(engine) as tx:
                if worker == 1:
                    settle(tx, shop, at)
                else:
                    shop.apply(tx, [shop.earn(card, 100, at)], at)

    together(4, lambda n: work(max(n, 1)))
    with transaction(engine) as tx:
        settle(tx, shop, at)
        found = tx.execute(
            text(
                "SELECT array_agg(coalesce(to_tier, '-') ORDER BY number) FROM tier_changes GROUP BY card_id"
            )
        ).scalars()
        assert all(changes[:2] == ["silver", "-"] for changes in found)
        kept = tx.execute(text("SELECT tier, count(*) FROM card_tiers GROUP BY tier")).all()
        assert sum(count for _, count in kept) == 30


@pytest.mark.parametrize(
    "statement",
    [
        # does not follow, of another card's row, another tier than the last change, and changed afterwards
        "INSERT INTO tier_changes (merchant_id, card_id, number, from_tier, to_tier, reason, points,"
        " program_version, changed_at) SELECT merchant_id, card_id, 2, 'gold', NULL, 'period', 0, 1, now()"
        " FROM card_tiers",
        "INSERT INTO tier_changes (merchant_id, card_id, number, from_tier, to_tier, reason, points,"
        " program_version, changed_at) SELECT merchant_id, card_id, 3, 'silver', NULL, 'period', 0, 1, now()"
        " FROM card_tiers",
        "UPDATE card_tiers SET tier = 'gold'",
        "UPDATE tier_changes SET to_tier = 'gold'",
        "DELETE FROM tier_changes",
    ],
)
def test_the_database_refuses_a_tier_without_its_history(tx: Tx, club: Any, statement: str) -> None:
    club.apply(tx, [club.earn("C1", 100)])
    with (
        pytest.raises((IntegrityError, Exception), match=r"tier|append|permission"),
        tx.begin_nested(),
    ):
        tx.execute(text(statement))
    assert len(told(tx, club)) == 1
