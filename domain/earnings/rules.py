"""An earning as it is recorded, and the ledger transfer that it is.

>>> from datetime import UTC, datetime
>>> june = datetime(2026, 6, 1, tzinfo=UTC)
>>> clawback = NewEarning(1, "ada", "usd", -500, "clawback", "refund", 7, june, june, reverses=3)
>>> moved = transfer_for(clawback)                           # from what is owed, back to the expense
>>> moved.debit.kind, moved.credit.kind, moved.amount
('payable', 'rewards_expense', 500)
"""

from datetime import datetime
from typing import Final, NamedTuple

from domain.ledger.rules import Account, Transfer, payable, rewards_expense


class NewEarning(NamedTuple):
    """An earning to be recorded. ``amount`` is signed, in minor units of ``currency``, never 0.

    ``reverses`` is what a debit takes back: an earning's id, or one recorded earlier in the same list
    (that very object, not an equal one).
    """

    merchant_id: int
    user_id: str
    currency: str
    amount: int
    kind: str
    source_kind: str
    source_id: int
    available_at: datetime
    occurred_at: datetime
    method: str | None = None
    reverses: "NewEarning | int | None" = None
    hold_reason: str | None = None

    @property
    def account(self) -> Account:
        """The payee's ``payable`` account."""
        return payable(self.merchant_id, self.user_id, self.currency)


REJECTION: Final = "rejection"
"""Why what a payout has of something that was rejected is held: for good."""


class EarningHold(NamedTuple):
    """What holds an earning that was recorded before: since when and why, or nothing any more."""

    earning_id: int
    held_at: datetime | None
    reason: str | None


def transfer_for(earning: NewEarning) -> Transfer:
    """The ledger transfer that an earning is: expense to payable, or back for a negative one."""
    owed, expense = earning.account, rewards_expense(earning.merchant_id, earning.currency)
    debit, credit = (expense, owed) if earning.amount > 0 else (owed, expense)
    return Transfer(
        debit=debit,
        credit=credit,
        amount=abs(earning.amount),
        kind=earning.kind,
        source_kind=earning.source_kind,
        source_id=earning.source_id,
        occurred_at=earning.occurred_at,
    )


def voiding(earning: NewEarning) -> Transfer:
    """The ledger transfer that takes an earning back which never was to be paid."""
    moved = transfer_for(earning)
    return moved._replace(debit=moved.credit, credit=moved.debit, kind="void")
