"""Wise's webhook: what is not signed by the key that is known is not stored."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.web.support import WISE_PUBLIC_KEY, Api, sign_as_wise
from web.wise_signature import NoPublicKey, flaw, load

BODY = json.dumps(
    {
        "event_type": "transfers#state-change",
        "data": {"resource": {"type": "transfer", "id": 50000001}},
    }
).encode()


def send(
    api: Api,
    body: bytes = BODY,
    *,
    signature: str | None = None,
    delivery: str = "d-1",
    merchant: str = "acme",
    **headers: str,
) -> httpx.Response:
    signed = sign_as_wise(body) if signature is None else signature
    return api.http.post(
        f"/v1/webhooks/wise/{merchant}",
        content=body,
        headers={"X-Signature-SHA256": signed, "X-Delivery-Id": delivery, **headers},
    )


def stored(api: Api) -> list[Any]:
    return api.rows(
        "SELECT method, event_id, type, state FROM gateway_events WHERE method = 'wise' ORDER BY id"
    )


def test_a_signed_notice_is_stored_once_however_often_it_is_delivered(api: Api) -> None:
    assert send(api).json() == {"received": True, "duplicate": False}
    assert send(api).json() == {"received": True, "duplicate": True}
    assert stored(api) == [("wise", "d-1", "transfers#state-change", "received")]


def test_without_the_number_of_a_delivery_the_body_is_its_name(api: Api) -> None:
    assert send(api, delivery="").json()["duplicate"] is False
    assert send(api, delivery="").json()["duplicate"] is True


def test_a_test_notice_is_stored_as_what_it_is(api: Api) -> None:
    send(api, **{"X-Test-Notification": "true"})
    assert [row[2] for row in stored(api)] == ["test: transfers#state-change"]


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        (sign_as_wise(BODY + b" "), "wrong_signature"),
        (base64.b64encode(b"x" * 256).decode(), "wrong_signature"),
        ("", "malformed_signature"),
        ("not base64!", "malformed_signature"),
        ("QUFB" * 1_000, "malformed_signature"),
    ],
    # Signatures differ from process to process; all of a run have to name a test alike.
    ids=["of another body", "of nobody", "none", "no base64", "too long"],
)
def test_what_wise_did_not_sign_is_refused_and_not_stored(
    api: Api, signature: str, code: str
) -> None:
    answer = send(api, signature=signature)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert stored(api) == []


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"event_type": ""}', b"\xff", b'{"event_type": 1}']
)
def test_what_is_no_event_is_refused_though_it_is_signed(api: Api, body: bytes) -> None:
    answer = send(api, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_event")


@pytest.mark.parametrize("merchant", ["globex", "nobody", "No-Key"])
def test_a_merchant_without_a_wise_account_has_no_webhook(api: Api, merchant: str) -> None:
    answer = send(api, merchant=merchant)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "webhook_not_found")


def test_another_rsa_key_signs_nothing_here_and_other_keys_are_none() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = base64.b64encode(other.sign(BODY, padding.PKCS1v15(), hashes.SHA256())).decode()
    found = flaw(forged, BODY, WISE_PUBLIC_KEY)
    assert found is not None
    assert found[0] == "wrong_signature"
    assert flaw(sign_as_wise(BODY), BODY, WISE_PUBLIC_KEY) is None
    curve = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    for pem in ("", "no key", curve):
        with pytest.raises(NoPublicKey):
            load(pem)
