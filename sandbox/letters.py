"""What is posted to a webhook endpoint: the body, its signature, and how a fault spoils them."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox import notify
from sandbox.store import Row, Store, dump

_WRONG_SECRET = "whsec_wrong"  # noqa: S105


@dataclass(frozen=True)
class Letter:
    """One request to an endpoint; `fault` names what spoils it."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    fault: str | None = None


def signature(body: str, at: int, *secrets: str) -> str:
    """Return the `Stripe-Signature` header: HMAC-SHA256 over the time, a dot and the body.

    During a roll there are two secrets, and a `v1` for each.
    """
    text = f"{at}.{body}".encode()
    signed = [hmac.new(s.encode(), text, hashlib.sha256).hexdigest() for s in secrets]
    return ",".join([f"t={at}", *(f"v1={one}" for one in signed)])


def fault_of(row: Row) -> Mapping[str, Any]:
    """Return the fault that spoils this try of a delivery; empty if none does."""
    fault: Mapping[str, Any] = json.loads(row["fault"]) if row["fault"] else {}
    tries = fault.get("tries")
    return {} if tries is not None and row["attempts"] >= tries else fault


def letter_of(store: Store, now: int, row: Row) -> Letter | None:
    """Return what to send for a delivery, or None if its endpoint is gone or disabled."""
    event = store.one("SELECT * FROM events WHERE id = ?", row["event"])
    endpoint = store.one(
        "SELECT * FROM webhook_endpoints WHERE id = ? AND status = 'enabled'", row["endpoint"]
    )
    if event is None or endpoint is None:
        return None
    fault = fault_of(row)
    name = fault.get("name")
    shown = notify.shape(store, event, endpoint["api_version"])
    if name == "wrong_mode":
        shown["livemode"] = True
    body = dump(shown)
    secrets = [endpoint["secret"]]
    if endpoint["old_secret"] is not None and now < endpoint["old_secret_until"]:
        secrets.append(endpoint["old_secret"])
    if name == "wrong_secret":
        secrets = [_WRONG_SECRET]
    # Signatures carry the real time: receivers judge their age by it.
    at = int(time.time()) - (fault["seconds"] if name == "stale" else 0)
    header = signature(body, at, *secrets)
    return Letter(
        endpoint["url"],
        cut(body.encode(), fault),
        {"Stripe-Signature": header},
        name,
    )


def cut(body: bytes, fault: Mapping[str, Any]) -> bytes:
    """Return the body, or the part of it that a `truncated` fault lets through."""
    if fault.get("name") != "truncated":
        return body
    wanted = fault.get("bytes")
    return body[: len(body) // 2 if wanted is None else wanted]
