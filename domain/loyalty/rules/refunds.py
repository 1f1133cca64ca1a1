"""Refunds of purchases: the points that an order earned go in proportion, whatever the order of refunds.

An order of 30.00 earned 10 points. Ten refunds of 3.00 take one point each, a rounding at a time:

>>> from dataclasses import replace
>>> from datetime import UTC, datetime
>>> from domain.loyalty.rules.cards import Original
>>> earned = Original(card_id=1, type="points_earned", points=10, stamps=0,
...     at=datetime(2026, 3, 10, tzinfo=UTC), purchase_amount=3_000, purchase_currency="eur")
>>> order = Order(earns=[earned])
>>> clawback(earned, order, 300)
1
>>> clawback(earned, order, 3_000)
10
>>> order.refuse("r-1", 3_001, None).reason
'refund_exceeds_transaction'

All of it was refunded, then the order earned 10 points for another 30.00. When half of that is refunded
too, 15 of its 20 points are to be gone:

>>> earned.undone, again = 10, replace(earned)
>>> order.earns.append(again)
>>> clawback(earned, order, 4_500), clawback(again, order, 4_500)
(0, 5)
"""

from dataclasses import dataclass, field

from domain.loyalty.rules.cards import Original
from domain.loyalty.rules.programs import Refusal


@dataclass(slots=True, eq=False)
class Order:
    """What a card earned for one order, and what was refunded of it so far (minor units)."""

    earns: list[Original] = field(default_factory=list)
    refunded: int = 0
    refund_ids: set[str] = field(default_factory=set)

    @property
    def total(self) -> int | None:
        """The order's amount; None where an earn told none."""
        amounts = [earn.purchase_amount for earn in self.earns]
        return None if None in amounts else sum(amount or 0 for amount in amounts)

    def refuse(self, refund_id: str, amount: int, currency: str | None) -> Refusal | None:
        """Why a refund of ``amount`` cannot be taken, else None."""
        if refund_id in self.refund_ids:
            return Refusal("duplicate_refund", f"refund {refund_id} was counted before")
        purchase = self.earns[0].purchase_currency
        if currency is not None and purchase is not None and currency != purchase:
            return Refusal(
                "currency_mismatch",
                f"the purchase was in {purchase.upper()}, the refund is in {currency.upper()}",
            )
        total = self.total
        if total is None:
            return Refusal(
                "missing_amount", "the earn has no purchase amount to take a share of: void it"
            )
        if self.refunded + amount > total:
            return Refusal(
                "refund_exceeds_transaction",
                f"{self.refunded} of {total} minor units were refunded before, {amount} more are asked",
            )
        return None


def clawback(earn: Original, order: Order, refunded: int) -> int:
    """Points to take back of ``earn`` once ``refunded`` (in all, minor units) of its order was refunded.

    ``floor(earned × refunded ÷ total)``, less what was taken before. What expired counts as gone: as if
    the purchase had been the smaller one from the start. Over all earns never more than that share of
    what the order earned: one that was taken back beyond its share, as the order earned again only
    later, spares the others.
    """
    total = order.total
    assert total, "a refund of an order without an amount is refused"
    earned = sum(one.points for one in order.earns)
    gone = sum(_gone(one, _share(one.points, refunded, total)) for one in order.earns)
    left = _share(earned, refunded, total) - gone
    share = _share(earn.points, refunded, total)
    return max(min(share - _gone(earn, share), left), 0)


def _share(points: int, refunded: int, total: int) -> int:
    return points * refunded // total


def _gone(earn: Original, share: int) -> int:
    """What is gone of an earn: all that was taken back, and what expired as far as it is of the share."""
    expired = earn.lot.expired if earn.lot else 0
    return earn.undone + min(expired, max(share - earn.undone, 0))
