"""What is on the queues, read in one script without `KEYS` and without changing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import redis

from queues import keys
from queues.liveness import LivenessSettings


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue at one moment.

    Attributes:
        ready: Messages waiting to be taken.
        in_flight: Messages taken and not finished.
        orphans: Those of them whose worker is unheard of; the janitor returns them.
        later: Failed messages whose backoff is not over.
        dead: Dead letters.
        oldest_seconds: Age of the first waiting message, by the server's clock; None if there is
            none, or if it does not say.
    """

    queue: str
    ready: int
    in_flight: int
    orphans: int
    later: int
    dead: int
    oldest_seconds: float | None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do; dead letters wait for a person."""
        return self.ready == self.in_flight == self.later == 0


@cache
def _script() -> str:
    return (Path(__file__).parent / "scripts" / "inspect.lua").read_text()


def inspect(
    client: redis.Redis,
    namespace: str,
    queues: Sequence[str],
    *,
    timeout: float = LivenessSettings().timeout,
) -> list[QueueState]:
    """Look at queues, in the order given.

    Parameters:
        timeout: Seconds of silence after which a worker's messages count as orphans.

    Raises:
        redis.RedisError: The server did not answer.
    """
    found: list[Any] = client.register_script(_script())(
        keys=[keys.heartbeats(namespace)], args=[namespace, int(timeout * 1000), *queues]
    )
    now = found[0]
    return [
        QueueState(
            queue,
            ready=ready,
            in_flight=in_flight,
            orphans=orphans,
            later=later,
            dead=dead,
            oldest_seconds=None if oldest < 0 else max(0.0, (now - oldest) / 1000),
        )
        for queue, (ready, in_flight, orphans, later, dead, oldest) in zip(
            queues, found[1:], strict=True
        )
    ]


def is_idle(client: redis.Redis, namespace: str, queues: Sequence[str]) -> bool:
    """Whether nothing waits, is in flight or is to be retried on any of the queues.

    Raises:
        redis.RedisError: The server did not answer.
    """
    return all(state.idle for state in inspect(client, namespace, queues))
