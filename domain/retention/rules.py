"""What is kept how long: of two tables the words go, with a few the minutes, of all others nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

EVENTS: Final = "events"
DEAD_LETTERS: Final = "dead_letters"
MIN_DAYS: Final[Mapping[str, int]] = {EVENTS: 90, DEAD_LETTERS: 30}
"""Fewest days: a producer may ask for long after what became of an event, and people look for why a letter died."""
STEP_ROWS: Final = 2_000
"""Rows that one transaction looks at, and locks as far as it prunes them."""
STEP_BYTES: Final = 16 * 1024 * 1024
"""What they say together, which lies in memory meanwhile."""
RUN_ROWS: Final = 50_000
"""Rows that one fire looks at; the next goes on. A million a day is twenty fires."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that what was said is kept after it was applied or decided on, 0 for ever; and the folder that it is
    archived in before it goes (None: it is not)."""

    event_days: int = 0
    dead_letter_days: int = 0
    archive: Path | None = None

    def days(self, subject: str) -> int:
        """Of a subject."""
        return {EVENTS: self.event_days, DEAD_LETTERS: self.dead_letter_days}[subject]


FOR_EVER: Final = Retention()
"""Nothing goes."""


@dataclass(frozen=True, slots=True)
class Archived:
    """A file that is on the disk, by its name below the archive's folder."""

    file: str
    rows: int
    bytes: int
    sha256: str


class Keeper(Protocol):
    """Keeps what goes."""

    def write(self, subject: str, rows: Sequence[Mapping[str, Any]]) -> Archived:
        """Keep rows, which have an ``id`` and ascend by it; when it returns, they survive a loss of power.

        Raises:
            Exception: They are not kept, and stay where they are.
        """


def problem(subject: str, days: int) -> str | None:
    """Why so many days cannot be, as a sentence; None if they can."""
    least = MIN_DAYS[subject]
    return None if days == 0 or days >= least else f"is 0, for ever, or at least {least} days"


def first_batch(sizes: Sequence[Any]) -> list[int]:
    """Ids of (id, bytes) from the first on, as many as `STEP_BYTES` hold, and one at least."""
    taken: list[int] = []
    held = 0
    for row in sizes:
        if taken and held + row.bytes > STEP_BYTES:
            break
        taken.append(row.id)
        held += row.bytes
    return taken


PRUNED_BY_ITS_OWN: Final[Mapping[str, str]] = {
    "actor_minutes": "after 8 days: charts show a week",
    "metric_minutes": "after 8 days: charts show a week",
    "schedule_fires": "those of intervals an hour after they finished; those of cron never: they fire once",
    "velocity_counts": "35 days after their day was over",
    "loyalty_velocity_counts": "70 days after their window began",
    "user_sessions": "a month after they ended",
    "sign_in_links": "a month after they ended",
    "outbox": "when the queue has them",
    "queue_pauses": "when the queue is resumed: the audit trail keeps both",
    "webhook_events": "after 30 days, unless they still wait for an endpoint that is enabled",
    "webhook_deliveries": "with their event",
    "webhook_attempts": "with their event",
    "webhook_secrets": "when they expire, after they were replaced",
    "destination_looks": "when they were looked at",
    "payout_exclusions": "those of accounts that were busy, when they could be locked in the end",
}
"""Tables whose rows go by themselves, and when."""
