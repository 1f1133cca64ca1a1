"""Two cards of one customer become one: nothing is lost, nothing counts twice, and the old number leads on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import Invalid, NotFound
from domain.loyalty import service
from domain.loyalty.rules import Refusal
from domain.loyalty.service import Merged
from tests.domain.loyalty.books import state, told
from tests.domain.loyalty.test_concurrency import balanced, together

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ME = Actor("person", "ada@shop")


def merge(tx: Tx, shop: Any, card: str = "OLD", into: str = "NEW", **more: Any) -> Merged:
    values = {"actor": ME, "reason": "same customer", "now": NOON, **more}
    return service.merge_cards(tx, shop.merchant_id, card, into, **values)


def settled(tx: Tx) -> None:
    """Have the database look at what it looks at when a transaction ends."""
    tx.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    tx.execute(text("SET CONSTRAINTS ALL DEFERRED"))
    assert service.check_invariants(tx) == []


@pytest.fixture
def two(tx: Tx, open_shop: Callable[..., Any]) -> Any:
    """A shop where one customer has two cards, OLD and NEW, both without points."""
    shop = open_shop(
        tx, kind="hybrid", backdating_days=400, expiration=[{"kind": "rolling", "days": 100}],
        stamp_cooldown_minutes=0,
    )  # fmt: skip
    shop.apply(tx, [shop.enrol("OLD"), shop.enrol("NEW")])
    return shop


def lots(tx: Tx, number: str = "NEW") -> list[tuple[int, datetime, datetime | None, Any]]:
    rows = tx.execute(
        text(
            "SELECT l.remaining, l.occurred_at, l.expires_at, l.policy FROM point_lots l"
            " JOIN cards c ON c.id = l.card_id WHERE c.number = :n AND l.remaining > 0 ORDER BY l.id"
        ),
        {"n": number},
    )
    return [tuple(row) for row in rows]


def test_lots_move_with_their_deadlines_and_terms_and_stamps_move_too(tx: Tx, two: Any) -> None:
    early = NOON - 90 * DAY
    two.apply(tx, [two.earn("OLD", 70, early), two.earn("NEW", 30), two.stamp("OLD", 3)])
    before = lots(tx, "OLD") + lots(tx)
    done = merge(tx, two)
    settled(tx)
    assert done == Merged("OLD", "NEW", "merged", 70, 0, 3, 0, 100)
    assert lots(tx) == before
    assert state(tx, "NEW") == (100, 0, [70, 30])
    assert state(tx, "OLD") == (0, 0, [])
    seen = service.card(tx, two.merchant_id, "OLD", NOON)
    assert seen is not None
    assert (seen.card, seen.stamps, seen.merged) == ("NEW", 3, ("OLD",))
    assert [points for _, points in seen.points.by_deadline] == [70, 30]
    # What was earned first on the old card ends first, on the survivor.
    late = service.card(tx, two.merchant_id, "NEW", NOON + 20 * DAY)
    assert late is not None
    assert late.points.balance == 30


def test_the_history_of_both_tells_of_it(tx: Tx, two: Any) -> None:
    two.apply(tx, [two.earn("OLD", 70)])
    merge(tx, two)
    rows = {
        card: [
            (row.type, row.points, row.explanation.get("rule"), row.reason)
            for row in service.history(tx, two.merchant_id, card) or ()
        ]
        for card in ("OLD", "NEW")
    }
    assert rows["OLD"][:3] == [
        ("card_deactivated", 0, "merged_into", "same customer"),
        ("points_adjustment", -70, "merged_into", "same customer"),
        ("points_earned", 70, "given", None),
    ]
    assert rows["NEW"][0] == ("points_adjustment", 70, "merged_from", "same customer")
    audited = tx.execute(text("SELECT action, reason, after FROM audit_entries")).one()
    assert (audited.action, audited.after["into"], audited.after["points"]) == (
        "card.merged", "NEW", 70,
    )  # fmt: skip


def test_the_points_of_the_ledger_stay_as_they_were(tx: Tx, two: Any) -> None:
    two.apply(tx, [two.earn("OLD", 70), two.redeem("OLD", 20)])
    before = service.summary(tx, two.merchant_id)
    merge(tx, two)
    settled(tx)
    assert service.summary(tx, two.merchant_id) == before


def test_repeated_it_tells_what_it_did_and_does_nothing(tx: Tx, two: Any) -> None:
    two.apply(tx, [two.earn("OLD", 70)])
    merge(tx, two)
    again = merge(tx, two, now=NOON + DAY)
    assert (again.result, again.points, again.balance) == ("already", 70, 70)
    assert tx.execute(text("SELECT count(*) FROM audit_entries")).scalar() == 1
    assert state(tx, "NEW") == (70, 0, [70])


def test_a_dry_run_tells_the_same_and_changes_nothing(tx: Tx, two: Any) -> None:
    two.apply(tx, [two.earn("OLD", 70), two.adjust("NEW", -20)])
    would = merge(tx, two, dry_run=True)
    assert (would.result, would.points, would.balance) == ("would_merge", 70, 50)
    assert state(tx, "OLD") == (70, 0, [70])
    assert state(tx, "NEW") == (-20, 20, [])
    assert tx.execute(text("SELECT count(*) FROM audit_entries")).scalar() == 0


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("owes 30, has 100", (70, 0, [70])),
        ("has 100, owes 30", (70, 0, [70])),
        ("owes 100, has 30", (-70, 70, [])),
        ("owes 10, owes 20", (-30, 30, [])),
    ],
)
def test_a_debt_is_paid_by_the_points_of_the_other(
    tx: Tx, two: Any, events: str, expected: tuple[int, int, list[int]]
) -> None:
    for card, said in zip(("OLD", "NEW"), events.split(", "), strict=True):
        verb, points = said.split()
        two.apply(tx, [two.adjust(card, int(points) * (1 if verb == "has" else -1))])
    merge(tx, two)
    settled(tx)
    balance, debt, left = state(tx, "NEW")
    assert (balance, debt, [points for points in left if points]) == expected
    assert state(tx, "OLD")[:2] == (0, 0)


def test_the_old_number_leads_to_the_survivor(tx: Tx, two: Any, apply: Any) -> None:
    two.apply(tx, [two.earn("OLD", 70)])
    merge(tx, two)
    outcomes = apply(
        tx,
        two,
        [
            two.earn("OLD", 5, customer_id="of-OLD"),
            two.redeem("NEW", 10, customer_id="of-NEW"),
            two.redeem("OLD", 60),
            two.redeem("OLD", 10),
            two.stamp("OLD"),
            two.earn("NEW", 5, customer_id="of-OLD"),
            two.event("card_deactivated", card="OLD"),
            two.enrol("OLD", "somebody"),
            two.enrol("THIRD", "of-OLD"),
        ],
    )
    assert told(outcomes) == [
        5, -10, -60, "insufficient_points", 0, "customer_mismatch", "card_merged", "card_exists",
        "customer_has_card",
    ]  # fmt: skip
    assert outcomes[0].card == "NEW"
    assert state(tx, "NEW") == (5, 0, [0, 5])
    settled(tx)


def test_what_the_old_card_did_is_voided_and_refunded_on_the_survivor(
    tx: Tx, two: Any, apply: Any
) -> None:
    earned = two.earn("OLD", None, purchase_amount=10_000, order_reference="o-1")
    other = two.earn("OLD", 50)
    spent = two.redeem("OLD", 120)
    stamped = two.stamp("OLD", 2)
    two.apply(tx, [earned, other, spent, stamped, two.refund("o-1", "r-1", 1_000)])
    assert state(tx, "OLD") == (20, 0, [0, 20])
    merge(tx, two)
    outcomes = apply(
        tx,
        two,
        [
            two.void(spent, 30),
            two.void(other, card="NEW"),
            two.refund("o-1", "r-1", 1_000),
            two.refund("o-1", "r-2", 9_000),
            two.refund("o-1", "r-3", 1, card="OLD"),
            two.event("stamp_voided", card="OLD", related_event=stamped.event_id),
            two.void(spent),
            two.void(spent),
        ],
    )
    assert told(outcomes) == [
        30, -50, "duplicate_refund", -90, "refund_exceeds_transaction", 0, 90, "already_voided",
    ]  # fmt: skip
    assert state(tx, "NEW")[:2] == (0, 0)
    assert state(tx, "OLD") == (0, 0, [])
    settled(tx)


def test_a_void_that_waited_on_the_old_card_finds_its_original_on_the_survivor(
    tx: Tx, two: Any
) -> None:
    earned = two.earn("OLD", 40)
    void = two.void(earned)
    assert told(two.apply(tx, [void])) == ["waits"]
    merge(tx, two)
    settled(tx)
    applied = two.applied(tx, [earned])
    assert applied.wakes == {(two.merchant_id, f"event:test/{earned.event_id}")}
    assert told(service.apply(tx, [void], NOON).outcomes) == [-40]


def test_an_original_that_the_old_card_was_refused_has_nothing_to_reverse(tx: Tx, two: Any) -> None:
    refused = two.redeem("OLD", 40)
    assert told(two.apply(tx, [refused])) == ["insufficient_points"]
    tx.execute(
        text(
            "UPDATE inbox_events SET status = 'rejected', reason = 'insufficient_points', detail = 'no',"
            ' data = \'{"card": "OLD"}\' WHERE id = :id'
        ),
        {"id": refused.inbox_id},
    )
    merge(tx, two)
    for card in ("OLD", "NEW"):
        [done] = two.apply(tx, [two.void(refused, card=card)])
        assert done.noted == "nothing_to_reverse"


def test_an_open_hold_moves_and_is_captured_or_released_by_either_number(tx: Tx, two: Any) -> None:
    first = two.event("points_held", card="OLD", points=30)
    second = two.event("points_held", card="OLD", points=20)
    closed = two.event("points_held", card="OLD", points=10)
    two.apply(tx, [two.earn("OLD", 100), first, second, closed])
    two.apply(tx, [two.event("hold_released", card="OLD", related_event=closed.event_id)])
    assert merge(tx, two).holds == 2
    settled(tx)
    seen = service.card(tx, two.merchant_id, "NEW", NOON)
    assert seen is not None
    assert (seen.points.spendable, seen.points.held) == (50, 50)
    assert sum(p for _, p in seen.points.by_deadline) + seen.points.held == seen.points.balance
    outcomes = two.apply(
        tx,
        [
            two.redeem("OLD", 51),
            two.event("hold_captured", card="OLD", related_event=first.event_id),
            two.event("hold_released", card="NEW", related_event=second.event_id),
            two.event("hold_captured", card="OLD", related_event=closed.event_id),
            two.redeem("NEW", 70),
        ],
    )
    assert told(outcomes) == ["insufficient_points", -30, 0, "hold_released", -70]
    settled(tx)


def test_a_hold_whose_time_is_over_is_closed_before_its_points_move(
    engine: Engine, open_shop: Callable[..., Any]
) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx)
        held = shop.event("points_held", card="OLD", points=30)
        shop.apply(tx, [shop.enrol("OLD"), shop.enrol("NEW"), shop.earn("OLD", 100), held])
    with transaction(engine) as tx:
        assert merge(tx, shop, now=NOON + DAY).holds == 0
    with transaction(engine) as tx:
        assert tx.execute(text("SELECT status FROM point_holds")).scalar() == "timed_out"
        assert told(shop.apply(tx, [shop.redeem("OLD", 100)])) == [-100]
    balanced(engine)


def test_a_hold_that_moved_times_out_there(tx: Tx, two: Any) -> None:
    two.apply(tx, [two.earn("OLD", 100), two.event("points_held", card="OLD", points=30)])
    merge(tx, two)
    assert service.time_out_holds(tx, NOON + DAY) == 1
    settled(tx)
    assert told(two.apply(tx, [two.redeem("NEW", 100)])) == [-100]


def test_what_is_due_on_either_card_is_booked_first_and_does_not_move(tx: Tx, two: Any) -> None:
    long_ago = NOON - 150 * DAY
    two.apply(
        tx,
        [two.earn("OLD", 70, long_ago), two.earn("OLD", 5), two.earn("NEW", 9, long_ago)],
        long_ago,
    )
    done = merge(tx, two)
    settled(tx)
    assert (done.points, done.balance) == (5, 5) if state(tx, "NEW")[0] == 5 else (0, 0)
    breakage = service.summary(tx, two.merchant_id)[0].expired
    assert breakage in (79, 84)


def test_a_period_that_was_over_for_one_card_does_not_lapse_the_points_of_the_other(
    tx: Tx, open_shop: Callable[..., Any]
) -> None:
    shop = open_shop(tx, inactivity_days=30, backdating_days=400)
    start = NOON - 40 * DAY
    shop.apply(tx, [shop.enrol("OLD", time=start), shop.enrol("NEW", time=start)], start)
    shop.apply(tx, [shop.earn("OLD", 50, start), shop.earn("NEW", 20, start)], start)
    active = start + 25 * DAY
    shop.apply(tx, [shop.earn("OLD", 1, active)], active)
    done = merge(tx, shop)
    settled(tx)
    assert (done.points, done.balance) == (51, 51)
    seen = service.card(tx, shop.merchant_id, "NEW", NOON)
    assert seen is not None
    assert (seen.points.balance, seen.points.spendable) == (51, 51)
    assert seen.points.next_expiry == datetime(2026, 6, 17, tzinfo=UTC)
    for part in service.plan_expiry(tx, shop.merchant_id, NOON + 20 * DAY, 10):
        service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, NOON + 20 * DAY)
    assert state(tx, "NEW")[0] == 0
    settled(tx)


def test_a_survivor_is_merged_in_turn_and_both_numbers_lead_on(tx: Tx, two: Any) -> None:
    two.apply(tx, [two.enrol("LAST"), two.earn("OLD", 70)])
    merge(tx, two)
    merge(tx, two, "NEW", "LAST")
    settled(tx)
    assert told(two.apply(tx, [two.redeem("OLD", 20), two.redeem("NEW", 20)])) == [-20, -20]
    assert state(tx, "LAST") == (30, 0, [30])
    with pytest.raises(Invalid, match="was merged into LAST"):
        merge(tx, two, "OLD", "NEW")


def test_what_cannot_be_merged_is_refused_by_name(tx: Tx, two: Any, open_shop: Any) -> None:
    service.create_program(tx, two.merchant_id, "tea", name="Tea", currency="eur")
    two.apply(tx, [two.enrol("TEA", program="tea"), two.enrol("OUT", program="beans")])
    with pytest.raises(NotFound):
        merge(tx, two, "OLD", "NOBODY")
    other = open_shop(tx)
    with pytest.raises(NotFound):
        merge(tx, other)
    for card, into, said in [
        ("OLD", "OLD", "another card"),
        ("OLD", "TEA", "different programs"),
    ]:
        with pytest.raises(Invalid, match=said):
            merge(tx, two, card, into)
    with pytest.raises(Invalid, match="say why"):
        merge(tx, two, reason=" ")


def test_who_is_anonymized_is_forgotten_by_both_names(tx: Tx, two: Any) -> None:
    two.apply(tx, [two.earn("OLD", 70, notes="tall", customer_id="of-OLD")])
    merge(tx, two)
    two.apply(tx, [two.earn("OLD", 5, notes="kind", customer_id="of-OLD")])
    applied = two.applied(tx, [two.event("customer_anonymized", customer_id="of-OLD")])
    assert [(one.customer_id, one.card) for one in applied.forgotten] == [
        ("of-OLD", "OLD"),
        ("of-NEW", "NEW"),
    ]
    kept = tx.execute(text("SELECT count(*) FROM loyalty_transactions WHERE notes IS NOT NULL"))
    assert kept.scalar() == 0
    assert told(two.apply(tx, [two.redeem("OLD", 75)])) == [-75]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cards SET merged_into_id = NULL WHERE number = 'OLD'",
        "UPDATE cards SET merged_into_id = (SELECT id FROM cards WHERE number = 'THIRD') WHERE number = 'OLD'",
        "UPDATE point_lots SET card_id = (SELECT id FROM cards WHERE number = 'THIRD')",
        "UPDATE cards SET merged_into_id = (SELECT id FROM cards WHERE number = 'OLD') WHERE number = 'THIRD'",
        "UPDATE cards SET merged_into_id = (SELECT id FROM cards WHERE number = 'THIRD') WHERE number = 'NEW'",
        "UPDATE cards SET status = 'active' WHERE number = 'OLD'",
    ],
    ids=["unmerged", "elsewhere", "a lot alone", "into a merged one", "with points", "used"],
)
def test_the_database_refuses_what_a_merge_is_not(tx: Tx, two: Any, statement: str) -> None:
    two.apply(tx, [two.enrol("THIRD"), two.earn("OLD", 70), two.earn("NEW", 1)])
    merge(tx, two)
    tx.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    with pytest.raises(IntegrityError):
        tx.execute(text(statement))


def test_the_database_refuses_points_that_did_not_arrive(tx: Tx, two: Any) -> None:
    two.apply(tx, [two.enrol("THIRD"), two.earn("OLD", 70)])
    merge(tx, two)
    tx.execute(
        text(
            "UPDATE cards SET merged_into_id = (SELECT id FROM cards WHERE number = 'NEW')"
            " WHERE number = 'THIRD'"
        )
    )
    with pytest.raises(IntegrityError, match="did not go to card"):
        tx.execute(
            text(
                "INSERT INTO card_merges (card_id, merchant_id, into_card_id, points, debt, stamps, holds,"
                " debit_transaction_id, credit_transaction_id, reason, merged_at)"
                " SELECT t.id, t.merchant_id, into_card_id, 71, 0, 0, 0, debit_transaction_id, credit_transaction_id,"
                " 'x', now() FROM card_merges m, cards t WHERE t.number = 'THIRD'"
            )
        )


def test_events_beside_a_merge_are_booked_once_on_one_of_the_cards(
    engine: Engine, open_shop: Callable[..., Any]
) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx)
        shop.apply(tx, [shop.enrol("OLD"), shop.enrol("NEW"), shop.earn("OLD", 100)])

    def work(worker: int) -> Any:
        if worker == 0:
            with transaction(engine) as tx:
                return merge(tx, shop)
        if worker == 1:
            with transaction(engine) as tx:
                return merge(tx, shop)
        refused = 0
        for _ in range(10):
            with transaction(engine) as tx:
                card = "OLD" if worker == 2 else "NEW"
                outcomes = shop.apply(tx, [shop.earn(card, 3), shop.redeem(card, 2)])
            refused += sum(isinstance(one, Refusal) for one in outcomes)
        return refused

    first, second, *refused = together(4, work)
    assert sorted([first.result, second.result]) == ["already", "merged"]
    assert refused == [0, 0]
    with transaction(engine) as tx:
        rows = tx.execute(text("SELECT number, points_balance FROM cards ORDER BY number")).all()
    assert [tuple(row) for row in rows] == [("NEW", 120), ("OLD", 0)]
    balanced(engine)


def test_an_event_that_waited_for_a_card_while_it_was_merged_lands_on_the_survivor(
    engine: Engine, open_shop: Callable[..., Any]
) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx)
        # The survivor's id is the lower: the late batch takes it after the other.
        shop.apply(tx, [shop.enrol("NEW"), shop.enrol("OLD"), shop.earn("OLD", 100)])

    def spend() -> Any:
        with transaction(engine) as tx:
            return shop.apply(tx, [shop.redeem("OLD", 30)])

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            merge(tx, shop)
            late = pool.submit(spend)
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            for _ in range(1_000):
                if tx.execute(waiting).scalar():
                    break
                tx.execute(text("SELECT pg_sleep(0.01)"))
        [done] = late.result(60)
    assert (done.card, done.balance) == ("NEW", 70)
    balanced(engine)


def test_a_merge_that_breaks_off_leaves_both_cards_as_they_were(
    engine: Engine, open_shop: Callable[..., Any]
) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx)
        shop.apply(tx, [shop.enrol("OLD"), shop.enrol("NEW"), shop.earn("OLD", 100)])

    def killed() -> None:
        with transaction(engine) as tx:
            merge(tx, shop)
            raise RuntimeError("killed before the commit")

    with pytest.raises(RuntimeError):
        killed()
    with transaction(engine) as tx:
        assert state(tx, "OLD") == (100, 0, [100])
        assert merge(tx, shop).result == "merged"
    balanced(engine)
