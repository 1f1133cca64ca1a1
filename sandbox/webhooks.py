"""Webhooks: real HTTP POSTs, signed as Stripe signs them, tried again with growing pauses.

At least once and in no promised order, as Stripe's, for up to three days. Deliveries are rows of the
books, so a restart goes on where it stopped. Pauses follow the sandbox's clock: moving it on brings
the next try. What is sent, and how it is signed, is the business of `sandbox.letters`
and `sandbox.wise.subscriptions`.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sandbox.clock import Clock
from sandbox.letters import Letter, letter_of
from sandbox.store import Row, Store
from sandbox.wise import subscriptions

RETRIED_FOR_SECONDS = 3 * 24 * 3600.0
_TIMEOUT_SECONDS = 5.0
_AT_ONCE = 8
_LEASE_SECONDS = 30.0
_IDLE_SECONDS = 3600.0
_LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(frozen=True)
class Outcome:
    """What became of one try: an HTTP status, or the reason why there was none."""

    status: int | None
    error: str | None

    @property
    def received(self) -> bool:
        """Whether the endpoint took the event: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


async def post(letter: Letter) -> Outcome:
    """Send one letter and return what became of it; never raises for the receiver's fault."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return Outcome(await _exchange(letter), None)
    except TimeoutError:
        return Outcome(None, f"no answer within {_TIMEOUT_SECONDS:g} s")
    except (OSError, ValueError, EOFError) as problem:
        return Outcome(None, f"{type(problem).__name__}: {problem}")


async def _exchange(letter: Letter) -> int:
    """Make one HTTP/1.1 request on a connection of its own and return the status.

    Raises:
        OSError: the receiver cannot be reached, or hangs up.
        ValueError: what it answers is not HTTP.
        EOFError: it hangs up before it has answered.
    """
    parts = urlsplit(letter.url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(letter.body)}\r\nConnection: close\r\n"
        "User-Agent: Payspool-Sandbox/1.0 (webhooks)\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in letter.headers.items())
        + "\r\n"
    )
    try:
        writer.write(head.encode("latin-1") + letter.body)
        await writer.drain()
        answer = await reader.readuntil(b"\r\n\r\n")
        version, status, *_ = answer.split(maxsplit=2)
        if not version.startswith(b"HTTP/1."):
            raise ValueError("the answer is not HTTP/1.1")
        return int(status)
    finally:
        writer.close()


class Dispatcher:
    """Sends what is due. `pause` is the first pause after a failure, in seconds; it doubles."""

    def __init__(self, store: Store, clock: Clock, pause: float = 0.5) -> None:
        self.store = store
        self.clock = clock
        self.pause = pause
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sending: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Say that a delivery was queued, or that the clock was moved."""
        self._woken.set()

    def start(self) -> None:
        """Begin sending, with what an earlier process left over."""
        self._woken.set()
        self._task = asyncio.create_task(self._forever())

    async def stop(self) -> None:
        """Stop sending; what is pending waits in the books."""
        running = [task for task in (self._task, *self._sending.values()) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _forever(self) -> None:
        while True:
            self._woken.clear()
            self._take()
            try:
                await asyncio.wait_for(self._woken.wait(), self._until_next())
            except TimeoutError:
                continue

    def _take(self) -> None:
        """Start what is due, a few at once; a slow endpoint holds up only its own."""
        now = self.clock.exact()
        due = self.store.all(
            "SELECT * FROM webhook_deliveries WHERE state = 'pending' AND due <= ? "
            "ORDER BY due, seq LIMIT ?",
            now,
            _AT_ONCE + len(self._sending),
        )
        for row in due:
            # The clock may have jumped over the lease of what is still under way.
            if row["seq"] in self._sending or len(self._sending) >= _AT_ONCE:
                continue
            # Not due again while it is under way; after a crash, once this has passed.
            later = now + _LEASE_SECONDS
            self.store.run("UPDATE webhook_deliveries SET due = ? WHERE seq = ?", later, row["seq"])
            task = asyncio.create_task(self._deliver(row))
            self._sending[row["seq"]] = task
            task.add_done_callback(partial(self._sent, row["seq"]))

    def _sent(self, seq: int, _task: asyncio.Task[None]) -> None:
        self._sending.pop(seq, None)
        self._woken.set()

    def _until_next(self) -> float:
        if len(self._sending) >= _AT_ONCE:
            return _IDLE_SECONDS
        later = self.store.one(
            "SELECT min(due) AS at FROM webhook_deliveries WHERE state = 'pending'"
        )
        if later is None or later["at"] is None:
            return _IDLE_SECONDS
        return max(float(later["at"]) - self.clock.exact(), 0.001)

    async def _deliver(self, row: Row) -> None:
        is_wise = row["endpoint"].startswith("wise:")
        compose = subscriptions.letter_of if is_wise else letter_of
        letter = compose(self.store, self.clock.now(), row)
        if letter is None:
            self._finish(row, "failed", Outcome(None, "the endpoint is gone or disabled"), None)
            return
        outcome = await self._post(letter)
        if outcome.received:
            self._finish(row, "succeeded", outcome, letter.fault)
        elif self._next_try(row) > row["created"] + RETRIED_FOR_SECONDS:
            self._finish(row, "failed", outcome, letter.fault)
        else:
            self._finish(row, "pending", outcome, letter.fault)

    async def _post(self, letter: Letter) -> Outcome:
        """Send a letter, unless the plan loses it; its answer counts, unless the plan does not hear it."""
        if letter.fault == "lose":
            return Outcome(None, "lost on the way, as the fault plan says")
        outcome = await post(letter)
        if letter.fault == "unheard" and outcome.received:
            return Outcome(None, "taken, and not heard, as the fault plan says")
        return outcome

    def _next_try(self, row: Row) -> float:
        pause = self.pause * 2 ** min(row["attempts"], 40)
        return self.clock.exact() + float(min(pause, _LONGEST_PAUSE_SECONDS))

    def _finish(self, row: Row, state: str, outcome: Outcome, fault: str | None) -> None:
        self.store.run(
            "UPDATE webhook_deliveries SET state = ?, attempts = ?, due = ?, last_status = ?, "
            "last_error = ? WHERE seq = ?",
            state,
            row["attempts"] + 1,
            self._next_try(row),
            outcome.status,
            outcome.error,
            row["seq"],
        )
        self.store.insert(
            "webhook_tries",
            delivery=row["seq"],
            at=self.clock.exact(),
            status=outcome.status,
            error=outcome.error,
            fault=fault,
        )


def deliveries(store: Store, event: str) -> list[dict[str, Any]]:
    """Return what became of an event's deliveries, as the admin API shows it."""
    rows = store.all("SELECT * FROM webhook_deliveries WHERE event = ? ORDER BY seq", event)
    shown = ("endpoint", "state", "attempts", "last_status", "last_error")
    tries = "SELECT at, status, error, fault FROM webhook_tries WHERE delivery = ? ORDER BY seq"
    return [
        {
            **{name: row[name] for name in shown},
            "next_try_at": row["due"] if row["state"] == "pending" else None,
            "tries": [dict(one) for one in store.all(tries, row["seq"])],
        }
        for row in rows
    ]


def log(store: Store, limit: int) -> list[dict[str, Any]]:
    """Return the newest tries of all deliveries, newest first."""
    rows = store.all(
        "SELECT at, event, endpoint, status, error, webhook_tries.fault FROM webhook_tries "
        "JOIN webhook_deliveries ON webhook_deliveries.seq = delivery "
        "ORDER BY webhook_tries.seq DESC LIMIT ?",
        limit,
    )
    return [dict(row) for row in rows]
