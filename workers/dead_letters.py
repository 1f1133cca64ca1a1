"""Dead letters in SQL: the sink that queues write to first, and the sweep for what passed it by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from domain.db import transaction
from domain.dead_letters import service
from domain.dead_letters.service import Known, Letter
from queues.dead import DeadLetter, DeadSet, known_queues
from workers.context import Runtime

REDIS_KEEPS: Final = timedelta(days=7)
"""How long Redis keeps a dead letter whose message is in SQL: its memory is for work."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a sweep did: letters that SQL did not have, and copies that Redis need not keep."""

    mirrored: int
    forgotten: int


class SqlDeadLetters:
    """The `queues.DeadLetterSink` of production. Each letter is a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, letter: DeadLetter) -> None:
        """Keep a letter. Raises what SQLAlchemy raises; the letter is then not kept."""
        with transaction(self._engine) as tx:
            service.record(
                tx,
                Letter(
                    queue=letter.queue,
                    redis_message_id=letter.redis_message_id,
                    actor=letter.actor,
                    args=letter.args,
                    raw=letter.raw,
                    reason=letter.reason,
                    trace=letter.trace,
                    attempts=letter.attempts,
                    deaths=letter.deaths,
                    died_at=letter.died,
                ),
            )


def mirror(rt: Runtime) -> Mirrored:
    """Bring SQL and the dead sets of Redis together; repeating it changes nothing."""
    sink = SqlDeadLetters(rt.engine)
    mirrored = forgotten = 0
    for queue in known_queues(rt.redis, rt.namespace):
        dead = DeadSet(rt.redis, rt.namespace, queue)
        for page in dead.pages():
            with transaction(rt.engine) as tx:
                known = service.known(tx, queue, list(page))
            strays = {id_: died for id_, died in page.items() if id_ not in known}
            for letter in dead.letters(strays):
                sink.record(letter)
                mirrored += 1
            done = _forgettable(page, known)
            dead.remove(done)
            forgotten += len(done)
    return Mirrored(mirrored, forgotten)


def _forgettable(page: Mapping[str, datetime], known: Mapping[str, Known]) -> list[str]:
    # Ages are the queue server's clock against ours: an hour of difference does not matter here.
    old = datetime.now(UTC) - REDIS_KEEPS
    return [
        id_
        for id_, letter in known.items()
        if not letter.open or (letter.raw_kept and page[id_] < old)
    ]
