"""Outbound webhooks: what there is to tell, how it is signed, when it is tried again, and how soon one gives up.

The headers and the signature are those of standard-webhooks, so that its libraries verify what is sent.

>>> secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
>>> sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
EVERYTHING: Final = "*"
"""Subscribes to every type, those to come included."""
TEST: Final = "webhook.test"
"""Sent when somebody tries an endpoint, subscribed or not."""

MAX_ENDPOINTS: Final = 20
"""Endpoints that a merchant may have at a time; removed ones do not count."""
MAX_BODY: Final = 64 * 1024
"""Bytes of a body at most: events hold ids and amounts, and link to nothing."""
SECONDS: Final = 10.0
"""A receiver has answered by then, or the attempt failed."""
RESPONSE_SHOWN: Final = 500
"""Characters of an answer that the log keeps."""
PER_ENDPOINT: Final = 4
"""Attempts at one endpoint at a time; one at a time while it is failing."""
LEASE_SECONDS: Final = 60
"""So long an attempt is one process's own; after it, it was killed, and another sends again."""
KEPT_DAYS: Final = 30
"""The log keeps what is settled for so long."""
DISABLED_AFTER_DAYS: Final = 5
"""An endpoint that failed for so long without one success is disabled."""
MAX_ROLL_HOURS: Final = 7 * 24

