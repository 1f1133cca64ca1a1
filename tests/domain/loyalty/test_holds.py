"""Redemptions in two phases: held, then captured, released, or timed out, with the books right throughout."""

import doctest
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.db import Tx, transaction
from domain.loyalty import service
from domain.loyalty.rules import holds
from tests.domain.loyalty.books import told

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
END = NOON + 15 * MINUTE
PATIENCE = 60
"""Seconds that a test waits for its threads."""


@pytest.fixture
def card(tx: Tx, open_shop: Any) -> Any:
    """A shop with a card of 100 points, in two lots."""
    shop = open_shop(tx, expiration=[{"kind": "rolling", "days": 30}])
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 60), shop.earn("C1", 40)])
    return shop


def hold(shop: Any, points: int | None = None, time: datetime = NOON, **data: Any) -> Any:
    return shop.event("points_held", time, card="C1", points=points, **data)


def capture(shop: Any, held: Any, points: int | None = None, time: datetime = NOON) -> Any:
    return shop.event("hold_captured", time, card="C1", related_event=held.event_id, points=points)


def release(shop: Any, held: Any, time: datetime = NOON) -> Any:
    return shop.event("hold_released", time, card="C1", related_event=held.event_id)


def standing(tx: Tx, shop: Any, at: datetime = NOON) -> tuple[int, int, int]:
    """Balance, spendable and held, with the books right."""
    tx.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    tx.execute(text("SET CONSTRAINTS ALL DEFERRED"))
    assert service.check_invariants(tx) == []
    found = service.card(tx, shop.merchant_id, "C1", at)
    assert found is not None
    return found.points.balance, found.points.spendable, found.points.held


def statuses(tx: Tx) -> list[str]:
    return list(tx.execute(text("SELECT status FROM point_holds ORDER BY id")).scalars())


def sweep(tx: Tx, shop: Any, at: datetime) -> int:
    return sum(
        service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, at).points
        for part in service.plan_expiry(tx, shop.merchant_id, at, 100)
    )


def test_the_example_is_true() -> None:
    assert doctest.testmod(holds) == (0, 13)


def test_held_points_stay_on_the_card_and_cannot_be_spent(tx: Tx, card: Any, apply: Any) -> None:
    outcomes = apply(
        tx, card, [hold(card, 70), card.redeem("C1", 31), hold(card, 31), card.redeem("C1", 30)]
    )
    assert told(outcomes) == [0, "insufficient_points", "insufficient_points", -30]
    assert standing(tx, card) == (70, 0, 70)


def test_a_hold_is_captured_once_and_its_redemption_can_be_voided(
    tx: Tx, card: Any, apply: Any
) -> None:
    held = hold(card, 70, reward_id="mug", reward_description="A mug")
    captured = capture(card, held)
    outcomes = apply(tx, card, [held, captured, capture(card, held), release(card, held)])
    assert told(outcomes) == [0, -70, "hold_captured", "hold_captured"]
    assert standing(tx, card) == (30, 30, 0)
    row = tx.execute(
        text(
            "SELECT reward_id, reward_cost, reward_description, inbox_id"
            " FROM loyalty_transactions WHERE type = 'points_redeemed'"
        )
    ).one()
    assert tuple(row) == ("mug", 70, "A mug", captured.inbox_id)
    assert told(apply(tx, card, [card.void(captured)])) == [70]
    assert standing(tx, card) == (100, 100, 0)


def test_a_part_is_captured_and_the_rest_is_free_again(tx: Tx, card: Any, apply: Any) -> None:
    held = hold(card, 70)
    assert told(apply(tx, card, [held, capture(card, held, 71), capture(card, held, 65)])) == [
        0,
        "capture_exceeds_hold",
        -65,
    ]
    assert standing(tx, card) == (35, 35, 0)


def test_a_released_hold_gives_its_points_back(tx: Tx, card: Any, apply: Any) -> None:
    held = hold(card, 70)
    outcomes = apply(
        tx, card, [held, release(card, held), capture(card, held), card.redeem("C1", 100)]
    )
    assert told(outcomes) == [0, 0, "hold_released", -100]
    assert statuses(tx) == ["released"]


def test_a_hold_ends_by_itself_whether_or_not_a_sweep_has_closed_it(tx: Tx, card: Any) -> None:
    held = hold(card, 70)
    card.apply(tx, [held])
    assert standing(tx, card, END - MINUTE) == (100, 30, 70)
    assert standing(tx, card, END) == (100, 100, 0)
    (late, spent) = card.apply(
        tx, [capture(card, held, time=END), card.redeem("C1", 100, END)], END
    )
    assert (late.reason, spent.points) == ("hold_timed_out", -100)
    assert statuses(tx) == ["timed_out"]
    assert standing(tx, card, END) == (0, 0, 0)


