"""Webhook endpoints over HTTP: added, read and changed by keys that may, of their own merchant alone."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from domain.access import service as access
from domain.db import transaction
from domain.merchants import service as merchants
from domain.secrets import SecretBox
from domain.webhooks import delivery_store, store
from tests.domain.payouts import house
from tests.web.conftest import ACTOR
from tests.web.support import Api

PATH = "/v1/webhook_endpoints"
URL = "https://shop.example.com/hooks"


def call(api: Api, key: str, method: str, path: str, **options: Any) -> httpx.Response:
    return api.http.request(method, path, headers={"Authorization": f"Bearer {key}"}, **options)


def keyed(api: Api, *scopes: str) -> str:
    with transaction(api.engine) as tx:
        return access.create(tx, api.merchant, "desk", scopes, actor=ACTOR)


@pytest.fixture
def key(own_api: Api) -> str:
    return keyed(own_api, "webhooks:read", "webhooks:write")


def test_an_endpoint_lives_from_its_secret_to_its_removal(
    own_api: Api, key: str, box: SecretBox
) -> None:
    made = call(own_api, key, "POST", PATH, json={"url": URL, "types": ["earning.created"]}).json()
    assert made["secret"].startswith("whsec_")
    one = f"{PATH}/{made['endpoint']['id']}"
    assert call(own_api, key, "GET", one).json() == made["endpoint"]
    assert "whsec_" not in call(own_api, key, "GET", PATH).text
    rolled = call(own_api, key, "POST", f"{one}/roll", json={"overlap_hours": 2}).json()
    with transaction(own_api.engine) as tx:
        [kept] = store.lock_secrets(tx)
        house.earn(tx, own_api.merchant.id, 500)
        house.earn(tx, own_api.merchant.id, 700)
    assert box.decrypt(kept.secret_encrypted, "") == rolled["secret"] != made["secret"]
    page = call(own_api, key, "GET", "/v1/webhook_deliveries", params={"limit": 1}).json()
    rest = {"limit": 1, "before": page["next"]}
    last = call(own_api, key, "GET", "/v1/webhook_deliveries", params=rest).json()
    assert [page["deliveries"][0]["state"], last["next"]] == ["pending", None]
    number = last["deliveries"][0]["id"]
    shown = call(own_api, key, "GET", f"/v1/webhook_deliveries/{number}").json()
    assert (shown["body"]["type"], shown["body"]["data"]["amount"]) == ("earning.created", 500)
    assert shown["attempts"] == []
    off = call(own_api, key, "POST", f"{one}/disable", json={"reason": "moving"}).json()
    assert (off["state"], off["disabled_by"], off["pending"]) == ("disabled", "acme/desk", 2)
    refused = call(own_api, key, "POST", f"{one}/test")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_allowed")
    assert call(own_api, key, "POST", f"{one}/enable").json()["state"] == "enabled"
    removed = call(own_api, key, "POST", f"{one}/remove").json()
    assert removed["canceled"] == 2
    assert call(own_api, key, "GET", one).status_code == 404
    kept_log = call(own_api, key, "GET", "/v1/webhook_deliveries").json()["deliveries"]
    assert [row["state"] for row in kept_log] == ["canceled"] * 2


def test_what_failed_is_sent_again_one_by_one_or_since_a_time(own_api: Api, key: str) -> None:
    made = call(own_api, key, "POST", PATH, json={"url": URL}).json()["endpoint"]
    with transaction(own_api.engine) as tx:
        for _ in range(3):
            house.earn(tx, own_api.merchant.id, 5)
        rows = delivery_store.listing(
            tx, None, endpoint_id=None, state=None, type_=None, before=None, limit=9
        )
        for row in rows:
            delivery_store.settle(tx, row.id, 0, "failed", 500, "answered 500")
    again = call(own_api, key, "POST", f"/v1/webhook_deliveries/{rows[0].id}/resend")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    since = {"failed_since": "2020-01-01T00:00:00Z"}
    for count in (2, 0):
        sent = call(own_api, key, "POST", f"{PATH}/{made['id']}/resend", json=since)
        assert sent.json() == {"deliveries": count}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "http://shop.example.com/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://shop.example.com/" + "a" * 500}, "url"),
        ({"url": URL, "types": ["payout.sent"]}, "types"),
        ({"url": URL, "types": []}, "types"),
        ({"url": URL, "description": "two\nlines"}, "description"),
        ({"url": URL, "secret": "mine"}, "secret"),
        ({}, "url"),
    ],
)
def test_what_cannot_be_an_endpoint_is_refused_by_its_field(
    own_api: Api, key: str, body: dict[str, Any], field: str
) -> None:
    answer = call(own_api, key, "POST", PATH, json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert call(own_api, key, "GET", PATH).json() == {"endpoints": []}


def test_a_key_without_the_scope_changes_and_reads_nothing(own_api: Api, key: str) -> None:
    made = call(own_api, key, "POST", PATH, json={"url": URL}).json()["endpoint"]["id"]
    reader = keyed(own_api, "webhooks:read")
    stranger = keyed(own_api, *(s for s in access.SCOPES if not s.startswith("webhooks:")))
    writes = [("", {}), *((f"/{made}/{one}", {}) for one in ("enable", "remove", "test"))]
    writes += [(f"/{made}/disable", {"reason": "x"}), (f"/{made}/roll", {}), (f"/{made}", {})]
    for path, body in writes:
        for one in (reader, stranger):
            answer = call(own_api, one, "POST", PATH + path, json={"url": URL} | body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")
    for path in (PATH, f"{PATH}/{made}", "/v1/webhook_deliveries", "/v1/webhook_deliveries/1"):
        assert call(own_api, stranger, "GET", path).status_code == 403
    assert call(own_api, reader, "GET", f"{PATH}/{made}").json()["state"] == "enabled"


def test_another_merchants_endpoints_and_log_are_not_there(own_api: Api, key: str) -> None:
    made = call(own_api, key, "POST", PATH, json={"url": URL}).json()["endpoint"]["id"]
    tried = call(own_api, key, "POST", f"{PATH}/{made}/test").json()["id"]
    with transaction(own_api.engine) as tx:
        globex = merchants.get(tx, "globex")
        other = access.create(tx, globex, "desk", access.SCOPES, actor=ACTOR)
    for method, path, body in (
        ("GET", f"{PATH}/{made}", None),
        ("POST", f"{PATH}/{made}/remove", None),
        ("POST", f"{PATH}/{made}/roll", {}),
        ("POST", f"{PATH}/{made}/test", None),
        ("GET", f"/v1/webhook_deliveries/{tried}", None),
        ("POST", f"/v1/webhook_deliveries/{tried}/resend", None),
    ):
        assert call(own_api, other, method, path, json=body).status_code == 404, path
    assert call(own_api, other, "GET", PATH).json() == {"endpoints": []}
    assert call(own_api, other, "GET", "/v1/webhook_deliveries").json()["deliveries"] == []