DELAYS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds to the next attempt after each that failed: ten attempts in a little over three days."""
JITTER: Final = 0.2
"""Share by which a delay is stretched or cut, so that what failed together does not come back together."""
QUIET_AFTER: Final = 5
"""Failures in a row after which an endpoint is left alone for a while: for 1 s, then doubling."""
QUIET_MAX_SECONDS: Final = 300
RETRY_AFTER_MAX_SECONDS: Final = 86_400
"""Longest wait that a receiver may ask for."""


@dataclass(frozen=True, slots=True)
class EventType:
    """What an event tells, and an example of its ``data``."""

    about: str
    example: Mapping[str, Any]


def _payout(**more: Any) -> Mapping[str, Any]:
    return {
        "payout": 7,
        "run": 3,
        "user_id": "ada",
        "method": "stripe",
        "currency": "usd",
        "amount": 2_500,
        "reversed_amount": 0,
        "error_code": None,
        "external_transaction_id": "tr_1Q2w3E",
    } | more


def _hold(**more: Any) -> Mapping[str, Any]:
    return {
        "hold": 4,
        "kind": "velocity",
        "outcome": None,
        "tracking": 11,
        "transaction_id": "order-17",
        "user_id": "ada",
        "currency": "usd",
        "amount": 500,
    } | more


def _earning(**more: Any) -> Mapping[str, Any]:
    return {
        "earning": 21,
        "kind": "reward",
        "user_id": "ada",
        "currency": "usd",
        "amount": 500,
        "available_at": "2026-12-01T00:00:00.000000Z",
        "reverses": None,
    } | more


def _card(**more: Any) -> Mapping[str, Any]:
    return {
        "card": "4000123456789012",
        "customer_id": "c-17",
        "transaction": 31,
        "points": 0,
        "points_balance": 0,
        "at": "2026-11-20T09:30:00.000000Z",
    } | more


_RUN: Final = {"run": 3, "name": "weekly", "as_of": "2026-11-20T00:00:00.000000Z"}

TYPES: Final[Mapping[str, EventType]] = {
    "payout.paid": EventType("A payout reached its payee, as far as the gateway tells.", _payout()),
    "payout.failed": EventType(
        "A payout failed. It may be sent again, and be paid after all.",
        _payout(error_code="account_closed", external_transaction_id=None),
    ),
    "payout.returned": EventType(
        "A bank sent a payout back: the money is on the payee's account at the gateway.",
        _payout(error_code="no_account"),
    ),
    "payout.reversed": EventType("A payout was taken back whole.", _payout(reversed_amount=2_500)),
    "payout.partly_reversed": EventType(
        "A part of a payout was taken back; `reversed_amount` is all that was so far.",
        _payout(reversed_amount=500),
    ),
    "payout.canceled": EventType(
        "A payout will not be sent; its earnings are free for another run.",
        _payout(external_transaction_id=None),
    ),
    "run.waiting": EventType("A run waits for somebody's approval.", _RUN),
    "run.approved": EventType("A run was approved, by a person or by its policy.", _RUN),
    "run.rejected": EventType("A run was rejected: nothing of it is paid.", _RUN),
    "run.settled": EventType("Nothing of a run is on its way any more.", _RUN),
    "tracking.held": EventType(
        "What a conversion earns waits: for a person, or for the end of a dispute.", _hold()
    ),
    "hold.released": EventType(
        "A hold ended well: a person released it, or the dispute was won.",
        _hold(outcome="released"),
    ),
    "hold.rejected": EventType(
        "A hold ended badly: a person rejected it, or the dispute was lost.",
        _hold(outcome="rejected"),
    ),
    "earning.created": EventType(
        "A payee earned something, or (a negative amount) something was taken back.", _earning()
    ),
    "earning.voided": EventType("An earning was taken back before it was claimed.", _earning()),
    "points.expiring": EventType(
        "Points expire soon; once for each card and deadline.",
        {
            "card": "4000123456789012",
            "customer_id": "c-17",
            "points": 120,
            "expires_at": "2026-12-04T00:00:00.000000Z",
        },
    ),
    "points.expired": EventType("Points of a card expired.", _card(points=-120)),
    "tier.falling": EventType(
        "A card's tier falls soon, unless it earns what is missing; once for each card, tier and end.",
        {
            "card": "4000123456789012",
            "customer_id": "c-17",
            "program": "points",
            "from_tier": "gold",
            "to_tier": "silver",
            "points": 1_120,
            "missing": 80,
            "falls_at": "2026-12-04T00:00:00.000000Z",
        },
    ),
    "tier.changed": EventType(
        "A card reached a tier or lost one: points were earned or taken back, a period ended, other tiers hold, or two"
        " cards became one.",
        {
            "card": "4000123456789012",
            "customer_id": "c-17",
            "program": "points",
            "from_tier": "gold",
            "to_tier": "silver",
            "reason": "period",
            "points": 720,
            "changed_at": "2026-12-04T00:00:00.000000Z",
        },
    ),
    "card.created": EventType("A customer was enrolled.", _card()),
    "card.deactivated": EventType("A card was deactivated.", _card()),
    "card.reactivated": EventType("A card is in use again.", _card()),
    "card.merged": EventType(
        "Two cards of a customer became one: what this one held is on the other, and its number leads there.",
        {
            "card": "4000123456789012",
            "customer_id": "c-17",
            "into": "4000123456789020",
            "points": 120,
            "stamps": 3,
            "at": "2026-11-20T09:30:00.000000Z",
        },
    ),
    "card.anonymized": EventType(
        "A card's customer was forgotten at their wish: forget what you hold of whose it was. The card stays in use.",
        {"card": "4000123456789012", "customer_id": None, "at": "2026-11-20T09:30:00.000000Z"},
    ),
}
"""Every type that can be subscribed to. The database writes them (``announce_…``); a test compares the two."""


def unknown_types(wanted: Collection[str]) -> list[str]:
    """Those of ``wanted`` that can not be subscribed to."""
    return sorted(set(wanted) - {*TYPES, EVERYTHING})


def new_secret(random: bytes) -> str:
    """A signing secret from SECRET_BYTES random bytes."""
    assert len(random) == SECRET_BYTES
    return PREFIX + base64.b64encode(random).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature: ``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body`` (Unix seconds)."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers_of(
    secrets: Sequence[str], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """The headers of an attempt, signed by every secret that is valid now: a roll has two."""
    return {
        "content-type": "application/json",
        "user-agent": "Payspool-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(one, message_id, timestamp, body) for one in secrets),
    }


def body_of(
    *, uid: str, type_: str, created: datetime, merchant: str, mode: str, data: Mapping[str, Any]
) -> bytes:
    """The JSON that is sent: exact integers, times in UTC, keys in their order."""
    told = {
        "id": uid,
        "type": type_,
        "created": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "merchant": merchant,
        "mode": mode,
        "data": dict(sorted(data.items())),
    }
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    assert len(body) <= MAX_BODY, f"{type_} {uid} has {len(body)} bytes"
    return body


def delay_after(
    tries: int, jitter: float, asked: int | None = None, delays: Sequence[float] = DELAYS
) -> float | None:
    """Seconds to the next attempt after ``tries`` that failed; None: that was the last.

    ``jitter`` is random, 0 to 1. ``asked`` is what the receiver asked for (Retry-After, seconds): it is heeded
    in the place of the schedule, between 1 s and a day.

    >>> delay_after(1, 0.5), delay_after(1, 0.0), delay_after(10, 0.5)
    (5.0, 4.0, None)
    >>> delay_after(1, 0.5, asked=600), delay_after(1, 0.5, asked=10**9)
    (600.0, 86400.0)
    """
    if tries > len(delays):
        return None
    if asked is not None:
        return float(min(max(asked, 1), RETRY_AFTER_MAX_SECONDS))
    return delays[tries - 1] * (1 - JITTER + 2 * JITTER * jitter)


def quiet_seconds(failures: int) -> int:
    """How long an endpoint is left alone after so many failures in a row.

    >>> [quiet_seconds(n) for n in (1, 4, 5, 6, 9, 100)]
    [0, 0, 1, 2, 16, 300]
    """
    if failures < QUIET_AFTER:
        return 0
    return min(QUIET_MAX_SECONDS, 1 << min(failures - QUIET_AFTER, 20))


def retry_after(header: str | None, now: datetime) -> int | None:
    """Seconds that a Retry-After header asks for: a number, or a date. None without a good one.

    >>> retry_after("120", datetime(2026, 11, 20, tzinfo=UTC))
    120
    >>> retry_after("Fri, 20 Nov 2026 00:01:00 GMT", datetime(2026, 11, 20, tzinfo=UTC))
    60
    >>> retry_after("soon", datetime(2026, 11, 20, tzinfo=UTC)) is None
    True
    """
    if header is None:
        return None
    value = header.strip()
    if value.isascii() and value.isdigit() and len(value) <= 10:
        return int(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0, round((at - now).total_seconds()))
