"""Use cases of the dead letters: keep what a queue gave up on, and let a person decide once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

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
from domain.errors import Forbidden, NotFound

PutBack = Callable[[str, str, bytes | None], str]
"""(queue, redis_message_id, message) → the id under which it is on its queue again; raises if it is not.
The message is None where it was too large to be kept here."""


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


def retry(tx: Tx, letter_id: int, by: Actor, put_back: PutBack, reason: str | None = None) -> str:
    """Put an open letter's message back on its queue; returns its new Redis id.

    ``put_back`` runs before the commit: if that fails, the letter stays open and its message may run
    once more when it is retried again, which every handler bears. The other way round it could be lost.
    Raises NotFound; Forbidden if somebody decided already; what ``put_back`` raises.
    """
    row = _open(tx, letter_id)
    fresh = put_back(row.queue, row.redis_message_id, row.raw)
    store.decide(tx, letter_id, "retried", by.id, fresh)
    _audit(tx, by, "dead_letter.retried", row, reason, {"retried_as": fresh})
    return fresh


def discard(tx: Tx, letter_id: int, by: Actor, reason: str) -> tuple[str, str]:
    """Decide that an open letter's message shall not run; returns its queue and Redis id.

    Raises NotFound; Forbidden if somebody decided already.
    """
    row = _open(tx, letter_id)
    store.decide(tx, letter_id, "discarded", by.id, None)
    _audit(tx, by, "dead_letter.discarded", row, reason, {})
    return row.queue, row.redis_message_id


def _open(tx: Tx, letter_id: int) -> Any:
    row = store.lock(tx, letter_id)
    if row is None:
        raise NotFound("dead letter", str(letter_id), "See `payspool dead list --state all`.")
    if row.state != "open":
        raise Forbidden(f"Dead letter {letter_id} was {row.state} by {row.decided_by} already.")
    return row


def _audit(
    tx: Tx, by: Actor, action: str, row: Any, reason: str | None, after: dict[str, Any]
) -> None:
    audit.record(
        tx,
        by,
        action,
        merchant_id=None,
        subject_kind="dead_letter",
        subject_id=row.id,
        reason=reason,
        after={"queue": row.queue, "redis_message_id": row.redis_message_id, **after},
    )


def _text(value: str | None, most: int, *, end: bool = False) -> str | None:
    """What PostgreSQL can store of a text that may hold anything: no NUL, no lone surrogates."""
    if value is None:
        return None
    clean = value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return clean[-most:] if end else clean[:most]
