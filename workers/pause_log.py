"""Who paused and resumed a queue, quieted and woke a worker, in the audit trail."""

from dataclasses import dataclass

from sqlalchemy import Engine

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import transaction
from queues.pause import Pause
from queues.workforce import Quiet


@dataclass(frozen=True, slots=True)
class AuditedPauses:
    """The `queues.PauseLog` and `queues.QuietLog` of one who acts. Raises what SQLAlchemy raises."""

    engine: Engine
    actor: Actor

    def paused(self, queue: str, reason: str) -> None:
        """A queue was paused."""
        self._record("queue.paused", "queue", queue, reason)

    def resumed(self, queue: str, pause: Pause) -> None:
        """A queue is about to be resumed."""
        before = {"by": pause.by, "at": pause.at.isoformat(), "reason": pause.reason}
        self._record("queue.resumed", "queue", queue, None, before)

    def quieted(self, worker: str, reason: str) -> None:
        """A worker was told to take nothing more."""
        self._record("worker.quieted", "worker", worker, reason)

    def woken(self, worker: str, quiet: Quiet) -> None:
        """A quiet worker may take messages again."""
        before = {"by": quiet.by, "at": quiet.at.isoformat(), "reason": quiet.reason}
        self._record("worker.woken", "worker", worker, None, before)

    def _record(
        self,
        action: str,
        kind: str,
        subject: str,
        reason: str | None,
        before: dict[str, str] | None = None,
    ) -> None:
        with transaction(self.engine) as tx:
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
