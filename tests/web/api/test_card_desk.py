"""A desk merges cards, restores points and sees what can be redeemed, over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain import clock
from domain.access import service as access
from domain.db import transaction
from domain.loyalty import service as loyalty
from domain.loyalty.service import shops
from tests.web.conftest import ACTOR
from tests.web.till import CARD, Till

OTHER = "4006381333948"


@pytest.fixture
def till(till: Till) -> Till:
    """A till at a desk, whose key may also do what an administrator does."""
    with transaction(till.api.engine) as tx:
        scopes = ["loyalty:write", "loyalty:read", "loyalty:admin"]
        return Till(till.api, access.create(tx, till.api.merchant, "desk", scopes, actor=ACTOR))


def ask(till: Till, verb: str, card: str = CARD, **body: Any) -> Any:
    return till.post(f"/{card}/{verb}", json.dumps(body))


@pytest.mark.parametrize(
    ("verb", "body"),
    [("merge", {"into": OTHER, "reason": "r"}), ("restore", {"id": "t-1", "reason": "r"})],
)
def test_a_till_may_neither_merge_nor_restore(till: Till, verb: str, body: dict[str, str]) -> None:
    till.enrol()
    till.enrol(OTHER, "u-43")
    with transaction(till.api.engine) as tx:
        scopes = [s for s in access.SCOPES if s != "loyalty:admin"]
        key = access.create(tx, till.api.merchant, "till", scopes, actor=ACTOR)
        store = till.api.merchant
        shops.add_store(tx, store, "mitte", name="Mitte", actor=ACTOR)
        token = shops.add_device(tx, store, "mitte", "tablet-1", name="T", actor=ACTOR)
    refused = ask(Till(till.api, key), verb, **body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")
    assert "loyalty:admin" in refused.json()["error"]["message"]
    assert ask(Till(till.api, token), verb, **body).status_code == 401
    assert [till.card(number).json()["points"]["balance"] for number in (CARD, OTHER)] == [10, 10]


def test_a_card_is_merged_once_and_its_number_leads_on(till: Till) -> None:
    till.enrol()
    till.enrol(OTHER, "u-43")
    till.send(f"/{CARD}/earn", {"points": 70}, id="sale-1")
    said = {"into": OTHER, "reason": "one customer"}
    results = [
        ask(till, "merge", **said, dry_run=True),
        ask(till, "merge", **said),
        ask(till, "merge", **said),
    ]
    assert [(r.json()["result"], r.json()["points"], r.json()["balance"]) for r in results] == [
        ("would_merge", 80, 90),
        ("merged", 80, 90),
        ("already", 80, 90),
    ]
    spent = till.send(f"/{CARD}/redeem", {"points": 60}, id="mug")
    assert (spent.json()["card"], spent.json()["balance"]) == (OTHER, 30)
    assert till.card().json()["merged"] == [CARD]
    assert till.history()["transactions"][0]["explanation"] == {
        "rule": "merged_into",
        "card": OTHER,
    }
    assert till.books_agree()


def test_what_cannot_be_merged_or_restored_is_told_by_its_field(till: Till) -> None:
    till.enrol()
    nobody = ask(till, "merge", into=OTHER, reason="r")
    assert (nobody.status_code, nobody.json()["error"]["field"]) == (404, "into")
    itself = ask(till, "merge", into=CARD, reason="r")
    assert (itself.status_code, itself.json()["error"]["field"]) == (422, "into")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"into": OTHER}, "reason"),
        ({"into": OTHER, "reason": "r", "more": 1}, "more"),
    ]
    for body, field in wrong:
        answer = ask(till, "merge", **body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    nothing = ask(till, "restore", id="t-1", reason="r")
    assert (nothing.status_code, nothing.json()["error"]["field"]) == (422, "points")
    assert ask(till, "restore", OTHER, id="t-1", reason="r").status_code == 404


def test_what_can_be_redeemed_is_told_with_what_is_missing(till: Till) -> None:
    with transaction(till.api.engine) as tx:
        loyalty.change_program(
            tx,
            till.api.merchant.id,
            "points",
            clock.business_now(tx),
            rewards=[{"id": "mug", "description": "A mug", "points": 25}],
        )
    till.enrol()
    headers = {"Authorization": f"Bearer {till.key}"}
    answer = till.api.http.get(f"/v1/loyalty/cards/{CARD}/rewards", headers=headers).json()
    [mug] = answer["rewards"]
    assert (answer["spendable"], mug["available"], mug["missing_points"]) == (10, False, 15)
    absent = till.api.http.get(f"/v1/loyalty/cards/{OTHER}/rewards", headers=headers)
    assert absent.status_code == 404
