"""Use cases of access: make, check, list and revoke API keys."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain import clock
from domain.access import store
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.merchants.service import Merchant

SCOPES: Final = (
    "events:write",
    "events:read",
    "loyalty:write",
    "loyalty:read",
    "loyalty:admin",
    "shops:read",
    "shops:write",
    "earnings:read",
    "payouts:read",
    "payouts:write",
    "payouts:prepare",
    "payouts:approve",
    "referrals:read",
    "referrals:write",
    "webhooks:read",
    "webhooks:write",
    "queues:read",
    "queues:write",
    "dead_letters:read",
    "dead_letters:write",
    "schedules:read",
    "schedules:write",
)
"""What a key may do: put events in, ask what became of them; use cards at once, look at them; merge cards,
restore points and decide what was too fast; look at stores, staff PINs and devices; change them; look at
what users earned and how they are paid; look at programs, codes, holds and trackings; change programs, make codes
and decide holds; look at runs, payouts and payees; retry and cancel payouts; prepare runs; approve and reject runs
that another key or person prepared; look at a merchant's webhook endpoints and their log; add and change these; look at the installation's queues and workers; pause and resume queues;
look at dead letters, with what they say; retry and discard them; look at schedules; fire, pause and resume them: all
of these for all merchants, by a key for who operates the installation."""

DEFAULT_SCOPES: Final = ("events:write", "events:read")
"""What a key may do that was asked for without scopes: a producer's work, and nothing that shows people."""

RATE_MAX: Final = 1_000_000
"""Most requests a second that a key can be given."""

ACTOR_MAX: Final = 255
"""Characters of an actor's name in the audit trail."""

_FORM: Final = re.compile(r"psk_(?:test|live)_[A-Za-z0-9_-]{43}")
_PREFIX: Final = len("psk_test_") + 5


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was presented and found good. ``rate_per_second`` None: as the settings say.

    ``used_lately``: whether its last use was on record to the minute (see ``note_use``).
    """

    id: int
    name: str
    merchant_id: int
    merchant_key: str
    mode: str
    scopes: frozenset[str]
    rate_per_second: int | None
    used_lately: bool


def actor_of(key: ApiKey) -> Actor:
    """Who acts with a key, as the audit trail and runs keep it (at most 255 characters).

    Keys of one name are one party: a key that replaces another is who that was.
    """
    return Actor("api_key", f"{key.merchant_key}/{key.name}"[:ACTOR_MAX])


def create(
    tx: Tx,
    merchant: Merchant,
    name: str,
    scopes: Sequence[str],
    *,
    expires_at: datetime | None = None,
    rate_per_second: int | None = None,
    actor: Actor,
) -> str:
    """Make a key, good until ``expires_at`` (real time, UTC) if one is given, and return its secret: the
    only time it can be seen.

    Raises Invalid for a scope that does not exist, an end that has passed, or a rate out of range.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Invalid("scopes", f"choose from {', '.join(SCOPES)}")
    if expires_at is not None and expires_at <= clock.real_now(tx):
        raise Invalid("expires_at", "lies in the past")
    if rate_per_second is not None and not 0 < rate_per_second <= RATE_MAX:
        raise Invalid("rate_per_second", f"is 1 to {RATE_MAX}")
    secret = f"psk_{merchant.mode}_{secrets.token_urlsafe(32)}"
    assert _FORM.fullmatch(secret), "a key has the form that is looked up"
    key_id = store.insert(
        tx,
        merchant_id=merchant.id,
        name=name,
        prefix=secret[:_PREFIX],
        secret_hash=hash_of(secret),
        scopes=sorted(set(scopes)),
        rate_per_second=rate_per_second,
        expires_at=expires_at,
    )
    audit.record(
        tx,
        actor,
        "api_key.created",
        merchant_id=merchant.id,
        subject_kind="api_key",
        subject_id=key_id,
        after={
            "name": name,
            "scopes": sorted(set(scopes)),
            "expires_at": expires_at.isoformat() if expires_at else None,
            "rate_per_second": rate_per_second,
        },
    )
    return secret


def check(tx: Tx, secret: str) -> ApiKey | None:
    """The key behind a secret, or None if it is unknown, expired, revoked, or its merchant retired.

    Only reads: a server that takes no writes can still say whether a key is good.
    """
    if not is_key(secret):
        return None
    row = store.by_hash(tx, hash_of(secret))
    if row is None:
        return None
    return ApiKey(
        row.id,
        row.name,
        row.merchant_id,
        row.merchant_key,
        row.mode,
        frozenset(row.scopes),
        row.rate_per_second,
        row.used_lately,
    )


def note_use(tx: Tx, key: ApiKey) -> None:
    """Record that a key was used, to the minute. For a transaction of its own: it may fail, and whoever
    presented the key is none the worse."""
    if not key.used_lately:
        store.note_use(tx, key.id)


def listing(tx: Tx, merchant: Merchant) -> list[Any]:
    """A merchant's keys, newest first: their prefixes, never their secrets."""
    return store.listing(tx, merchant.id)


def revoke(tx: Tx, merchant: Merchant, key_id: int, *, actor: Actor) -> None:
    """Revoke a key. Raises NotFound."""
    if not store.revoke(tx, merchant.id, key_id):
        raise NotFound("active API key", str(key_id), "`payspool keys list` shows them.")
    audit.record(
        tx,
        actor,
        "api_key.revoked",
        merchant_id=merchant.id,
        subject_kind="api_key",
        subject_id=key_id,
    )


def is_key(secret: str) -> bool:
    """Whether a text has the form of a key; nothing else is worth a look at the database."""
    return _FORM.fullmatch(secret) is not None


def hash_of(secret: str) -> bytes:
    """What is stored of a key: its SHA-256."""
    return hashlib.sha256(secret.encode()).digest()
