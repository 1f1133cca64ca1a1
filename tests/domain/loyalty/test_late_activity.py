"""What a customer did in time, and a shop tells late: points that inactivity took come back, linked to their expiry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.ledger import service as ledger
from domain.loyalty import service
from domain.loyalty.rules import Refusal
from tests.domain.loyalty.books import state
from tests.domain.loyalty.conftest import NOON
from tests.domain.loyalty.test_concurrency import together

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
# Ten days of inactivity after noon of 1 June, in UTC.
ENDS = datetime(2026, 6, 12, tzinfo=UTC)
LATER = ENDS + 2 * DAY
PROOF = ENDS - 2 * DAY
ME = Actor("person", "ada@shop")


@pytest.fixture
def lapsed(tx: Tx, open_shop: Callable[..., Any]) -> Any:
    """A shop where 100 points of C1 expired for inactivity."""
    return opened(tx, open_shop)


def opened(tx: Tx, open_shop: Callable[..., Any], **terms: Any) -> Any:
    shop = open_shop(tx, inactivity_days=10, **terms)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 70), shop.earn("C1", 30)])
    sweep(tx, shop, ENDS)
    assert balance(tx) == 0
    return shop


def sweep(tx: Tx, shop: Any, fire_at: datetime) -> None:
    for part in service.plan_expiry(tx, shop.merchant_id, fire_at, 100):
        service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, fire_at)


def balance(tx: Tx, card: str = "C1") -> int:
    return state(tx, card)[0]


def rows(tx: Tx) -> list[tuple[Any, ...]]:
    """Type, points, what it corrects and the rule of each row after enrolment."""
    found = tx.execute(
        text(
            "SELECT t.type, t.points_delta, o.type, t.explanation ->> 'rule', t.inbox_id IS NOT NULL"
            " FROM loyalty_transactions t LEFT JOIN loyalty_transactions o ON o.id = t.related_transaction_id"
            " WHERE t.seq > 3 ORDER BY t.id"
        )
    )
    return [tuple(row) for row in found]


def timer(tx: Tx) -> Any:
    return tx.execute(
        text("SELECT inactivity_deadline, expired_through, last_activity_at FROM cards")
    ).one()


def balanced(tx: Tx) -> None:
    assert service.check_invariants(tx) == []
    assert ledger.check_invariants(tx) == []


def test_late_proof_of_activity_restores_what_the_expiry_took_linked_to_it(
    tx: Tx, lapsed: Any
) -> None:
    (done,) = lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF)], LATER)
    assert (done.points, done.balance) == (5, 105)
    assert rows(tx) == [
        ("points_expired", -100, None, None, False),
        ("points_adjustment", 100, "points_expired", "late_activity", True),
        ("points_earned", 5, None, "given", True),
    ]
    # To the lots that it came from, and until the day that the activity gives.
    assert state(tx, "C1") == (105, 0, [70, 30, 5])
    assert timer(tx) == (PROOF.replace(hour=0) + 11 * DAY, None, PROOF)
    [summary] = service.summary(tx, lapsed.merchant_id)
    assert (summary.expired, summary.outstanding) == (0, 105)
    balanced(tx)


def test_what_the_card_is_worth_is_the_same_whether_the_sweep_was_there_first_or_not(
    tx: Tx, open_shop: Any
) -> None:
    # The first keeps them for a day too few.
    for at, left in ((NOON + 25 * HOUR, 0), (NOON + 72 * HOUR, 85), (ENDS - HOUR, 85)):
        worth = []
        for swept_first in (True, False):
            shop = open_shop(tx, inactivity_days=10)
            shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])
            if swept_first:
                sweep(tx, shop, LATER)
            shop.apply(tx, [shop.earn("C1", 5, at), shop.redeem("C1", 20, at + HOUR / 2)], LATER)
            sweep(tx, shop, LATER)
            seen = service.card(tx, shop.merchant_id, "C1", LATER)
            assert seen is not None
            worth.append(seen.points)
        assert worth[0] == worth[1]
        assert worth[0].balance == left


def test_activity_that_would_not_have_kept_them_until_today_expires_with_them(
    tx: Tx, lapsed: Any
) -> None:
    long_after = PROOF + 20 * DAY
    lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF)], long_after)
    sweep(tx, lapsed, long_after)
    then = PROOF.replace(hour=0) + 11 * DAY
    assert rows(tx)[-1][:2] == ("points_expired", -105)
    assert timer(tx)[:2] == (None, then)
    # And the next late event, of the days in between, brings them back again.
    (done,) = lapsed.apply(tx, [lapsed.redeem("C1", 100, then - HOUR)], long_after)
    assert done.balance == 5
    assert timer(tx)[0] == (then - HOUR).replace(hour=0) + 11 * DAY
    balanced(tx)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_late_events_restore_once(tx: Tx, lapsed: Any, apply: Any, order: Any) -> None:
    late = [lapsed.earn("C1", 5, PROOF), lapsed.earn("C1", 6, PROOF + DAY)]
    done = apply(tx, lapsed, [late[n] for n in order], LATER)
    assert balance(tx) == 111
    assert [one.points for one in done] == [late[n].data.points for n in order]
    assert [row[0] for row in rows(tx)].count("points_adjustment") == 1
    assert timer(tx)[0] == (PROOF + DAY).replace(hour=0) + 11 * DAY
    balanced(tx)


def test_only_a_type_that_the_program_counts_as_activity_is_a_proof(tx: Tx, open_shop: Any) -> None:
    shop = opened(tx, open_shop, qualifying_types=["points_redeemed"], kind="hybrid")
    shop.apply(tx, [shop.earn("C1", 5, PROOF), shop.stamp("C1", 1, PROOF)], LATER)
    shop.apply(tx, [shop.adjust("C1", 1, PROOF)], LATER)
    assert balance(tx) == 6
    (done,) = shop.apply(tx, [shop.redeem("C1", 50, PROOF)], LATER)
    assert done.balance == 56
    balanced(tx)


def test_a_stamp_is_a_proof_where_the_program_says_so(tx: Tx, open_shop: Any) -> None:
    shop = opened(tx, open_shop, qualifying_types=["stamp_earned"], kind="hybrid")
    (done,) = shop.apply(tx, [shop.stamp("C1", 1, PROOF)], LATER)
    assert (done.stamps, balance(tx)) == (1, 100)


def test_an_event_that_is_refused_proves_nothing(tx: Tx, lapsed: Any, apply: Any) -> None:
    refused = [
        lapsed.redeem("C1", 101, PROOF),
        lapsed.earn("C1", purchase_amount=1, time=PROOF),
        lapsed.earn("C1", 5, PROOF, customer_id="another"),
    ]
    before = timer(tx)
    done = apply(tx, lapsed, refused, LATER)
    assert [one.reason for one in done] == [
        "insufficient_points",
        "no_points",
        "customer_mismatch",
    ]
    assert (balance(tx), timer(tx), len(rows(tx))) == (0, before, 1)
    assert lapsed.apply(tx, [lapsed.redeem("C1", 100, PROOF)], LATER)[0].balance == 0
    balanced(tx)


@pytest.mark.parametrize(
    ("at", "restored"),
    [
        (NOON, False),  # what was known
        (NOON + HOUR, False),  # the same day, which changes no deadline
        (NOON.replace(hour=0) + DAY, True),
        (ENDS - timedelta(microseconds=1), True),
        (ENDS, False),  # after the end
    ],
)
def test_a_proof_lies_between_the_last_known_activity_and_the_end(
    tx: Tx, lapsed: Any, at: datetime, restored: bool
) -> None:
    lapsed.apply(tx, [lapsed.earn("C1", 5, at)], LATER)
    assert balance(tx) == (105 if restored else 5)


def test_a_proof_is_no_older_than_the_backdating_limit(tx: Tx, open_shop: Any) -> None:
    shop = opened(tx, open_shop, backdating_days=7)
    shop.apply(tx, [shop.earn("C1", 5, PROOF)], PROOF + 7 * DAY + timedelta(microseconds=1))
    assert balance(tx) == 5
    shop.apply(tx, [shop.earn("C1", 5, PROOF + HOUR)], PROOF + 7 * DAY + HOUR)
    assert balance(tx) == 110


def test_points_whose_own_deadline_has_passed_meanwhile_stay_expired(
    tx: Tx, open_shop: Any
) -> None:
    shop = open_shop(tx, inactivity_days=10, expiration=[{"kind": "rolling", "days": 12}])
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 70)])
    shop.apply(tx, [shop.earn("C1", 30, NOON + 2 * DAY)], NOON + 2 * DAY)
    sweep(tx, shop, NOON + 13 * DAY)
    assert balance(tx) == 0
    (done,) = shop.apply(tx, [shop.earn("C1", 5, NOON + 6 * DAY)], NOON + 14 * DAY)
    assert done.balance == 35
    assert state(tx, "C1")[2] == [0, 30, 5]
    balanced(tx)


def test_what_is_owed_meanwhile_is_paid_from_what_comes_back(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, inactivity_days=10)
    earned = shop.earn("C1", 80)
    shop.apply(tx, [shop.enrol("C1"), earned, shop.redeem("C1", 50), shop.earn("C1", 20)])
    sweep(tx, shop, ENDS)
    shop.apply(tx, [shop.adjust("C1", -40, ENDS)], ENDS)
    assert state(tx, "C1")[:2] == (-40, 40)
    (done,) = shop.apply(tx, [shop.earn("C1", 5, PROOF)], LATER)
    assert done.balance == 50 - 40 + 5
    assert state(tx, "C1")[1] == 0
    # What came back can be taken back with its purchase again.
    (voided,) = shop.apply(tx, [shop.void(earned, time=LATER)], LATER)
    assert voided.points == -80
    balanced(tx)


def test_a_card_that_was_used_again_in_time_goes_on_with_all_of_it(tx: Tx, lapsed: Any) -> None:
    lapsed.apply(tx, [lapsed.earn("C1", 7, ENDS + DAY)], LATER)
    deadline = timer(tx)[0]
    lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF)], LATER)
    assert balance(tx) == 112
    assert timer(tx) == (deadline, None, ENDS + DAY)
    balanced(tx)


def test_nothing_comes_back_that_would_have_gone_before_the_card_was_used_again(
    tx: Tx, lapsed: Any
) -> None:
    again = PROOF.replace(hour=0) + 11 * DAY
    lapsed.apply(tx, [lapsed.earn("C1", 7, again)], again)
    lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF)], again)
    assert balance(tx) == 12, "and the late purchase counts as of its reception"
    lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF + DAY)], again)
    assert balance(tx) == 117
    balanced(tx)


def test_what_an_operator_gave_back_before_does_not_come_back_again(tx: Tx, lapsed: Any) -> None:
    service.restore_points(
        tx,
        lapsed.merchant_id,
        "C1",
        "r-1",
        points=60,
        grace=service.Grace(),
        actor=ME,
        reason="was ill",
        now=ENDS,
    )
    (done,) = lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF)], LATER)
    assert done.balance == 105
    assert sorted(row[1] for row in rows(tx) if row[0] == "points_adjustment") == [40, 60]
    balanced(tx)


def test_a_card_out_of_use_refuses_the_proof_and_an_anonymized_one_takes_it(
    tx: Tx, lapsed: Any
) -> None:
    lapsed.apply(tx, [lapsed.event("card_deactivated", ENDS, card="C1")], ENDS)
    (refused,) = lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF)], LATER)
    assert isinstance(refused, Refusal)
    assert (refused.reason, balance(tx)) == ("card_inactive", 0)
    lapsed.apply(tx, [lapsed.event("card_reactivated", ENDS + HOUR, card="C1")], LATER)
    gone = lapsed.event("customer_anonymized", ENDS + HOUR, customer_id="of-C1")
    lapsed.apply(tx, [gone], LATER)
    found = tx.execute(text("SELECT number FROM cards")).scalar_one()
    lapsed.apply(tx, [lapsed.earn(found, 5, PROOF)], LATER)
    assert balance(tx, found) == 105
    balanced(tx)


@pytest.mark.parametrize("used", [True, False])
def test_a_proof_under_the_number_of_a_merged_card_gives_back_to_the_survivor(
    tx: Tx, lapsed: Any, used: bool
) -> None:
    lapsed.apply(tx, [lapsed.enrol("C2", time=ENDS)], ENDS)
    if used:
        lapsed.apply(tx, [lapsed.earn("C2", 1, ENDS)], ENDS)
    service.merge_cards(
        tx, lapsed.merchant_id, "C1", "C2", actor=ME, reason="same customer", now=ENDS + HOUR
    )
    lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF)], LATER)
    assert balance(tx, "C2") == 105 + used
    lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF + HOUR)], LATER)
    assert balance(tx, "C2") == 110 + used, "once"
    deadline = tx.execute(text("SELECT inactivity_deadline FROM cards WHERE number = 'C2'"))
    assert deadline.scalar_one() >= PROOF.replace(hour=0) + 11 * DAY
    balanced(tx)


def test_a_capture_is_a_proof_too(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, inactivity_days=10, hold_minutes=60 * 24 * 3)
    held = shop.event("points_held", ENDS - DAY, card="C1", points=20)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])
    shop.apply(tx, [held], ENDS - DAY)
    sweep(tx, shop, ENDS)
    assert state(tx, "C1")[:2] == (20, 0)
    captured = shop.event("hold_captured", PROOF, card="C1", related_event=held.event_id)
    (done,) = shop.apply(tx, [captured], ENDS + DAY)
    assert (done.points, done.balance) == (-20, 80)
    balanced(tx)


def test_the_sweep_beside_late_events_of_many_cards_takes_and_gives_each_point_once(
    engine: Engine, open_shop: Any
) -> None:
    cards = [f"C{n}" for n in range(40)]
    with transaction(engine) as tx:
        shop = open_shop(tx, inactivity_days=10)
        shop.apply(tx, [e for c in cards for e in (shop.enrol(c), shop.earn(c, 10))])

    def work(worker: int) -> None:
        for n, card in enumerate(cards if worker else cards[::7]):
            with transaction(engine) as tx:
                if worker == 0:
                    sweep(tx, shop, LATER)
                else:
                    at = PROOF + worker * HOUR + n * timedelta(seconds=1)
                    shop.apply(tx, [shop.earn(card, 1, at)], LATER)

    together(3, work)
    with transaction(engine) as tx:
        assert set(tx.execute(text("SELECT points_balance FROM cards")).scalars()) == {12}
        balanced(tx)


@pytest.fixture
def rolling(tx: Tx, open_shop: Callable[..., Any]) -> Any:
    """A shop where 30 points of C1 ended by a deadline of their own, and 20 are left."""
    shop = open_shop(tx, expiration=[{"kind": "rolling", "days": 10}])
    shop.apply(
        tx, [shop.enrol("C1"), shop.earn("C1", 30), shop.earn("C1", 20, NOON + DAY)], NOON + DAY
    )
    sweep(tx, shop, ENDS)
    assert state(tx, "C1")[2] == [0, 20]
    return shop


def test_a_redemption_in_time_that_is_told_late_gets_just_what_it_lacks(
    tx: Tx, rolling: Any, apply: Any
) -> None:
    done = apply(tx, rolling, [rolling.redeem("C1", 25, PROOF)], ENDS + HOUR)
    assert [(one.points, one.balance) for one in done] == [(-25, 0)]
    assert rows(tx) == [
        ("points_expired", -30, None, None, False),
        ("points_adjustment", 5, "points_expired", "redeemed_in_time", True),
        ("points_redeemed", -25, None, "given", True),
    ]
    again = apply(tx, rolling, [rolling.redeem("C1", 26, PROOF)], ENDS + HOUR)
    assert [one.reason for one in again] == ["insufficient_points"]
    assert apply(tx, rolling, [rolling.redeem("C1", 25, PROOF)], ENDS + HOUR)[0].balance == 0
    balanced(tx)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (NOON + 11 * DAY, ENDS + 2 * HOUR),  # after their deadline
        (PROOF, PROOF + 31 * DAY),  # beyond the backdating limit
        (NOON - HOUR, ENDS + HOUR),  # before they were earned
    ],
)
def test_a_redemption_that_was_not_in_time_gets_nothing_back(
    tx: Tx, rolling: Any, at: datetime, told: datetime
) -> None:
    (refused,) = rolling.apply(tx, [rolling.redeem("C1", 25, at)], told)
    assert refused.reason == "insufficient_points"
    assert all(row[0] != "points_adjustment" for row in rows(tx))
    balanced(tx)


def test_a_redemption_before_the_last_activity_that_is_told_after_the_expiry_is_honoured(
    tx: Tx, lapsed: Any
) -> None:
    (done,) = lapsed.apply(tx, [lapsed.redeem("C1", 40, NOON)], LATER)
    assert (done.points, done.balance) == (-40, 0)
    assert rows(tx)[1][:4] == ("points_adjustment", 40, "points_expired", "redeemed_in_time")
    # What it did not need stays expired, and can still be proved to be alive.
    assert lapsed.apply(tx, [lapsed.earn("C1", 5, PROOF)], LATER)[0].balance == 65
    balanced(tx)
