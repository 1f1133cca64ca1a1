"""Use case of the audit trail: record who did what, in the transaction that does it."""

from dataclasses import dataclass
from typing import Any

from domain.audit import store
from domain.db import Tx


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: ``kind`` is person, api_key, scheduler, worker or command."""

    kind: str
    id: str


def record(
    tx: Tx,
    actor: Actor,
    action: str,
    *,
    merchant_id: int | None,
    subject_kind: str,
    subject_id: str | int,
    reason: str | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Append an entry. ``action`` is subject.verb; ``before`` and ``after`` hold only what changed."""
    store.insert(
        tx,
        merchant_id=merchant_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        action=action,
        subject_kind=subject_kind,
        subject_id=str(subject_id),
        reason=reason,
        before=before,
        after=after,
    )
