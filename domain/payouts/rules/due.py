"""Who is paid how much in a run, and the hashes that freeze it."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from domain.payouts.rules import carrying

Reason = Literal[
    "on_hold",
    "other_method",
    "negative_balance",
    "below_minimum",
    "over_limit",
    "currency_not_carried",
    "payee_not_ready",
    "blocked",
    "method_not_in_run",
    "cooling_off",
    "shared_destination",
    "busy",
    "destination_changed",
]
"""Why earnings wait. The last two are found while locking and while sending."""

EMPTY_RUN_HASH: Final = hashlib.sha256(b"payspool run").digest()
"""The hash of a run without payouts: where the chain begins."""


@dataclass(frozen=True, slots=True)
class Group:
    """What one payee is due in one currency, in minor units.

    ``amount`` and ``members`` count what is due; ``held`` and ``other_method`` count earnings that wait
    for a person, or name another method than the payee's.
    """

    account_id: int
    user_id: str
    currency: str
    amount: int
    members: int
    held: int = 0
    other_method: int = 0


@dataclass(frozen=True, slots=True)
class PayeeView:
    """Where a payee's money goes; without a destination it cannot go anywhere yet."""

    payee_id: int
    method: str
    destination: str | None
    blocked_reason: str | None
    destination_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pay:
    """A payout to be made, in minor units; ``carried`` of what is due is left for the next run."""

    payee_id: int
    method: str
    destination: str
    amount: int
    carried: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """Earnings carried over to the next run, and why."""

    reason: Reason
    detail: str = ""


Decision = Pay | Skip


def decide(
    group: Group,
    payee: PayeeView | None,
    *,
    minimum: int,
    methods: Collection[str],
    known_before: datetime | None = None,
    unlooked: bool = False,
) -> Decision:
    """Pay a group or carry it over.

    ``minimum`` is the smallest payout in minor units of the group's currency (nothing below 1 is ever
    paid, and no more is asked for than one payout by the payee's method can be); ``methods`` are those
    that the run pays by; a destination that is not known since ``known_before`` or longer cools off
    (None: none does); ``unlooked``: one that others are paid at as well, since a change that nobody has
    looked at yet, waits for that look. What the payee is owed is looked at first, so that a reason about money is not
    hidden by one about papers. Of an amount that the method cannot carry as it is (too large at once, or
    finer than it moves), the part that it can is paid, if that reaches the minimum; the rest stays owed.
    Who is due exactly what is paid here is paid it again: a run decides a second time when the rest is
    taken away.
    """
    if group.members == 0:
        if group.held:
            return Skip("on_hold", f"{_earnings(group.held, 'waits', 'wait')} for a person")
        return Skip(
            "other_method",
            f"{_earnings(group.other_method, 'names', 'name')} another payout method",
        )
    if group.amount < 0:
        return Skip("negative_balance", f"owes {-group.amount}; later earnings pay it off first")
    least = max(minimum, 1)
    if payee is not None:
        least = min(least, carrying.most(payee.method, group.currency))
    if group.amount < least:
        return Skip("below_minimum", f"{group.amount} of at least {least}")
    if group.amount > carrying.MAX_DUE:
        return Skip("over_limit", f"{group.amount} is more than an amount can be: a person looks")
    if payee is None or not payee.destination:
        return Skip("payee_not_ready", "no payout account is known for this payee")
    if payee.blocked_reason:
        return Skip("blocked", payee.blocked_reason)
    if _cools_off(payee, known_before):
        return Skip(
            "cooling_off", f"paid there since {payee.destination_since:%Y-%m-%d %H:%M} only"
        )
    if unlooked:
        return Skip(
            "shared_destination",
            "another payee is paid there too since a change that is still to be looked at",
        )
    if payee.method not in methods:
        return Skip("method_not_in_run", f"is paid by {payee.method}")
    if not carrying.is_carried(payee.method, group.currency):
        return Skip(
            "currency_not_carried", f"{payee.method} does not pay in {group.currency.upper()}"
        )
    paid = carrying.part(payee.method, group.currency, group.amount)
    if paid == 0:
        finest = carrying.step(payee.method, group.currency)
        return Skip(
            "below_minimum", f"{group.amount} of at least {finest} that {payee.method} moves"
        )
    if paid < least:
        return Skip(
            "below_minimum",
            f"{paid} of {group.amount} can be moved: less than the minimum of {least}",
        )
    return Pay(payee.payee_id, payee.method, payee.destination, paid, group.amount - paid)


def _cools_off(payee: PayeeView, known_before: datetime | None) -> bool:
    return (
        known_before is not None
        and payee.destination_since is not None
        and payee.destination_since > known_before
    )


def _earnings(count: int, does: str, do: str) -> str:
    return f"1 earning {does}" if count == 1 else f"{count} earnings {do}"


def members_digest(members: Iterable[tuple[int, int]]) -> bytes:
    """SHA-256 over the members of a payout, (earning id, amount), by ascending id.

    >>> members_digest([(8, -100), (7, 500)]) == members_digest([(7, 500), (8, -100)])
    True
    """
    listed = ",".join(f"{earning_id}:{amount}" for earning_id, amount in sorted(members))
    return hashlib.sha256(listed.encode()).digest()


def members_hash(digest: bytes, *, amount: int, currency: str, destination: str) -> bytes:
    """SHA-256 that freezes a payout: its members' digest, amount, currency and destination."""
    return hashlib.sha256(digest + f"|{amount}|{currency}|{destination}".encode()).digest()


def extend_run_hash(run_hash: bytes, payouts: Iterable[tuple[int, bytes]]) -> bytes:
    """Chain payouts, (id, members hash) by ascending id, onto the hash of the run so far."""
    for payout_id, hashed in payouts:
        run_hash = hashlib.sha256(run_hash + payout_id.to_bytes(8, "big") + hashed).digest()
    return run_hash