def test_the_sweep_closes_what_is_over_once(tx: Tx, card: Any) -> None:
    held = hold(card, 70)
    card.apply(tx, [held])
    assert service.time_out_holds(tx, END - MINUTE) == 0
    assert service.time_out_holds(tx, END) == 1
    assert service.time_out_holds(tx, END) == 0
    assert standing(tx, card, END) == (100, 100, 0)
    (late,) = card.apply(tx, [capture(card, held, time=NOON + MINUTE)], END + MINUTE)
    assert late.reason == "hold_timed_out", "the sweep has given the points back"


def test_a_capture_in_time_that_arrives_late_counts_until_the_end_is_booked(
    tx: Tx, card: Any
) -> None:
    held = hold(card, 70)
    card.apply(tx, [held])
    (done,) = card.apply(tx, [capture(card, held, time=END - MINUTE)], END + DAY)
    assert done.points == -70
    assert standing(tx, card, END + DAY) == (30, 30, 0)


@pytest.mark.parametrize("ends_by", ["capture", "release", "sweep", "event", "expiry sweep"])
def test_what_is_held_expires_only_when_it_is_let_go(
    tx: Tx, open_shop: Any, history: Any, ends_by: str
) -> None:
    shop = open_shop(tx, expiration=[{"kind": "rolling", "days": 30}], hold_minutes=3 * 24 * 60)
    deadline = datetime(2026, 7, 2, tzinfo=UTC)
    eve = deadline - DAY
    held = hold(shop, 70, eve)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), held], eve)
    assert sweep(tx, shop, deadline) == 30, "what is not held goes"
    assert standing(tx, shop, deadline) == (70, 0, 70)
    assert sweep(tx, shop, deadline + DAY) == 0
    over = eve + 3 * DAY
    if ends_by == "capture":
        shop.apply(tx, [capture(shop, held, 50, deadline + DAY)], deadline + DAY)
    elif ends_by == "release":
        shop.apply(tx, [release(shop, held, deadline + DAY)], deadline + DAY)
    elif ends_by == "sweep":
        assert service.time_out_holds(tx, over) == 1
    elif ends_by == "event":
        shop.apply(tx, [shop.redeem("C1", 10, over)], over)
    else:
        assert [w.points for w in service.dry_run(tx, shop.merchant_id, over)] == [70]
        assert sweep(tx, shop, over) == 70
    left = 20 if ends_by == "capture" else 70
    assert history(tx, shop)[-1][2:] == ("points_expired", -left, 0, deadline)
    assert standing(tx, shop, over) == (0, 0, 0)


@pytest.mark.parametrize("ends_by", ["release", "sweep", "event", "expiry sweep"])
def test_a_hold_outlives_a_period_of_inactivity_alone(
    tx: Tx, open_shop: Any, history: Any, ends_by: str
) -> None:
    shop = open_shop(tx, inactivity_days=10, hold_minutes=3 * 24 * 60)
    deadline = datetime(2026, 6, 12, tzinfo=UTC)
    eve = deadline - DAY
    held = hold(shop, 70, eve)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), held], eve)
    assert sweep(tx, shop, deadline) == 30
    # A new period begins with new points: it is not that of those which are held.
    shop.apply(tx, [shop.earn("C1", 5, deadline + DAY)], deadline + DAY)
    over = eve + 3 * DAY
    if ends_by == "release":
        shop.apply(tx, [release(shop, held, over - MINUTE)], over - MINUTE)
    elif ends_by == "sweep":
        service.time_out_holds(tx, over)
    elif ends_by == "event":
        (refused,) = shop.apply(tx, [shop.redeem("C1", 6, over)], over)
        assert refused.reason == "insufficient_points"
    else:
        assert sweep(tx, shop, over) == 70
    assert history(tx, shop)[-1][2:] == ("points_expired", -70, 5, deadline)
    assert standing(tx, shop, over) == (5, 5, 0)


def test_a_clawback_leaves_what_is_held_and_what_is_owed_is_not_spendable(
    tx: Tx, card: Any
) -> None:
    purchase = card.earn("C1", 50)
    held = hold(card, 120)
    card.apply(tx, [purchase, held, card.void(purchase)])
    # 30 were free and are gone; 20 are owed, and 120 held.
    assert standing(tx, card) == (100, 0, 120)
    outcomes = card.apply(tx, [release(card, held), card.redeem("C1", 101), card.earn("C1", 20)])
    assert told(outcomes) == [0, "insufficient_points", 20]
    assert standing(tx, card) == (120, 120, 0), "the next credit paid the debt"


def test_a_capture_waits_for_its_hold_and_follows_it(tx: Tx, card: Any) -> None:
    held = hold(card, 70)
    early = capture(card, held)
    assert told(card.apply(tx, [early])) == ["waits"]
    applied = card.applied(tx, [held])
    assert applied.wakes == {(card.merchant_id, f"event:test/{held.event_id}")}


