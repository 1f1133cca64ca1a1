"""What an entry of a bank statement says about a payout, and what follows from it.

An entry settles a payout only if it names our own end-to-end id and the exact amount and currency. All
else is a refusal with a name: nothing is guessed from a payee's name or an amount that is nearly right.

>>> reference_in("EREF+PS-3f2a91c04be7-12-1 SVWZ+June")
Reference(installation='3f2a91c04be7', payout_id=12, n=1, file_id=None, batch=None)
>>> reference_in("PS-3F2A91C04BE7-F4-1").file_id, reference_in("rent"), reference_in("PS-?")
(4, None, 'damaged')
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Final

from domain.money import MAX_AMOUNT, format_minor, minor_digits


@dataclass(frozen=True, slots=True)
class Entry:
    """What a statement says of one movement; ``place`` says where in the file.

    ``amount`` is positive, in minor units; ``debit``: it left the account. ``reason``: why money came
    back. ``count``: of how many payments a sum is made. ``problem``: why it cannot be read; then the
    rest says nothing.
    """

    place: str
    reference: str = ""
    amount: int = 0
    currency: str = ""
    debit: bool = True
    booked_on: date | None = None
    bank_reference: str = ""
    account: str = ""
    reason: str | None = None
    count: int | None = None
    booked: bool = True
    problem: str | None = None

    @property
    def key(self) -> bytes:
        """SHA-256 of what it says: the same movement in another file has the same key."""
        said = [self.account, self.debit, self.bank_reference, self.reference, self.amount]
        said += [self.currency, None if self.booked_on is None else self.booked_on.isoformat()]
        return hashlib.sha256(json.dumps(said).encode()).digest()


@dataclass(frozen=True, slots=True)
class Reference:
    """One of our names in a statement: of an attempt, or of a file or its batch."""

    installation: str
    payout_id: int = 0
    n: int = 0
    file_id: int | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A payout out of a bank file, and the attempt that an entry names.

    ``came_back``: a statement has shown that the attempt's money came back.
    """

    payout_id: int
    attempt_id: int
    amount: int
    currency: str
    payout_state: str
    attempt_state: str
    frozen_reason: str | None
    came_back: bool = False


class Act(Enum):
    """What an entry does to a payout."""

    PAY = "paid"
    REFUSE = "refused"
    RETURN = "returned"


@dataclass(frozen=True, slots=True)
class Reject:
    """Why an entry does nothing; ``code`` is one of REJECTS, or NOT_OURS or SEEN."""

    code: str
    detail: str = ""


NOT_OURS: Final = "not_ours"
"""It names no payment of ours: rent, fees, other people's."""

SEEN: Final = "seen"
"""An earlier reading of a statement has done what it says."""

PAID_THOUGH_FAILED: Final = "paid_though_failed"
"""The bank paid what is failed here. Nothing sends such a payout again before two people have looked."""

BATCH_NOT_WAITING: Final = "batch_not_waiting"
"""A sum is of all payouts of a batch, and not all of them wait for it or are paid."""


def paid_earlier(n: int) -> str:
    """Why a payout is stopped of which the bank has paid attempt ``n``, which is failed here."""
    return f"a bank statement shows that attempt {n}, which is failed here, was paid"


REJECTS: Final = {
    "unreadable": "it cannot be read",
    "not_booked": "the bank has announced it and not booked it",
    "damaged_reference": "it begins like one of our references, and is none",
    "several_references": "it names several of our references",
    "unknown_reference": "this merchant has no bank file with this reference",
    "currency_mismatch": "it is in another currency than the payout",
    "amount_mismatch": "it is of another amount than the payout",
    "duplicate": "the same entry stands in this file before",
    "already_paid": "the payout was paid before: was it paid twice?",
    "came_back": "the debit of a payment that has come back already",
    PAID_THOUGH_FAILED: "the bank paid what is failed here: it is stopped, so that nothing sends it again",
    "stopped": "the payout is stopped until two people let it go on",
    "credit_without_reason": "money with our reference came in, and no reason says why",
    "not_returnable": "what came back is not in transit and not paid",
    "batch_without_count": "a sum for a batch, and it is not said of how many payments",
    "batch_mismatch": "count or sum are not those of the batch",
    BATCH_NOT_WAITING: "a payout of the batch is neither in transit nor paid; if it is failed here, it is stopped",
    "batch_credit": "a sum came back for a batch, and not of which payments",
}
"""Every name that an entry can be refused by, and what it means."""

