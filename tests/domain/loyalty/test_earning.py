"""What purchases earn under multipliers, limits and tiers, what rewards cost, and versions of all that."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.loyalty import service
from domain.loyalty.rules.earning import multiplier_of, parse_multipliers
from domain.loyalty.rules.programs import Program
from tests.domain.loyalty.books import state, told

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def explained(tx: Tx) -> list[Any]:
    found = tx.execute(
        text(
            "SELECT explanation FROM loyalty_transactions WHERE type = 'points_earned' ORDER BY seq"
        )
    )
    return list(found.scalars())


@pytest.mark.parametrize(
    ("rounding", "points"),
    [("down", [1, 1, 2]), ("half_even", [2, 2, 2]), ("up", [2, 2, 3])],
)
def test_a_purchase_is_rounded_once_as_the_program_says(
    tx: Tx, open_shop: Any, rounding: str, points: list[int]
) -> None:
    shop = open_shop(tx, rounding=rounding)
    amounts = [150, 199, 250]
    outcomes = shop.apply(
        tx, [shop.enrol("C1"), *(shop.earn("C1", purchase_amount=a) for a in amounts)]
    )
    assert told(outcomes)[1:] == points


def test_the_highest_multiplier_that_fits_counts(tx: Tx, open_shop: Any, apply: Any) -> None:
    shop = open_shop(
        tx,
        zone="Europe/Berlin",
        multipliers=[
            {"basis_points": 20_000, "categories": ["coffee"]},
            {"basis_points": 15_000, "stores": ["s1"]},
            {"basis_points": 30_000, "weekdays": [1], "from_time": "22:00", "to_time": "02:00"},
            {
                "basis_points": 50_000,
                "starts": "2026-06-10T00:00:00+02:00",
                "ends": "2026-06-11T00:00:00+02:00",
            },
        ],
    )
    # 1 June 2026 is a Monday; 20:00 UTC is 22:00 in Berlin.
    purchases = [
        (NOON, {}, 10),
        (NOON, {"category_ids": ["tea", "coffee"]}, 20),
        (NOON, {"store_id": "s1"}, 15),
        (NOON, {"store_id": "s1", "category_ids": ["coffee"]}, 20),
        (NOON + 8 * HOUR, {"store_id": "s2"}, 30),
        (NOON + 8 * HOUR - timedelta(seconds=1), {}, 10),
        (NOON + 9 * DAY, {"category_ids": ["coffee"]}, 50),
    ]
    outcomes = apply(
        tx,
        shop,
        [
            shop.enrol("C1"),
            *(shop.earn("C1", purchase_amount=1_000, time=at, **data) for at, data, _ in purchases),
        ],
        NOON + 10 * DAY,
    )
    assert told(outcomes)[1:] == [points for _, _, points in purchases]
    assert [e.get("basis_points") for e in explained(tx)][:3] == [None, 20_000, 15_000]


def test_a_day_gives_no_more_than_its_cap_and_says_what_it_would_have_been(
    tx: Tx, open_shop: Any, apply: Any
) -> None:
    shop = open_shop(tx, zone="Europe/Berlin", daily_points_cap=100)
    first = shop.earn("C1", 70)
    events = [
        shop.enrol("C1"),
        first,
        shop.earn("C1", purchase_amount=5_000, time=NOON + HOUR),
        shop.earn("C1", 1, NOON + 2 * HOUR),
        shop.void(first, 20, NOON + 3 * HOUR),
        shop.earn("C1", 90, NOON + 4 * HOUR),
        shop.earn("C1", 90, NOON + 10 * HOUR),
    ]
    outcomes = apply(tx, shop, events, NOON + 10 * HOUR)
    assert told(outcomes)[1:] == [70, 30, "daily_cap_reached", -20, 20, 90]
    assert explained(tx)[1] == {
        "rule": "purchase",
        "purchase_amount": 5_000,
        "earn_points": 1,
        "earn_per_amount": 100,
        "capped_from": 50,
        "points": 30,
    }
    assert state(tx)[0] == 190


def test_earns_come_apart_and_so_many_a_day(tx: Tx, open_shop: Any, apply: Any) -> None:
    shop = open_shop(tx, earn_cooldown_minutes=30, daily_earn_limit=2)
    times = [NOON, NOON + HOUR / 3, NOON + HOUR, NOON + 2 * HOUR, NOON + DAY]
    outcomes = apply(
        tx, shop, [shop.enrol("C1"), *(shop.earn("C1", 1, at) for at in times)], NOON + DAY
    )
    assert told(outcomes)[1:] == [1, "too_soon", 1, "daily_limit_reached", 1]


def test_a_tier_multiplies_while_the_points_of_its_period_reach_it(
    tx: Tx, open_shop: Any, apply: Any
) -> None:
    shop = open_shop(
        tx,
        welcome_bonus=500,
        backdating_days=400,
        tier_days=30,
        tiers=[
            {"key": "silver", "from": 100, "basis_points": 15_000},
            {"key": "gold", "from": 300, "basis_points": 20_000},
        ],
    )
    first = shop.earn("C1", purchase_amount=10_000)
    events = [
        shop.enrol("C1"),
        first,  # 100, no tier before it: a bonus does not count
        shop.earn("C1", purchase_amount=20_000, time=NOON + DAY),  # silver: 300
        shop.earn("C1", purchase_amount=1_000, time=NOON + 2 * DAY),  # gold: 20
        shop.void(first, None, NOON + 3 * DAY),
        shop.earn("C1", purchase_amount=1_000, time=NOON + 30 * DAY),  # gold still: 320 in 30 days
        shop.earn("C1", purchase_amount=1_000, time=NOON + 32 * DAY),  # 20: fallen back
    ]
    outcomes = apply(tx, shop, events, NOON + 32 * DAY)
    assert told(outcomes)[1:] == [100, 300, 20, -100, 20, 10]
    assert [e.get("tier") for e in explained(tx)] == [None, "silver", "gold", "gold", None]


def test_a_reward_costs_what_the_catalogue_says_and_is_kept_as_it_was(
    tx: Tx, open_shop: Any, apply: Any
) -> None:
    mug = {"id": "mug", "description": "A mug", "points": 30}
    shop = open_shop(tx, rewards=[mug, {"id": "cake", "description": "A cake", "stamps": 3}])

    def redeem(reward: str, points: int | None = None) -> Any:
        return shop.event("points_redeemed", card="C1", points=points, reward_id=reward)

    outcomes = apply(
        tx,
        shop,
        [
            shop.enrol("C1"),
            shop.earn("C1", 100),
            redeem("mug"),
            redeem("mug", 30),
            redeem("mug", 29),
            redeem("cake"),
            redeem("boat"),
            redeem("boat", 5),
            redeem("mug"),
            redeem("mug"),
        ],
    )
    assert told(outcomes)[2:] == [
        -30,
        -30,
        "reward_cost_changed",
        "reward_not_for_points",
        "reward_unknown",
        -5,
        -30,
        "insufficient_points",
    ]
    service.change_program(tx, shop.merchant_id, "beans", NOON, rewards=[])
    kept = tx.execute(
        text(
            "SELECT DISTINCT reward_cost, reward_description FROM loyalty_transactions WHERE reward_id = 'mug'"
        )
    )
    assert [tuple(row) for row in kept] == [(30, "A mug")]


def test_a_new_version_counts_from_now_and_each_row_keeps_its_own(tx: Tx, shop: Any) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", purchase_amount=1_000)])
    changed = service.change_program(tx, shop.merchant_id, "beans", NOON, earn_points=3)
    assert (changed.version, changed.earn_points, changed.inactivity_days) == (2, 3, 365)
    shop.apply(tx, [shop.earn("C1", purchase_amount=1_000)])
    found = tx.execute(
        text(
            "SELECT program_version, points_delta FROM loyalty_transactions WHERE points_delta > 0 ORDER BY seq"
        )
    )
    assert [tuple(row) for row in found] == [(1, 10), (2, 30)]
    assert service.terms_of(tx, shop.merchant_id, "beans")["earn_points"] == 3


def test_a_first_inactivity_policy_gives_every_card_one_full_period(
    tx: Tx, open_shop: Any, history: Any
) -> None:
    shop = open_shop(tx, zone="Europe/Berlin")
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 10), shop.enrol("C2")])
    later = NOON + 800 * DAY
    service.change_program(tx, shop.merchant_id, "beans", later, inactivity_days=30)
    assert told(shop.apply(tx, [shop.redeem("C1", 1, later + 30 * DAY)], later + 30 * DAY)) == [-1]
    end = later + 90 * DAY
    (would,) = service.dry_run(tx, shop.merchant_id, end)
    assert (would.cards, would.points) == (1, 9)
    assert service.check_invariants(tx) == []
    service.change_program(tx, shop.merchant_id, "beans", later, inactivity_days=None)
    assert service.dry_run(tx, shop.merchant_id, end) == []
    assert told(shop.apply(tx, [shop.redeem("C1", 9, end)], end)) == [-9]


def test_a_shorter_life_of_lots_leaves_those_that_were_credited_before(
    tx: Tx, open_shop: Any
) -> None:
    shop = open_shop(tx, expiration=[{"kind": "rolling", "days": 100}])
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 10)])
    service.change_program(
        tx, shop.merchant_id, "beans", NOON, expiration=[{"kind": "rolling", "days": 1}]
    )
    shop.apply(tx, [shop.earn("C1", 5)])
    later = NOON + 50 * DAY
    assert told(shop.apply(tx, [shop.redeem("C1", 11, later)], later)) == ["insufficient_points"]
    assert state(tx) == (10, 0, [10, 0])


def test_a_program_is_paused_and_resumed(tx: Tx, shop: Any) -> None:
    shop.apply(tx, [shop.enrol("C1")])
    service.set_status(tx, shop.merchant_id, "beans", "paused")
    assert told(shop.apply(tx, [shop.earn("C1", 1)])) == ["program_inactive"]
    service.set_status(tx, shop.merchant_id, "beans", "active")
    assert told(shop.apply(tx, [shop.earn("C1", 1)])) == [1]
    with pytest.raises(Invalid, match="status"):
        service.set_status(tx, shop.merchant_id, "beans", "gone")
    for wrong in (service.set_status, service.change_program):
        with pytest.raises(NotFound):
            wrong(tx, shop.merchant_id, "tea", "active")


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"kind": "coins"}, "kind"),
        ({"rounding": "sideways"}, "rounding"),
        ({"daily_points_cap": 0}, "daily_points_cap"),
        ({"stamp_target": 0}, "stamp_target"),
        ({"multipliers": [{}]}, "multipliers"),
        ({"multipliers": [{"basis_points": 0}]}, "multipliers.basis_points"),
        ({"multipliers": [{"basis_points": 1, "weekdays": [0]}]}, "multipliers.weekdays"),
        ({"multipliers": [{"basis_points": 1, "from_time": "25:00"}]}, "multipliers.from_time"),
        (
            {"multipliers": [{"basis_points": 1, "from_time": "08:00+01:00"}]},
            "multipliers.from_time",
        ),
        ({"multipliers": [{"basis_points": 1, "weekdays": 1}]}, "multipliers.weekdays"),
        ({"multipliers": [{"basis_points": 1, "categories": "tea"}]}, "multipliers.categories"),
        ({"multipliers": "twice"}, "multipliers"),
        ({"tiers": ["gold"]}, "tiers"),
        ({"tiers": [{"key": "a" * 51, "from": 1, "basis_points": 1}]}, "tiers.key"),
        ({"tiers": [{"key": None, "from": 1, "basis_points": 1}]}, "tiers.key"),
        ({"tiers": [{"key": "a", "from": n, "basis_points": 1} for n in (1, 2)]}, "tiers.key"),
        ({"tiers": [{"key": "a", "from": 2**53, "basis_points": 1}]}, "tiers.from"),
        ({"rewards": "mug"}, "rewards"),
        ({"expiration": {"kind": "rolling"}}, "expiration"),
        ({"qualifying_types": None}, "qualifying_types"),
        ({"pin_required": "points"}, "pin_required"),
        ({"stamp_reward": 5}, "stamp_reward"),
        ({"allow_debt": None}, "allow_debt"),
        ({"multipliers": [{"basis_points": 1, "starts": "2026-06-01"}]}, "multipliers"),
        ({"tiers": [{"key": "a", "from": 1}]}, "tiers"),
        ({"tiers": [{"key": k, "from": 1, "basis_points": 1} for k in "ab"]}, "tiers.from"),
        ({"rewards": [{"id": "a", "description": "a"}]}, "rewards"),
        ({"rewards": [{"id": "", "points": 1}]}, "rewards.id"),
        ({"rewards": [{"id": "a", "points": 1}] * 2}, "rewards.id"),
        ({"expiration": [{"kind": "sometimes"}]}, "expiration"),
        ({"expiration": [{"kind": "rolling"}]}, "expiration"),
        (
            {"expiration": [{"kind": "rolling", "days": 1, "round_up": "week"}]},
            "expiration.round_up",
        ),
        ({"expiration": [{"kind": "calendar", "month": 2, "day": 30}]}, "expiration"),
    ],
)
def test_terms_that_make_no_sense_are_refused_by_name(
    tx: Tx, shop: Any, terms: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        service.change_program(tx, shop.merchant_id, "beans", NOON, **terms)
    assert refused.value.field == field


def test_a_window_that_was_once_written_with_an_offset_is_one_of_the_programs_zone() -> None:
    [rule] = parse_multipliers(
        [{"basis_points": 20_000, "from_time": "08:00+05:00", "to_time": "11:00"}]
    )
    program = Program(
        id=1,
        merchant_id=1,
        key="beans",
        zone="UTC",
        currency="eur",
        earn_points=1,
        earn_per_amount=100,
        multipliers=(rule,),
    )
    nine = NOON.replace(hour=9)
    assert multiplier_of(program, nine, store=None, categories=()) == 20_000
