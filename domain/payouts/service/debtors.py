"""The merchant's own bank accounts, one a currency, that bank files are paid from.

They are encrypted as recipients are; people and the audit trail see a hint.
"""

from typing import Any

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid
from domain.money import is_currency
from domain.payouts.rules.recipients import Recipient, parse_recipient
from domain.payouts.store import debtors as store
from domain.secrets import SecretBox

_WHAT = "debtor account"


def set_debtor(
    tx: Tx, merchant_id: int, currency: str, account: Recipient, *, box: SecretBox, actor: Actor
) -> bool:
    """Pay a merchant's bank files in ``currency`` from ``account``; False if they are already.

    Files that were exported keep the account that they name. Raises Invalid for a currency that there is
    not, or that the account does not carry.
    """
    if not is_currency(currency):
        raise Invalid("--currency", "is a lower-case currency code, as eur")
    if not account.carries(currency):
        raise Invalid("--currency", f"{account.hint} is not paid from in {currency}")
    store.lock(tx, merchant_id)
    before = {row.currency: row for row in store.in_force(tx, merchant_id)}.get(currency)
    data = account.dumped()
    if before is not None and box.decrypt(before.data_encrypted, _WHAT) == data:
        return False
    store.insert(
        tx,
        merchant_id=merchant_id,
        currency=currency,
        data=box.encrypt(data),
        hint=account.hint,
        by=actor.id,
    )
    audit.record(
        tx,
        actor,
        "debtor_account.set",
        merchant_id=merchant_id,
        subject_kind="merchant",
        subject_id=merchant_id,
        before=None if before is None else {"currency": currency, "hint": before.hint},
        after={"currency": currency, "hint": account.hint},
    )
    return True


def listed(tx: Tx, merchant_id: int) -> list[dict[str, Any]]:
    """What people are shown of a merchant's accounts: currency, hint, who set it and when."""
    return [
        {
            "currency": row.currency,
            "account": row.hint,
            "set_by": row.created_by,
            "set_at": row.created_at,
        }
        for row in store.in_force(tx, merchant_id)
    ]


def read_debtors(tx: Tx, merchant_id: int, box: SecretBox) -> dict[str, Recipient]:
    """A merchant's accounts by currency. Raises CannotDecrypt."""
    return {
        row.currency: parse_recipient(box.decrypt(row.data_encrypted, _WHAT))
        for row in store.in_force(tx, merchant_id)
    }


def reseal(tx: Tx, *, box: SecretBox) -> int:
    """Encrypt every account under the newest key; returns how many. Raises CannotDecrypt."""
    rows = store.lock_all(tx)
    for row in rows:
        store.set_data(tx, row.id, box.renew(row.data_encrypted, _WHAT))
    return len(rows)
