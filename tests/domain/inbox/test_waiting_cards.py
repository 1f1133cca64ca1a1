"""Points for a card that is not there yet: they wait for its enrolment, for an hour, and are lost in no order."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain import clock
from domain.audit.service import Actor
from domain.db import transaction
from domain.inbox import service as inbox
from domain.loyalty import service as loyalty
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import JUNE, event, merchant, read, rows, said, send, send_one_by_one
from tests.domain.loyalty.test_concurrency import together

HOUR = timedelta(hours=1)
SEND = pytest.mark.parametrize("deliver", [send, send_one_by_one], ids=["one batch", "one by one"])


def open_shop(db: Any) -> int:
    with transaction(db) as tx:
        acme = merchant(tx)
        loyalty.create_program(tx, acme, "p", name="P", currency="eur", backdating_days=3650)
        return acme


def enrol(card: str = "C1") -> str:
    return event("loyalty.card_created", f"enrol-{card}", card=card, customer_id=f"of-{card}")


def earn(id: str, points: int = 10, card: str = "C1", minutes: int = 1) -> str:
    at = JUNE + timedelta(minutes=minutes)
    return event("loyalty.points_earned", id, at, card=card, points=points)


def redeem(id: str, points: int, minutes: int = 2) -> str:
    at = JUNE + timedelta(minutes=minutes)
    return event("loyalty.points_redeemed", id, at, card="C1", points=points)


def standing(db: Any) -> dict[str, str]:
    told = rows(db, "SELECT event_id, status, reason FROM inbox_events ORDER BY id")
    return {id_: status + (f":{reason}" if reason else "") for id_, status, reason in told}


def points(db: Any) -> int:
    with transaction(db) as tx:
        assert loyalty.check_invariants(tx) == []
        return int(
            tx.execute(text("SELECT coalesce(sum(points_balance), 0) FROM cards")).scalar_one()
        )


def swept(db: Any) -> tuple[int, int | None]:
    with transaction(db) as tx:
        return inbox.recheck_waiting(tx)


@SEND
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_in_any_order_an_enrolment_and_what_follows_it_give_the_same(
    db: Rolled, deliver: Any, order: tuple[int, ...]
) -> None:
    open_shop(db)
    events = [enrol(), earn("e1", 60), redeem("r1", 50), earn("e2", 5, minutes=3)]
    deliver(db, *(events[i] for i in order))
    found = standing(db)
    if order.index(1) > max(order.index(0), order.index(2)):
        # When the redemption's turn came, the points had not arrived.
        assert found.pop("r1") == "rejected:insufficient_points"
        assert points(db) == 65
    else:
        assert points(db) == 15
    assert set(found.values()) == {"applied"}


def test_what_waits_says_for_which_card(db: Rolled) -> None:
    open_shop(db)
    assert said(send(db, earn("e1"), earn("e1"))) == ["waiting:waits_for_card", "duplicate"]
    assert rows(db, "SELECT correlation FROM inbox_events") == [("card:C1",)]
    assert said(send(db, enrol("C2"))) == ["applied"], "another card's enrolment is none of its"
    assert swept(db) == (0, None)
    assert said(send(db, enrol())) == ["applied"]
    assert standing(db)["e1"] == "applied"
    assert rows(db, "SELECT count(*) FROM inbox_events WHERE correlation IS NOT NULL") == [(0,)]


def test_a_refused_enrolment_leaves_them_waiting(db: Rolled) -> None:
    open_shop(db)
    send(db, earn("e1"))
    wrong = event("loyalty.card_created", "x", card="C1", customer_id="ada", program="nope")
    assert said(send(db, wrong)) == ["rejected:program_unknown"]
    assert standing(db)["e1"] == "waiting:waits_for_card"


def test_after_an_hour_it_is_refused_and_counts_when_it_comes_again(engine: Engine) -> None:
    open_shop(engine)
    with transaction(engine) as tx:
        start = clock.business_now(tx)
    send(engine, earn("e1"))
    for later, status in (
        (HOUR - timedelta(minutes=1), "waiting:waits_for_card"),
        (HOUR + timedelta(minutes=1), "rejected:card_unknown"),
    ):
        with transaction(engine) as tx:
            tx.execute(text("UPDATE inbox_events SET received_at = :at"), {"at": start - later})
        swept(engine)
        assert standing(engine)["e1"] == status
    assert said(send(engine, earn("e1"))) == ["rejected:card_unknown"], "it does not wait anew"
    send(engine, enrol())
    assert said(send(engine, earn("e1"))) == ["applied"]
    assert points(engine) == 10


def test_who_waits_for_the_answer_is_refused_at_once(db: Rolled) -> None:
    open_shop(db)
    with transaction(db) as tx:
        [told] = inbox.apply(tx, read(earn("e1")), at_once=True)
        assert told.reason == "card_unknown"
        number = tx.execute(text("SELECT id FROM inbox_events")).scalar_one()
        [again] = inbox.retry(tx, [number], actor=Actor("person", "ada"))
        assert again.reason == "card_unknown"


def test_earns_that_race_their_enrolment_need_no_sweep(engine: Engine) -> None:
    open_shop(engine)
    for n in range(24):
        card = f"R{n}"
        acts = [
            [enrol(card)],
            [earn(f"{card}/1", 10, card)],
            [earn(f"{card}/2", 10, card), earn(f"{card}/x", 1, f"U{n}")],
            [earn(f"{card}/3", 10, card)],
        ]
        together(4, lambda i, acts=acts: send(engine, *acts[i]))
    found = standing(engine)
    late = {id_: status for id_, status in found.items() if "/x" not in id_}
    assert set(late.values()) == {"applied"}, found
    assert points(engine) == 24 * 30


def test_a_sweep_that_races_the_enrolment_books_each_once(engine: Engine) -> None:
    open_shop(engine)
    for n in range(24):
        card = f"R{n}"
        send(engine, earn(f"{card}/1", 10, card), earn(f"{card}/2", 10, card))
        acts = [lambda card=card: send(engine, enrol(card)), lambda: swept(engine)]
        together(3, lambda i, acts=acts: acts[min(i, 1)]())
    assert set(standing(engine).values()) == {"applied"}
    assert points(engine) == 24 * 20
