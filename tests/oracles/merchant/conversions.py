"""A merchant's conversions in plain Python: what is kept of its events, and what is held and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from typing import NamedTuple

from tests.oracles.merchant.terms import (
    Code,
    Program,
    referee_of,
    refused,
    reward_of,
    share,
    unusable,
)

SAME = "a" * 64
"""The hash of the owners' address: who brings it is their owner under another name."""


class Event(NamedTuple):
    """What happened; the fields that its kind has no use for are empty.

    ``name`` is the refund's or the dispute's; ``amount`` None of a refund: all that is left.
    """

    id: str
    kind: str
    at: datetime
    order: str = ""
    code: str | None = None
    user: str = ""
    amount: int | None = None
    currency: str | None = None
    same: bool = False
    name: str = ""
    outcome: str = ""

    @property
    def guesses(self) -> bool:
        """Whether it leaves it to us by whose code somebody came."""
        return self.kind == "bought" and self.code is None


@dataclass
class Part:
    """A credit, or a debit that takes it back: signed, in minor units. ``at`` is when it is due, None for
    what a person decided today."""

    user: str
    currency: str
    amount: int
    kind: str
    at: datetime | None
    method: str | None = None
    of: Kept | None = None
    credit: Part | None = None
    payout: int | None = None
    void: bool = False
    given_up: bool = False

    @property
    def held(self) -> bool:
        return self.credit is None and self.of is not None and (self.of.held or self.given_up)


@dataclass
class Kept:
    """A conversion that was counted."""

    order: str
    program: str
    version: int
    code: str
    owner: str
    user: str
    at: datetime
    amount: int | None
    currency: str
    reward: int
    referee: int
    seq: int | None
    counted: frozenset[str] = frozenset()
    suspicions: dict[tuple[str, str], str | None] = field(default_factory=dict)
    disputes: dict[str, str | None] = field(default_factory=dict)
    refunds: dict[str, int] = field(default_factory=dict)
    given_back: bool = False
    rejected: bool = False
    credits: list[Part] = field(default_factory=list)
    debits: list[Part] = field(default_factory=list)

    @property
    def refunded(self) -> int:
        return sum(self.refunds.values())

    @property
    def lost(self) -> bool:
        return "lost" in self.disputes.values()

    @property
    def whole(self) -> bool:
        return self.lost or self.given_back or self.rejected

    @property
    def held(self) -> bool:
        return None in [*self.suspicions.values(), *self.disputes.values()]

    @property
    def parts(self) -> list[Part]:
        return [*self.credits, *self.debits]

    def taken(self, earned: int) -> int:
        """What is taken of a reward by now."""
        if self.whole:
            return earned
        return share(earned, self.refunded, self.amount) if self.amount else 0

    def take_back(self) -> None:
        for credit in self.credits:
            before = -sum(d.amount for d in self.debits if d.credit is credit)
            more = self.taken(credit.amount) - before
            if more and not credit.void:
                kind = {"reward": "clawback", "referee_reward": "referee_clawback"}[credit.kind]
                self.debits.append(
                    Part(credit.user, self.currency, -more, kind, credit.at, None, self, credit)
                )


