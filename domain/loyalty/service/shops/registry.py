"""What stores, PINs and devices share: how they are named, who they belong to, and a line in the audit trail."""

import re
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.loyalty.store import shops as store
from domain.merchants.service import Merchant

KEY_MAX: Final = 100
NAME_MAX: Final = 255
"""As the columns."""

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def store_of(tx: Tx, merchant: Merchant, key: str) -> Any:
    """A store of the merchant, locked. Raises NotFound."""
    row = store.store(tx, merchant.id, key)
    if row is None:
        raise NotFound("store", key, "`payspool loyalty stores list` shows them.")
    return row


def check(key: str, name: str) -> None:
    """See that a key and a name are as the columns take them. Raises Invalid."""
    if len(key) > KEY_MAX or _KEY.fullmatch(key) is None:
        raise Invalid(
            "key",
            f"use 1 to {KEY_MAX} letters, digits, '.', '_' and '-', not one of these three first",
        )
    if not name.strip() or len(name) > NAME_MAX or "\0" in name:
        raise Invalid("name", f"use 1 to {NAME_MAX} characters")


def record(
    tx: Tx,
    merchant: Merchant,
    actor: Actor,
    action: str,
    kind: str,
    key: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Keep in the audit trail what was done to a store, a PIN or a device."""
    audit.record(
        tx,
        actor,
        action,
        merchant_id=merchant.id,
        subject_kind=kind,
        subject_id=key,
        before=before,
        after=after,
    )
