from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from domain.db import transaction
from domain.merchants import service as merchants
from domain.secrets import SecretBox
from tests.web.conftest import ACTOR
from tests.web.support import SECRET, Api
from web.stripe_signature import sign

BODY = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "account.updated",
        "account": "acct_1",
        "data": {"object": {"id": "acct_1", "name": "Zoë", "amount": 9007199254740993}},
    },
    ensure_ascii=False,
).encode()

Send = Callable[..., httpx.Response]


def sender(api: Api) -> Send:
    def send(
        body: bytes = BODY,
        *,
        merchant: str = "acme",
        secret: str = SECRET,
        age: int = 0,
        header: str | None = None,
    ) -> httpx.Response:
        at = int(time.time()) - age
        header = f"t={at},v1={sign(body, secret, at)}" if header is None else header
        headers = {
            "Stripe-Signature": header.encode("latin-1"),
            "Content-Type": b"application/json",
        }
        return api.http.post(f"/v1/webhooks/stripe/{merchant}", content=body, headers=headers)

    return send


@pytest.fixture
def send(api: Api) -> Send:
    return sender(api)


def stored(api: Api) -> list[Any]:
    return api.rows("SELECT event_id, type, account, state FROM gateway_events ORDER BY id")


def test_an_event_is_stored_as_it_was_signed(api: Api, send: Send) -> None:
    answer = send()
    assert answer.status_code == 200
    assert answer.json() == {"received": True, "duplicate": False}
    assert stored(api) == [("evt_1", "account.updated", "acct_1", "received")]
    assert api.rows("SELECT payload FROM gateway_events") == [(json.loads(BODY),)]


def test_a_replay_is_answered_well_and_stored_once(api: Api, send: Send) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 15
    assert len(stored(api)) == 1


def test_while_the_secret_is_rolled_either_signature_will_do(api: Api, send: Send) -> None:
    at = int(time.time())
    old, new = sign(BODY, "whsec_old", at), sign(BODY, SECRET, at)
    assert send(header=f"t={at},v1={old},v1={new}").status_code == 200
    assert send(header=f"t={at},v1={old}").status_code == 400
    assert len(stored(api)) == 1


def test_a_secret_that_was_replaced_is_good_until_its_roll_ends(
    own_api: Api, box: SecretBox
) -> None:
    send = sender(own_api)

    def give(secret: str, **more: Any) -> None:
        with transaction(own_api.engine) as tx:
            merchants.set_webhook_secret(tx, own_api.merchant, secret, box=box, actor=ACTOR, **more)

    give("whsec_new", roll_hours=1)
    give("whsec_connect", connect=True)
    give("whsec_connect_new", connect=True, roll_hours=1)
    good = [SECRET, "whsec_new", "whsec_connect", "whsec_connect_new"]
    with transaction(own_api.engine) as tx:
        merchants.reseal(tx, box=box, actor=ACTOR)
    assert [send(secret=secret).status_code for secret in good] == [200] * 4
    stale = send(secret="whsec_connect", age=302)
    assert stale.json()["error"]["code"] == "stale_signature"
    with transaction(own_api.engine) as tx:
        tx.exec_driver_sql(
            "UPDATE webhook_secrets SET expires_at = now() - interval '1 s' WHERE expires_at > now()"
        )
    assert [send(secret=secret).status_code for secret in good] == [400, 200, 400, 200]
    give("whsec_last")
    assert send(secret="whsec_new").status_code == 400


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret": "whsec_wrong"}, "wrong_signature"),
        ({"age": 302}, "stale_signature"),
        ({"age": -310}, "future_signature"),
        ({"header": ""}, "malformed_signature"),
        ({"header": "t=1,v1=é"}, "wrong_signature"),
    ],
)
def test_a_bad_signature_is_refused_and_nothing_stored(
    api: Api, send: Send, change: dict[str, Any], code: str
) -> None:
    answer = send(**change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert answer.json()["error"]["field"] == "Stripe-Signature"
    assert stored(api) == []


def test_a_changed_body_does_not_pass(api: Api, send: Send) -> None:
    at = int(time.time())
    header = f"t={at},v1={sign(BODY, SECRET, at)}"
    assert send(BODY.replace(b"acct_1", b"acct_2"), header=header).status_code == 400
    assert stored(api) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"{", "body"),
        (b"[" * 100_000, "body"),
        (b'{"id": "evt_1", "type": "x", "a": NaN}', "body"),
        (b'{"id": "\xff", "type": "x"}', "body"),
        (b'{"type": "x"}', "id"),
        (b'{"id": 7, "type": "x"}', "id"),
        (b'{"id": "' + b"e" * 256 + b'", "type": "x"}', "id"),
        (b'{"id": "evt_1"}', "type"),
        (b'{"id": "evt_1", "type": "x", "account": 5}', "account"),
        (b'{"id": "evt_1", "type": "x", "a": "\\u0000"}', "payload"),
        (b'{"id": "evt_1", "type": "x", "a": "\\ud800"}', "payload"),
        (b'{"id": "evt_\\u0000", "type": "x"}', "id"),
        (b'{"id": "evt_\\ud800", "type": "x"}', "id"),
        (b'{"id": "evt_1", "type": "\\udfff"}', "type"),
        (b'{"id": "evt_1", "type": "x", "account": "\\ud800"}', "account"),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused_by_its_field(
    api: Api, send: Send, body: bytes, field: str
) -> None:
    answer = send(body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_event")
    assert answer.json()["error"]["field"] == field
    assert stored(api) == []


def test_a_large_body_is_refused_before_its_signature_is_looked_at(api: Api, send: Send) -> None:
    answer = send(b" " * (256 * 1024 + 1), header="nonsense")
    assert answer.status_code == 413
    assert "256 KiB" in answer.json()["error"]["message"]


@pytest.mark.parametrize("merchant", ["nobody", "globex", "a%00b", "ACME", "x" * 300])
def test_a_merchant_without_a_webhook_is_not_found(api: Api, send: Send, merchant: str) -> None:
    answer = send(merchant=merchant)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "webhook_not_found")


def test_one_merchants_secret_opens_no_others_webhook(own_api: Api, box: SecretBox) -> None:
    with transaction(own_api.engine) as tx:
        merchants.set_stripe_account(
            tx,
            merchants.get(tx, "globex"),
            api_key="sk_test_2",
            base_url="http://127.0.0.1:1",
            webhook_secret="whsec_globex",
            box=box,
            actor=ACTOR,
        )
    assert sender(own_api)(merchant="globex").status_code == 400
    assert sender(own_api)(merchant="globex", secret="whsec_globex").status_code == 200
    assert sender(own_api)(merchant="acme").json() == {"received": True, "duplicate": False}
    assert len(stored(own_api)) == 2


def test_a_retired_merchants_payouts_are_still_told_of(own_api: Api) -> None:
    api_rows = "UPDATE merchants SET retired_at = now() WHERE key = 'acme' RETURNING id"
    assert len(own_api.rows(api_rows)) == 1
    assert sender(own_api)().status_code == 200
