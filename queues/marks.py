"""What is kept outside of the database of what it has sent: the server it was on, and its newest attempts.

The names of servers and the numbers of attempts mean nothing here; they are kept, and told again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import redis
from dramatiq.errors import ConnectionClosed

from queues import keys
from queues.errors import QueuesError, lost_connections_are_closed
from queues.scripts import source

FSYNC_MILLISECONDS: Final = 3_000
"""Longest wait for the disk. `appendfsync always` takes milliseconds, `everysec` up to two seconds."""


@dataclass(frozen=True, slots=True)
class KeptMark:
    """What is kept: a server, attempts ascending, and how many seconds ago it was kept last."""

    server: str
    attempts: tuple[int, ...]
    age_seconds: float


class MarkLost(QueuesError):
    """Nothing is known here any more: the server was emptied."""

    def __init__(self) -> None:
        super().__init__("Valkey knows nothing of what was sent any more; try again.")


class OtherServer(QueuesError):
    """What is known here is of another server of the database."""

    def __init__(self) -> None:
        super().__init__(
            "The database is on another server than Valkey knows: `payspool payouts rearm`."
        )


class Marks:
    """The mark of one namespace. Everything is on the disk when a method returns, where there is one.

    Raises (all methods): ConnectionClosed if the server did not answer, or not in time that it is on the
    disk; it may be kept then.
    """

    def __init__(self, client: redis.Redis, namespace: str, most: int) -> None:
        self._client = client
        self._keys = [
            keys.mark(namespace),
            keys.marked_attempts(namespace),
            keys.marked_accounts(namespace),
        ]
        self._most = most

    def read(self) -> KeptMark | None:
        """What is kept; None if nothing is."""
        with lost_connections_are_closed():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.hgetall(self._keys[0])
            pipeline.zrange(self._keys[1], 0, -1)
            pipeline.time()
            kept, attempts, now = pipeline.execute()
        if not kept:
            return None
        age = now[0] + now[1] / 1_000_000 - int(kept[b"at"]) / 1000
        return KeptMark(kept[b"server"].decode(), tuple(int(number) for number in attempts), age)

    def accounts_since(self, moment: datetime) -> list[str]:
        """The accounts that attempts went through since then, by the server's clock."""
        with lost_connections_are_closed():
            found: Any = self._client.zrangebyscore(
                self._keys[2], int(moment.timestamp() * 1000), "+inf"
            )
        return sorted(name.decode() for name in found)

    def keep(self, server: str, attempt: int, account: str = "") -> None:
        """Keep an attempt that was committed on ``server``, and the account it goes through, before its key
        is used.

        Raises MarkLost if nothing is known here, OtherServer if another server is: nothing is kept.
        """
        kept = self._run("keep_mark", server, self._most, attempt, account)
        if kept == 0:
            raise MarkLost
        if kept < 0:
            raise OtherServer

    def learn(self, server: str, attempts: Sequence[int]) -> bool:
        """Keep what the database says, where nothing is known; False if something is."""
        return bool(self._run("set_mark", server, 1, *attempts))

    def replace(self, server: str, attempts: Sequence[int]) -> None:
        """Keep what the database says, whatever was known."""
        self._run("set_mark", server, 0, *attempts)

    def _run(self, script: str, *values: str | int) -> int:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.eval(source(script), len(self._keys), *self._keys, *values)
        # Of the same connection, whose writes alone it waits for.
        pipeline.execute_command("WAITAOF", 1, 0, FSYNC_MILLISECONDS)  # type: ignore[no-untyped-call]
        with lost_connections_are_closed():
            done, durable = pipeline.execute(raise_on_error=False)
            for answer in (done, durable):
                if isinstance(answer, Exception) and not _keeps_no_file(answer):
                    raise answer
        if not isinstance(durable, Exception) and durable[0] < 1:
            raise ConnectionClosed(TimeoutError("the mark was not on the disk in time"))  # type: ignore[no-untyped-call]
        return int(done)


def _keeps_no_file(answer: Any) -> bool:
    """WAITAOF is refused where there is no append-only file: then there is no disk to wait for."""
    return isinstance(answer, redis.ResponseError) and "appendonly is disabled" in str(answer)
