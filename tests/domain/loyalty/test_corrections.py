"""Voids, adjustments and cards out of use: what is booked, and what is owed."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.loyalty import service
from domain.loyalty.service import Waits
from tests.domain.loyalty.books import state, told

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_voided_earn_is_taken_from_its_own_lot(tx: Tx, shop: Any, apply: Any) -> None:
    first, second = shop.earn("C1", 100), shop.earn("C1", 50)
    outcomes = apply(tx, shop, [shop.enrol("C1"), first, second, shop.void(second)])
    assert told(outcomes) == [0, 100, 50, -50]
    assert state(tx) == (100, 0, [100, 0])


def test_a_void_lists_with_its_original(tx: Tx, shop: Any, apply: Any) -> None:
    earn = shop.earn("C1", 100)
    outcomes = apply(tx, shop, [shop.enrol("C1"), earn, shop.void(earn, 30), shop.void(earn, 20)])
    voiding = tx.execute(
        text(
            "SELECT id, points_delta FROM loyalty_transactions WHERE related_transaction_id = :id ORDER BY id"
        ),
        {"id": outcomes[1].transaction_ids[0]},
    )
    assert [tuple(row) for row in voiding] == [
        (outcomes[2].transaction_ids[0], -30),
        (outcomes[3].transaction_ids[0], -20),
    ]


def test_points_that_were_spent_become_a_debt_that_later_credits_pay_first(
    tx: Tx, shop: Any, apply: Any
) -> None:
    earn = shop.earn("C1", 100)
    outcomes = apply(
        tx,
        shop,
        [shop.enrol("C1"), earn, shop.redeem("C1", 80), shop.void(earn), shop.earn("C1", 50)],
    )
    assert [o.balance for o in outcomes] == [0, 100, 20, -80, -30]
    assert state(tx) == (-30, 30, [0, 0])
    assert told(apply(tx, shop, [shop.redeem("C1", 1), shop.earn("C1", 40)])) == [
        "insufficient_points",
        40,
    ]
    assert state(tx) == (10, 0, [0, 0, 10])


def test_a_clawback_takes_pending_points_first_then_its_own_lot_then_others(
    tx: Tx, open_shop: Any, apply: Any
) -> None:
    shop = open_shop(tx, pending_days=10)
    old, own = shop.earn("C1", 30, NOON - 20 * DAY), shop.earn("C1", 40, NOON - 19 * DAY)
    apply(tx, shop, [shop.enrol("C1", time=NOON - 20 * DAY), old, own, shop.earn("C1", 15)])
    apply(tx, shop, [shop.void(own, 20)])
    assert state(tx) == (65, 0, [30, 35, 0])
    apply(tx, shop, [shop.void(own)])
    assert state(tx) == (45, 0, [30, 15, 0])


def test_a_voided_redemption_gives_back_what_each_lot_gave(tx: Tx, shop: Any, apply: Any) -> None:
    spent = shop.redeem("C1", 120)
    outcomes = apply(
        tx,
        shop,
        [shop.enrol("C1"), shop.earn("C1", 100), shop.earn("C1", 50), spent, shop.void(spent, 30)],
    )
    assert told(outcomes)[-2:] == [-120, 30]
    assert state(tx) == (60, 0, [10, 50])
    assert told(apply(tx, shop, [shop.void(spent), shop.void(spent)])) == [90, "already_voided"]
    assert state(tx) == (150, 0, [100, 50])


def test_what_a_redemption_gives_back_pays_debts_first(tx: Tx, shop: Any, apply: Any) -> None:
    earn, spent = shop.earn("C1", 100), shop.redeem("C1", 80)
    apply(tx, shop, [shop.enrol("C1"), earn, spent, shop.void(earn), shop.void(spent)])
    assert state(tx) == (0, 0, [0])


def test_a_void_is_capped_by_what_its_original_moved_over_all_its_voids(
    tx: Tx, shop: Any, apply: Any
) -> None:
    earn = shop.earn("C1", 100)
    first = shop.void(earn, 60)
    outcomes = apply(
        tx,
        shop,
        [
            shop.enrol("C1"),
            shop.enrol("C2"),
            earn,
            first,
            shop.void(earn, 41),
            shop.void(first),
            shop.void(earn, card="C2"),
            shop.void(earn),
            shop.void(earn),
        ],
    )
    assert told(outcomes)[3:] == [
        -60,
        "void_exceeds_original",
        "not_voidable",
        "other_card",
        -40,
        "already_voided",
    ]
    assert state(tx) == (0, 0, [0])


def test_a_welcome_bonus_can_be_voided_by_its_enrolment(tx: Tx, open_shop: Any, apply: Any) -> None:
    shop = open_shop(tx, welcome_bonus=50)
    enrol = shop.enrol("C1")
    assert told(apply(tx, shop, [enrol, shop.void(enrol)])) == [50, -50]
    assert state(tx) == (0, 0, [0])


def test_what_expired_is_not_clawed_back_again(tx: Tx, shop: Any) -> None:
    earn = shop.earn("C1", 100)
    shop.apply(tx, [shop.enrol("C1"), earn, shop.redeem("C1", 30)])
    later = NOON + 400 * DAY
    assert told(shop.apply(tx, [shop.void(earn, 31, later)], later)) == ["void_exceeds_original"]
    assert told(shop.apply(tx, [shop.void(earn, None, later)], later)) == [-30]
    assert state(tx) == (-30, 30, [0])


def test_a_redemption_voided_after_its_points_would_have_expired_comes_back_for_a_while(
    tx: Tx, open_shop: Any, history: Any
) -> None:
    shop = open_shop(tx, inactivity_days=365, restore_days=7)
    spent = shop.redeem("C1", 60)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), spent])
    later = NOON + 400 * DAY
    assert told(shop.apply(tx, [shop.void(spent, None, later)], later)) == [60]
    assert state(tx) == (60, 0, [0, 60])
    assert told(shop.apply(tx, [shop.redeem("C1", 10, later)], later)) == [-10]
    gone = later + 8 * DAY
    (part,) = service.plan_expiry(tx, shop.merchant_id, gone, 10)
    service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, gone)
    midnight = (later + 8 * DAY).replace(hour=0)
    assert history(tx, shop)[-1][2:] == ("points_expired", -50, 0, midnight)
    assert state(tx) == (0, 0, [0, 0])


def test_a_program_that_forbids_debt_takes_what_is_there_and_says_what_it_did_not(
    tx: Tx, open_shop: Any, apply: Any
) -> None:
    shop = open_shop(tx, allow_debt=False)
    earn = shop.earn("C1", 100)
    outcomes = apply(
        tx,
        shop,
        [
            shop.enrol("C1"),
            earn,
            shop.redeem("C1", 80),
            shop.void(earn, 90),
            shop.void(earn, 5),
            shop.adjust("C1", -7),
        ],
    )
    assert told(outcomes) == [0, 100, -80, -20, 0, 0]
    rows = tx.execute(
        text(
            "SELECT points_delta, points_not_taken FROM loyalty_transactions WHERE seq > 3 ORDER BY seq"
        )
    )
    assert [tuple(row) for row in rows] == [(-20, 70), (0, 5), (0, 7)]
    assert told(apply(tx, shop, [shop.earn("C1", 9), shop.void(earn), shop.void(earn)])) == [
        9,
        -5,
        "already_voided",
    ]
    assert state(tx) == (4, 0, [0, 4])


def test_an_adjustment_moves_the_balance_either_way_and_keeps_its_reason(
    tx: Tx, shop: Any, apply: Any
) -> None:
    outcomes = apply(
        tx,
        shop,
        [
            shop.enrol("C1"),
            shop.adjust("C1", 30, reason="late parcel"),
            shop.adjust("C1", -50, reason="counted twice"),
            shop.adjust("C1", 45),
        ],
    )
    assert [o.balance for o in outcomes] == [0, 30, -20, 25]
    kept = tx.execute(
        text("SELECT type, reason FROM loyalty_transactions WHERE seq IN (2, 3) ORDER BY seq")
    )
    assert [tuple(row) for row in kept] == [
        ("points_adjustment", "late parcel"),
        ("points_adjustment", "counted twice"),
    ]
    assert state(tx) == (25, 0, [0, 25])


def test_a_deactivated_card_neither_earns_nor_redeems_but_is_corrected(
    tx: Tx, shop: Any, apply: Any
) -> None:
    earn = shop.earn("C1", 100)
    outcomes = apply(
        tx,
        shop,
        [
            shop.enrol("C1"),
            earn,
            shop.event("card_reactivated", card="C1"),
            shop.event("card_deactivated", card="C1", reason="lost"),
            shop.event("card_deactivated", card="C1"),
            shop.earn("C1", 1),
            shop.redeem("C1", 1),
            shop.void(earn, 10),
            shop.adjust("C1", 5),
            shop.event("card_reactivated", card="C1", reason="found"),
            shop.earn("C1", 1),
        ],
    )
    assert told(outcomes) == [
        0,
        100,
        "card_active",
        0,
        "card_inactive",
        "card_inactive",
        "card_inactive",
        -10,
        5,
        0,
        1,
    ]
    assert state(tx)[:2] == (96, 0)
    reasons = tx.execute(
        text(
            "SELECT reason FROM loyalty_transactions WHERE type LIKE 'card_%ctivated' ORDER BY seq"
        )
    )
    assert reasons.scalars().all() == ["lost", "found"]


def test_a_deactivated_card_goes_on_to_expire(tx: Tx, shop: Any, history: Any) -> None:
    shop.apply(
        tx, [shop.enrol("C1"), shop.earn("C1", 9), shop.event("card_deactivated", card="C1")]
    )
    later = NOON + 400 * DAY
    (part,) = service.plan_expiry(tx, shop.merchant_id, later, 10)
    service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, later)
    assert history(tx, shop)[-1][2:5] == ("points_expired", -9, 0)


def test_a_void_of_what_has_not_come_waits_and_names_what_for(tx: Tx, shop: Any) -> None:
    earn = shop.earn("C1", 100)
    _, waits = shop.apply(tx, [shop.enrol("C1"), shop.void(earn)])
    assert waits == Waits(f"event:test/{earn.event_id}")
    applied = shop.applied(tx, [earn])
    assert applied.wakes == {(shop.merchant_id, f"event:test/{earn.event_id}")}
    assert state(tx) == (100, 0, [100])
