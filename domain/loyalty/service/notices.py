"""Notices of points that are about to expire: `points.expiring`, once for each card and deadline."""

from datetime import datetime
from typing import Any, Final

from domain.db import Tx
from domain.loyalty.store import notices as store

NOTICE_CARDS: Final = 5_000
"""Cards that one transaction of the sweep looks at."""


def announce_expiring(
    tx: Tx, merchant_id: int, at: datetime, after: int = 0
) -> tuple[int, int | None]:
    """Announce what expires within the programs' ``notice_days`` of ``at`` (UTC), on the next cards above
    ``after``. Returns how many notices were new, and where to go on (None: done).

    Running it again, or beside itself, announces nothing twice: a deadline that activity has moved is a new one.
    """
    return store.announce(tx, merchant_id, at, after, NOTICE_CARDS)


def notices(tx: Tx, merchant_id: int, *, after: int = 0, limit: int = 100) -> list[Any]:
    """A merchant's notices with an id above ``after``, oldest first."""
    return store.notices(tx, merchant_id, after, limit)
