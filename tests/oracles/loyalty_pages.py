"""What the plain book of loyalty cards is made of. Shares no code with the domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(eq=False)
class Lot:
    """Points that were credited together."""

    left: int
    since: datetime
    spendable: datetime
    until: datetime | None
    number: int
    expired: int = 0
    held: int = 0

    def free(self) -> int:
        return self.left - self.held


@dataclass(eq=False)
class Record:
    """What an event booked, and how much of it was undone."""

    kind: str
    card: str
    amount: int
    at: datetime
    lot: Lot | None = None
    took: list[list[Any]] = field(default_factory=list)
    undone: int = 0
    purchase: int | None = None
    cash: int = 0

    def share(self) -> int:
        """Of its cash, what went with what was undone of its points."""
        return self.cash * self.undone // self.amount


@dataclass(eq=False)
class Held:
    """Points that a till has set aside."""

    event: str
    card: str
    points: int
    until: datetime
    parts: list[tuple[Lot, int]]
    status: str = "open"
    closed: datetime | None = None


@dataclass(eq=False)
class Ended:
    """A period without activity that took points: when it ended, what was known of it, and each row's lots."""

    at: datetime
    last: datetime | None
    before: datetime | None
    rows: list[dict[int, tuple[Lot, int]]] = field(default_factory=list)
    again: datetime | None = None


@dataclass(eq=False)
class Card:
    """A card's page in the book."""

    active: bool = True
    lots: list[Lot] = field(default_factory=list)
    debt: int = 0
    stamps: int = 0
    deadline: datetime | None = None
    expired: datetime | None = None
    last: datetime | None = None
    # When the nightly sweep looks at the card next: empty cards are left alone.
    timer: datetime | None = None
    rows: list[tuple[str, int, int]] = field(default_factory=list)
    holds: list[Held] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    # What expired when, in order: the points of each lot that were not given back.
    gone: list[tuple[datetime, dict[int, tuple[Lot, int]]]] = field(default_factory=list)
    # What its customer is paid in cash, or gives back.
    cash: list[int] = field(default_factory=list)

    def full(self) -> int:
        return sum(lot.left for lot in self.lots)

    def open_holds(self) -> list[Held]:
        return [held for held in self.holds if held.status == "open"]

    def balance(self) -> int:
        return sum(lot.left for lot in self.lots) - self.debt


@dataclass
class Terms:
    """What the shop's program says."""

    backdating: int
    inactivity: int | None
    life: int | None
    pending: int
    restore: int
    allow_debt: bool
    least: int
    hold_hours: int = 24
    # Points and cash of each reward of the catalogue.
    rewards: dict[str, tuple[int, int]] = field(default_factory=dict)
