"""Use case of retention: let go of words that are old, step by step, after they were archived if they are to be.

A step is a transaction: it locks what nobody else holds, writes the archive to the disk, empties the rows, and keeps
how far it came. Killed before its commit it did nothing; its file is written again by the next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Engine

from domain.db import Tx, snapshot, transaction
from domain.retention import store
from domain.retention.rules import (
    DEAD_LETTERS,
    EVENTS,
    MIN_DAYS,
    RUN_ROWS,
    STEP_ROWS,
    Keeper,
    Retention,
    first_batch,
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a run did to a subject, or would: rows that were emptied, and their bytes."""

    rows: int = 0
    bytes: int = 0
    looked_at: int = 0

    def __add__(self, other: "Pruned") -> "Pruned":
        return Pruned(
            self.rows + other.rows, self.bytes + other.bytes, self.looked_at + other.looked_at
        )


def run(
    engine: Engine, retention: Retention, archive: Keeper | None, *, most: int = RUN_ROWS
) -> dict[str, Pruned]:
    """Prune each subject that has days, of ``most`` rows at most; the next run goes on from there. What goes is
    with ``archive`` before.

    Two at once do not wait for each other: the second leaves a subject alone that the first is at. Raises
    what the archive raises; what was archived before is pruned.
    """
    done: dict[str, Pruned] = {}
    for subject in MIN_DAYS:
        days = retention.days(subject)
        if days:
            with transaction(engine) as tx:
                before = store.cutoff(tx, timedelta(days=days))
            step = partial(_STEPS[subject], cutoff=before, archive=archive)
            done[subject] = _repeated(engine, step, most)
        with transaction(engine) as tx:
            store.ran(tx, subject, days, archive is not None)
    return done


def preview(engine: Engine, retention: Retention, *, most: int = RUN_ROWS) -> dict[str, Pruned]:
    """What `run` would do now, if nobody held a row. Nothing is written."""
    done: dict[str, Pruned] = {}
    for subject in MIN_DAYS:
        if days := retention.days(subject):
            with snapshot(engine) as tx:
                done[subject] = _LOOKS[subject](tx, store.cutoff(tx, timedelta(days=days)), most)
    return done


Step = Callable[[Tx], Pruned | None]


def _repeated(engine: Engine, step: Step, most: int) -> Pruned:
    done = Pruned()
    while done.looked_at < most:
        with transaction(engine) as tx:
            more = step(tx)
        if more is None:
            break
        done += more
    return done


def _events_step(tx: Tx, cutoff: datetime, archive: Keeper | None) -> Pruned | None:
    """Prune the next events behind the mark; None if there are none, or the first of them is held."""
    after = store.mark(tx, EVENTS, lock=True)
    if after is None:
        return None
    looked_at, upto = store.old_events(tx, after, cutoff, STEP_ROWS)
    if not looked_at:
        return None
    sizes = store.prunable_events(tx, after, upto)
    ids = first_batch(sizes)
    taken = store.take_events(tx, ids)
    held = sorted(set(ids) - {row["id"] for row in taken})
    if len(ids) < len(sizes):
        upto = ids[-1]
    if held:
        # The mark passes nothing that it left: the next run finds it again.
        upto = held[0] - 1
        taken = [row for row in taken if row["id"] <= upto]
    if held and not taken:
        store.advance(tx, EVENTS, upto, 0)
        return None
    _let_go(tx, EVENTS, taken, archive, store.empty_events)
    store.advance(tx, EVENTS, upto, len(taken))
    return Pruned(len(taken), _bytes(sizes, taken), looked_at)


def _letters_step(tx: Tx, cutoff: datetime, archive: Keeper | None) -> Pruned | None:
    """Prune the letters that were decided on first; None if there are none that nobody holds."""
    if store.mark(tx, DEAD_LETTERS, lock=True) is None:
        return None
    sizes = store.prunable_letters(tx, cutoff, STEP_ROWS)
    taken = store.take_letters(tx, first_batch(sizes), cutoff)
    if not taken:
        return None
    _let_go(tx, DEAD_LETTERS, taken, archive, store.empty_letters)
    store.advance(tx, DEAD_LETTERS, max(row["id"] for row in taken), len(taken))
    return Pruned(len(taken), _bytes(sizes, taken), len(taken))


def _let_go(
    tx: Tx,
    subject: str,
    rows: list[dict[str, Any]],
    archive: Keeper | None,
    empty: Callable[[Tx, list[int]], None],
) -> None:
    if not rows:
        return
    ids = [row["id"] for row in rows]
    if archive is not None:
        store.keep_archive(tx, subject, ids[0], ids[-1], archive.write(subject, rows))
    empty(tx, ids)


def _bytes(sizes: list[Any], taken: list[dict[str, Any]]) -> int:
    gone = {row["id"] for row in taken}
    return sum(row.bytes for row in sizes if row.id in gone)


def _look_at_events(tx: Tx, cutoff: datetime, most: int) -> Pruned:
    done, after = Pruned(), store.mark(tx, EVENTS, lock=False) or 0
    while done.looked_at < most:
        looked_at, upto = store.old_events(tx, after, cutoff, STEP_ROWS)
        if not looked_at:
            break
        sizes = store.prunable_events(tx, after, upto)
        ids = first_batch(sizes)
        if len(ids) < len(sizes):
            upto = ids[-1]
        done += Pruned(len(ids), sum(row.bytes for row in sizes[: len(ids)]), looked_at)
        after = upto
    return done


def _look_at_letters(tx: Tx, cutoff: datetime, most: int) -> Pruned:
    done, after = Pruned(), None
    while done.looked_at < most:
        sizes = store.prunable_letters(tx, cutoff, STEP_ROWS, after=after)
        ids = first_batch(sizes)
        if not ids:
            break
        last = sizes[len(ids) - 1]
        after = (last.decided_at, last.id)
        done += Pruned(len(ids), sum(row.bytes for row in sizes[: len(ids)]), len(ids))
    return done


_STEPS = {EVENTS: _events_step, DEAD_LETTERS: _letters_step}
_LOOKS = {EVENTS: _look_at_events, DEAD_LETTERS: _look_at_letters}
