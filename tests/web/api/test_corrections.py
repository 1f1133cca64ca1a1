"""A till that takes back, corrects, and switches cards off and on, and is answered at once."""

from __future__ import annotations

from domain.db import transaction
from domain.loyalty import service as loyalty
from tests.web.till import CARD, NOW, Till


def test_a_void_and_an_adjustment_answer_with_the_balance_after_them(till: Till) -> None:
    till.enrol()
    till.send(f"/{CARD}/earn", {"points": 100}, id="sale-1")
    voided = till.send(
        f"/{CARD}/void", {"related_event": {"id": "sale-1"}, "points": 30}, id="void-1"
    )
    assert (voided.status_code, voided.json()["balance"]) == (200, 80)
    again = till.send(
        f"/{CARD}/void", {"related_event": {"id": "sale-1"}, "points": 71}, id="void-2"
    )
    assert (again.status_code, again.json()["error"]["code"]) == (422, "void_exceeds_original")
    adjusted = till.send(f"/{CARD}/adjust", {"points": -5, "reason": "a typing error"}, id="adj-1")
    assert adjusted.json()["balance"] == 75
    assert till.points()["balance"] == 75
    assert till.books_agree()


def test_a_void_that_comes_before_its_sale_waits_and_is_applied_with_it(till: Till) -> None:
    till.enrol()
    early = till.send(f"/{CARD}/void", {"related_event": {"id": "sale-1"}}, id="void-1")
    assert early.status_code == 202
    assert early.json()["event"] == {
        "source": "till-7",
        "id": "void-1",
        "type": "loyalty.points_voided",
        "status": "waiting",
        "reason": "waits_for_original",
    }
    till.send(f"/{CARD}/earn", {"points": 100}, id="sale-1")
    late = till.send(f"/{CARD}/void", {"related_event": {"id": "sale-1"}}, id="void-1")
    assert (late.status_code, late.json()["balance"]) == (200, 10)
    assert till.points()["balance"] == 10
    assert till.books_agree()


def test_a_deactivated_card_moves_nothing_until_it_is_reactivated(till: Till) -> None:
    till.enrol()
    off = till.send(f"/{CARD}/deactivate", {"reason": "lost"}, id="off-1")
    assert (off.status_code, off.json()["transactions"][0]["type"]) == (200, "card_deactivated")
    assert till.card().json()["status"] == "inactive"
    refused = till.send(f"/{CARD}/earn", {"points": 100}, id="sale-1")
    assert refused.json()["error"]["code"] == "card_inactive"
    assert till.send(f"/{CARD}/reactivate", {}, id="on-1").status_code == 200
    assert till.send(f"/{CARD}/earn", {"points": 100}, id="sale-2").json()["balance"] == 110


def test_a_type_of_stamps_is_taken_where_points_are_and_no_other(till: Till) -> None:
    with transaction(till.api.engine) as tx:
        loyalty.change_program(
            tx, till.api.merchant.id, "points", now=NOW, kind="hybrid", stamp_target=3
        )
    till.enrol()
    full = till.send(f"/{CARD}/earn", {"stamps": 3}, id="coffee-1", type="loyalty.stamp_earned")
    assert (full.json()["stamps_balance"], full.json()["balance"]) == (3, 10)
    spent = till.send(f"/{CARD}/redeem", {}, id="free-1", type="loyalty.stamp_redeemed")
    assert spent.json()["stamps_balance"] == 0
    wrong = till.send(f"/{CARD}/earn", {"points": 3}, id="x-1", type="loyalty.points_redeemed")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "mismatch")
    assert "'loyalty.points_earned' or 'loyalty.stamp_earned'" in wrong.json()["error"]["message"]