def test_the_end_of_a_refused_hold_has_nothing_to_do(tx: Tx, card: Any) -> None:
    held = hold(card, 700)
    refused, captured, released = card.apply(tx, [held, capture(card, held), release(card, held)])
    assert (refused.reason, captured.reason) == ("insufficient_points", "hold_refused")
    assert released.noted == "nothing_to_reverse"


def test_only_a_hold_is_captured(tx: Tx, card: Any) -> None:
    earned = card.earn("C1", 5)
    (_, refused) = card.apply(tx, [earned, capture(card, earned)])
    assert refused.reason == "not_a_hold"
    held = hold(card, 5)
    other = card.event("hold_captured", NOON, card="C2", related_event=held.event_id)
    outcomes = card.apply(tx, [card.enrol("C2"), held, other])
    assert told(outcomes)[-1] == "other_card"


def test_the_end_of_what_is_no_hold_is_refused_alike_when_that_was_refused(
    tx: Tx, card: Any, apply: Any
) -> None:
    redeemed = card.redeem("C1", 700)
    events = [redeemed, capture(card, redeemed), release(card, redeemed)]
    assert told(apply(tx, card, events)) == ["insufficient_points", "not_a_hold", "not_a_hold"]


def test_a_card_out_of_use_neither_holds_nor_captures_but_lets_go(tx: Tx, card: Any) -> None:
    held = hold(card, 70)
    off = card.event("card_deactivated", NOON, card="C1")
    outcomes = card.apply(tx, [held, off, hold(card, 5), capture(card, held), release(card, held)])
    assert told(outcomes) == [0, 0, "card_inactive", "card_inactive", 0]
    assert standing(tx, card) == (100, 100, 0)


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE point_lots SET held = held + 1 WHERE held < remaining",
        "UPDATE point_lots SET held = 0",
        "UPDATE point_holds SET status = 'timed_out', closed_at = now()",
        "UPDATE point_holds SET points = points + 1",
        "UPDATE point_holds SET expires_at = expires_at + interval '1 day'",
        "UPDATE point_hold_lots SET points = 1",
        "DELETE FROM point_holds",
        "UPDATE point_lots SET held = remaining + 1",
    ],
)
def test_the_database_keeps_holds_and_lots_together(tx: Tx, card: Any, forbidden: str) -> None:
    card.apply(tx, [hold(card, 70)])
    assert standing(tx, card) == (100, 30, 70)

    def change() -> None:
        with tx.begin_nested():
            tx.execute(text(forbidden))
            tx.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))

    with pytest.raises(DBAPIError):
        change()


def test_a_closed_hold_stays_closed(tx: Tx, card: Any) -> None:
    held = hold(card, 70)
    card.apply(tx, [held, release(card, held)])
    with pytest.raises(DBAPIError, match="closed once"), tx.begin_nested():
        tx.execute(
            text("UPDATE point_holds SET status='open', closed_at=NULL, closed_inbox_id=NULL")
        )


# --- beside one another -----------------------------------------------------------------------------


def together(*works: Any) -> list[Any]:
    barrier = Barrier(len(works), timeout=PATIENCE)

    def start(work: Any) -> Any:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [f.result(PATIENCE) for f in [pool.submit(start, work) for work in works]]


def test_races_over_one_card_have_one_winner_each(engine: Engine, open_shop: Any) -> None:
    """Two holds of the last points; a hold captured twice; a capture beside the time-out."""
    with transaction(engine) as tx:
        shop = open_shop(tx)
        shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])

    def applies(event: Any, now: datetime = NOON) -> Any:
        def work() -> Any:
            with transaction(engine) as tx:
                return told(shop.apply(tx, [event], now))[0]

        return work

    def times_out() -> int:
        with transaction(engine) as tx:
            return service.time_out_holds(tx, END)

    for _ in range(3):
        first, second = hold(shop, 80), hold(shop, 80)
        outcomes = together(applies(first), applies(second))
        assert sorted(map(str, outcomes)) == ["0", "insufficient_points"]
        won = first if outcomes[0] == 0 else second
        twice = together(applies(capture(shop, won, 10)), applies(capture(shop, won, 10)))
        assert sorted(map(str, twice)) == ["-10", "hold_captured"]
        with transaction(engine) as tx:
            shop.apply(tx, [shop.adjust("C1", 10)])
        raced = hold(shop, 100)
        assert applies(raced)() == 0
        # As of its time the capture is in time: it wins, or the sweep had booked the end.
        captured, closed = together(applies(capture(shop, raced, 40, END - MINUTE), END), times_out)
        assert (captured, closed) in [(-40, 0), ("hold_timed_out", 1)]
        with transaction(engine) as tx:
            assert service.check_invariants(tx) == []
            left = standing(tx, shop, END)
            assert left == ((60, 60, 0) if captured == -40 else (100, 100, 0))
            if captured == -40:
                shop.apply(tx, [shop.adjust("C1", 40)])
