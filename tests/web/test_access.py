from __future__ import annotations

import pytest

from domain.access import service as access
from domain.db import transaction
from tests.web.conftest import ACTOR
from tests.web.support import Api, event


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


def test_a_revoked_key_stops_at_once(own_api: Api) -> None:
    assert own_api.post(event(1)).status_code == 202
    (key_id,) = own_api.rows("SELECT id FROM api_keys WHERE name = 'till'")[0]
    with transaction(own_api.engine) as tx:
        access.revoke(tx, own_api.merchant, key_id, actor=ACTOR)
    assert own_api.post(event(2)).status_code == 401


def test_a_strangers_body_is_not_read(api: Api) -> None:
    answer = api.post(b"x" * 20_000_000, key="psk_test_wrong")
    assert answer.status_code == 401
