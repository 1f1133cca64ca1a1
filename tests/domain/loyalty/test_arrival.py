"""Corrections through the inbox: out of order, twice, and at the same moment as what they correct."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.inbox import service as inbox
from domain.loyalty import service
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    JUNE,
    event,
    merchant,
    rows,
    said,
    send,
    send_one_by_one,
    standing,
    together,
)

SEND = pytest.mark.parametrize("deliver", [send, send_one_by_one], ids=["one batch", "one by one"])
HOUR = timedelta(hours=1)


@pytest.fixture
def db(tx: Tx) -> Rolled:
    """One connection as an engine, rolled back at the end, with a shop and Ada's card."""
    rolled = Rolled(tx)
    open_shop(rolled)
    return rolled


def open_shop(db: Any) -> None:
    with transaction(db) as tx:
        service.create_program(tx, merchant(tx), "beans", name="Beans", currency="eur")
    send(db, event("loyalty.card_created", "card", card="C1", customer_id="ada"))


def earn(id_: str, amount: int = 10_000, **data: Any) -> str:
    return event(
        "loyalty.points_earned", id_, card="C1", purchase_amount=amount, order_reference=id_, **data
    )


def void(of: str, id_: str, **data: Any) -> str:
    return event("loyalty.points_voided", id_, JUNE + HOUR, card="C1", related_event=of, **data)


def refund(order: str, id_: str, amount: int, **data: Any) -> str:
    return event(
        "loyalty.purchase_refunded",
        f"{order}/{id_}",
        JUNE + HOUR,
        order_reference=order,
        refund_id=id_,
        amount=amount,
        **data,
    )


def points(db: Any) -> int:
    with transaction(db) as tx:
        assert service.check_invariants(tx) == []
        return int(tx.execute(text("SELECT points_balance FROM cards")).scalar_one())


def awaited(db: Any) -> list[str]:
    return list(rows(db, "SELECT coalesce(awaits, '{}') FROM cards")[0][0])


@SEND
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_an_earn_and_its_void_and_its_refund_all_apply_in_any_order(
    db: Rolled, deliver: Any, order: tuple[int, ...]
) -> None:
    events = [earn("o1"), void("o1", "v", points=30), refund("o1", "r", 4_000, card="C1")]
    deliver(db, *(events[i] for i in order))
    assert set(standing(db).values()) == {"applied"}
    booked = [
        name
        for (name,) in rows(
            db,
            "SELECT i.event_id FROM loyalty_transactions t JOIN inbox_events i ON i.id = t.inbox_id"
            " WHERE t.type = 'points_voided' ORDER BY t.seq",
        )
    ]
    # A refund after the void finds 30 of its 40 points taken; a void after the refund takes its own 30.
    assert points(db) == (60 if booked == ["v", "o1/r"] else 30)
    assert awaited(db) == []


@SEND
def test_a_void_that_comes_first_follows_its_original(db: Rolled, deliver: Any) -> None:
    outcomes = deliver(db, void("o1", "v"), earn("o1"))
    assert said(outcomes)[1] == "applied"
    assert standing(db)["v"] == "applied"
    assert (points(db), awaited(db)) == (0, [])


def test_a_waiting_void_says_what_it_waits_for_and_a_copy_of_it_is_a_duplicate(db: Rolled) -> None:
    assert said(send_one_by_one(db, void("o1", "v"), void("o1", "v"))) == [
        "waiting:waits_for_original",
        "duplicate",
    ]
    assert awaited(db) == ["event:shop/o1"]
    assert rows(db, "SELECT correlation FROM inbox_events WHERE status = 'waiting'") == [
        ("event:shop/o1",)
    ]


def pause(db: Any, status: str) -> None:
    with transaction(db) as tx:
        tx.execute(text("UPDATE loyalty_programs SET status = :status"), {"status": status})


@SEND
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_corrects_a_refused_earn_has_nothing_to_reverse_in_any_order(
    db: Rolled, deliver: Any, order: tuple[int, ...]
) -> None:
    events = [earn("o1", 1), void("o1", "v"), refund("o1", "r", 1, card="C1")]
    deliver(db, *(events[i] for i in order))
    assert standing(db) == {
        "card": "applied",
        "o1": "rejected:no_points",
        "v": "applied:nothing_to_reverse",
        "o1/r": "applied:nothing_to_reverse",
    }
    with transaction(db) as tx:
        assert inbox.recheck_waiting(tx) == (0, None)
    assert points(db) == 0


@SEND
def test_a_refund_of_a_refused_earn_is_looked_at_again_when_the_order_earns_by_another_event(
    db: Rolled, deliver: Any
) -> None:
    corrected = event(
        "loyalty.points_earned", "o1b", card="C1", purchase_amount=10_000, order_reference="o1"
    )
    deliver(db, earn("o1", 1), void("o1", "v"), refund("o1", "r", 5_000, card="C1"), corrected)
    assert standing(db)["v"] == "applied:nothing_to_reverse"
    assert (standing(db)["o1/r"], points(db)) == ("applied", 50)
    assert awaited(db) == ["event:shop/o1"]


