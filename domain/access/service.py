"""Use cases of access: make, check and revoke API keys."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.access import store
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.merchants.service import Merchant

SCOPES: Final = ("events:write", "events:read")
"""What a key may do: put events in, and ask what became of them."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was presented and found good."""

    id: int
    name: str
    merchant_id: int
    merchant_key: str
    mode: str
    scopes: frozenset[str]


def create(tx: Tx, merchant: Merchant, name: str, scopes: Sequence[str], *, actor: Actor) -> str:
    """Make a key and return its secret: the only time it can be seen. Raises Invalid for a bad scope."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Invalid("scopes", f"choose from {', '.join(SCOPES)}")
    secret = f"psk_{merchant.mode}_{secrets.token_urlsafe(32)}"
    key_id = store.insert(
        tx,
        merchant_id=merchant.id,
        name=name,
        prefix=secret[:14],
        secret_hash=_hash(secret),
        scopes=sorted(set(scopes)),
    )
    audit.record(
        tx,
        actor,
        "api_key.created",
        merchant_id=merchant.id,
        subject_kind="api_key",
        subject_id=key_id,
        after={"name": name, "scopes": sorted(set(scopes))},
    )
    return secret


def check(tx: Tx, secret: str) -> ApiKey | None:
    """The key behind a secret, or None if it is unknown, revoked, or its merchant retired."""
    row = store.by_hash(tx, _hash(secret))
    if row is None:
        return None
    return ApiKey(
        row.id, row.name, row.merchant_id, row.merchant_key, row.mode, frozenset(row.scopes)
    )


def revoke(tx: Tx, merchant: Merchant, key_id: int, *, actor: Actor) -> None:
    """Revoke a key at once. Raises NotFound."""
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


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
