"""Wise's objects as values: amounts, transfers and their states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID, uuid5

from domain.money import minor_digits
from domain.payouts.gateway import Progress
from domain.payouts.rules.progress import Stage

_NAMESPACE: Final = UUID("6f1c2a0e-8a56-5b0c-9f5e-0d3c7b1a4e92")
"""Keeps our names apart from everybody else's; it must never change, or replays would pay again."""

_LIMIT: Final = 2**63
"""Amounts from here on fit no column of ours."""

WAITING: Final = "incoming_payment_waiting"
CANCELED: Final = "cancelled"

_STAGES: Final[Mapping[str, Stage]] = {
    WAITING: "unpaid",
    "incoming_payment_initiated": "moving",
    "processing": "moving",
    "funds_converted": "moving",
    "outgoing_payment_sent": "sent",
    "bounced_back": "returned",
    CANCELED: "returned",
    "funds_refunded": "refunded",
    "charged_back": "disputed",
}
"""Stages of a transfer that was paid for, by its state. One that was canceled unpaid is looked at apart."""


CAME_BACK: Final = ("bounced_back", CANCELED, "funds_refunded", "charged_back")
"""States of which a transfer that was paid for does not reach its recipient any more. (One that came back is
`processing` for a while too, like one that is sent; it does not stay so.)"""


class NotATransfer(ValueError):
    """An answer that should be an object of Wise's is none; nothing follows from it."""


@dataclass(frozen=True, slots=True)
class WiseTransfer:
    """A transfer. ``amount`` is what the recipient gets, in minor units of ``currency`` (lower case)."""

    id: int
    status: str
    quote: str
    recipient: int
    reference: str
    currency: str
    amount: int

    @property
    def stage(self) -> Stage | None:
        """Where its money is, if it was paid for; None for a state that we do not know."""
        return _STAGES.get(self.status)


def reference_of(key: str) -> str:
    """The ``customerTransactionId`` of an attempt: computed from its key, so that it cannot be made twice.

    >>> reference_of("payspool/3f2a91c04be7/12/transfer/1")
    'dfeea712-b88e-5d36-b037-33b9b2331f58'
    """
    return str(uuid5(_NAMESPACE, key))


def to_decimal(amount: int, currency: str) -> str:
    """Minor units as Wise writes an amount.

    >>> to_decimal(1_050, "eur"), to_decimal(500, "jpy")
    ('10.50', '500')
    """
    return str(Decimal(amount).scaleb(-minor_digits(currency)))


def to_minor(amount: Any, currency: str) -> int:
    """Wise's amount in minor units. Raises NotATransfer for what is no amount of this currency.

    >>> to_minor(10.5, "eur"), to_minor(0.29, "eur")
    (1050, 29)
    """
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        raise NotATransfer(f"{amount!r:.50} is no amount")
    try:
        scaled = Decimal(str(amount)).scaleb(minor_digits(currency))
        whole = int(scaled)
    except (InvalidOperation, ValueError, OverflowError):
        raise NotATransfer(f"{amount!r:.50} is no amount") from None
    if whole != scaled or abs(whole) >= _LIMIT:
        raise NotATransfer(f"{amount!r:.50} is no whole number of minor units of {currency}")
    return whole


def read_transfer(body: Any) -> WiseTransfer:
    """A transfer out of an answer. Raises NotATransfer."""
    try:
        currency = str(body["targetCurrency"]).lower()
        return WiseTransfer(
            id=_number(body["id"]),
            status=str(body["status"]),
            quote=str(body["quoteUuid"]),
            recipient=_number(body["targetAccount"]),
            reference=str(body["customerTransactionId"]).lower(),
            currency=currency,
            amount=to_minor(body["targetValue"], currency),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotATransfer(f"the answer is no transfer ({type(error).__name__}: {error})") from None


def as_listed(entry: Any, account: str) -> Progress | None:
    """How an entry of a list of transfers stands; None if it is none that could be ours.

    Others' transfers are listed too, with whatever amounts and names. Whether one that was canceled had been
    paid for is not in it.
    """
    if not isinstance(entry, dict):
        return None
    id, status, named = entry.get("id"), entry.get("status"), entry.get("customerTransactionId")
    stage = _STAGES.get(status) if isinstance(status, str) else None
    if stage is None or not isinstance(named, str) or isinstance(id, bool):
        return None
    return Progress(str(id), named.lower(), account, stage, str(status))


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotATransfer(f"{value!r:.50} is no id")
    return value