def test_what_no_card_can_remember_waits_though_its_earn_was_refused(db: Rolled) -> None:
    unknown = event("loyalty.points_earned", "o2", card="C2", purchase_amount=10_000)
    late = event("loyalty.points_voided", "v2", JUNE + HOUR, card="C2", related_event="o2")
    enrolled = event("loyalty.card_created", "second", card="C2", customer_id="ben")
    assert said(send_one_by_one(db, unknown, late, earn("o1", 1), refund("o1", "r", 1))) == [
        "waiting:waits_for_card",
        "waiting:waits_for_original",
        "rejected:no_points",
        "waiting:waits_for_original",
    ]
    send_one_by_one(db, enrolled)
    with transaction(db) as tx:
        assert inbox.recheck_waiting(tx)[1] is None
    assert standing(db)["v2"] == "applied"


def test_a_void_of_a_refused_earn_follows_once_that_is_accepted(
    db: Rolled,
) -> None:
    pause(db, "paused")
    assert said(send_one_by_one(db, earn("o1"), void("o1", "v"))) == [
        "rejected:program_inactive",
        "applied:nothing_to_reverse",
    ]
    pause(db, "active")
    # A pause was a decision: the replay leaves it, an operator's retry does not.
    assert said(send_one_by_one(db, earn("o1"))) == ["duplicate"]
    [(refused,)] = rows(db, "SELECT id FROM inbox_events WHERE event_id = 'o1'")
    with transaction(db) as tx:
        [retried] = inbox.retry(tx, [refused], actor=Actor("command", "tests"))
    assert retried.status == "applied"
    assert (standing(db)["v"], points(db)) == ("applied", 0)


def test_a_refund_that_names_no_card_is_taken_up_by_the_sweep_after_its_purchase(
    db: Rolled,
) -> None:
    assert said(send_one_by_one(db, refund("o1", "r", 5_000), earn("o1"))) == [
        "waiting:waits_for_original",
        "applied",
    ]
    assert points(db) == 100
    with transaction(db) as tx:
        assert inbox.recheck_waiting(tx) == (1, None)
    assert (points(db), standing(db)["o1/r"]) == (50, "applied")
    with transaction(db) as tx:
        assert inbox.recheck_waiting(tx) == (0, None)


def test_in_one_batch_a_refund_that_names_no_card_follows_its_purchase(db: Rolled) -> None:
    assert said(send(db, refund("o1", "r", 5_000), earn("o1"))) == ["applied", "applied"]
    assert points(db) == 50


def test_a_refund_of_which_nothing_is_left_to_take_says_so(db: Rolled) -> None:
    send(db, earn("o1"), void("o1", "v"))
    assert said(send(db, refund("o1", "r", 5_000))) == ["applied:nothing_to_reverse"]
    assert said(send(db, refund("o1", "r", 5_000), refund("o1", "r2", 5_000))) == [
        "duplicate",
        "applied:nothing_to_reverse",
    ]


def test_a_correction_applies_once_however_often_it_comes(db: Rolled) -> None:
    events = [earn("o1"), void("o1", "v", points=10), refund("o1", "r", 5_000)]
    send(db, *events, *events)
    send_one_by_one(db, *events, *events)
    assert points(db) == 50


def test_what_nobody_understands_of_a_void_is_named(db: Rolled) -> None:
    assert said(send_one_by_one(db, void("card", "v"), void("v", "w"))) == [
        "rejected:not_voidable",
        "rejected:not_voidable",
    ]


def test_voids_that_race_their_originals_lose_nothing(engine: Engine) -> None:
    open_shop(engine)
    names = [f"o{n}" for n in range(24)]
    for name in names:
        together(
            [
                lambda name=name: send(engine, void(name, f"{name}/v")),
                lambda name=name: send(engine, earn(name)),
                lambda name=name: send(engine, refund(name, "r", 5_000, card="C1")),
            ]
        )
    found = standing(engine)
    assert all(found[f"{name}/v"] == "applied" for name in names), found
    assert all(found[f"{name}/r"].startswith("applied") for name in names), found
    assert (points(engine), awaited(engine)) == (0, [])


def test_a_sweep_that_races_the_original_applies_the_void_once(engine: Engine) -> None:
    open_shop(engine)

    def sweep() -> None:
        with transaction(engine) as tx:
            inbox.recheck_waiting(tx)

    for n in range(24):
        send(engine, void(f"o{n}", f"v{n}"))
        together([lambda n=n: send(engine, earn(f"o{n}")), sweep, sweep])
    assert set(standing(engine).values()) == {"applied"}
    assert points(engine) == 0


def test_a_retry_of_a_refused_earn_that_races_its_void_and_refund_loses_neither(
    engine: Engine,
) -> None:
    open_shop(engine)
    names = [f"o{n}" for n in range(16)]
    pause(engine, "paused")
    send(engine, *(earn(name) for name in names))
    pause(engine, "active")
    ids = dict(rows(engine, "SELECT event_id, id FROM inbox_events"))

    def retry(name: str) -> None:
        with transaction(engine) as tx:
            inbox.retry(tx, [ids[name]], actor=Actor("command", "tests"))

    for name in names:
        together(
            [
                lambda name=name: retry(name),
                lambda name=name: send(engine, void(name, f"{name}/v", points=30)),
                lambda name=name: send(engine, refund(name, "r", 10_000, card="C1")),
            ]
        )
    found = standing(engine)
    assert all(found[name] == "applied" for name in names), found
    assert all(found[f"{name}/r"] == "applied" for name in names), found
    assert (points(engine), awaited(engine)) == (0, [])
