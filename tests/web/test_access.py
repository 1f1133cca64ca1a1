from __future__ import annotations

import time

import pytest

from domain.access import service as access
from domain.db import transaction
from domain.merchants import service as merchants
from tests.web.conftest import ACTOR
from tests.web.support import Api, event
from web.keys import FRESH_SECONDS


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events?source=shop&id=e-1"])
@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "missing_key"),
        ("Bearer", "missing_key"),
        ("Basic dTpw", "missing_key"),
        ("Bearer psk_test_wrong", "invalid_key"),
        ("Bearer psk_test_\xe9", "invalid_key"),
    ],
)
def test_without_a_good_key_nothing_is_done(
    api: Api, path: str, authorization: str | None, code: str
) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode("latin-1")}
    method = "GET" if "?" in path else "POST"
    answer = api.http.request(method, path, headers=headers, json=event(1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert api.valkey.queued() == []


def test_a_key_does_only_what_its_scopes_say(api: Api) -> None:
    refused = [api.post(event(1), key=api.read_key), api.status("shop", "e-1", key=api.key)]
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")
    assert api.valkey.queued() == []


def test_a_key_publishes_for_its_own_merchant_only(api: Api) -> None:
    assert api.post(event(1), key=api.other_key).status_code == 403
    mixed = api.post([event(1), event(2, merchant="globex")], key=api.other_key)
    assert mixed.status_code == 207
    assert [r["reason"] for r in mixed.json()["results"]] == ["forbidden_merchant", None]
    assert len(api.valkey.queued()) == 1


def test_a_revoked_key_stops_within_two_seconds(own_api: Api) -> None:
    assert own_api.post(event(1)).status_code == 202
    (key_id,) = own_api.rows("SELECT id FROM api_keys WHERE name = 'till'")[0]
    with transaction(own_api.engine) as tx:
        access.revoke(tx, own_api.merchant, key_id, actor=ACTOR)
    revoked_at = time.monotonic()
    answers = []
    while time.monotonic() < revoked_at + FRESH_SECONDS:
        answers.append(own_api.post(event(2)).status_code)
    assert own_api.post(event(2)).status_code == 401
    assert set(answers) <= {202, 401}


def test_a_test_key_reaches_no_live_merchant_nor_a_live_key_a_test_one(own_api: Api) -> None:
    with transaction(own_api.engine) as tx:
        live = merchants.add(tx, "acme-live", "Acme", mode="live", actor=ACTOR)
        live_key = access.create(tx, live, "till", ["events:write"], actor=ACTOR)
    assert live_key.startswith("psk_live_")
    for key, mode, other in ((own_api.key, "test", "acme-live"), (live_key, "live", "acme")):
        answer = own_api.post(event(1, merchant=other), key=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden_merchant")
        assert f"a {mode} key" in answer.json()["error"]["message"]
    swapped = live_key.replace("psk_live_", "psk_test_")
    assert own_api.post(event(1, merchant="acme-live"), key=swapped).status_code == 401
    assert own_api.valkey.queued() == []
    assert own_api.post(event(1, merchant="acme-live"), key=live_key).status_code == 202


def test_a_strangers_body_is_not_read(api: Api) -> None:
    answer = api.post(b"x" * 20_000_000, key="psk_test_wrong")
    assert answer.status_code == 401
