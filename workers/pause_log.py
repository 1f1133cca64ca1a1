"""Who paused and resumed a queue, quieted and woke a worker: in the audit trail, and pauses to stay."""

from dataclasses import dataclass

from sqlalchemy import Engine

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.outbox import service as outbox
from domain.outbox import store
from queues.pause import Pause, Pauses
from queues.workforce import Quiet


@dataclass(frozen=True, slots=True)
class AuditedPauses:
    """The `queues.PauseLog` and `queues.QuietLog` of one who acts. Raises what SQLAlchemy raises."""

    engine: Engine
    actor: Actor

    def paused(self, queue: str, reason: str) -> None:
        """A queue was paused."""
        with transaction(self.engine) as tx:
            outbox.pause_kept(tx, queue, by=self.actor.id, reason=reason)
            self._record(tx, "queue.paused", "queue", queue, reason)

    def resumed(self, queue: str, pause: Pause) -> None:
        """A queue is about to be resumed."""
        before = {"by": pause.by, "at": pause.at.isoformat(), "reason": pause.reason}
        with transaction(self.engine) as tx:
            outbox.pause_ended(tx, queue)
            self._record(tx, "queue.resumed", "queue", queue, None, before)

    def quieted(self, worker: str, reason: str) -> None:
        """A worker was told to take nothing more."""
        with transaction(self.engine) as tx:
            self._record(tx, "worker.quieted", "worker", worker, reason)

    def woken(self, worker: str, quiet: Quiet) -> None:
        """A quiet worker may take messages again."""
        before = {"by": quiet.by, "at": quiet.at.isoformat(), "reason": quiet.reason}
        with transaction(self.engine) as tx:
            self._record(tx, "worker.woken", "worker", worker, None, before)

    def _record(
        self,
        tx: Tx,
        action: str,
        kind: str,
        subject: str,
        reason: str | None,
        before: dict[str, str] | None = None,
    ) -> None:
        audit.record(
            tx,
            self.actor,
            action,
            merchant_id=None,
            subject_kind=kind,
            subject_id=subject,
            reason=reason,
            before=before,
        )


def restore_pauses(engine: Engine, pauses: Pauses) -> list[str]:
    """Pause again what SQL says is paused and Valkey does not know of; returns those queues.

    A server that was emptied, or that took over without the last writes, would let money go out against a
    person's stop. While this runs nobody can resume, so that no pause comes back that was ended.
    """
    with transaction(engine) as tx:
        return [
            row.queue
            for row in store.hold_pauses(tx)
            if pauses.restore(Pause(row.queue, row.paused_by, row.paused_at, row.reason))
        ]
