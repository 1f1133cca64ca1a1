"""Sums that are kept, so that pages need not add up every row: of the rows up to a mark, exactly.

A row belongs to a sum by its id, whatever its time says: a backdated one is counted like any other. What
could be missed is a row whose id was drawn before others and that is committed after them. So a mark moves
only to where no such row can appear any more. PostgreSQL tells: who draws from a sequence holds a lock of it
to the end of its transaction. Whoever held one when the newest id was seen has to be gone; what they drew is
committed then, or never will be. (`nextval` takes that lock in `lock_and_open_sequence`, for the top
transaction; a commit is visible before its locks are let go. It needs ids that are drawn one by one, `CACHE 1`:
a session that keeps some for later would use an old one without having held the lock.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from domain.db import Tx, transaction
from domain.ledger import rollup_store as store

WAIT_SECONDS: Final = 5.0
"""How long transactions that may hold an older id are waited for; else the next turn does it."""
POLL_SECONDS: Final = 0.02
STEP: Final = 1_000_000
"""Rows of one transaction: the first turn after years of rows is many short ones."""

Add = Callable[[Tx, int, int], None]
"""Adds the rows with ids above the first, up to the second, to what is kept."""


def roll_up(engine: Engine, source: str, add: Add, *, wait: float = WAIT_SECONDS) -> int:
    """Move the mark of a table to its newest settled row; returns how many ids it moved.

    Run twice or beside itself it adds nothing twice: the mark is locked, and moves with what is added.
    """
    newest = settled(engine, source, wait=wait)
    moved = 0
    while newest is not None:
        with transaction(engine) as tx:
            after = store.lock_mark(tx, source)
            if newest <= after:
                return moved
            upto = store.step(tx, source, after, newest, STEP)
            add(tx, after, upto)
            store.set_mark(tx, source, upto)
        moved += upto - after
    return moved


def settled(engine: Engine, source: str, *, wait: float) -> int | None:
    """The newest id of a table, once every row below it is committed or never will be.

    None if there is no row, or if a transaction that may hold an older id outlasts ``wait`` seconds. Each
    look is a transaction of its own: one that saw an older state would not see who is gone.
    """
    with transaction(engine) as tx:
        newest = store.newest(tx, source)
    if newest is None:
        return None
    # Only now: whoever drew an id below the newest one has had the lock since before.
    with transaction(engine) as tx:
        drawing = store.drawing(tx, source)
    end = time.monotonic() + wait
    while drawing:
        if time.monotonic() > end:
            return None
        time.sleep(POLL_SECONDS)
        with transaction(engine) as tx:
            drawing &= store.drawing(tx, source)
    return newest


def roll_up_ledger(engine: Engine, *, wait: float = WAIT_SECONDS) -> dict[str, int]:
    """Sum up accounts and transfers; returns by table how many ids the marks moved."""
    return {
        "ledger_accounts": roll_up(engine, "ledger_accounts", store.add_accounts, wait=wait),
        "ledger_transfers": roll_up(engine, "ledger_transfers", store.add_transfers, wait=wait),
    }
