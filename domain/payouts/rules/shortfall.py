"""What may be sent while a gateway's balance is too small for all that waits.

>>> usd = Waiting(payouts=3, amount=900, smallest=100, on_their_way=0)
>>> after_probe(Balance("told", {"usd": 50}), "usd", usd)
Keep()
>>> after_probe(Balance("told", {"usd": 500}), "usd", usd)
Allow(amount=500)
>>> after_probe(Balance("told", {"usd": 900}), "usd", usd)
End()
"""

from dataclasses import dataclass
from typing import Final

from domain.payouts.rules.breaker import Balance

SHORT: Final = "balance_insufficient"
"""The gateway's word for it, and what payouts say that wait for money."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Payouts of one merchant, method and currency that wait for money, and the sum of those that are
    being sent; amounts in minor units."""

    payouts: int
    amount: int
    smallest: int
    on_their_way: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing is sent."""


@dataclass(frozen=True, slots=True)
class Allow:
    """Payouts may be sent whose sum is at most ``amount``, in minor units."""

    amount: int


@dataclass(frozen=True, slots=True)
class End:
    """All may be sent."""


def after_probe(balance: Balance, currency: str, waiting: Waiting) -> Keep | Allow | End:
    """Decide by what the gateway answered. What is on its way may not be out of the balance yet.

    Where the balance cannot be asked, the smallest payout is let through: it is the question then.
    """
    if not waiting.payouts:
        return End()
    if balance.answer == "forbidden":
        return Allow(waiting.smallest)
    if balance.answer != "told":
        return Keep()
    left = balance.available.get(currency, 0) - waiting.on_their_way
    if left >= waiting.amount:
        return End()
    return Allow(left) if left >= waiting.smallest else Keep()
