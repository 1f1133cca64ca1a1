from __future__ import annotations

from typing import Any

from domain.db import transaction
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from tests.web.conftest import ACTOR
from tests.web.support import Api, conversion, event

FULL = {"full": True}


def test_an_applied_event_is_told_with_the_rows_that_it_made(own_api: Api) -> None:
    terms = Terms(rule={"kind": "percentage", "basis_points": 1000}, currency="eur")
    with transaction(own_api.engine) as tx:
        admin.create_program(tx, own_api.merchant.id, "friends", "Friends", terms, actor=ACTOR)
        codes = [NewCode("u-7", "REF-7K2M9Q")]
        admin.create_codes(tx, own_api.merchant.id, "friends", codes, actor=ACTOR)
    own_api.post(conversion(1))
    own_api.apply_queued()
    answer = own_api.status("shop", "e-1")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["type"]) == ("applied", "conversion.recorded")
    assert told["occurred_at"] == "2026-11-20T09:30:00Z"
    assert told["made"]["trackings"][0]["amount_earned"] == 1290
    assert told["made"]["earnings"][0]["user_id"] == "u-7"


def test_a_rejected_event_is_told_with_its_reason_and_conflicts_are_counted(own_api: Api) -> None:
    own_api.post([conversion(1), conversion(1, amount=5)])
    own_api.apply_queued()
    told = own_api.status("shop", "e-1").json()
    assert (told["status"], told["conflicts"], told["made"]) == ("rejected", 1, {})
    assert told["reason"]
    assert told["detail"]


def test_what_never_arrived_and_what_is_still_queued_are_told_alike(api: Api) -> None:
    api.post(event(1))
    for event_id in ("e-1", "e-2"):
        answer = api.status("shop", event_id)
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert error["code"] == "event_not_found"
        assert "never arrived" in error["message"]
        assert "still queued" in error["message"]


def test_another_merchants_event_is_not_seen(own_api: Api) -> None:
    own_api.post(event(1))
    own_api.apply_queued()
    assert own_api.status("shop", "e-1").status_code == 200
    assert own_api.status("shop", "e-1", key=own_api.other_key).status_code == 404


def test_wrong_parameters_are_told_by_their_name(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.read_key}"}
    for query, field in [
        ("?id=e-1", "source"),
        ("?source=shop", "id"),
        ("?source=&id=e-1", "source"),
        ("?source=shop&id=" + "x" * 256, "id"),
        ("?source=a%00b&id=e-1", "source"),
    ]:
        answer = api.http.get(f"/v1/events{query}", headers=headers)
        assert (query, answer.status_code) == (query, 422)
        assert answer.json()["error"]["code"] == "invalid_request"
        assert answer.json()["error"]["field"] == field


def listed(api: Api, query: str, key: str | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key or api.read_key}"}
    answer = api.http.get(f"/v1/events?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_events_that_need_somebody_are_listed_newest_first_page_by_page(own_api: Api) -> None:
    nobodys = [conversion(n) for n in range(7)]
    refunds = [
        event(
            n,
            type="conversion.refunded",
            data={"transaction_id": f"o-{n}", "refund_id": "r"} | FULL,
        )
        for n in range(7, 10)
    ]
    own_api.post([*nobodys, *refunds, event(11)])
    own_api.apply_queued()

    def pages(query: str) -> list[list[str]]:
        found = listed(own_api, query)
        shown = [[one["id"] for one in found["events"]]]
        while found["next"] is not None:
            found = listed(own_api, f"{query}&after={found['next']}")
            shown.append([one["id"] for one in found["events"]])
        return shown

    assert pages("status=rejected&limit=3") == [
        ["e-6", "e-5", "e-4"],
        ["e-3", "e-2", "e-1"],
        ["e-0"],
    ]
    assert pages("status=rejected&limit=7") == [[f"e-{n}" for n in range(6, -1, -1)]]
    assert pages("status=waiting") == [["e-9", "e-8", "e-7"]]
    assert pages("status=dead") == [[]]
    assert pages("status=rejected&reason=code_not_found") == pages("status=rejected")
    assert pages("status=rejected&reason=card_unknown") == [[]]
    one = listed(own_api, "status=rejected&limit=1")["events"][0]
    assert (one["source"], one["type"], one["status"]) == (
        "shop",
        "conversion.recorded",
        "rejected",
    )
    assert one["reason"] == "code_not_found"
    assert one["detail"]


def test_a_list_has_only_the_keys_own_merchant(own_api: Api) -> None:
    own_api.post(conversion(1))
    own_api.apply_queued()
    assert len(listed(own_api, "status=rejected")["events"]) == 1
    assert listed(own_api, "status=rejected", own_api.other_key)["events"] == []


def test_a_list_and_one_event_are_not_asked_for_together(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.read_key}"}
    for query, field in [
        ("", "source"),
        ("?status=applied", "status"),
        ("?status=dead&id=e-1", "id"),
        ("?status=dead&source=shop", "source"),
        ("?status=dead&limit=0", "limit"),
        ("?status=dead&limit=201", "limit"),
        ("?status=dead&after=x", "after"),
        ("?status=dead&after=0", "after"),
        ("?status=dead&after=9007199254740992", "after"),
        ("?status=dead&reason=%00", "reason"),
        ("?source=shop&id=e-1&reason=x", "reason"),
    ]:
        answer = api.http.get(f"/v1/events{query}", headers=headers)
        assert (query, answer.status_code) == (query, 422)
        assert answer.json()["error"]["field"] == field
