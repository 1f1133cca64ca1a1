"""Lots: each credit is one, and a debit consumes them soonest-expiry first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

NEVER: Final = datetime.max.replace(tzinfo=UTC)
"""Sorts lots without a deadline of their own last."""


@dataclass(slots=True, eq=False)
class Lot:
    """What is left of one credit. ``id`` is 0 until it is stored."""

    points: int
    remaining: int
    occurred_at: datetime
    available_at: datetime
    expires_at: datetime | None = None
    held: int = 0
    id: int = 0
    # Points of it that expired: known where a correction looks at the lot, and counted within a batch.
    expired: int = 0

    @property
    def free(self) -> int:
        """Points that no hold has reserved."""
        return self.remaining - self.held

    def is_open(self, at: datetime) -> bool:
        """Whether its points can be spent at ``at``: available, and before its own deadline."""
        return self.available_at <= at and (self.expires_at is None or at < self.expires_at)


@dataclass(slots=True, eq=False)
class Debt:
    """What a debit took beyond the card's lots. ``debit_id`` is 0 until its row is stored."""

    points: int
    remaining: int
    debit_id: int = 0


@dataclass(slots=True, eq=False)
class Hold:
    """Points of lots that a redemption has reserved: open until ``expires_at``, or until it is closed.

    ``id`` is 0 until it is stored; ``entry`` is the redemption that it became in this batch.
    """

    card_id: int
    points: int
    held_at: datetime
    expires_at: datetime
    parts: Sequence[tuple[Lot, int]]
    reward: tuple[str | None, int, str | None] | None = None
    status: str = "open"
    closed_at: datetime | None = None
    id: int = 0
    inbox_id: int = 0
    # The event that captured or released it.
    closed_by: int | None = None
    entry: Any = None


def spendable(lots: Iterable[Lot], at: datetime) -> int:
    """Points of ``lots`` that can be spent at ``at``."""
    return sum(lot.free for lot in lots if lot.is_open(at))


def consume(
    lots: Sequence[Lot], points: int, at: datetime, *, reserve: bool = False
) -> list[tuple[Lot, int]]:
    """Take ``points`` from what is spendable at ``at``, which must suffice; returns what each lot gave.

    To ``reserve`` is to hold them in their lots.

    Order: the sooner deadline, then the older, then the sooner stored. Among equals ``lots`` must stand
    in stored order, which the sort keeps: as they were loaded, then as they were added.
    """
    taken: list[tuple[Lot, int]] = []
    for lot in sorted(lots, key=lambda lot: (lot.expires_at or NEVER, lot.occurred_at)):
        if points == 0:
            break
        if lot.free and lot.is_open(at):
            part = min(lot.free, points)
            if reserve:
                lot.held += part
            else:
                lot.remaining -= part
            points -= part
            taken.append((lot, part))
    assert points == 0, "the caller checked that enough is spendable"
    return taken
