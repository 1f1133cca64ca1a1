"""A poison event that waited dies alone, and never the event that wakes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from domain.db import transaction
from domain.loyalty import service as loyalty
from tests.domain.inbox.shop import (
    PERCENTAGE,
    assert_whole,
    balance,
    conversion,
    event,
    open_shop,
    read,
    refund,
    rows,
    scalar,
    standing,
)
from tests.workers.poisoning import cure, poison, runtime
from workers.failures import is_infrastructure
from workers.ingest import apply


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """What is logged (and not rendered: a traceback with its variables takes seconds)."""
    with capture_logs() as lines:
        yield lines


def test_a_poison_event_that_waited_dies_and_not_the_event_that_wakes_it(
    engine: Engine, owner: Engine, logged: list[Any]
) -> None:
    open_shop(engine, PERCENTAGE)
    poison(owner, "tracking_reversals", "NEW.amount = 666", "RAISE EXCEPTION 'cursed'")
    rt = runtime(engine)
    apply(rt, read(refund("o1", 100, id_="r0"), refund("o1", 666), refund("o2", 100)))
    apply(rt, read(conversion("o1"), conversion("o2", "u2"), conversion("o3", "u3")))
    expected = {
        "o1/r0": "applied",
        "o1/r1": "dead:bug",
        "o2/r1": "applied",
        "o1/paid": "applied",
        "o2/paid": "applied",
        "o3/paid": "applied",
    }
    assert standing(engine) == expected
    assert rows(
        engine, "SELECT event_id, detail, correlation FROM inbox_events WHERE status = 'dead'"
    ) == [("o1/r1", "RaiseException: cursed", None)]
    assert balance(engine) == 3_000 - 20
    assert [line["event"] for line in logged] == ["event.dead"]

    apply(rt, read(refund("o1", 200, id_="r2")))
    assert standing(engine) == expected | {"o1/r2": "applied"}
    cure(owner, "tracking_reversals")
    apply(rt, read(refund("o1", 666)))
    assert set(standing(engine).values()) == {"applied"}
    assert balance(engine) == 3_000 - 20 - 20 - 67
    assert_whole(engine)


@pytest.mark.parametrize("poisoned", [{0}, {2, 6}, set(range(8))], ids=str)
def test_every_poison_event_among_many_that_waited_is_found(
    engine: Engine, owner: Engine, poisoned: set[int]
) -> None:
    open_shop(engine, PERCENTAGE)
    poison(owner, "tracking_reversals", "NEW.amount = 666", "RAISE EXCEPTION 'cursed'")
    rt = runtime(engine)
    apply(rt, read(*(refund("o1", 666 if i in poisoned else 100, id_=f"r{i}") for i in range(8))))
    apply(rt, read(conversion("o1")))
    assert standing(engine) == {"o1/paid": "applied"} | {
        f"o1/r{i}": "dead:bug" if i in poisoned else "applied" for i in range(8)
    }
    assert balance(engine) == 1_000 - 10 * (8 - len(poisoned))
    assert_whole(engine)


def test_a_poison_void_that_waited_dies_and_not_its_original(engine: Engine, owner: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    with transaction(engine) as tx:
        loyalty.create_program(tx, acme, "points", name="Points", currency="eur")
    poison(owner, "loyalty_transactions", "NEW.notes = 'cursed'", "RAISE EXCEPTION 'cursed'")
    rt = runtime(engine)
    now = datetime.now(UTC)
    void, of_sale = "loyalty.points_voided", {"card": "K1", "related_event": {"id": "sale"}}
    apply(rt, read(event("loyalty.card_created", "card", now, card="K1", customer_id="u1")))
    apply(
        rt,
        read(
            event(void, "poison", now, **of_sale, points=1, notes="cursed"),
            event(void, "good", now, **of_sale, points=2),
        ),
    )
    apply(rt, read(event("loyalty.points_earned", "sale", now, card="K1", points=100)))
    assert standing(engine) == {
        "card": "applied",
        "sale": "applied",
        "poison": "dead:bug",
        "good": "applied",
    }
    assert scalar(engine, "SELECT points_balance FROM cards") == 98
    assert_whole(engine)


def test_a_poison_event_dies_alone_and_what_waits_for_it_waits_on(
    engine: Engine, owner: Engine
) -> None:
    open_shop(engine, PERCENTAGE)
    poison(owner, "trackings", "true", "RAISE EXCEPTION 'cursed'")
    rt = runtime(engine)
    apply(rt, read(refund("o1", 100)))
    apply(rt, read(conversion("o1")))
    assert standing(engine) == {"o1/r1": "waiting:waits_for_conversion", "o1/paid": "dead:bug"}
    cure(owner, "trackings")
    apply(rt, read(conversion("o1")))
    assert set(standing(engine).values()) == {"applied"}
    assert balance(engine) == 990


def test_a_connection_that_breaks_at_an_event_that_waited_kills_none(
    engine: Engine, owner: Engine
) -> None:
    open_shop(engine, PERCENTAGE)
    poison(owner, "tracking_reversals", "true", "PERFORM pg_terminate_backend(pg_backend_pid())")
    rt = runtime(engine)
    apply(rt, read(refund("o1", 100)))
    with pytest.raises((DBAPIError, psycopg.Error)) as raised:
        apply(rt, read(conversion("o1")))
    assert is_infrastructure(raised.value)
    assert standing(engine) == {"o1/r1": "waiting:waits_for_conversion"}
