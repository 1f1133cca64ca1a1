"""The scripts that move messages, as functions.

Each is atomic on the server, and acts only on ids that are still in the caller's own in-flight
set: what the janitor gave to another worker is that worker's. They run at the memory limit too
(`allow-oom`), because they are what frees memory.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import redis

from queues import keys
from queues.keys import QueueKeys

#: How many messages of one death run together. Where a worker died that held n messages, it takes
#: n / 32 groups to clear the innocent ones, and up to 32 messages one by one to find the one that
#: kills: the sum is least near the root of n, which is 1,000 for two full batches.
SUSPECTS_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Taken:
    """A message as it came off the queue.

    `tries` is how often it was taken before and came back, `deaths` how often because the worker
    that held it had died.
    """

    id: str
    raw: bytes = field(repr=False)
    tries: int
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought.

    `in_flight` is the size of the owner's set after it. `next_due` is how many seconds from now
    the next retry is due, if the queue is empty and there is one. `held_up` says why nothing was
    taken though something may be there: `paused`, `quiet` (this worker was told to take nothing),
    `apart` (messages that are to run apart do, or wait for the others to be done), or empty.
    """

    taken: list[Taken]
    in_flight: int
    next_due: float | None
    held_up: str = ""


@cache
def source(name: str) -> str:
    """The text of a script."""
    return (Path(__file__).parent / f"{name}.lua").read_text()


class Scripts:
    """The scripts of one namespace, run through one client on behalf of one owner.

    Raises (all methods): what redis-py raises.
    """

    def __init__(self, client: redis.Redis, namespace: str, owner: str) -> None:
        self._client = client
        self._namespace = namespace
        self._owner = owner
        folder = Path(__file__).parent
        self._run: dict[str, Any] = {
            path.stem: client.register_script(path.read_text()) for path in folder.glob("*.lua")
        }

    def _keys(self, queue: str) -> QueueKeys:
        return QueueKeys(self._namespace, queue)

    def fetch(self, queue: str, *, messages: int, size: int) -> Fetched:
        """Take up to that many messages and bytes (at least one message, whatever its size)."""
        k = self._keys(queue)
        in_flight, next_due, held_up, ids, raws, tries, deaths = self._run["fetch"](
            keys=[
                k.list,
                k.messages,
                k.in_flight(self._owner),
                k.owners,
                k.tries,
                k.deaths,
                k.later,
                keys.heartbeats(self._namespace),
                keys.queues(self._namespace),
                keys.paused(self._namespace),
                keys.apart(self._namespace),
                keys.quiet(self._namespace),
            ],
            args=[self._owner, queue, messages, size, self._namespace, SUSPECTS_MAX],
        )
        taken = [
            Taken(id_.decode(), raw, int(count or 0), deaths)
            for id_, raw, count in zip(ids, raws, tries, strict=True)
        ]
        due = None if next_due < 0 else next_due / 1000
        return Fetched(taken, in_flight, due, held_up.decode())

    def ack(self, queue: str, ids: Sequence[str]) -> int:
        """Remove finished messages; tells how many were still ours."""
        k = self._keys(queue)
        run = self._run["ack"]
        return int(run(keys=[k.in_flight(self._owner), k.messages, k.tries, k.deaths], args=ids))

    def give_back(self, queue: str, *, held: Collection[str], failed: bool) -> int:
        """Return what is ours on the server and not in `held`; `failed` counts a try of each."""
        k = self._keys(queue)
        run = self._run["give_back"]
        return int(
            run(
                keys=[k.list, k.messages, k.in_flight(self._owner), k.tries],
                args=[int(failed), *held],
            )
        )

    def retry(self, queue: str, message_id: str, *, backoff: float) -> bool:
        """Put a failed message aside for that many seconds; False if it was no longer ours."""
        k = self._keys(queue)
        run = self._run["retry"]
        return bool(
            run(
                keys=[k.in_flight(self._owner), k.later, k.tries],
                args=[message_id, int(backoff * 1000)],
            )
        )

    def split(self, queue: str, message_id: str, parts: Sequence[tuple[str, bytes]]) -> bool:
        """Put messages (id, message) in the place of one; False if it was no longer ours.

        They go to the front, in order, as suspects of one death.
        """
        k = self._keys(queue)
        run = self._run["split"]
        return bool(
            run(
                keys=[k.list, k.messages, k.in_flight(self._owner), k.tries, k.deaths],
                args=[message_id, *(value for part in parts for value in part)],
            )
        )

    def dead_letter(self, queue: str, message_id: str, reason: str, attempts: int = 0) -> bool:
        """Move a message to the dead letters; False if it was no longer ours.

        `attempts` is how often it was tried, and is kept with it.
        """
        k = self._keys(queue)
        run = self._run["dead_letter"]
        return bool(
            run(
                keys=[
                    k.in_flight(self._owner),
                    k.messages,
                    k.tries,
                    k.deaths,
                    k.dead,
                    k.dead_messages,
                    k.dead_errors,
                    k.dead_counts,
                ],
                args=[message_id, reason, attempts],
            )
        )

    def heartbeat(self, *, gap: float, timeout: float, about: str = "") -> None:
        """Say that we are alive, and `about` ourselves. Silence of everybody for `gap` seconds starts
        the grace."""
        self._run["heartbeat"](
            keys=[
                keys.heartbeats(self._namespace),
                keys.grace(self._namespace),
                keys.workers(self._namespace),
            ],
            args=[self._owner, int(gap * 1000), int(timeout * 1000), about],
        )

    def leave(self, queues: Collection[str]) -> None:
        """Withdraw as an owner, with nothing in flight any more."""
        pipeline = self._client.pipeline(transaction=True)
        for queue in queues:
            pipeline.srem(self._keys(queue).owners, self._owner)
        for key in (keys.apart, keys.workers, keys.quiet):
            pipeline.hdel(key(self._namespace), self._owner)
        pipeline.zrem(keys.heartbeats(self._namespace), self._owner)
        pipeline.execute()

    def return_of_the_dead(self, *, gap: float, timeout: float) -> dict[str, int]:
        """Return the messages of owners unheard of for `timeout` seconds: how many, by queue."""
        flat = self._run["janitor"](
            keys=[
                keys.heartbeats(self._namespace),
                keys.grace(self._namespace),
                keys.queues(self._namespace),
                keys.apart(self._namespace),
                keys.workers(self._namespace),
                keys.quiet(self._namespace),
            ],
            args=[self._namespace, int(gap * 1000), int(timeout * 1000)],
        )
        return {name.decode(): count for name, count in zip(flat[::2], flat[1::2], strict=True)}