_REFERENCE: Final = re.compile(
    r"(?<![0-9a-z-])ps-([0-9a-f]{12})-(?:f([0-9]{1,18})(?:-([0-9]{1,9}))?|([0-9]{1,18})-([0-9]{1,9}))"
    r"(?![0-9a-z-])",
    re.IGNORECASE,
)
_BEGINS: Final = re.compile(r"(?<![0-9a-z-])ps-", re.IGNORECASE)


def reference_in(text: str) -> Reference | str | None:
    """Our reference in a statement's text, in capitals or not; None if there is none.

    ``"damaged"`` if something begins like one and is none, ``"several"`` if there are different ones.
    """
    if "ps-" not in text.lower():  # as most of a statement
        return None
    found = dict.fromkeys(match.group().lower() for match in _REFERENCE.finditer(text))
    if len(found) > 1:
        return "several"
    match = _REFERENCE.search(text)
    if match is None:
        return "damaged" if _BEGINS.search(text) else None
    installation, file_id, batch, payout_id, n = match.groups()
    if file_id is not None:
        part = None if batch is None else int(batch)
        return Reference(installation.lower(), file_id=int(file_id), batch=part)
    return Reference(installation.lower(), int(payout_id), int(n))


def judge(entry: Entry, known: Known) -> Act | Reject:
    """What an entry that names an attempt does; its payout's lock is held."""
    wrong = _differs(entry, known.amount, known.currency, "amount_mismatch")
    if wrong is not None:
        return wrong
    if known.frozen_reason is not None:
        return Reject("stopped", known.frozen_reason)
    waits = (known.payout_state, known.attempt_state) == ("in_transit", "sending")
    if entry.debit:
        if waits:
            return Act.PAY
        if known.attempt_state in ("succeeded", "reversed"):
            # Also where it came back since: its own debit was seen, so that this is another one.
            return Reject("already_paid", f"the payout is {known.payout_state}")
        if known.came_back:
            return Reject("came_back", f"the payout is {known.payout_state}")
        return Reject(PAID_THOUGH_FAILED, f"the payout is {known.payout_state}")
    if entry.reason is None:
        return Reject("credit_without_reason")
    if waits:
        return Act.REFUSE
    if (known.payout_state, known.attempt_state) == ("paid", "succeeded"):
        return Act.RETURN
    return Reject("not_returnable", f"the payout is {known.payout_state}")


def judge_batch(entry: Entry, known: list[Known]) -> Act | Reject:
    """What an entry does that names a file, or a batch of one, of these payouts.

    It pays those that wait, if it is of all of them: the same count and the same sum.
    """
    if not entry.debit:
        return Reject("batch_credit")
    if entry.count is None:
        return Reject("batch_without_count")
    currencies = {one.currency for one in known}
    if currencies != {entry.currency}:
        return Reject("currency_mismatch", f"the batch is in {', '.join(sorted(currencies))}")
    if entry.count != len(known):
        return Reject("batch_mismatch", f"the batch has {len(known)} payouts, not {entry.count}")
    total = sum(one.amount for one in known)
    wrong = _differs(entry, total, entry.currency, "batch_mismatch")
    if wrong is not None:
        return wrong
    for one in known:
        if one.frozen_reason is None and one.attempt_state not in ("sending", "succeeded"):
            return Reject(BATCH_NOT_WAITING, f"payout {one.payout_id} is {one.payout_state}")
    for one in known:
        if one.frozen_reason is not None:
            return Reject("stopped", f"payout {one.payout_id}: {one.frozen_reason}")
    if all(one.attempt_state == "succeeded" for one in known):
        return Reject("already_paid", "all of the batch are paid")
    return Act.PAY


def _differs(entry: Entry, amount: int, currency: str, code: str) -> Reject | None:
    if entry.currency != currency:
        return Reject("currency_mismatch", f"the payout is in {currency}, not {entry.currency}")
    if entry.amount != amount:
        ours, theirs = format_minor(amount, currency), format_minor(entry.amount, currency)
        return Reject(code, f"here {ours}, at the bank {theirs}")
    return None


def minor(text: str, currency: str) -> int | None:
    """An amount with a decimal point in minor units, or None if it is none, or is too fine or too large.

    >>> minor("10.05", "eur"), minor("10.050", "eur"), minor("10.055", "eur"), minor("1e3", "eur")
    (1005, 1005, None, None)
    """
    if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,5})?", text):
        return None
    try:
        scaled = Decimal(text).scaleb(minor_digits(currency))
    except InvalidOperation:
        return None
    return int(scaled) if scaled == int(scaled) and abs(scaled) <= MAX_AMOUNT else None
