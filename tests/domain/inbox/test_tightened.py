"""A stored event that a newer version cannot read any more is its own misfortune, not its neighbours'."""

from typing import Any

import pytest
from sqlalchemy import text

from domain.db import transaction
from domain.inbox import service as inbox
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    PERCENTAGE,
    assert_whole,
    balance,
    conversion,
    open_shop,
    refund,
    rows,
    send,
    standing,
)

TIGHTENED: list[dict[str, Any]] = [
    {"data": '{"transaction_id": "o1", "refund_id": " r1", "full": true}'},
    {"data": '{"transaction_id": "o1", "refund_id": "r1", "amount": 5, "currency": "zzz"}'},
    {"data": '{"transaction_id": "o1"}'},
    {"type": "conversion.forgotten"},
]


def store_as_an_older_version_did(db: Rolled, event_id: str, change: dict[str, Any]) -> None:
    (column, value) = next(iter(change.items()))
    cast = "CAST(:value AS jsonb)" if column == "data" else ":value"
    with transaction(db) as tx:
        tx.execute(
            text(f"UPDATE inbox_events SET {column} = {cast} WHERE event_id = :id"),
            {"value": value, "id": event_id},
        )


@pytest.mark.parametrize("change", TIGHTENED, ids=str)
def test_its_conversion_is_applied_and_it_is_dead_with_a_sentence(
    db: Rolled, change: dict[str, Any]
) -> None:
    open_shop(db, PERCENTAGE)
    send(db, refund("o1", id_="r1"), refund("o1", 2_500, id_="r2"), refund("o2"))
    store_as_an_older_version_did(db, "o1/r1", change)
    send(db, conversion("o1"), conversion("o2"))
    assert standing(db) == {
        "o1/r1": "dead:no_longer_valid",
        "o1/r2": "applied",
        "o2/r1": "applied",
        "o1/paid": "applied",
        "o2/paid": "applied",
    }
    [(detail, correlation)] = rows(
        db, "SELECT detail, correlation FROM inbox_events WHERE status = 'dead'"
    )
    assert detail.startswith("This version cannot read the event that an older one stored (")
    assert detail.endswith("Correct it with `payspool events edit`.")
    assert correlation is None
    assert balance(db) == 750
    assert_whole(db)


@pytest.mark.parametrize("change", TIGHTENED, ids=str)
def test_the_sweep_goes_on_and_leaves_what_still_waits(db: Rolled, change: dict[str, Any]) -> None:
    open_shop(db, PERCENTAGE)
    send(db, refund("o1", id_="r1"), refund("o1", id_="r2"), refund("o2"))
    store_as_an_older_version_did(db, "o1/r1", change)
    with transaction(db) as tx:
        assert inbox.recheck_waiting(tx) == (1, None)
    assert standing(db) == {
        "o1/r1": "dead:no_longer_valid",
        "o1/r2": "waiting:waits_for_conversion",
        "o2/r1": "waiting:waits_for_conversion",
    }
    with transaction(db) as tx:
        assert inbox.recheck_waiting(tx) == (0, None)


def test_what_had_nothing_to_reverse_and_cannot_be_read_is_dead_once_its_conversion_counts(
    db: Rolled,
) -> None:
    """Else nobody would notice that a purchase was paid for which was given back."""
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1", by="NOBODY-1"), refund("o1"))
    assert standing(db)["o1/r1"] == "applied:nothing_to_reverse"
    store_as_an_older_version_did(db, "o1/r1", TIGHTENED[0])
    send(db, conversion("o1", id_="again"))
    assert standing(db)["o1/r1"] == "dead:no_longer_valid"
    assert balance(db) == 1_000
