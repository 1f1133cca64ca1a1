"""What a person says of an event that was too fast: it is applied once, or refused for good, or undone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Forbidden
from domain.inbox import service as inbox
from domain.loyalty import service as loyalty
from domain.loyalty.service import velocity_desk as desk
from tests.domain.inbox.shop import event, merchant, send
from tests.payspool.cli.test_cards import loyal

ADA = Actor("person", "ada")


@pytest.fixture
def shop(engine: Engine) -> int:
    """A card, in a program where an earn or a redemption beyond the first of a card is too fast."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        loyalty.create_program(
            tx, acme, "p", name="P", currency="eur", backdating_days=3650, hold_minutes=1440
        )
    send(engine, loyal("card_created", "c", card="C1", customer_id="ada"))
    return acme


def limit(engine: Engine, shop: int, then: str) -> None:
    limits = [
        {"per": "card", "what": what, "minutes": 60, "count": 1, "then": then}
        for what in ("earn", "redeem")
    ]
    with transaction(engine) as tx:
        desk.set_policy(tx, shop, None, limits, actor=ADA)


def earn(engine: Engine, id: str, points: int = 10, **data: Any) -> Any:
    [told] = send(engine, loyal("points_earned", id, card="C1", points=points, **data))
    return told


def balance(engine: Engine) -> int:
    with transaction(engine) as tx:
        assert loyalty.check_invariants(tx) == []
        return int(tx.execute(text("SELECT points_balance FROM cards")).scalar_one())


def newest(engine: Engine, shop: int) -> int:
    with transaction(engine) as tx:
        return int(desk.cases(tx, shop, limit=1)[0].id)


def settle(engine: Engine, shop: int, how: str, case: int) -> inbox.Settled:
    act = inbox.release_case if how == "release" else inbox.reject_case
    with transaction(engine) as tx:
        return act(tx, shop, case, actor=ADA, reason="looked at it")


def test_a_held_event_is_applied_once_when_it_is_released(engine: Engine, shop: int) -> None:
    limit(engine, shop, "hold")
    earn(engine, "1")
    assert (earn(engine, "2").reason, balance(engine)) == ("velocity_held", 10)
    assert earn(engine, "2").status == "duplicate", "a replay changes nothing"
    assert balance(engine) == 10
    done = settle(engine, shop, "release", newest(engine, shop))
    assert (done.status, balance(engine)) == ("applied", 20)
    assert earn(engine, "2").status == "duplicate"
    with pytest.raises(Forbidden, match="was released by ada"):
        settle(engine, shop, "reject", done.case)
    assert earn(engine, "3").reason == "velocity_held", "what a person let through does not count"
    assert balance(engine) == 20
    with transaction(engine) as tx:
        made = inbox.status(tx, shop, "shop", "2")
        assert made is not None
        assert made["made"]["velocity_cases"][0]["outcome"] == "released"


def test_what_is_rejected_stays_so_whatever_is_tried(engine: Engine, shop: int) -> None:
    limit(engine, shop, "hold")
    earn(engine, "1")
    earn(engine, "2")
    done = settle(engine, shop, "reject", newest(engine, shop))
    assert done.reason == "velocity_rejected"
    limit(engine, shop, "flag")
    with transaction(engine) as tx:
        number = tx.execute(text("SELECT id FROM inbox_events WHERE event_id = '2'")).scalar_one()
        [again] = inbox.retry(tx, [number], actor=ADA)
    assert (again.status, again.reason) == ("rejected", "velocity_rejected")
    assert balance(engine) == 10


def test_a_retry_does_not_release(engine: Engine, shop: int) -> None:
    limit(engine, shop, "hold")
    earn(engine, "1")
    earn(engine, "2")
    limit(engine, shop, "flag")
    with transaction(engine) as tx:
        number = tx.execute(text("SELECT id FROM inbox_events WHERE event_id = '2'")).scalar_one()
        [again] = inbox.retry(tx, [number], actor=ADA)
    assert (again.reason, balance(engine)) == ("velocity_held", 10)


def test_of_eight_decisions_beside_each_other_one_counts(engine: Engine, shop: int) -> None:
    limit(engine, shop, "hold")
    earn(engine, "1")
    earn(engine, "2")
    case = newest(engine, shop)

    def decide(n: int) -> str:
        try:
            return settle(engine, shop, "release" if n % 2 else "reject", case).outcome
        except Forbidden:
            return "too late"

    with ThreadPoolExecutor(8) as pool:
        told = sorted(pool.map(decide, range(8)))
    assert told.count("too late") == 7
    assert balance(engine) == (20 if "released" in told else 10)


def test_a_release_that_the_rules_refuse_says_so(engine: Engine, shop: int) -> None:
    limit(engine, shop, "hold")
    earn(engine, "1")
    earn(engine, "2")
    send(engine, loyal("card_deactivated", "d", card="C1"))
    done = settle(engine, shop, "release", newest(engine, shop))
    assert (done.outcome, done.status, done.reason) == ("released", "rejected", "card_inactive")
    assert balance(engine) == 10


