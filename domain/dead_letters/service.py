"""Use cases of the dead letters: keep what a queue gave up on, and let a person decide once."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.dead_letters import store
from domain.dead_letters.models import (
    ARGS_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    RAW_BYTES_MAX,
    REASON_CHARACTERS_MAX,
    TRACE_CHARACTERS_MAX,
)
from domain.dead_letters.rules import without_customer
from domain.errors import DomainError, Forbidden, NotFound

BATCH_LETTERS: Final = 500
"""Letters that are decided on in one transaction: what a kill undoes, and what waits for it."""
BATCH_BYTES: Final = 16 * 1024 * 1024
"""Of their messages, which lie in memory meanwhile."""

PutBack = Callable[[Sequence[Any]], list[str | None]]
"""Letters (queue, redis_message_id, raw) → the id under which each is on its queue again, None for one whose
message is nowhere any more; raises if they are not. ``raw`` is None where it was too large to be kept here."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided on some letters at once: rows of those that it holds for, and why not for the others."""

    letters: list[Any]
    refused: dict[int, DomainError]


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that its queue gave up on. ``died_at`` None is now."""

    queue: str
    redis_message_id: str
    actor: str | None
    args: str | None = field(repr=False)
    raw: bytes = field(repr=False)
    reason: str
    trace: str | None
    attempts: int
    deaths: int
    died_at: datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known here of a Redis id: ``open`` until somebody decided; is the message kept here?"""

    open: bool
    raw_kept: bool


def record(tx: Tx, letter: Letter) -> None:
    """Keep a letter, cut to the limits of the table; once for each queue and Redis id."""
    store.upsert(
        tx,
        queue=_text(letter.queue, NAME_CHARACTERS_MAX),
        redis_message_id=_text(letter.redis_message_id, NAME_CHARACTERS_MAX),
        actor=_text(letter.actor, NAME_CHARACTERS_MAX),
        args=_text(letter.args, ARGS_CHARACTERS_MAX),
        raw=letter.raw if len(letter.raw) <= RAW_BYTES_MAX else None,
        raw_bytes=len(letter.raw),
        reason=_text(letter.reason, REASON_CHARACTERS_MAX),
        trace=_text(letter.trace, TRACE_CHARACTERS_MAX, end=True),
        attempts=letter.attempts,
        deaths=letter.deaths,
        died_at=letter.died_at,
    )


def known(tx: Tx, queue: str, ids: Sequence[str]) -> dict[str, Known]:
    """Which of these Redis ids are kept here."""
    return {
        row.redis_message_id: Known(row.state == "open", row.raw_kept)
        for row in store.known(tx, queue, ids)
    }


def retry(
    tx: Tx, ids: Sequence[int], by: Actor, put_back: PutBack, reason: str | None = None
) -> Decided:
    """Put open letters' messages back on their queues. What cannot be decided stops no other.

    ``put_back`` runs before the commit: if that fails, the letters stay open and their messages may run
    once more when they are retried again, which every handler bears. The other way round they could be lost.
    Refused: NotFound; Forbidden if somebody decided already, or the message is lost. Raises what
    ``put_back`` raises.
    """
    letters, refused = _open(tx, ids)
    fresh = dict(zip((row.id for row in letters), put_back(letters), strict=True))
    for row in letters:
        if fresh[row.id] is None:
            refused[row.id] = Forbidden(
                f"The message of {row.redis_message_id} was too large to keep, and is not in Valkey any"
                " more. Publish it again at its source, and discard this letter."
            )
    letters = [row for row in letters if fresh[row.id] is not None]
    store.decide(tx, "retried", by.id, {row.id: fresh[row.id] for row in letters})
    after = {row.id: _said(row) | {"retried_as": fresh[row.id]} for row in letters}
    audit.record_each(
        tx, by, "dead_letter.retried", subject_kind="dead_letter", after=after, reason=reason
    )
    return Decided(letters, refused)


def discard(tx: Tx, ids: Sequence[int], by: Actor, reason: str) -> Decided:
    """Decide that open letters' messages shall not run. Refused: NotFound; Forbidden if somebody decided
    already."""
    letters, refused = _open(tx, ids)
    store.decide(tx, "discarded", by.id, {row.id: None for row in letters})
    after = {row.id: _said(row) for row in letters}
    audit.record_each(
        tx, by, "dead_letter.discarded", subject_kind="dead_letter", after=after, reason=reason
    )
    return Decided(letters, refused)


def batches(sizes: Sequence[Any]) -> Iterator[list[int]]:
    """The ids of (id, raw_bytes), in order, as many together as may be decided on in one transaction: no more
    than `BATCH_LETTERS`, and no more of messages than `BATCH_BYTES` unless one alone has more."""
    batch: list[int] = []
    held = 0
    for row in sizes:
        if batch and (len(batch) == BATCH_LETTERS or held + row.raw_bytes > BATCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(row.id)
        held += row.raw_bytes
    if batch:
        yield batch


def _open(tx: Tx, ids: Sequence[int]) -> tuple[list[Any], dict[int, DomainError]]:
    """Letters to decide on, locked, and why the others are none."""
    rows = {row.id: row for row in store.lock(tx, ids)}
    refused: dict[int, DomainError] = {}
    for letter_id in ids:
        row = rows.get(letter_id)
        if row is None:
            refused[letter_id] = NotFound(
                "dead letter", str(letter_id), "See `payspool dead list --state all`."
            )
        elif row.state != "open":
            refused[letter_id] = Forbidden(
                f"Dead letter {letter_id} was {row.state} by {row.decided_by} already."
            )
    return [row for row in rows.values() if row.id not in refused], refused


def _said(row: Any) -> dict[str, Any]:
    return {"queue": row.queue, "redis_message_id": row.redis_message_id}


def _text(value: str | None, most: int, *, end: bool = False) -> str | None:
    """What PostgreSQL can store of a text that may hold anything: no NUL, no lone surrogates."""
    if value is None:
        return None
    clean = value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return clean[-most:] if end else clean[:most]


def forget(tx: Tx, customer_id: str, card: str | None, kept: Set[str]) -> None:
    """Keep only the ``kept`` fields of what letters say of a customer, or of their ``card``.

    A letter's arguments that cannot be read, because they were cut, go; so does a message that is no JSON.
    """
    letters = {row.id: row for row in store.naming(tx, customer_id)}
    if card is not None:
        letters |= {row.id: row for row in store.naming(tx, card)}
    for letter_id, row in sorted(letters.items()):
        raw = None if row.raw is None else bytes(row.raw).decode("utf-8", "replace")
        message = raw and without_customer(raw, customer_id, card, kept)
        args = row.args and without_customer(row.args, customer_id, card, kept)
        # A lone surrogate, which JSON may say and UTF-8 may not, is said again as JSON says it.
        data = message.encode("utf-8", "backslashreplace") if message else None
        store.replace(tx, letter_id, None if args is None else _text(args, len(args) * 6), data)
