"""What a bank file says: ids, amounts, and cells that no spreadsheet executes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.money import minor_digits
from domain.payouts.rules.carrying import STEPS
from domain.payouts.rules.recipients import Recipient
from domain.sheets import SheetWriter

MAX_ID: Final = 35
"""Longest end-to-end id (ISO 20022, Max35Text)."""

COLUMNS: Final = (
    "end_to_end_id", "amount", "currency", "name", "iban", "bic", "routing_number", "account_number",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BankLine:
    """One payment that a bank is asked for; ``amount`` in minor units."""

    end_to_end_id: str
    amount: int
    currency: str
    recipient: Recipient


def end_to_end_id(installation: str, payout_id: int, n: int) -> str:
    """What the bank's statement names a payment by: one for each attempt.

    >>> end_to_end_id("3f2a91c04be7", 12, 1)
    'PS-3f2a91c04be7-12-1'
    """
    made = f"PS-{installation}-{payout_id}-{n}"
    assert len(made) <= MAX_ID, made
    return made


def decimal(amount: int, currency: str) -> str:
    """An amount as banks read it: a point, and as many digits as the currency has.

    >>> decimal(5, "usd"), decimal(5, "jpy"), decimal(5, "kwd"), decimal(500, "isk")
    ('0.05', '5', '0.005', '5')
    """
    digits = minor_digits(currency)
    whole, rest = divmod(amount, 10**digits)
    if currency in STEPS and rest == 0:
        return str(whole)
    return f"{whole}.{rest:0{digits}d}" if digits else str(whole)


def csv_file(lines: Sequence[BankLine]) -> str:
    """The lines as CSV (RFC 4180, UTF-8), under COLUMNS."""
    out = io.StringIO()
    writer = SheetWriter(out)
    writer.writerow(COLUMNS)
    for line in lines:
        to = line.recipient
        bank = (
            (to.account, to.bic, "", "") if to.type == "iban" else ("", "", to.routing, to.account)
        )
        cells = (line.end_to_end_id, decimal(line.amount, line.currency), line.currency.upper())
        writer.writerow([*cells, to.name, *bank])
    return out.getvalue()
