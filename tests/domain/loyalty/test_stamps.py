"""Stamps: earned within limits, redeemed by the full card, voided and adjusted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.db import Tx
from domain.loyalty import service
from domain.loyalty.rules import Refusal

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def cafe(tx: Tx, open_shop: Any) -> Any:
    """Three stamps are a coffee; a quarter of an hour between two, four a day in Berlin."""
    return open_shop(
        tx,
        kind="stamps",
        zone="Europe/Berlin",
        stamp_target=3,
        stamp_reward="A coffee",
        stamp_daily_limit=4,
    )


def told(outcomes: list[Any]) -> list[Any]:
    return [o.reason if isinstance(o, Refusal) else o.stamps for o in outcomes]


def stamps_of(tx: Tx, number: str = "C1") -> int:
    assert service.check_invariants(tx) == []
    found = tx.execute(text("SELECT stamps_balance FROM cards WHERE number = :n"), {"n": number})
    return int(found.scalar_one())


def test_a_full_card_is_redeemed_for_what_it_was_worth_then(tx: Tx, cafe: Any, apply: Any) -> None:
    at = [NOON + n * 15 * MINUTE for n in range(4)]
    later = at[3]
    outcomes = apply(
        tx,
        cafe,
        [
            cafe.enrol("C1"),
            cafe.stamp("C1", time=at[0]),
            cafe.stamp("C1", time=at[1]),
            cafe.event("stamp_redeemed", at[1], card="C1"),
            cafe.stamp("C1", time=at[2]),
            cafe.event("stamp_redeemed", at[3], card="C1"),
        ],
        later,
    )
    assert told(outcomes) == [0, 1, 1, "insufficient_stamps", 1, -3]
    assert [o.stamps_balance for o in outcomes if not isinstance(o, Refusal)] == [0, 1, 2, 3, 0]
    service.change_program(tx, cafe.merchant_id, "beans", NOON, stamp_reward="A tea")
    row = tx.execute(
        text(
            "SELECT reward_id, reward_cost, reward_description, stamps_delta FROM loyalty_transactions"
            " WHERE type = 'stamp_redeemed'"
        )
    ).one()
    assert tuple(row) == (None, 3, "A coffee", -3)
    assert stamps_of(tx) == 0


def test_stamps_come_a_quarter_of_an_hour_apart_whichever_arrives_first(
    tx: Tx, cafe: Any, apply: Any
) -> None:
    minutes = [30, 16, 14, 15, 45, 44]
    stamps = [cafe.stamp("C1", time=NOON + n * MINUTE) for n in minutes]
    outcomes = apply(tx, cafe, [cafe.enrol("C1"), *stamps], NOON + DAY)
    assert told(outcomes)[1:] == [1, "too_soon", 1, "too_soon", 1, "too_soon"]
    assert stamps_of(tx) == 3


def test_a_day_of_stamps_is_a_day_of_the_program_zone(tx: Tx, cafe: Any, apply: Any) -> None:
    # 22:00 UTC is midnight in Berlin.
    times = [NOON + n * timedelta(hours=2) for n in range(6)]
    outcomes = apply(
        tx, cafe, [cafe.enrol("C1"), *(cafe.stamp("C1", time=at) for at in times)], NOON + DAY
    )
    assert told(outcomes)[1:] == [1, 1, 1, 1, "daily_limit_reached", 1]
    several = [cafe.stamp("C1", 4, NOON + 5 * DAY), cafe.stamp("C1", 5, NOON + 6 * DAY)]
    assert told(apply(tx, cafe, several, NOON + 6 * DAY)) == [4, "daily_limit_reached"]
    assert stamps_of(tx) == 9


def test_a_voided_stamp_counts_for_no_limit(tx: Tx, cafe: Any, apply: Any) -> None:
    wrong = cafe.stamp("C1", 4)
    outcomes = apply(
        tx,
        cafe,
        [
            cafe.enrol("C1"),
            wrong,
            cafe.stamp("C1"),
            cafe.event("stamp_voided", card="C1", related_event=wrong.event_id),
            cafe.stamp("C1"),
        ],
    )
    assert told(outcomes)[1:] == [4, "too_soon", -4, 1]
    assert stamps_of(tx) == 1


def test_a_void_takes_back_no_more_than_was_stamped_and_nothing_that_was_spent(
    tx: Tx, cafe: Any, apply: Any
) -> None:
    stamp, other = cafe.stamp("C1", 4), cafe.stamp("C2", 1)

    def void(of: Any, stamps: int | None = None, **data: Any) -> Any:
        given = {"card": "C1", "related_event": of.event_id, "stamps": stamps, **data}
        return cafe.event("stamp_voided", **given)

    first = void(stamp, 1)
    outcomes = apply(
        tx,
        cafe,
        [
            cafe.enrol("C1"),
            cafe.enrol("C2"),
            stamp,
            other,
            first,
            void(stamp, 4),
            void(other),
            void(first),
            cafe.event("stamp_redeemed", card="C1", stamps=2),
            void(stamp),
            void(stamp, 1),
            cafe.event("stamp_adjusted", card="C1", stamps=5, reason="moved house"),
            void(stamp),
            void(stamp),
            cafe.event("points_voided", card="C1", related_event=stamp.event_id),
        ],
    )
    assert told(outcomes)[4:] == [
        -1,
        "void_exceeds_original",
        "other_card",
        "not_voidable",
        -2,
        "insufficient_stamps",
        -1,
        5,
        -2,
        "already_voided",
        "not_voidable",
    ]
    assert stamps_of(tx) == 3


def test_stamps_are_adjusted_with_a_reason_and_never_owed(tx: Tx, cafe: Any, apply: Any) -> None:
    adjust = [
        cafe.event("stamp_adjusted", card="C1", stamps=n, reason="paper card") for n in (3, -4, -2)
    ]
    assert told(apply(tx, cafe, [cafe.enrol("C1"), *adjust])) == [0, 3, "insufficient_stamps", -2]
    assert stamps_of(tx) == 1
    reasons = tx.execute(
        text("SELECT reason FROM loyalty_transactions WHERE type = 'stamp_adjustment'")
    )
    assert reasons.scalars().all() == ["paper card", "paper card"]


def test_a_program_of_stamps_takes_no_points_one_of_points_no_stamps_and_a_hybrid_both(
    tx: Tx, open_shop: Any
) -> None:
    found = {}
    for kind in ("stamps", "points", "hybrid"):
        shop = open_shop(tx, kind=kind)
        outcomes = shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 5), shop.stamp("C1")])
        found[kind] = [o.reason if isinstance(o, Refusal) else "done" for o in outcomes[1:]]
    assert found == {
        "stamps": ["program_without_points", "done"],
        "points": ["done", "program_without_stamps"],
        "hybrid": ["done", "done"],
    }
    assert service.check_invariants(tx) == []


def test_without_a_target_a_redemption_says_how_many(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, kind="stamps")
    redeem = [shop.event("stamp_redeemed", card="C1", stamps=n) for n in (None, 2)]
    outcomes = shop.apply(tx, [shop.enrol("C1"), shop.stamp("C1", 3), *redeem])
    assert told(outcomes) == [0, 3, "missing_stamps", -2]


def test_a_reward_of_the_catalogue_costs_its_stamps(tx: Tx, open_shop: Any, apply: Any) -> None:
    shop = open_shop(
        tx,
        kind="hybrid",
        rewards=[
            {"id": "cake", "description": "A cake", "stamps": 2},
            {"id": "mug", "description": "A mug", "points": 10},
        ],
    )

    def redeem(reward: str, stamps: int | None = None) -> Any:
        return shop.event("stamp_redeemed", card="C1", stamps=stamps, reward_id=reward)

    outcomes = apply(
        tx,
        shop,
        [shop.enrol("C1"), shop.stamp("C1", 5), redeem("cake"), redeem("cake", 1), redeem("mug")],
    )
    assert told(outcomes)[2:] == [-2, "reward_cost_changed", "reward_not_for_stamps"]
    row = tx.execute(
        text(
            "SELECT reward_id, reward_cost, reward_description FROM loyalty_transactions"
            " WHERE type = 'stamp_redeemed'"
        )
    ).one()
    assert tuple(row) == ("cake", 2, "A cake")


def test_a_deactivated_card_gets_no_stamps_but_is_corrected(tx: Tx, cafe: Any) -> None:
    stamp = cafe.stamp("C1")
    outcomes = cafe.apply(
        tx,
        [
            cafe.enrol("C1"),
            stamp,
            cafe.event("card_deactivated", card="C1"),
            cafe.stamp("C1", time=NOON + DAY),
            cafe.event("stamp_redeemed", card="C1", stamps=1),
            cafe.event("stamp_voided", card="C1", related_event=stamp.event_id),
        ],
        NOON + DAY,
    )
    assert told(outcomes)[3:] == ["card_inactive", "card_inactive", -1]


@pytest.mark.parametrize(
    ("delta", "seq"),
    [
        (-2, 2),  # more than was stamped
        (-1, 1),  # of an enrolment
        (1, 2),  # adds
    ],
)
def test_the_database_refuses_a_void_of_stamps_that_does_not_fit(
    tx: Tx, cafe: Any, delta: int, seq: int
) -> None:
    cafe.apply(
        tx, [cafe.enrol("C1"), cafe.stamp("C1"), cafe.stamp("C1", 3, NOON + DAY)], NOON + DAY
    )
    with pytest.raises(IntegrityError, match=r"cannot be its original|sign_by_type"):
        tx.execute(
            text(
                f"""
                INSERT INTO loyalty_transactions (merchant_id, card_id, program_id, program_version, seq, type,
                    stamps_delta, points_balance_after, stamps_balance_after, explanation, transaction_at,
                    related_transaction_id)
                SELECT merchant_id, id, program_id, 1, last_seq + 1, 'stamp_voided', {delta}, 0,
                       stamps_balance + {delta}, '{{}}', now(),
                       (SELECT id FROM loyalty_transactions t WHERE t.card_id = c.id AND seq = {seq})
                FROM cards c
                """
            )
        )
