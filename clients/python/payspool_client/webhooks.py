"""Verify a webhook that Payspool sent: that it is from there, whole, and of now.

The scheme is that of standard-webhooks, so its libraries in other languages verify it as well. Only the
standard library is used::

    event = verify(request.body, request.headers, secret)   # the raw bytes, before any parsing
    if seen(event["id"]):                                   # at least once: the same id may come again
        return 200
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from payspool_client.errors import PayspoolClientError

TOLERANCE_SECONDS: Final = 300
"""How far its timestamp may be from this machine's clock, before or after."""


class BadWebhook(PayspoolClientError):
    """It is not to be believed: answer 400, and do nothing of what it says."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"This is no webhook to believe: {why}.")


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance: int = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """The event that ``body`` tells, if one of its signatures is made with ``secret`` (``whsec_…``).

    ``headers`` may have names in any case. ``tolerance`` is in seconds; ``now`` is Unix time (the clock's
    unless given). Raises BadWebhook for one that is forged, changed, too old, or from the future; ValueError
    for what is no secret.
    """
    key = _key(secret)
    found = {name.lower(): value for name, value in headers.items()}
    missing = [
        n for n in ("webhook-id", "webhook-timestamp", "webhook-signature") if not found.get(n)
    ]
    if missing:
        raise BadWebhook(f"it has no {missing[0]}")
    message_id, stamp = found["webhook-id"], found["webhook-timestamp"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise BadWebhook("its timestamp is no Unix time")
    age = (time.time() if now is None else now) - int(stamp)
    if abs(age) > tolerance:
        raise BadWebhook(f"it is {'too old' if age > 0 else 'from the future'}")
    signed = hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256)
    wanted = ("v1," + base64.b64encode(signed).decode()).encode()
    given = found["webhook-signature"].split(" ")
    if not any(hmac.compare_digest(wanted, one.encode()) for one in given):
        raise BadWebhook("no signature of it was made with this secret")
    try:
        event = json.loads(body)
    except ValueError:
        raise BadWebhook("its body is no JSON") from None
    if not isinstance(event, dict):
        raise BadWebhook("its body is no JSON object")
    if event.get("id") != message_id:
        raise BadWebhook("its body has another id than its header")
    return event


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or len(key) < 24:
        raise ValueError("secret: give the endpoint's own, whsec_…")
    return key
