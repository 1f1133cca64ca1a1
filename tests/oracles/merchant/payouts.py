"""A merchant's runs and payouts in plain Python, and a picture of all that it has to compare by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.oracles.merchant.conversions import Kept, Part, Referrals

METHOD: Final = "stripe"
"""The one that runs pay by."""
FOREVER: Final = datetime.max.replace(tzinfo=UTC)
Picture = dict[str, list[tuple[Any, ...]]]
"""Rows by what they are of, sorted."""


@dataclass
class Back:
    """A part of a payout that came back, and what a person made of it."""

    amount: int
    decision: str | None = None


@dataclass
class Payout:
    """A payout of a run; ``number`` names it here."""

    number: int
    run: str
    user: str
    currency: str
    amount: int
    destination: tuple[str, str]
    state: str = "approved"
    back: list[Back] = field(default_factory=list)
    released: bool = False

    @property
    def came_back(self) -> int:
        return sum(one.amount for one in self.back)


@dataclass
class Merchant(Referrals):
    """Referrals, and who is paid for them."""

    payouts: list[Payout] = field(default_factory=list)
    decided: list[Part] = field(default_factory=list)

    @property
    def parts(self) -> list[Part]:
        return [*(part for k in self.kept.values() for part in k.parts), *self.decided]

    def members(self, payout: Payout) -> list[Part]:
        return [part for part in self.parts if part.payout == payout.number]

    def _is_due(self, part: Part, as_of: datetime) -> bool:
        if part.credit is not None:
            return part.credit.payout is not None or self._is_due(part.credit, as_of)
        method = self.destinations.get(part.user, (part.method, ""))[0]
        on_time = (part.at is not None and part.at <= as_of) or as_of == FOREVER
        return not part.held and on_time and part.method in (None, method)

    def run(self, name: str, as_of: datetime, minimums: Mapping[str, int]) -> list[Payout]:
        """A run of all that is due by then (FOREVER: ever); who is due too little, or cannot be paid, waits."""
        due: dict[tuple[str, str], list[Part]] = defaultdict(list)
        for part in self.parts:
            if part.payout is None and not part.void and self._is_due(part, as_of):
                due[part.user, part.currency].append(part)
        made = []
        for (user, currency), parts in sorted(due.items()):
            amount = sum(part.amount for part in parts)
            where = self.destinations.get(user, ("", ""))
            if amount >= max(minimums.get(currency, 0), 1) and where[0] == METHOD:
                payout = Payout(len(self.payouts), name, user, currency, amount, where)
                self.payouts.append(payout)
                made.append(payout)
                for part in parts:
                    part.payout = payout.number
        return made

    def begins(self, payout: Payout) -> bool:
        """Whether it can be sent; it is canceled by what was held since it was claimed, or paid elsewhere."""
        moved = self.destinations[payout.user] != payout.destination
        if moved or any(part.held for part in self.members(payout)):
            self.cancel(payout)
            return False
        return True

    def cancel(self, payout: Payout) -> None:
        payout.state = "canceled"
        self._let_go(payout)

    def _let_go(self, payout: Payout) -> None:
        members = self.members(payout)
        for part in members:
            part.payout = None
        for credit in members:
            # What another payout took back is owed again.
            taken = [d for d in (credit.of.debits if credit.of else []) if d.credit is credit]
            if any(debit.payout is not None for debit in taken):
                credit.given_up = False

    def come_back(self, payout: Payout, amount: int) -> None:
        payout.back.append(Back(amount))
        if payout.came_back == payout.amount:
            payout.state = "reversed"

    def release_payout(self, payout: Payout) -> None:
        """All that came back of it is owed again as it was earned."""
        payout.released = True
        for one in payout.back:
            one.decision = "released"
        self._let_go(payout)

    def settle(self, payout: Payout, number: int, decision: str) -> None:
        """One part that came back is owed again, or the merchant's."""
        one = payout.back[number]
        one.decision = decision
        if decision == "owed":
            self.decided.append(Part(payout.user, payout.currency, one.amount, "adjustment", None))

    def _status(self, k: Kept) -> str:
        rewards = [credit for credit in k.credits if credit.kind == "reward"]
        if k.reward and k.taken(k.reward) == k.reward:
            return "reversed"
        if not rewards:
            return "pending"
        [credit] = rewards
        if credit.void:
            return "reversed"
        state = "" if credit.payout is None else self.payouts[credit.payout].state
        if state in ("paid", "reversed"):
            return state
        if credit.held:
            return "held"
        return {"": "pending", "failed": "failed"}.get(state, "processing")

    def picture(self) -> Picture:
        """All that the database should show of this merchant."""
        owed: dict[tuple[str, str], int] = defaultdict(int)
        for part in self.parts:
            if part.payout is None and not part.void:
                owed[part.user, part.currency] += part.amount
        return {
            "conversions": sorted(map(self._row, self.kept.values())),
            "holds": sorted(
                (k.order, kind, ref, outcome or "")
                for k in self.kept.values()
                for (kind, ref), outcome in (
                    k.suspicions | {("dispute", d): outcome for d, outcome in k.disputes.items()}
                ).items()
            ),
            "earnings": sorted(map(self._part, self.parts)),
            "payouts": sorted(
                (p.run, p.user, p.currency, p.amount, p.state, p.came_back) for p in self.payouts
            ),
            "events": sorted(
                (i, status, reason or "") for i, (status, reason) in self.said.items()
            ),
            "owed": sorted(
                (user, currency, sum_) for (user, currency), sum_ in owed.items() if sum_
            ),
            "attributions": sorted(
                (program, user, code, int(at.timestamp()))
                for (program, user), (code, at) in self.came.items()
            ),
        }

    def _row(self, k: Kept) -> tuple[Any, ...]:
        return (
            k.order,
            k.owner,
            k.user,
            k.code,
            k.version,
            k.reward,
            k.referee,
            k.currency,
            k.seq or 0,
            k.refunded,
            k.taken(k.reward),
            k.taken(k.referee),
            k.given_back,
            k.lost,
            self._status(k),
        )

    def _part(self, part: Part) -> tuple[Any, ...]:
        payout = None if part.payout is None else self.payouts[part.payout]
        return (
            part.of.order if part.of else "",
            part.user,
            part.currency,
            part.amount,
            part.kind,
            0 if part.at is None else int(part.at.timestamp()),
            part.void,
            # What is void keeps the hold that it had: nobody asks.
            part.held and not part.void,
            payout.run if payout else "",
            payout.state if payout else "",
        )
