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

    def balance(self) -> int:
        return sum(lot.left for lot in self.lots) - self.debt


@dataclass
class Terms:
    """What the shop's program says."""

    backdating: int
    inactivity: int
    life: int
    pending: int
    restore: int
    allow_debt: bool
    least: int