def test_a_flagged_earn_that_is_rejected_is_voided(engine: Engine, shop: int) -> None:
    limit(engine, shop, "flag")
    earn(engine, "1")
    assert (earn(engine, "2").status, balance(engine)) == ("applied", 20)
    done = settle(engine, shop, "reject", newest(engine, shop))
    assert (done.status, done.undone_by, balance(engine)) == ("applied", f"case-{done.case}", 10)


def test_a_flagged_redemption_that_is_rejected_gives_its_points_back(
    engine: Engine, shop: int
) -> None:
    limit(engine, shop, "flag")
    earn(engine, "1", 100)
    for n in ("2", "3"):
        send(engine, loyal("points_redeemed", n, card="C1", points=30))
    done = settle(engine, shop, "reject", newest(engine, shop))
    assert (done.status, balance(engine)) == ("applied", 70)


def test_a_flagged_hold_that_is_rejected_is_let_go(engine: Engine, shop: int) -> None:
    limit(engine, shop, "flag")
    earn(engine, "1", 100)
    now = datetime.now(UTC).replace(minute=0)
    for n in ("2", "3"):
        send(engine, event("loyalty.points_held", n, now, card="C1", points=30))
    assert settle(engine, shop, "reject", newest(engine, shop)).status == "applied"
    with transaction(engine) as tx:
        states = list(tx.execute(text("SELECT status FROM point_holds ORDER BY id")).scalars())
    assert states == ["open", "released"]


def test_a_flag_that_is_released_leaves_what_was_booked(engine: Engine, shop: int) -> None:
    limit(engine, shop, "flag")
    earn(engine, "1")
    earn(engine, "2")
    settle(engine, shop, "release", newest(engine, shop))
    assert balance(engine) == 20


def test_a_refund_of_a_held_earn_reverses_nothing_until_it_is_released(
    engine: Engine, shop: int
) -> None:
    limit(engine, shop, "hold")
    earn(engine, "1")
    earn(engine, "2", 10, order_reference="o2", purchase_amount=1000)
    refund = {"card": "C1", "order_reference": "o2", "refund_id": "r", "amount": 500}
    [told] = send(engine, loyal("purchase_refunded", "3", **refund))
    assert told.status == "applied"
    assert balance(engine) == 10
    settle(engine, shop, "release", newest(engine, shop))
    assert balance(engine) == 15


def test_a_flagged_redemption_of_stamps_that_is_rejected_gives_them_back_once(
    engine: Engine, shop: int
) -> None:
    with transaction(engine) as tx:
        loyalty.change_program(
            tx,
            shop,
            "p",
            datetime.now(UTC),
            kind="hybrid",
            stamp_target=2,
            stamp_cooldown_minutes=0,
            stamp_daily_limit=None,
        )
    send(engine, loyal("stamp_earned", "s", card="C1", stamps=7))
    limit(engine, shop, "flag")
    for n in ("1", "2"):
        send(engine, loyal("stamp_redeemed", n, card="C1"))
    assert stamps(engine) == 3
    done = settle(engine, shop, "reject", newest(engine, shop))
    assert (done.status, done.undone_by, stamps(engine)) == ("applied", f"case-{done.case}", 5)
    assert f"the event case-{done.case} that undoes it is applied" in done.sentence
    with transaction(engine) as tx:
        last = loyalty.history(tx, shop, "C1", limit=1)
        assert last is not None
        assert (last[0].type, last[0].stamps) == ("stamp_adjustment", 2)
        assert last[0].reason == f"given back: velocity case {done.case} was rejected"
    with pytest.raises(Forbidden):
        settle(engine, shop, "reject", done.case)
    assert stamps(engine) == 5


def stamps(engine: Engine) -> int:
    with transaction(engine) as tx:
        assert loyalty.check_invariants(tx) == []
        return int(tx.execute(text("SELECT stamps_balance FROM cards")).scalar_one())


def test_a_flagged_hold_that_was_captured_since_is_voided_when_it_is_rejected(
    engine: Engine, shop: int
) -> None:
    limit(engine, shop, "flag")
    earn(engine, "1", 100)
    now = datetime.now(UTC).replace(minute=0)
    for n in ("2", "3"):
        send(engine, event("loyalty.points_held", n, now, card="C1", points=30))
    send(engine, event("loyalty.hold_captured", "4", now, card="C1", related_event="3"))
    assert balance(engine) == 70
    done = settle(engine, shop, "reject", newest(engine, shop))
    assert (done.status, done.undone_by) == ("applied", f"case-{done.case}-capture")
    assert balance(engine) == 100
    with transaction(engine) as tx:
        assert tx.execute(text("SELECT sum(held) FROM point_lots")).scalar() == 30