@dataclass
class Referrals:
    """What a merchant has, and what became of its events: (status, reason) by id."""

    programs: dict[str, Program]
    codes: dict[str, Code]
    destinations: dict[str, tuple[str, str]]
    kept: dict[str, Kept] = field(default_factory=dict)
    came: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)
    same: set[str] = field(init=False)
    """Users who are known by the address of all owners: those, and of whom an event said it."""
    events: dict[str, Event] = field(default_factory=dict)
    said: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.same = {code.owner for code in self.codes.values()}

    def deliver(self, batch: list[Event]) -> None:
        """A batch, in its order; what came before, or twice in it, is nothing."""
        fresh: list[Event] = []
        for event in batch:
            # What named nothing that was known is tried again; any other answer stands.
            again = self.said.get(event.id) in (None, ("rejected", "code_not_found"))
            if again and event not in fresh:
                fresh.append(event)
        for event in fresh:
            self.events[event.id] = event
        for event in fresh:
            self.said[event.id] = self.apply(event)
            if event.kind == "bought":
                idle = [e for e in self.events.values() if e.order == event.order and self._idle(e)]
                for one in sorted(idle, key=lambda e: (e.at, e.id)):
                    self.said[one.id] = self.change(one)

    def _idle(self, event: Event) -> bool:
        said = self.said.get(event.id)
        return said in (("waiting", "waits_for_conversion"), ("applied", "nothing_to_reverse"))

    def apply(self, event: Event) -> tuple[str, str | None]:
        if event.kind in ("refunded", "disputed"):
            return self.change(event)
        code = self.codes.get(event.code or "") or self._remembered(event)
        if code is None:
            return "rejected", "code_not_found"
        program = self.programs[code.program]
        reason = unusable(program, code, event.user, event.at)
        if reason is None and event.code is not None:
            self.came.setdefault((program.key, event.user), (code.name, event.at))
        if reason is None and event.kind == "came":
            by, since = self.came[program.key, event.user]
            if by == code.name:
                self.came[program.key, event.user] = (by, min(since, event.at))
        if event.kind == "bought":
            reason = reason or self._counted(event, program, code)
        return ("rejected", reason) if reason else ("applied", None)

    def _remembered(self, event: Event) -> Code | None:
        """The code that somebody came by last before they bought, or else last of all."""
        if event.code is not None:
            return None
        mine = [(at, p, by) for (p, user), (by, at) in self.came.items() if user == event.user]
        before = [one for one in mine if one[0] <= event.at]
        return self.codes[max(before or mine)[2]] if mine else None

    def _counted(self, event: Event, program: Program, code: Code) -> str | None:
        if event.order in self.kept:
            return "duplicate_transaction"
        by, since = self.came.get((program.key, event.user), ("", event.at))
        since = min(since, event.at) if by == code.name else event.at
        before = list(self.kept.values())
        reason = refused(
            program, code, event.user, event.at, event.amount, event.currency, since, before
        )
        if reason is not None:
            return reason
        mine = [k for k in before if (k.program, k.owner) == (program.key, code.owner)]
        k = Kept(
            event.order,
            program.key,
            program.version,
            code.name,
            code.owner,
            event.user,
            event.at,
            event.amount,
            program.currency,
            reward_of(program, code.owner, event.at, event.amount, before),
            referee_of(program, event.amount),
            max([k.seq or 0 for k in mine], default=0) + 1 if program.in_order else None,
            frozenset(
                per
                for per in ("code", "referrer")
                if any(program.policy.get(f"{per}_per_{span}") for span in ("hour", "day"))
            ),
        )
        self._credit(k, program)
        if event.same:
            self.same.add(event.user)
        if k.credits:
            self._suspect(k, program, event.user in self.same)
        self.kept[k.order] = k
        return None

    def _credit(self, k: Kept, program: Program) -> None:
        due = k.at + timedelta(days=program.terms.get("hold_days", 0))
        method = program.terms.get("payout_method")
        for user, amount, kind in (
            (k.owner, k.reward, "reward"),
            (k.user, k.referee, "referee_reward"),
        ):
            if amount:
                k.credits.append(Part(user, k.currency, amount, kind, due, method, k))

    def _suspect(self, k: Kept, program: Program, same: bool) -> None:
        if same and program.policy.get("same_email", True):
            k.suspicions["same_email", ""] = None
        where = self.destinations.get(k.owner)
        if program.policy.get("shared_destination") and where == self.destinations.get(k.user, ()):
            k.suspicions["shared_destination", ""] = None
        for per, span in product(sorted(k.counted), ("hour", "day")):
            most = program.policy.get(f"{per}_per_{span}")
            if most is None:
                continue
            hours = 24 if span == "day" else 1
            place = 1 + sum(
                per in o.counted
                and o.program == k.program
                and (
                    (o.code if per == "code" else o.owner) == (k.code if per == "code" else k.owner)
                )
                and _begins(o.at, hours) == _begins(k.at, hours)
                for o in self.kept.values()
            )
            if place > most:
                k.suspicions["velocity", f"{per}/{span}"] = None

    def change(self, event: Event) -> tuple[str, str | None]:
        """A refund or a dispute."""
        k = self.kept.get(event.order)
        if k is None:
            tried = any(
                e.kind == "bought"
                and e.order == event.order
                and self.said.get(e.id, ("", ""))[0] == "rejected"
                for e in self.events.values()
            )
            return (
                ("applied", "nothing_to_reverse") if tried else ("waiting", "waits_for_conversion")
            )
        reason = self._refund(k, event) if event.kind == "refunded" else _dispute(k, event)
        if reason is None:
            k.take_back()
        return ("rejected", reason) if reason else ("applied", None)

    @staticmethod
    def _refund(k: Kept, event: Event) -> str | None:
        if event.name in k.refunds:
            return "duplicate_refund"
        if event.currency not in (None, k.currency):
            return "currency_mismatch"
        if k.given_back:
            return "refund_exceeds_transaction"
        if k.amount is None and event.amount is not None:
            return "full_refund_required"
        left = (k.amount or 0) - k.refunded
        part = left if event.amount is None else event.amount
        if part > left:
            return "refund_exceeds_transaction"
        k.refunds[event.name] = part
        k.given_back = event.amount is None or part == left
        return None

    def suspicions(self) -> list[tuple[str, str, str]]:
        """What waits for a person: (order, kind, ref)."""
        return sorted(
            (k.order, *which)
            for k in self.kept.values()
            for which, outcome in k.suspicions.items()
            if outcome is None
        )

    def release(self, order: str, kind: str, ref: str) -> None:
        self.kept[order].suspicions[kind, ref] = "released"

    def reject(self, order: str) -> None:
        k = self.kept[order]
        k.suspicions |= {w: "rejected" for w, outcome in k.suspicions.items() if outcome is None}
        k.rejected = True
        for credit in k.credits:
            mine = [debit for debit in k.debits if debit.credit is credit]
            if all(part.payout is None for part in (credit, *mine)):
                for part in (credit, *mine):
                    part.void = True
            else:
                credit.given_up = credit.payout is not None
        k.take_back()

    def move(self, user: str, where: tuple[str, str]) -> None:
        """Somebody is paid elsewhere; what is not all claimed yet between them and others there is held."""
        self.destinations[user] = where
        for k in self.kept.values():
            sides = {k.owner, k.user}
            if (
                user in sides
                and len(sides) == 2
                and all(self.destinations.get(one) == where for one in sides)
                and self.programs[k.program].policy.get("shared_destination")
                and not k.rejected
                and any(credit.payout is None and not credit.void for credit in k.credits)
            ):
                k.suspicions.setdefault(("shared_destination", ""), None)


def _dispute(k: Kept, event: Event) -> str | None:
    known = k.disputes.setdefault(event.name, None)
    if event.outcome == "opened":
        return None
    if known is not None:
        return "duplicate_dispute" if known == event.outcome else "dispute_decided"
    k.disputes[event.name] = event.outcome
    return None


def _begins(at: datetime, hours: int) -> datetime:
    return at.replace(minute=0, second=0, hour=at.hour // hours * hours)
