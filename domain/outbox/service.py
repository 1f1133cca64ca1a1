"""Use cases of the outbox: ask for work inside a transaction, and relay what was asked for."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from domain.db import Tx
from domain.outbox import store
from domain.outbox.rules import OutboxMessage

RELAY_BATCH: Final = 500
"""Rows that one relay transaction enqueues and deletes."""

Enqueue = Callable[[str, Sequence[tuple[str, dict[str, Any]]]], None]
"""Puts ``[(actor, args), …]`` on a queue; raises if it could not."""


def emit(tx: Tx, messages: Sequence[OutboxMessage]) -> None:
    """Ask for work: it is relayed after this transaction commits, at least once."""
    if messages:
        store.insert(tx, messages)


def pause_kept(tx: Tx, queue: str, *, by: str, reason: str) -> None:
    """A queue was paused: keep it, for the day on which Valkey comes back without it."""
    store.keep_pause(tx, queue, by, reason)


def pause_ended(tx: Tx, queue: str) -> None:
    """A queue is resumed. Waits for those who are bringing its pause back."""
    store.end_pause(tx, queue)


def relay(tx: Tx, enqueue: Enqueue) -> int:
    """Enqueue due rows and delete them; returns how many.

    Killed between the enqueue and the commit, the rows are enqueued again: every message refers to a
    row with a state, so a second copy finds its work done.
    """
    rows = store.take_due(tx, RELAY_BATCH)
    by_queue: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for row in rows:
        by_queue.setdefault(row.queue, []).append((row.actor, row.args))
    for queue, messages in by_queue.items():
        enqueue(queue, messages)
    if rows:
        store.delete(tx, [row.id for row in rows])
    return len(rows)
