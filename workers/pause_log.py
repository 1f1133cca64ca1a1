"""Who paused and resumed a queue, in the audit trail."""

from dataclasses import dataclass

from sqlalchemy import Engine

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import transaction
from queues.pause import Pause


@dataclass(frozen=True, slots=True)
class AuditedPauses:
    """The `queues.PauseLog` of one who acts. Raises what SQLAlchemy raises."""

    engine: Engine
    actor: Actor

    def paused(self, queue: str, reason: str) -> None:
        """A queue was paused."""
        self._record("queue.paused", queue, reason)

    def resumed(self, queue: str, pause: Pause) -> None:
        """A queue is about to be resumed."""
        before = {"by": pause.by, "at": pause.at.isoformat(), "reason": pause.reason}
        self._record("queue.resumed", queue, None, before)

    def _record(
        self, action: str, queue: str, reason: str | None, before: dict[str, str] | None = None
    ) -> None:
        with transaction(self.engine) as tx:
            audit.record(
                tx,
                self.actor,
                action,
                merchant_id=None,
                subject_kind="queue",
                subject_id=queue,
                reason=reason,
                before=before,
            )
