"""When an earning is due, as values.

A credit is due once its hold is over. A debit names the earning that it reverses: if that one is in a
payout, the debit is due at once; otherwise it waits and is claimed with it.

>>> from datetime import UTC, datetime
>>> june = datetime(2026, 6, 1, tzinfo=UTC)
>>> july = datetime(2026, 7, 1, tzinfo=UTC)
>>> is_due(available_at=july, as_of=june, reverses_claimed=None)     # a credit on hold
False
>>> is_due(available_at=july, as_of=june, reverses_claimed=True)     # its reward was paid: take it back now
True
"""

from datetime import datetime
from typing import NamedTuple

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


def is_due(*, available_at: datetime, as_of: datetime, reverses_claimed: bool | None) -> bool:
    """Whether an unclaimed, unheld earning may join a payout as of ``as_of`` (business time, UTC).

    ``reverses_claimed``: None for a credit, else whether the earning that it reverses is in a payout.
    """
    return available_at <= as_of or reverses_claimed is True


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
