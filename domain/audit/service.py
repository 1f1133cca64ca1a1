"""Use case of the audit trail: record who did what, in the transaction that does it."""

from collections.abc import Mapping
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


def record_each(
    tx: Tx,
    actor: Actor,
    action: str,
    *,
    subject_kind: str,
    after: Mapping[int, dict[str, Any]],
    reason: str | None = None,
) -> None:
    """Append an entry for each of many subjects of no merchant: ``after`` by the subject's id."""
    store.insert_each(
        tx,
        after,
        actor_kind=actor.kind,
        actor_id=actor.id,
        action=action,
        subject_kind=subject_kind,
        reason=reason,
    )


def forget(tx: Tx, merchant_id: int, customer_id: str, fields: list[str]) -> None:
    """Take personal ``fields`` out of what a merchant's entries say changed of a customer."""
    store.forget(tx, merchant_id, customer_id, fields)
