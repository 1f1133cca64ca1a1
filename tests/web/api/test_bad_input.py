"""What a till must never get through: each is refused by a name, and leaves cards and books as they were."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from tests.web.till import CARD, NOW, Till

OTHER: Final = "4006381333948"

# What is asked of which card, as which event, and the name and field of its refusal.
BAD: Final[dict[str, tuple[str, str, dict[str, Any], str, str | None]]] = {
    "a void of a void": (CARD, "void", {"related_event": "void-1"}, "not_voidable", None),
    "a void of a redemption of another card": (
        OTHER,
        "void",
        {"related_event": "mug-1"},
        "other_card",
        None,
    ),
    "a void twice": (CARD, "void", {"related_event": "sale-2"}, "already_voided", None),
    "a void of more than there was": (
        CARD,
        "void",
        {"related_event": "sale-1", "points": 51},
        "void_exceeds_original",
        None,
    ),
    "more than can be spent": (CARD, "redeem", {"points": 51}, "insufficient_points", None),
    "a hold of more than can be spent": (CARD, "hold", {"points": 51}, "insufficient_points", None),
    "a capture of what is no hold": (
        CARD,
        "capture",
        {"related_event": "sale-1"},
        "not_a_hold",
        None,
    ),
    "an unknown card": ("0000", "earn", {"points": 5}, "card_unknown", None),
    "the card of another": (
        CARD,
        "earn",
        {"points": 5, "customer_id": "u-43"},
        "customer_mismatch",
        None,
    ),
    "negative points": (CARD, "earn", {"points": -5}, "not_positive", "data.points"),
    "a redemption of negative points": (
        CARD,
        "redeem",
        {"points": -5},
        "not_positive",
        "data.points",
    ),
    "points beyond what a number holds": (
        CARD,
        "earn",
        {"points": 2**53},
        "integer_out_of_range",
        "data.points",
    ),
    "an adjustment by nothing": (
        CARD,
        "adjust",
        {"points": 0, "reason": "so"},
        "zero",
        "data.points",
    ),
    "an adjustment without a reason": (
        CARD,
        "adjust",
        {"points": 1},
        "missing_field",
        "data.reason",
    ),
}


@pytest.fixture
def shop(till: Till) -> Till:
    """Two cards: of 10 points by enrolment each; the first earned 50, of which 10 are spent, and 5 were voided."""
    till.enrol()
    till.enrol(OTHER, "u-43")
    for path, data, id_ in (
        ("earn", {"points": 50}, "sale-1"),
        ("earn", {"points": 5}, "sale-2"),
        ("redeem", {"points": 10}, "mug-1"),
        ("void", {"related_event": "sale-2"}, "void-1"),
    ):
        assert till.send(f"/{CARD}/{path}", data, id=id_).status_code == 200
    return till


def books(till: Till) -> list[Any]:
    """All of cards, lots, holds and the ledger."""
    tables = ("cards", "loyalty_transactions", "point_lots", "lot_allocations", "point_holds")
    return [
        till.api.rows(f"SELECT t::text FROM {table} t ORDER BY 1")
        for table in (*tables, "ledger_transfers", "loyalty_refunds", "earnings")
    ]


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_by_its_name_and_changes_nothing(shop: Till, name: str) -> None:
    card, path, data, code, field = BAD[name]
    before = books(shop)
    for _ in range(2):
        answer = shop.send(f"/{card}/{path}", data, id="bad-1")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error.get("field")) == (422, code, field)
        assert error["message"]
    assert books(shop) == before
    assert shop.books_agree()


def test_a_date_in_the_future_is_refused_by_its_name_and_changes_nothing(shop: Till) -> None:
    before = books(shop)
    ahead = shop.send(f"/{CARD}/earn", {"points": 5}, id="bad-1", time=NOW + timedelta(hours=1))
    assert (ahead.status_code, ahead.json()["error"]["code"]) == (422, "time_in_future")
    assert books(shop) == before
