"""A model of the conversion road in plain Python: one event after the other, everything recomputed from lists.

It shares nothing with the product: amounts are exact fractions rounded once, counts are counted, and no
state is kept beside the trackings and the attributions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class ModelProgram:
    """``kind`` and ``rate`` (points, fixed, cap); ``tiers`` as (from, points)."""

    kind: str
    points: int = 0
    fixed: int = 0
    cap: int | None = None
    payments: int | None = None
    days: int | None = None
    tiers: tuple[tuple[int, int], ...] = ()
    referee: int = 0
    window: int | None = None
    minimum: int = 0
    most_rewards: int | None = None


@dataclass(frozen=True)
class ModelCode:
    """Whose code of which program; ``until``: the day on which it has expired."""

    program: str
    owner: str
    most_uses: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class Said:
    """An event as the model reads it; ``day`` counts from the first of June."""

    id: str
    type: str
    day: int
    user: str = ""
    code: str | None = None
    order: str | None = None
    amount: int | None = None
    refund: str = ""
    full: bool = False
    currency: str = "usd"


@dataclass
class Counted:
    """A conversion that counts, and what its refunds took."""

    event: Said
    program: str
    code: str
    owner: str
    earned: int
    referee: int
    refunds: list[tuple[str, int, bool]] = field(default_factory=list)

    @property
    def refunded(self) -> int:
        return sum(part for _, part, _ in self.refunds)

    @property
    def full(self) -> bool:
        return any(full for _, _, full in self.refunds)

    def taken(self, earned: int) -> int:
        if self.full:
            return earned
        total = self.event.amount
        return round(Fraction(earned * self.refunded, total)) if total else 0


@dataclass
class World:
    """Everything that happened."""

    programs: dict[str, ModelProgram]
    codes: dict[str, ModelCode]
    attributed: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    counted: list[Counted] = field(default_factory=list)
    events: dict[str, Said] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    conflicts: set[Said] = field(default_factory=set)

    def batch(self, events: list[Said]) -> None:
        """Apply events in order; a copy inside the batch follows what the batch decided."""
        decided: set[str] = set()
        for event in events:
            first = self.events.setdefault(event.id, event)
            if first != event:
                self.conflicts.add(event)
            elif event.id not in decided:
                decided.add(event.id)
                if (
                    self.status.get(event.id, "rejected:code_not_found")
                    == "rejected:code_not_found"
                ):
                    self.status[event.id] = self.decide(event)
                    if event.type == "recorded":
                        self.recheck(event)

    def recheck(self, conversion: Said) -> None:
        """Look again at refunds of this order that had nothing to reverse, oldest first."""
        idle = [
            e
            for e in self.events.values()
            if e.type == "refunded"
            and e.order == conversion.order
            and self.status.get(e.id)
            in ("waiting:waits_for_conversion", "applied:nothing_to_reverse")
        ]
        for event in sorted(idle, key=lambda e: (e.day, e.id)):
            self.status[event.id] = self.decide(event)

    def decide(self, event: Said) -> str:
        why = {"attributed": self.attribute, "recorded": self.convert, "refunded": self.give_back}[
            event.type
        ](event)
        return why if why.startswith(("waiting", "applied")) else f"rejected:{why}"

    def unusable(self, name: str | None, event: Said) -> str | None:
        code = self.codes.get(name or "")
        if code is None:
            return "code_not_found"
        if code.until is not None and event.day >= code.until:
            return "code_expired"
        return "self_referral" if code.owner == event.user else None

    def attribute(self, event: Said) -> str:
        assert event.code
        why = self.unusable(event.code, event)
        if why:
            return why
        key = (self.codes[event.code].program, event.user)
        code, day = self.attributed.setdefault(key, (event.code, event.day))
        if code == event.code and event.day < day and event.type == "attributed":
            self.attributed[key] = (code, event.day)
        return "applied"

    def followed(self, event: Said) -> str | None:
        """The code that an event without one follows: the newest until then, else the newest."""
        known = [(day, p, c) for (p, u), (c, day) in self.attributed.items() if u == event.user]
        until = [one for one in known if one[0] <= event.day]
        return max(until or known)[2] if known else None

    def convert(self, event: Said) -> str:
        name = event.code or self.followed(event)
        why = self.unusable(name, event)
        if why or name is None:
            return why or "code_not_found"
        code = self.codes[name]
        program = self.programs[code.program]
        if event.code:
            self.attribute(event)
        since = self.attributed[code.program, event.user]
        start = min(since[1], event.day) if since[0] == name else event.day
        in_program = [c for c in self.counted if c.program == code.program]
        of_user = [c for c in in_program if c.event.user == event.user and (c.earned or c.referee)]
        of_owner = [c for c in in_program if c.owner == code.owner and not c.full]
        if event.order and any(c.event.order == event.order for c in self.counted):
            return "duplicate_transaction"
        if event.currency != "usd":
            return "currency_mismatch"
        if event.amount is None and (
            program.minimum or program.kind not in ("one_time", "by_count")
        ):
            return "missing_amount"
        if event.amount is not None and event.amount < program.minimum:
            return "below_minimum"
        why = self.too_late(program, event, of_user, start)
        if why:
            return why
        uses = sum(1 for c in self.counted if c.code == name)
        if code.most_uses is not None and uses >= code.most_uses:
            return "code_exhausted"
        rewards = sum(1 for c in of_owner if c.earned)
        if program.most_rewards is not None and rewards >= program.most_rewards:
            return "reward_cap_reached"
        earned = self.reward(program, event, of_owner)
        self.counted.append(Counted(event, code.program, name, code.owner, earned, program.referee))
        return "applied"

    @staticmethod
    def too_late(
        program: ModelProgram, event: Said, of_user: list[Counted], start: int
    ) -> str | None:
        if program.kind == "one_time" and of_user:
            return "already_rewarded"
        if program.kind == "recurring" and of_user:
            if program.payments is not None and len(of_user) >= program.payments:
                return "already_rewarded"
            over = program.days is not None and event.day >= of_user[0].event.day + program.days
            return "outside_window" if over else None
        if program.window is not None and event.day >= start + program.window:
            return "outside_window"
        return None

    @staticmethod
    def reward(program: ModelProgram, event: Said, of_owner: list[Counted]) -> int:
        if program.fixed and not program.tiers:
            return program.fixed
        amount, points = event.amount or 0, program.points
        if program.tiers:
            reached = len(of_owner) + 1
            if program.kind == "by_volume":
                reached = amount + sum((c.event.amount or 0) - c.refunded for c in of_owner)
            met = [value for threshold, value in program.tiers if reached >= threshold]
            if program.kind == "by_count":
                return met[-1] if met else 0  # fixed amounts
            points = met[-1] if met else 0
        share = round(Fraction(amount * points, 10_000))
        return share if program.cap is None else min(share, program.cap)

    def give_back(self, event: Said) -> str:
        found = [c for c in self.counted if c.event.order == event.order]
        if not found:
            refused = any(
                e.type == "recorded"
                and e.order == event.order
                and self.status.get(e.id, "").startswith("rejected")
                and self.status[e.id] != "rejected:duplicate_transaction"
                for e in self.events.values()
            )
            return "applied:nothing_to_reverse" if refused else "waiting:waits_for_conversion"
        [of] = found
        if any(name == event.refund for name, _, _ in of.refunds):
            return "duplicate_refund"
        if not event.full and event.currency != "usd":
            return "currency_mismatch"
        if of.full:
            return "refund_exceeds_transaction"
        total = of.event.amount
        if total is None and not event.full:
            return "full_refund_required"
        left = (total or 0) - of.refunded
        part = left if event.full else event.amount or 0
        if part > left:
            return "refund_exceeds_transaction"
        of.refunds.append((event.refund, part, event.full or (total is not None and part == left)))
        return "applied"

    def balances(self) -> dict[str, int]:
        """What is owed to whom."""
        owed: dict[str, int] = {}
        for c in self.counted:
            for user, earned in ((c.owner, c.earned), (c.event.user, c.referee)):
                owed[user] = owed.get(user, 0) + earned - c.taken(earned)
        return {user: amount for user, amount in owed.items() if amount}

    def trackings(self) -> set[tuple[Any, ...]]:
        """What the product should have stored of each."""
        return {
            (
                c.event.id,
                c.owner,
                c.event.user,
                c.earned,
                c.referee,
                c.refunded,
                c.full,
                c.taken(c.earned),
                c.taken(c.referee),
            )
            for c in self.counted
        }
