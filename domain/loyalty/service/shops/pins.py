"""Use cases of the PINs of a store's staff."""

import re
from datetime import timedelta
from typing import Any, Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from domain import clock
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound
from domain.loyalty.rules import Refusal
from domain.loyalty.service.shops.registry import check, record, store_of
from domain.loyalty.store import shops as store
from domain.merchants.service import Merchant

FAILURES_MAX: Final = 5
"""Wrong PINs in a row that lock it."""
LOCK: Final = timedelta(minutes=30)
"""For how long, in real time."""

_PIN: Final = re.compile(r"[0-9]{4,12}")
# A till waits for it, and a PIN is locked long before it is guessed.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def add_pin(
    tx: Tx, merchant: Merchant, store_key: str, key: str, pin: str, *, name: str, actor: Actor
) -> None:
    """Give a member of a store's staff a PIN of 4 to 12 digits, kept as its argon2id hash.

    Raises Invalid, NotFound and AlreadyExists.
    """
    check(key, name)
    hashed = _hashed(pin)
    if (
        store.add_pin(tx, merchant.id, store_of(tx, merchant, store_key).id, key, name, hashed)
        is None
    ):
        raise AlreadyExists("staff PIN", key, "Give another key.")
    record(tx, merchant, actor, "pin.created", "pin", key, after={"store": store_key, "name": name})


def change_pin(tx: Tx, merchant: Merchant, key: str, pin: str, *, actor: Actor) -> None:
    """Give a person another PIN, which is not locked. Raises Invalid and NotFound."""
    hashed = _hashed(pin)
    store.set_pin(tx, _pin(tx, merchant, key).id, hashed)
    record(tx, merchant, actor, "pin.changed", "pin", key)


def rename_pin(tx: Tx, merchant: Merchant, key: str, name: str, *, actor: Actor) -> None:
    """Correct a person's name; history keeps the one of its time. Raises NotFound and Invalid."""
    check(key, name)
    row = _pin(tx, merchant, key)
    store.rename(tx, "staff_pins", row.id, name)
    record(tx, merchant, actor, "pin.renamed", "pin", key, {"name": row.name}, {"name": name})


def unlock_pin(tx: Tx, merchant: Merchant, key: str, *, actor: Actor) -> None:
    """Let a PIN be tried again that was locked. Raises NotFound."""
    store.unlock(tx, _pin(tx, merchant, key).id)
    record(tx, merchant, actor, "pin.unlocked", "pin", key)


def disable_pin(tx: Tx, merchant: Merchant, key: str, *, actor: Actor) -> None:
    """Refuse what a person does from now (business time) on, for good. Raises NotFound and Forbidden."""
    row = _pin(tx, merchant, key)
    if row.disabled_at is not None:
        raise Forbidden(f"The staff PIN {key!r} is disabled already.")
    store.disable_pin(tx, row.id, clock.business_now(tx))
    record(tx, merchant, actor, "pin.disabled", "pin", key)


def alter_pin(
    tx: Tx,
    merchant: Merchant,
    key: str,
    *,
    name: str | None = None,
    pin: str | None = None,
    unlock: bool = False,
    disable: bool = False,
    actor: Actor,
) -> None:
    """Change what is given of a person's PIN; one that is disabled already stays so.

    Raises NotFound and Invalid.
    """
    row = _pin(tx, merchant, key)
    if name is not None and name != row.name:
        rename_pin(tx, merchant, key, name, actor=actor)
    if pin is not None:
        change_pin(tx, merchant, key, pin, actor=actor)
    if unlock:
        unlock_pin(tx, merchant, key, actor=actor)
    if disable and row.disabled_at is None:
        disable_pin(tx, merchant, key, actor=actor)


def pins(
    tx: Tx,
    merchant_id: int,
    *,
    only: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[Any]:
    """A merchant's PINs by key, never the PINs themselves: one (``only``), or up to ``limit`` behind ``after``."""
    return store.listing(tx, "pin", merchant_id, only=only, after=after, limit=limit)


def prove_pin(tx: Tx, merchant_id: int, key: str, pin: str) -> Refusal | None:
    """Check a PIN that was typed at a till; None if it is right.

    The caller commits, whatever comes back: a wrong one counts, and the fifth in a row locks it for half an
    hour of real time. Its row is locked while it is looked at, so that guesses beside each other count.
    """
    row = store.pin(tx, merchant_id, key)
    if row is None:
        return Refusal("pin_unknown", f"this merchant has no staff PIN {key!r}")
    if row.locked:
        return Refusal(
            "pin_locked",
            f"too many wrong PINs for {key!r}: it can be tried again within half an hour, or be unlocked"
            " with `payspool loyalty pins unlock`",
        )
    if row.disabled_at is not None:
        return Refusal("pin_disabled", f"the staff PIN {key!r} is disabled")
    if not _right(row.pin_hash, pin):
        # A lock that is over leaves a clean slate.
        failures = (row.failures if row.failures < FAILURES_MAX else 0) + 1
        locks = failures >= FAILURES_MAX
        store.count_failure(tx, row.id, failures, LOCK if locks else None)
        if locks:
            audit.record(
                tx,
                Actor("worker", "till"),
                "pin.locked",
                merchant_id=merchant_id,
                subject_kind="pin",
                subject_id=key,
                after={"failures": failures, "minutes": int(LOCK.total_seconds() // 60)},
            )
        return Refusal("pin_wrong", f"this is not the PIN of {key!r}")
    if row.failures:
        store.unlock(tx, row.id)
    return None


def _pin(tx: Tx, merchant: Merchant, key: str) -> Any:
    row = store.pin(tx, merchant.id, key)
    if row is None:
        raise NotFound("staff PIN", key, "`payspool loyalty pins list` shows them.")
    return row


def _hashed(pin: str) -> str:
    if _PIN.fullmatch(pin) is None:
        raise Invalid("pin", "use 4 to 12 digits")
    return _HASHER.hash(pin)


def _right(stored: str, given: str) -> bool:
    try:
        return _PIN.fullmatch(given) is not None and _HASHER.verify(stored, given)
    except (Argon2Error, InvalidHashError):
        return False
