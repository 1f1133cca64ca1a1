"""Programs, codes, holds and trackings as the API tells of them, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access import service as access
from domain.db import transaction
from domain.merchants import service as merchants
from tests.domain.referrals.halves import half_claimed
from tests.web.conftest import ACTOR
from tests.web.support import Api
from tests.web.treasury import two_holds


@pytest.fixture
def desk(own_api: Api) -> str:
    """A key that may look at referrals and decide, of a merchant with two holds."""
    two_holds(own_api)
    with transaction(own_api.engine) as tx:
        scopes = ["referrals:read", "referrals:write"]
        return access.create(tx, own_api.merchant, "desk", scopes, actor=ACTOR)


def get(api: Api, key: str, path: str, **query: Any) -> Any:
    return api.http.get(path, params=query, headers={"Authorization": f"Bearer {key}"})


def post(api: Api, bearer: str, path: str, **body: Any) -> Any:
    return api.http.post(path, json=body, headers={"Authorization": f"Bearer {bearer}"})


def refusal(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("field")


def test_a_hold_is_paged_decided_once_and_audited_under_the_keys_name(
    own_api: Api, desk: str
) -> None:
    first = get(own_api, desk, "/v1/holds", limit=1).json()
    assert [hold["id"] for hold in first["holds"]] == [2]
    rest = get(own_api, desk, "/v1/holds", limit=1, cursor=first["next"]).json()
    assert ([hold["id"] for hold in rest["holds"]], rest["next"]) == ([1], None)
    done = post(own_api, desk, "/v1/holds/1/release", reason="asked both")
    assert (done.status_code, done.json()["outcome"]) == (200, "released")
    assert refusal(post(own_api, desk, "/v1/holds/1/reject", reason="no"))[:2] == (
        409,
        "not_allowed",
    )
    assert refusal(post(own_api, desk, "/v1/holds/2/reject"))[::2] == (422, "reason")
    assert refusal(post(own_api, desk, "/v1/holds/99/reject", reason="x")) == (
        404,
        "hold_not_found",
        "hold",
    )
    [entry] = own_api.rows(
        "SELECT actor_id, reason FROM audit_entries WHERE action = 'hold.released'"
    )
    assert tuple(entry) == ("acme/desk", "asked both")
    assert get(own_api, desk, "/v1/holds", closed=True).json()["holds"][0]["id"] == 1


@pytest.mark.parametrize("claimed", ["ada", "ben"])
def test_a_rejection_names_the_payouts_that_have_a_part(
    own_api: Api, desk: str, claimed: str
) -> None:
    _, payout = half_claimed(own_api.engine, claimed, sent=False, merchant_id=own_api.merchant.id)
    assert post(own_api, desk, "/v1/holds/2/reject", reason="too fast").json()["payouts"] == []
    done = post(own_api, desk, "/v1/holds/3/reject", reason="one person")
    assert (done.status_code, done.json()["outcome"], done.json()["payouts"]) == (
        200,
        "rejected",
        [payout],
    )


def test_what_cannot_be_meant_is_refused_with_its_field(own_api: Api, desk: str) -> None:
    terms: dict[str, Any] = {"rule": {"kind": "one_time", "amount": 5}, "currency": "eur"}
    for change, field in (
        ({"rule": {"kind": "gift"}}, "rule.kind"),
        ({"hold_days": 91}, "hold_days"),
        ({"currency": "EUR"}, "currency"),
        ({"starts_at": "2026-01-01T00:00:00"}, "starts_at"),
        ({"unknown": 1}, "unknown"),
    ):
        answer = post(own_api, desk, "/v1/programs", key="new", **(terms | change))
        assert refusal(answer) == (422, "invalid_request", field)
    assert post(own_api, desk, "/v1/programs", key="new", **terms).status_code == 200
    assert refusal(post(own_api, desk, "/v1/programs", key="new", **terms))[1] == "already_exists"
    assert (
        refusal(post(own_api, desk, "/v1/programs/nope/change", **terms))[1] == "program_not_found"
    )
    assert post(own_api, desk, "/v1/programs/new/change", **terms).json()["version"] == 2
    assert (
        post(own_api, desk, "/v1/programs/new/status", status="ended").json()["status"] == "ended"
    )
    assert refusal(post(own_api, desk, "/v1/programs/new/change", **terms))[1] == "not_allowed"


def test_a_checkout_asks_about_a_code_while_it_is_typed(own_api: Api, desk: str) -> None:
    good = get(own_api, desk, "/v1/codes/FRIENDS-7/validate", referred_user_id="u-1").json()
    assert (good["valid"], good["program"], good["reason"]) == (True, "friends", None)
    own = get(own_api, desk, "/v1/codes/FRIENDS-7/validate", referred_user_id="u-7").json()
    assert (own["valid"], own["reason"]) == (False, "self_referral")
    unknown = get(own_api, desk, "/v1/codes/F/validate").json()
    assert (unknown["valid"], unknown["reason"]) == (False, "code_not_found")
    made = post(own_api, desk, "/v1/codes", program="friends", user_id="u-8").json()
    assert get(own_api, desk, f"/v1/codes/{made['code'].lower()}/validate").json()["valid"] is True


def test_a_history_leads_to_the_explanation_of_each_amount(own_api: Api, desk: str) -> None:
    found = get(own_api, desk, "/v1/users/u-7/trackings", limit=2).json()
    assert [one["payout_status"] for one in found["trackings"]] == ["held", "held"]
    last = get(own_api, desk, "/v1/users/u-7/trackings", cursor=found["next"]).json()
    [one] = last["trackings"]
    told = get(own_api, desk, f"/v1/trackings/{one['id']}").json()
    assert "10 % of 129.00 EUR: 12.90 EUR" in " ".join(told["why"])
    assert [earning["amount"] for earning in told["earnings"]] == [1290]
    assert get(own_api, desk, "/v1/programs/friends/statistics").json()["total"]["earned"] == 3870


def test_nothing_of_another_merchant_is_seen_or_decided(own_api: Api, desk: str) -> None:
    with transaction(own_api.engine) as tx:
        zeta = merchants.add(tx, "zeta", "Zeta", mode="test", actor=ACTOR)
        other = access.create(tx, zeta, "other", ["referrals:read", "referrals:write"], actor=ACTOR)
    assert get(own_api, other, "/v1/holds").json()["holds"] == []
    assert get(own_api, other, "/v1/programs").json()["programs"] == []
    assert get(own_api, other, "/v1/users/u-7/trackings").json()["trackings"] == []
    assert get(own_api, other, "/v1/trackings/1").status_code == 404
    assert post(own_api, other, "/v1/holds/1/release", reason="mine").status_code == 404
    assert get(own_api, other, "/v1/codes/FRIENDS-7/validate").json()["valid"] is False
    assert get(own_api, other, "/v1/programs/friends/statistics").status_code == 404
    reader = own_api.read_key
    assert get(own_api, reader, "/v1/holds").status_code == 403
