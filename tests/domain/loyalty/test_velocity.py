"""What is too fast is flagged, held or refused, exactly at its limit, and nothing releases itself."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.loyalty import service
from domain.loyalty.rules import Refusal
from domain.loyalty.rules.velocity import parse_limits
from domain.loyalty.service import velocity_desk as desk
from tests.domain.loyalty.conftest import NOON, Shop
from tests.domain.loyalty.test_concurrency import together

ADA = Actor("person", "ada")
HOUR = timedelta(hours=1)


def limit(per: str = "card", what: str = "earn", then: str = "hold", **most: int) -> dict[str, Any]:
    return {"per": per, "what": what, "minutes": 60, "then": then, **most}


def limited(tx: Tx, shop: Shop, *limits: dict[str, Any]) -> Shop:
    desk.set_policy(tx, shop.merchant_id, None, limits, actor=ADA)
    shop.apply(tx, [shop.enrol("C1"), shop.enrol("C2")])
    return shop


def said(outcomes: list[Any]) -> list[str]:
    return [one.reason if isinstance(one, Refusal) else "booked" for one in outcomes]


def open_cases(tx: Tx, shop: Shop) -> list[Any]:
    return desk.cases(tx, shop.merchant_id, limit=1_000)


SUBJECTS: dict[str, dict[str, str]] = {
    "card": {},
    "pin": {"staff_pin_id": "ann"},
    "device": {"terminal_device_id": "tablet-1"},
    "address": {"ip_address": "2001:db8::1"},
}


@pytest.mark.parametrize("per", SUBJECTS)
def test_acts_up_to_the_limit_are_booked_and_the_next_is_held_with_evidence(
    tx: Tx, open_shop: Any, per: str
) -> None:
    shop = limited(tx, open_shop(tx), limit(per, count=3))
    outcomes = shop.apply(tx, [shop.earn("C1", 5, **SUBJECTS[per]) for _ in range(4)])
    assert said(outcomes) == ["booked"] * 3 + ["velocity_held"]
    [case] = open_cases(tx, shop)
    assert (case.action, case.card, case.points) == ("hold", "C1", 5)
    assert case.evidence == [
        {
            "per": per,
            "what": "earn",
            "minutes": 60,
            "from": "2026-06-01T12:00:00+00:00",
            "then": "hold",
            "count": 3,
            "reached": 4,
        }
    ]
    assert tx.execute(text("SELECT points_balance FROM cards WHERE number = 'C1'")).scalar() == 15


def test_a_subject_is_counted_over_all_cards_and_another_by_itself(tx: Tx, open_shop: Any) -> None:
    shop = limited(tx, open_shop(tx), limit("pin", count=2))
    told = shop.apply(
        tx,
        [
            shop.earn("C1", 5, staff_pin_id="ann"),
            shop.earn("C2", 5, staff_pin_id="ann"),
            shop.earn("C2", 5, staff_pin_id="ann"),
            shop.earn("C2", 5, staff_pin_id="ben"),
            shop.earn("C2", 5),
        ],
    )
    assert said(told) == ["booked", "booked", "velocity_held", "booked", "booked"]


def test_points_are_limited_to_the_point_and_what_is_held_does_not_count(
    tx: Tx, open_shop: Any
) -> None:
    shop = limited(tx, open_shop(tx), limit(points=100))
    told = shop.apply(tx, [shop.earn("C1", points) for points in (60, 41, 40, 1)])
    assert said(told) == ["booked", "velocity_held", "booked", "velocity_held"]
    assert [case.evidence[0]["reached"] for case in open_cases(tx, shop)] == [101, 101]


def test_the_next_window_begins_anew_by_the_time_of_the_event(tx: Tx, open_shop: Any) -> None:
    shop = limited(tx, open_shop(tx), limit(count=1))
    last = NOON + HOUR - timedelta(microseconds=1)
    events = [shop.earn("C1", 5, at) for at in (NOON, last, NOON + HOUR, NOON - HOUR)]
    assert said(shop.apply(tx, events, NOON + 2 * HOUR)) == [
        "booked",
        "velocity_held",
        "booked",
        "booked",
    ]


def test_flagged_acts_are_booked_and_refused_ones_leave_no_case(tx: Tx, open_shop: Any) -> None:
    shop = limited(
        tx,
        open_shop(tx),
        limit(then="flag", count=1),
        limit(then="refuse", count=2),
    )
    told = shop.apply(tx, [shop.earn("C1", 5) for _ in range(4)])
    assert said(told) == ["booked", "booked", "velocity_exceeded", "velocity_exceeded"]
    [case] = open_cases(tx, shop)
    assert (case.action, case.evidence[0]["reached"]) == ("flag", 2)
    assert "at most 2" in told[3].sentence


def test_redemptions_holds_and_stamps_are_counted_and_captures_are_not(
    tx: Tx, open_shop: Any
) -> None:
    terms = {"kind": "hybrid", "stamp_target": 1, "stamp_cooldown_minutes": 0}
    shop = limited(
        tx, open_shop(tx, **terms), limit(what="redeem", count=3), limit(what="earn", count=3)
    )
    held = shop.event("points_held", card="C1", points=10)
    told = shop.apply(
        tx,
        [
            shop.earn("C1", 100),
            shop.stamp("C1"),
            shop.redeem("C1", 10),
            held,
            shop.event("hold_captured", card="C1", related_event=held.event_id),
            shop.event("stamp_redeemed", card="C1"),
            shop.redeem("C1", 10),
            shop.stamp("C1"),
            shop.stamp("C1"),
        ],
    )
    assert said(told) == ["booked"] * 6 + ["velocity_held", "booked", "velocity_held"]


def test_what_the_rules_refuse_is_neither_counted_nor_held(tx: Tx, open_shop: Any) -> None:
    shop = limited(tx, open_shop(tx), limit(what="redeem", count=1))
    told = shop.apply(
        tx,
        [shop.redeem("C1", 10), shop.earn("C1", 10), shop.redeem("C1", 10), shop.redeem("C1", 10)],
    )
    assert said(told) == ["insufficient_points", "booked", "booked", "insufficient_points"]
    assert open_cases(tx, shop) == []


def test_a_program_with_a_policy_of_its_own_goes_by_that_alone(tx: Tx, open_shop: Any) -> None:
    shop = limited(tx, open_shop(tx), limit(count=1))
    desk.set_policy(tx, shop.merchant_id, "beans", [], actor=ADA)
    assert said(shop.apply(tx, [shop.earn("C1", 5) for _ in range(3)])) == ["booked"] * 3
    with pytest.raises(NotFound):
        desk.set_policy(tx, shop.merchant_id, "tea", [], actor=ADA)


def test_however_events_are_cut_into_batches_the_same_are_held(tx: Tx, open_shop: Any) -> None:
    shop = limited(tx, open_shop(tx), limit(count=3), limit("pin", count=5))
    cards = ["C1", "C1", "C2", "C1", "C1", "C2", "C2", "C2"]
    at_once = said(shop.apply(tx, [shop.earn(c, 5, staff_pin_id="ann") for c in cards]))
    other = open_shop(tx)
    limited(tx, other, limit(count=3), limit("pin", count=5))
    one_by_one = [said(other.apply(tx, [other.earn(c, 5, staff_pin_id="ann")]))[0] for c in cards]
    assert at_once == one_by_one


@pytest.mark.parametrize("then", ["hold", "flag", "refuse"])
def test_eight_workers_beside_each_other_book_exactly_what_is_allowed(
    engine: Engine, open_shop: Any, then: str
) -> None:
    cards = [f"C{n}" for n in range(8)]
    with transaction(engine) as tx:
        shop = open_shop(tx)
        shop.apply(tx, [shop.enrol(card) for card in cards])
        limits = [limit("pin", count=20, then=then), limit("device", points=10_000)]
        desk.set_policy(tx, shop.merchant_id, None, limits, actor=ADA)

    def work(worker: int) -> list[str]:
        told = []
        for n in range(5):
            batch = [
                shop.earn(
                    cards[(worker + n + i) % 8], 5, staff_pin_id="ann", terminal_device_id="t"
                )
                for i in range(3)
            ]
            with transaction(engine) as tx:
                told += said(shop.apply(tx, batch))
        return told

    counted = Counter(one for told in together(8, work) for one in told)
    reason = {"hold": "velocity_held", "refuse": "velocity_exceeded"}.get(then)
    assert counted == ({"booked": 120} if reason is None else {"booked": 20, reason: 100})
    with transaction(engine) as tx:
        points = tx.execute(text("SELECT sum(points_balance) FROM cards")).scalar_one()
        assert points == 5 * counted["booked"]
        cases = open_cases(tx, shop)
        assert len(cases) == (0 if then == "refuse" else 100)
        assert service.check_invariants(tx) == []


def test_the_database_books_nothing_of_what_is_held(tx: Tx, open_shop: Any) -> None:
    shop = limited(tx, open_shop(tx), limit(count=1))
    shop.apply(tx, [shop.earn("C1", 5), shop.earn("C1", 5)])
    [case] = open_cases(tx, shop)
    with pytest.raises(DBAPIError, match="its event is held"):
        tx.execute(
            text(
                """
                INSERT INTO loyalty_transactions (merchant_id, card_id, program_id, program_version, seq, type,
                    points_balance_after, stamps_balance_after, explanation, transaction_at, inbox_id)
                SELECT merchant_id, id, program_id, 1, last_seq + 1, 'card_deactivated', points_balance, 0, '{}',
                       now(), :inbox_id
                FROM cards WHERE id = :card
                """
            ),
            {"inbox_id": case.inbox_id, "card": case.card_id},
        )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE loyalty_velocity_cases SET evidence = '[{}]'",
        "UPDATE loyalty_velocity_cases SET action = 'flag'",
        "UPDATE loyalty_velocity_cases SET outcome = 'released'",
        "DELETE FROM loyalty_velocity_cases",
    ],
)
def test_what_was_found_stays_and_ends_by_a_person_only(
    tx: Tx, open_shop: Any, change: str
) -> None:
    shop = limited(tx, open_shop(tx), limit(count=1))
    shop.apply(tx, [shop.earn("C1", 5), shop.earn("C1", 5)])
    with pytest.raises(DBAPIError):
        tx.execute(text(change))


def test_a_decision_is_final_and_needs_a_reason(tx: Tx, open_shop: Any) -> None:
    shop = limited(tx, open_shop(tx), limit(count=1))
    shop.apply(tx, [shop.earn("C1", 5), shop.earn("C1", 5)])
    [case] = open_cases(tx, shop)
    for reason in ("", " ", "x" * 501, "a\0b"):
        with pytest.raises(Invalid):
            desk.decide(tx, shop.merchant_id, case.id, "rejected", actor=ADA, reason=reason)
    with pytest.raises(NotFound):
        desk.decide(tx, shop.merchant_id + 1, case.id, "rejected", actor=ADA, reason="r")
    desk.decide(tx, shop.merchant_id, case.id, "rejected", actor=ADA, reason="r")
    with pytest.raises(Forbidden, match="was rejected by ada"):
        desk.decide(tx, shop.merchant_id, case.id, "released", actor=ADA, reason="r")
    with pytest.raises(DBAPIError, match="its end is final"):
        tx.execute(text("UPDATE loyalty_velocity_cases SET close_reason = 'x'"))


def test_counts_are_forgotten_when_no_event_needs_them(tx: Tx, open_shop: Any) -> None:
    shop = limited(tx, open_shop(tx), limit(count=1))
    shop.apply(tx, [shop.earn("C1", 5)])
    assert desk.forget_counts(tx, NOON + timedelta(days=70)) == 0
    assert desk.forget_counts(tx, NOON + timedelta(days=70, seconds=1)) == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"per": "shop"}, "limits.0.per"),
        ({"what": "void"}, "limits.0.what"),
        ({"then": "pay"}, "limits.0.then"),
        ({"minutes": 0}, "limits.0.minutes"),
        ({"minutes": 31 * 24 * 60 + 1}, "limits.0.minutes"),
        ({"minutes": True}, "limits.0.minutes"),
        ({"count": 0}, "limits.0.count"),
        ({"count": 2**53}, "limits.0.count"),
        ({"points": -1}, "limits.0.points"),
        ({"count": None}, "limits.0"),
        ({"more": 1}, "limits.0.more"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused_by_its_field(
    wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        parse_limits([limit(count=1) | wrong])
    assert refused.value.field == field


def test_a_policy_has_at_most_twenty_limits() -> None:
    assert len(parse_limits([limit(count=1)] * 20)) == 20
    with pytest.raises(Invalid):
        parse_limits([limit(count=1)] * 21)
    with pytest.raises(Invalid):
        parse_limits("no")
