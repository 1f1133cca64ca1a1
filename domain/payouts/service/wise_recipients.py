"""Whom Wise pays: bank data checked and encrypted here, and known at Wise by a number.

The number is the payee's account, so that no payout and no attempt holds bank data. Wise is asked for it
outside of any transaction: before it `known`, after it `keep`.
"""

from datetime import datetime

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Forbidden
from domain.payouts.rules.wise_recipients import WiseRecipient
from domain.payouts.service.payees import put_payees
from domain.payouts.store import bank
from domain.payouts.store import wise_recipients as store
from domain.payouts.store.payees import PayeeUpdate
from domain.secrets import SecretBox


def known(
    tx: Tx, merchant_id: int, user_id: str, profile: str, recipient: WiseRecipient, box: SecretBox
) -> str | None:
    """Wise's number of a recipient that was made for this payee and profile before, or None.

    Set twice, it stays one recipient. (One that was made at Wise by a command which then died is not
    known here, and is made again: it is never paid, and does no harm.)
    """
    for row in store.of_payee(tx, merchant_id, user_id, profile):
        if box.decrypt(row.data_encrypted, "recipient") == recipient.dumped():
            return str(row.external_id)
    return None


def keep(
    tx: Tx,
    merchant_id: int,
    user_id: str,
    recipient: WiseRecipient,
    *,
    profile: str,
    external_id: str,
    at: datetime,
    box: SecretBox,
    actor: Actor,
) -> None:
    """Pay a user by Wise to the recipient ``external_id`` from ``at`` on. Raises Forbidden if a newer
    event says otherwise; then nothing is kept."""
    set_account(
        tx,
        merchant_id,
        user_id,
        external_id,
        name=recipient.name,
        hint=recipient.hint,
        at=at,
        actor=actor,
    )
    payee_id = bank.lock_payee(tx, merchant_id, user_id)
    assert payee_id is not None, "it was set above"
    if known(tx, merchant_id, user_id, profile, recipient, box) is None:
        store.insert(
            tx,
            merchant_id=merchant_id,
            payee_id=payee_id,
            data=box.encrypt(recipient.dumped()),
            hint=recipient.hint,
            fingerprint=box.fingerprint(recipient.destination),
            by=actor.id,
            external_id=external_id,
            profile=profile,
        )


def set_account(
    tx: Tx,
    merchant_id: int,
    user_id: str,
    external_id: str,
    *,
    name: str | None,
    hint: str,
    at: datetime,
    actor: Actor,
) -> None:
    """Pay a user by Wise to a recipient that Wise knows already. Raises Forbidden as ``keep`` does."""
    (holds,) = put_payees(tx, [PayeeUpdate(merchant_id, user_id, "wise", at, external_id, name)])
    if not holds:
        raise Forbidden(f"A newer event says how {user_id} is paid; nothing was changed.")
    audit.record(
        tx,
        actor,
        "payee.set",
        merchant_id=merchant_id,
        subject_kind="payee",
        subject_id=user_id,
        after={"method": "wise", "account": external_id, "hint": hint},
    )
