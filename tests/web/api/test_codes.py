"""Codes by the thousand, their status, and what is looked at, as a growth team's programs ask for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain.access import service as access
from domain.db import transaction
from domain.merchants import service as merchants
from tests.web.conftest import ACTOR
from tests.web.support import Api
from tests.web.treasury import two_holds


@pytest.fixture
def desk(own_api: Api) -> str:
    """A key that may look at referrals and change them, of a merchant with the program friends."""
    two_holds(own_api)
    return made_key(own_api, "desk", "referrals:read", "referrals:write")


def made_key(api: Api, name: str, *scopes: str) -> str:
    with transaction(api.engine) as tx:
        return access.create(tx, api.merchant, name, scopes, actor=ACTOR)


def get(api: Api, key: str, path: str, **query: Any) -> Any:
    return api.http.get(path, params=query, headers={"Authorization": f"Bearer {key}"})


def post(api: Api, bearer: str, path: str, headers: Any = None, **body: Any) -> Any:
    sent = {"Authorization": f"Bearer {bearer}"} | (headers or {})
    return api.http.post(path, json=body, headers=sent)


def refusal(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("field")


def bulk(api: Api, key: str, **body: Any) -> Any:
    said = {"batch": "b-1", "program": "friends", "users": ["u-1", "u-2"]} | body
    return post(api, key, "/v1/codes/bulk", **said)


def number_of_codes(api: Api) -> int:
    return int(api.rows("SELECT count(*) FROM codes")[0][0])


def test_a_batch_that_is_asked_for_again_is_told_again_and_made_once(
    own_api: Api, desk: str
) -> None:
    first = bulk(own_api, desk, max_uses=5, count=2, expires_at="2031-01-01T00:00:00Z").json()
    assert [one["user_id"] for one in first["codes"]] == ["u-1", "u-1", "u-2", "u-2"]
    assert first["repeated"] is False
    again = bulk(own_api, desk, max_uses=5, count=2, expires_at="2031-01-01T01:00:00+01:00").json()
    assert again == first | {"repeated": True}
    assert number_of_codes(own_api) == 5
    listed = get(own_api, desk, "/v1/codes", user_id="u-1").json()["codes"]
    assert {(one["status"], one["uses"], one["max_uses"]) for one in listed} == {("active", 0, 5)}
    name = first["codes"][0]["code"]
    assert get(own_api, desk, f"/v1/codes/{name}/validate").json()["uses_left"] == 5
    made = own_api.rows(
        "SELECT actor_id, after->>'count' FROM audit_entries WHERE action = 'codes.created'"
        " AND actor_kind = 'api_key'"
    )
    assert [tuple(row) for row in made] == [("acme/desk", "4")]


def test_a_key_of_a_batch_is_for_one_content_and_may_be_a_header(own_api: Api, desk: str) -> None:
    header = {"Idempotency-Key": "b-2"}
    said = {"program": "friends", "users": ["u-1"]}
    assert post(own_api, desk, "/v1/codes/bulk", header, **said).json()["batch"] == "b-2"
    for change in ({"users": ["u-2"]}, {"max_uses": 3}, {"count": 2}):
        answer = post(own_api, desk, "/v1/codes/bulk", header, **(said | change))
        assert refusal(answer) == (409, "batch_differs", "batch")
    assert refusal(post(own_api, desk, "/v1/codes/bulk", **said))[::2] == (422, "batch")
    differs = post(own_api, desk, "/v1/codes/bulk", header, batch="b-3", **said)
    assert refusal(differs)[::2] == (422, "batch")
    assert number_of_codes(own_api) == 2


def test_what_cannot_be_made_leaves_nothing_and_its_key_free(own_api: Api, desk: str) -> None:
    for change, field in (
        ({"users": []}, "users"),
        ({"users": ["u"] * 5_001}, "users"),
        ({"users": ["u"] * 51, "count": 100}, "users"),
        ({"users": ["u", ""]}, "users.1"),
        ({"count": 0}, "count"),
        ({"max_uses": 0}, "max_uses"),
        ({"expires_at": "2031-01-01T00:00:00"}, "expires_at"),
        ({"batch": "with a blank"}, "batch"),
        ({"code": "MINE-01"}, "code"),
    ):
        assert refusal(bulk(own_api, desk, **change)) == (422, "invalid_request", field)
    assert refusal(bulk(own_api, desk, program="nope")) == (404, "program_not_found", "program")
    assert number_of_codes(own_api) == 1
    assert bulk(own_api, desk).status_code == 200


def test_two_that_ask_at_once_by_one_key_are_told_the_same(own_api: Api, desk: str) -> None:
    users = [f"u-{i}" for i in range(300)]
    with ThreadPoolExecutor(4) as pool:
        answers = [
            one.json() for one in pool.map(lambda _: bulk(own_api, desk, users=users), range(4))
        ]
    assert sorted(one.pop("repeated") for one in answers) == [False, True, True, True]
    assert all(one == answers[0] for one in answers)
    assert number_of_codes(own_api) == 301


def test_codes_are_paged_in_their_order(own_api: Api, desk: str) -> None:
    bulk(own_api, desk, users=[f"u-{i}" for i in range(9)])
    seen: list[str] = []
    following = None
    while True:
        page = get(
            own_api, desk, "/v1/codes", limit=4, **({"cursor": following} if following else {})
        ).json()
        seen += [one["code"] for one in page["codes"]]
        following = page["next"]
        if following is None:
            break
    assert len(seen) == len(set(seen)) == 10


def test_a_suspended_code_is_refused_at_the_checkout_until_it_is_brought_back(
    own_api: Api, desk: str
) -> None:
    path = "/v1/codes/FRIENDS-7"
    for to, valid in (("suspended", False), ("inactive", False), ("active", True)):
        done = post(own_api, desk, f"{path}/status", status=to, reason="posted in a forum")
        assert (done.status_code, done.json()["status"], done.json()["uses"]) == (200, to, 0)
        said = get(own_api, desk, f"{path}/validate").json()
        assert (said["valid"], said["reason"]) == (valid, None if valid else "code_inactive")
    for change, field in (
        ({"status": "expired", "reason": "x"}, "status"),
        ({"status": "active"}, "reason"),
        ({"status": "active", "reason": " "}, "reason"),
    ):
        assert refusal(post(own_api, desk, f"{path}/status", **change))[::2] == (422, field)
    gone = post(own_api, desk, "/v1/codes/NOPE-1/status", status="active", reason="x")
    assert refusal(gone) == (404, "code_not_found", "code")
    told = own_api.rows(
        "SELECT actor_id, reason, after->>'status' FROM audit_entries"
        " WHERE action = 'code.status_set' ORDER BY id"
    )
    assert [tuple(row) for row in told] == [
        ("acme/desk", "posted in a forum", to) for to in ("suspended", "inactive", "active")
    ]


def test_a_policy_is_read_as_it_was_set_and_audited(own_api: Api, desk: str) -> None:
    before = get(own_api, desk, "/v1/hold-policies").json()["policies"]
    assert [(one["program"], one["code_per_day"]) for one in before] == [(None, 1)]
    said = {"program": "friends", "same_email": False, "referrer_per_hour": 7}
    done = post(own_api, desk, "/v1/hold-policies", **said).json()
    assert done == {
        "program": "friends",
        "same_email": False,
        "shared_destination": True,
        "code_per_hour": None,
        "code_per_day": None,
        "referrer_per_hour": 7,
        "referrer_per_day": None,
    }
    assert get(own_api, desk, "/v1/hold-policies").json()["policies"] == [*before, done]
    for change, field in (
        ({"code_per_hour": 0}, "code_per_hour"),
        ({"referrer_per_day": 2**31}, "referrer_per_day"),
        ({"velocity": 3}, "velocity"),
    ):
        assert refusal(post(own_api, desk, "/v1/hold-policies", **change))[::2] == (422, field)
    nope = post(own_api, desk, "/v1/hold-policies", program="nope")
    assert refusal(nope) == (404, "program_not_found", "program")
    [entry] = own_api.rows(
        "SELECT subject_id, after->>'referrer_per_hour' FROM audit_entries"
        " WHERE action = 'hold_policy.set' AND actor_kind = 'api_key'"
    )
    assert tuple(entry) == ("friends", "7")


def test_a_copy_has_the_terms_and_no_codes(own_api: Api, desk: str) -> None:
    copied = post(own_api, desk, "/v1/programs/friends/copy", key="friends-2").json()
    assert (copied["key"], copied["name"], copied["version"]) == ("friends-2", "Friends", 1)
    taken = post(own_api, desk, "/v1/programs/friends/copy", key="friends-2")
    assert refusal(taken)[1] == "already_exists"
    gone = post(own_api, desk, "/v1/programs/nope/copy", key="friends-3")
    assert refusal(gone) == (404, "program_not_found", "program")


def test_who_may_only_look_changes_nothing_and_nobody_reaches_another_merchant(
    own_api: Api, desk: str
) -> None:
    looks = made_key(own_api, "looks", "referrals:read")
    with transaction(own_api.engine) as tx:
        zeta = merchants.add(tx, "zeta", "Zeta", mode="test", actor=ACTOR)
        other = access.create(tx, zeta, "other", ["referrals:read", "referrals:write"], actor=ACTOR)
    bulk(own_api, desk)
    status = {"status": "suspended", "reason": "mine"}
    assert bulk(own_api, looks, batch="b-9").status_code == 403
    assert post(own_api, looks, "/v1/codes/FRIENDS-7/status", **status).status_code == 403
    assert post(own_api, looks, "/v1/hold-policies").status_code == 403
    assert post(own_api, looks, "/v1/programs/friends/copy", key="x").status_code == 403
    assert refusal(bulk(own_api, other))[1] == "program_not_found"
    assert post(own_api, other, "/v1/codes/FRIENDS-7/status", **status).status_code == 404
    assert get(own_api, other, "/v1/codes").json()["codes"] == []
    assert get(own_api, other, "/v1/hold-policies").json()["policies"] == []
