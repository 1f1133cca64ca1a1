"""Webhook subscriptions of a profile, and what is posted to them.

Bodies are signed as Wise signs them: RSA with SHA-256 over the whole body, in base 64, in
`X-Signature-SHA256`. The key pair is the sandbox's own, made when it is first needed and kept in
the books; `GET /_sandbox/wise/public-key` gives the public half.
"""

import base64
import json
import re
import uuid
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox.letters import Letter, cut, fault_of
from sandbox.store import Row, Store, dump
from sandbox.wise.call import Invalid, Json, WiseCall, WiseRoute, iso
from sandbox.wise.transfers import EVENT

VERSIONS = ("2.0.0", "3.0.0", "4.0.0")
_KEY_BITS = 2048
_URL = re.compile(r"https?://[^\s/]+\S*")


def _key(store: Store) -> rsa.RSAPrivateKey:
    kept = store.meta("wise_private_key", "")
    if kept:
        key = serialization.load_pem_private_key(kept.encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey), "the sandbox made it"
        return key
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    store.set_meta("wise_private_key", text.decode())
    return key


def public_key(store: Store) -> str:
    """Return the public half of the signing key, as PEM."""
    return (
        _key(store)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def letter_of(store: Store, now: int, row: Row) -> Letter | None:
    """Return what to send for a delivery, or None if its subscription is gone."""
    event = store.one("SELECT * FROM wise_events WHERE id = ?", row["event"])
    subscription = store.one(
        "SELECT * FROM wise_subscriptions WHERE id = ?", row["endpoint"].removeprefix("wise:")
    )
    if event is None or subscription is None:
        return None
    fault = fault_of(row)
    name = fault.get("name")
    body = dump(
        {
            "data": json.loads(event["data"]),
            "subscription_id": subscription["id"],
            "event_type": event["type"],
            "schema_version": subscription["version"],
            "sent_at": iso(now - (fault["seconds"] if name == "stale" else 0)),
        }
    ).encode()
    signed = _key(store).sign(body, padding.PKCS1v15(), hashes.SHA256())
    if name == "wrong_secret":
        signed = bytes(byte ^ 255 for byte in signed)
    headers = {
        "X-Signature-SHA256": base64.b64encode(signed).decode(),
        "X-Delivery-Id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['id']}/{row['seq']}")),
    }
    if name == "wrong_mode":
        headers["X-Test-Notification"] = "true"
    return Letter(subscription["url"], cut(body, fault), headers, name)


def _shape(call: WiseCall, row: Row) -> Json:
    return {
        "id": row["id"],
        "name": row["name"],
        "delivery": {"version": row["version"], "url": row["url"]},
        "trigger_on": row["trigger_on"],
        "scope": {"domain": "profile", "id": str(row["profile"])},
        "created_by": {"type": "user", "id": str(call.user)},
        "created_at": iso(row["created"]),
    }


def create(call: WiseCall) -> Any:
    """Subscribe to changes of state of the profile's transfers."""
    body = call.take(must=("name", "trigger_on", "delivery"))
    profile = call.profile(call.path["profile"])["id"]
    if body["trigger_on"] != EVENT:
        raise Invalid("trigger_on", f"The sandbox triggers on {EVENT} only.")
    delivery = body["delivery"]
    if not isinstance(delivery, dict) or not _URL.fullmatch(str(delivery.get("url", ""))):
        raise Invalid("delivery.url", "Send the address to post to.")
    if delivery.get("version") not in VERSIONS:
        raise Invalid("delivery.version", f"Send one of {', '.join(VERSIONS)}.")
    id = str(uuid.uuid4())
    _key(call.store)
    call.store.insert(
        "wise_subscriptions",
        id=id,
        profile=profile,
        name=str(body["name"]),
        trigger_on=EVENT,
        version=delivery["version"],
        url=delivery["url"],
        created=call.now,
    )
    return _shape(call, call.mine("wise_subscriptions", "subscription", id))


def _find(call: WiseCall) -> Row:
    call.profile(call.path["profile"])
    return call.mine("wise_subscriptions", "subscription", call.path["subscription"])


def retrieve(call: WiseCall) -> Any:
    """Return one subscription."""
    return _shape(call, _find(call))


def index(call: WiseCall) -> Any:
    """List a profile's subscriptions."""
    profile = call.profile(call.path["profile"])["id"]
    rows = call.store.all(
        "SELECT * FROM wise_subscriptions WHERE profile = ? ORDER BY created, id", profile
    )
    return [_shape(call, row) for row in rows]


def delete(call: WiseCall) -> Any:
    """Remove a subscription; what was still to be sent to it fails."""
    call.store.run("DELETE FROM wise_subscriptions WHERE id = ?", _find(call)["id"])
    return {}


_ALL = "/v3/profiles/{profile}/subscriptions"
_ONE = "/v3/profiles/{profile}/subscriptions/{subscription}"
ROUTES = (
    WiseRoute("POST", _ALL, create, created=True),
    WiseRoute("GET", _ALL, index),
    WiseRoute("GET", _ONE, retrieve),
    WiseRoute("DELETE", _ONE, delete),
)
