"""Where payees get bank payments: checked, encrypted, and never changed but by another row."""

from datetime import datetime

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Forbidden, Invalid
from domain.payouts.gateway import PayeeCheck
from domain.payouts.rules.recipients import Recipient, kept_recipient, parse_recipient
from domain.payouts.rules.wise_recipients import kept_wise_recipient
from domain.payouts.service import debtors
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
    data = recipient.dumped()
    # By what it says, not by its fingerprint: that changes with the newest key, and a new reference would
    # cancel what is approved and let the destination cool off again.
    if known is not None and box.decrypt(known.data_encrypted, "recipient") == data:
        recipient_id = known.id
    else:
        recipient_id = store.insert_recipient(
            tx,
            merchant_id=merchant_id,
            payee_id=payee_id,
            method="manual",
            data=box.encrypt(data),
            hint=recipient.hint,
            fingerprint=box.fingerprint(recipient.destination),
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


def check_recipient(
    tx: Tx, merchant_id: int, user_id: str, destination: str, box: SecretBox
) -> PayeeCheck:
    """Whether a bank file can pay this payee: its bank data is there, opens, and holds by today's rules.

    The payee's row is locked. Nobody outside is asked. Raises CannotDecrypt.
    """
    payee_id = store.lock_payee(tx, merchant_id, user_id)
    if payee_id is None:
        return PayeeCheck(False, "there is no such payee")
    try:
        found = read_recipient(tx, merchant_id, payee_id, destination, box)
    except Invalid as invalid:
        return PayeeCheck(False, f"its bank data does not hold any more ({invalid})")
    if found is None:
        return PayeeCheck(False, "no bank data is stored for it")
    return PayeeCheck(True)


def reseal(tx: Tx, *, box: SecretBox, actor: Actor) -> int:
    """Encrypt recipients, bank files and debtor accounts under the newest key; returns how many.

    What is stored is not judged anew: one recipient that today's rules refuse would keep the old key in use.
    Raises CannotDecrypt.
    """
    recipients, files = store.lock_recipients(tx), store.lock_files(tx)
    for row in recipients:
        data = box.decrypt(row.data_encrypted, "recipient")
        kept = kept_wise_recipient(data) if row.method == "wise" else kept_recipient(data)
        store.set_recipient(tx, row.id, box.encrypt(data), box.fingerprint(kept.destination))
    for row in files:
        store.set_content(tx, row.id, box.renew(row.content_encrypted, "bank file"))
    accounts = debtors.reseal(tx, box=box)
    audit.record(
        tx,
        actor,
        "secrets.resealed",
        merchant_id=None,
        subject_kind="secrets",
        subject_id="bank_data",
        after={
            "recipients": len(recipients),
            "bank_files": len(files),
            "debtor_accounts": accounts,
        },
    )
    return len(recipients) + len(files) + accounts
