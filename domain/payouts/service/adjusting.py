"""Use cases of adjustments: small ones are booked at once, large ones by a second person.

What one person books alone is a sum over a week (``rules.adjusting``), so that several small ones are a
large one. The database counts it as well.
"""

from dataclasses import dataclass
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.errors import Forbidden, Invalid, NotFound
from domain.money import is_currency
from domain.payouts.rules.adjusting import alone_limit, is_alone
from domain.payouts.rules.words import said
from domain.payouts.store import adjustments as store
from domain.payouts.store import listing, policies

MAX_AMOUNT: Final = 10**15


@dataclass(frozen=True, slots=True)
class Adjusted:
    """An adjustment: ``booked`` already, or waiting for another person.

    ``used``: what whoever proposed it had adjusted alone within a week, of ``limit``; in minor units.
    """

    number: int
    booked: bool
    used: int
    limit: int


def adjust(
    tx: Tx, merchant_id: int, user_id: str, amount: int, currency: str, reason: str, actor: Actor
) -> Adjusted:
    """Adjust what a payee is owed (signed minor units), alone as far as the limit of a week goes.

    Raises Invalid, or NotFound for a user who is no payee.
    """
    if amount == 0 or abs(amount) > MAX_AMOUNT:
        raise Invalid("amount", f"is not 0, and at most {MAX_AMOUNT} minor units")
    if not is_currency(currency):
        raise Invalid("currency", f"{currency!r} is no currency, as usd")
    reason = said("--reason", reason, "say why")
    if listing.payee(tx, merchant_id, user_id) is None:
        raise NotFound("payee", user_id, "`payspool payees list` shows them.")
    # One at a time: of two adjustments at once the later one counts the earlier.
    policies.lock(tx, merchant_id)
    limit = alone_limit(currency, policies.of(tx, merchant_id).limits.get(currency))
    used = store.adjusted_alone(tx, merchant_id, actor.id, currency)
    number = store.propose(
        tx,
        merchant_id=merchant_id,
        user_id=user_id,
        currency=currency,
        amount=amount,
        reason=reason,
        limit=limit,
        by=actor.id,
    )
    row = store.lock_proposed(tx, merchant_id, number)
    alone = is_alone(amount, used=used, limit=limit)
    if alone:
        _book(tx, row, None, actor)
    else:
        _record(tx, actor, "adjustment.proposed", row)
    return Adjusted(number, alone, used, limit)


def agree(tx: Tx, merchant_id: int, number: int, actor: Actor) -> None:
    """Book a large adjustment, once, as another person. Raises NotFound, Forbidden for the proposer."""
    row = _proposed(tx, merchant_id, number)
    if row.proposed_by == actor.id:
        raise Forbidden(f"{actor.id} proposed adjustment {number}; another person has to agree.")
    _book(tx, row, actor.id, actor)


def reject(tx: Tx, merchant_id: int, number: int, actor: Actor) -> None:
    """Reject a proposal. Raises NotFound."""
    row = _proposed(tx, merchant_id, number)
    store.decide(tx, number, "rejected", None)
    _record(tx, actor, "adjustment.rejected", row)


def _proposed(tx: Tx, merchant_id: int, number: int) -> Any:
    row = store.lock_proposed(tx, merchant_id, number)
    if row is None:
        raise NotFound("open adjustment", str(number), "It may have been decided on.")
    return row


def _book(tx: Tx, row: Any, agreed_by: str | None, actor: Actor) -> None:
    store.decide(tx, row.id, "booked", agreed_by)
    _record(tx, actor, "adjustment.booked", row)
    now = business_now(tx)
    earning = NewEarning(
        row.merchant_id, row.user_id, row.currency, row.amount, "adjustment", "adjustment", row.id,
        now, now,
    )  # fmt: skip
    earnings.record(tx, [earning])


def _record(tx: Tx, actor: Actor, action: str, row: Any) -> None:
    audit.record(
        tx,
        actor,
        action,
        merchant_id=row.merchant_id,
        subject_kind="adjustment",
        subject_id=row.id,
        reason=row.reason,
        after={"user_id": row.user_id, "amount": row.amount, "currency": row.currency},
    )
