"""Where payees get bank payments: checked, encrypted, and never changed but by another row."""

from datetime import datetime

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Forbidden
from domain.payouts.rules.recipients import Recipient, parse_recipient
from domain.payouts.service.payees import put_payees
from domain.payouts.store import bank as store
from domain.payouts.store.payees import PayeeUpdate
from domain.secrets import SecretBox

PREFIX = "rcp_"


def set_recipient(
    tx: Tx,
    merchant_id: int,
    user_id: str,
    recipient: Recipient,
    *,
    at: datetime,
    box: SecretBox,
    actor: Actor,
) -> str:
    """Pay a user by bank to ``recipient`` from ``at`` on; returns its reference, as `rcp_7`.

    The destination that the payee already has keeps its reference. Another one is a new reference, so
    that payouts frozen for the old one are not sent. Raises Forbidden if a newer event holds.
    """
    # The payee first: it is made if it is new, and is locked from here on.
    put_payees(tx, [PayeeUpdate(merchant_id, user_id, "manual", at, None, recipient.name)])
    payee_id = store.lock_payee(tx, merchant_id, user_id)
    assert payee_id is not None, "it was made above"
    known = store.newest_recipient(tx, payee_id)
    fingerprint, data = box.fingerprint(recipient.destination), recipient.dumped()
    if (
        known is not None
        and known.fingerprint == fingerprint
        and box.decrypt(known.data_encrypted, "recipient") == data
    ):
        recipient_id = known.id
    else:
        recipient_id = store.insert_recipient(
            tx,
            merchant_id=merchant_id,
            payee_id=payee_id,
            method="manual",
            data=box.encrypt(data),
            hint=recipient.hint,
            fingerprint=fingerprint,
            by=actor.id,
        )
    account = f"{PREFIX}{recipient_id}"
    (holds,) = put_payees(
        tx, [PayeeUpdate(merchant_id, user_id, "manual", at, account, recipient.name)]
    )
    if not holds:
        raise Forbidden(f"A newer event says how {user_id} is paid; nothing was changed.")
    audit.record(
        tx,
        actor,
        "payee.set",
        merchant_id=merchant_id,
        subject_kind="payee",
        subject_id=user_id,
        after={"method": "manual", "account": account, "hint": recipient.hint},
    )
    return account


def read_recipient(
    tx: Tx, merchant_id: int, payee_id: int, destination: str, box: SecretBox
) -> Recipient | None:
    """The recipient behind a payout's destination, or None if it is none of this payee's."""
    number = destination.removeprefix(PREFIX)
    if number == destination or not (number.isascii() and number.isdigit() and len(number) < 19):
        return None
    row = store.recipient(tx, merchant_id, payee_id, int(number))
    return None if row is None else parse_recipient(box.decrypt(row.data_encrypted, "recipient"))


def reseal(tx: Tx, *, box: SecretBox, actor: Actor) -> int:
    """Encrypt recipients and bank files under the newest key; returns how many. Raises CannotDecrypt."""
    recipients, files = store.lock_recipients(tx), store.lock_files(tx)
    for row in recipients:
        data = box.decrypt(row.data_encrypted, "recipient")
        store.set_recipient(
            tx, row.id, box.encrypt(data), box.fingerprint(parse_recipient(data).destination)
        )
    for row in files:
        store.set_content(tx, row.id, box.renew(row.content_encrypted, "bank file"))
    audit.record(
        tx,
        actor,
        "secrets.resealed",
        merchant_id=None,
        subject_kind="secrets",
        subject_id="bank_data",
        after={"recipients": len(recipients), "bank_files": len(files)},
    )
    return len(recipients) + len(files)
