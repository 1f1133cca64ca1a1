"""Use cases of the tablets that act at a store: paired once, by a code or at once, and revoked for good."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from domain import clock
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, NotFound
from domain.loyalty.service.shops.registry import check, record, store_of
from domain.loyalty.store import shops as store
from domain.merchants.service import Merchant

PRINCIPAL_MAX: Final = 100
"""As the column."""
CODE_GOOD_FOR: Final = timedelta(minutes=15)
"""How long a pairing code pairs a tablet, in real time."""
CODE_LENGTH: Final = 10
"""Of an alphabet of 32: 50 bits, for a quarter of an hour."""

_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_TOKEN: Final = re.compile(r"pdt_(?:test|live)_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Device:
    """A paired tablet. The principal is who paired it."""

    id: int
    merchant_id: int
    merchant_key: str
    mode: str
    key: str
    name: str
    store: str
    principal_kind: str
    principal_id: str
    revoked: bool


def add_device(
    tx: Tx, merchant: Merchant, store_key: str, key: str, *, name: str, actor: Actor
) -> str:
    """Pair a device at once; returns its token: the only time that it can be seen.

    Raises Invalid, NotFound and AlreadyExists.
    """
    token = _new_token(merchant.mode)
    _insert_device(tx, merchant, store_key, key, name, actor, token_hash=_hash(token))
    record(
        tx,
        merchant,
        actor,
        "device.paired",
        "device",
        key,
        after={"store": store_key, "by": "admin"},
    )
    return token


def offer_pairing(
    tx: Tx, merchant: Merchant, store_key: str, key: str, *, name: str, actor: Actor
) -> str:
    """Add a device that whoever types the returned code becomes, once, within ``CODE_GOOD_FOR``.

    Raises Invalid, NotFound and AlreadyExists.
    """
    code = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_LENGTH))
    _insert_device(tx, merchant, store_key, key, name, actor, pairing_hash=_hash(code))
    record(tx, merchant, actor, "device.offered", "device", key, after={"store": store_key})
    return code


def pair(tx: Tx, code: str) -> tuple[Any, str] | None:
    """Turn a pairing code into (device, token), once; None if it is unknown, used or over."""
    wanted = code.strip().upper().replace("-", "")
    token = secrets.token_urlsafe(32)
    hash_of = {mode: _hash(f"pdt_{mode}_{token}") for mode in ("test", "live")}
    mode = store.mode_of_code(tx, _hash(wanted))
    row = None if mode is None else store.pair(tx, _hash(wanted), hash_of[mode])
    if row is None:
        return None
    audit.record(
        tx,
        Actor(row.principal_kind, row.principal_id),
        "device.paired",
        merchant_id=row.merchant_id,
        subject_kind="device",
        subject_id=row.key,
        after={"store": row.store, "by": "code"},
    )
    return row, f"pdt_{row.mode}_{token}"


def is_device_token(secret: str) -> bool:
    """Whether a text has the form of a device's token."""
    return _TOKEN.fullmatch(secret) is not None


def device_of(tx: Tx, token: str) -> Device | None:
    """The device of a token, revoked or not; None if nobody was given it."""
    row = store.device_of(tx, _hash(token))
    if row is None:
        return None
    return Device(
        row.id, row.merchant_id, row.merchant, row.mode, row.key, row.name, row.store,
        row.principal_kind, row.principal_id, row.revoked_at is not None,
    )  # fmt: skip


def revoke_device(tx: Tx, merchant: Merchant, key: str, *, actor: Actor) -> None:
    """Refuse what a device does from now (business time) on, for good. Raises NotFound and Forbidden."""
    row = _device(tx, merchant, key)
    if row.revoked_at is not None:
        raise Forbidden(f"The device {key!r} is revoked already.")
    store.revoke(tx, row.id, clock.business_now(tx))
    record(tx, merchant, actor, "device.revoked", "device", key)


def rename_device(tx: Tx, merchant: Merchant, key: str, name: str, *, actor: Actor) -> None:
    """Give a device another name. Raises NotFound; Invalid; Forbidden for one that is revoked."""
    check(key, name)
    row = _device(tx, merchant, key)
    if row.revoked_at is not None:
        raise Forbidden(f"The device {key!r} is revoked; it stays as it was.")
    store.rename(tx, "terminal_devices", row.id, name)
    record(tx, merchant, actor, "device.renamed", "device", key, {"name": row.name}, {"name": name})


def change_device(
    tx: Tx,
    merchant: Merchant,
    key: str,
    *,
    name: str | None = None,
    revoke: bool = False,
    actor: Actor,
) -> None:
    """Rename a device, or revoke it for good; what is so already stays, so that it may be said twice.

    Raises NotFound; Invalid; Forbidden for another name of one that is revoked.
    """
    row = _device(tx, merchant, key)
    if name is not None and name != row.name:
        rename_device(tx, merchant, key, name, actor=actor)
    if revoke and row.revoked_at is None:
        revoke_device(tx, merchant, key, actor=actor)


def devices(
    tx: Tx,
    merchant_id: int,
    *,
    only: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[Any]:
    """A merchant's devices by key, with who paired each, never their tokens: one (``only``), or up to
    ``limit`` behind the key ``after``."""
    return store.listing(tx, "device", merchant_id, only=only, after=after, limit=limit)


def forget_acts(tx: Tx, inbox_ids: Sequence[int]) -> None:
    """Take personal data out of what is kept of the requests that brought a customer's events."""
    store.empty_acts(tx, inbox_ids)


def _insert_device(
    tx: Tx,
    merchant: Merchant,
    store_key: str,
    key: str,
    name: str,
    actor: Actor,
    *,
    token_hash: bytes | None = None,
    pairing_hash: bytes | None = None,
) -> None:
    check(key, name)
    values = {
        "merchant_id": merchant.id,
        "store_id": store_of(tx, merchant, store_key).id,
        "key": key,
        "name": name,
        "token_hash": token_hash,
        "pairing_hash": pairing_hash,
        "good_for": CODE_GOOD_FOR,
        "principal_kind": actor.kind,
        "principal_id": actor.id[:PRINCIPAL_MAX],
    }
    if store.add_device(tx, values) is None:
        raise AlreadyExists("device", key, "Give another key.")


def _device(tx: Tx, merchant: Merchant, key: str) -> Any:
    row = store.device(tx, merchant.id, key)
    if row is None:
        raise NotFound("device", key, "`payspool loyalty devices list` shows them.")
    return row


def _new_token(mode: str) -> str:
    return f"pdt_{mode}_{secrets.token_urlsafe(32)}"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
