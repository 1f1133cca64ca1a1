"""Webhooks: real HTTP POSTs, signed as Stripe signs them, tried again with growing pauses.

At least once and in no promised order, as Stripe's. Deliveries are rows of the books, so a restart
goes on where it stopped. Pauses and signatures follow the real clock: receivers judge them by it.
"""

import asyncio
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox import notify
from sandbox.store import Row, Store, dump

MAX_ATTEMPTS = 12
_TIMEOUT_SECONDS = 5.0
_AT_ONCE = 8
_LEASE_SECONDS = 30.0
_IDLE_SECONDS = 3600.0
_LONGEST_PAUSE_SECONDS = 3600.0


def signature(body: str, secret: str, at: int) -> str:
    """Return the `Stripe-Signature` header: HMAC-SHA256 over the time, a dot and the body."""
    signed = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


@dataclass(frozen=True)
class Outcome:
    """What became of one try: an HTTP status, or the reason why there was none."""

    status: int | None
    error: str | None

    @property
    def received(self) -> bool:
        """Whether the endpoint took the event: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


async def post(url: str, body: str, secret: str) -> Outcome:
    """Send one signed body and return what became of it; never raises for the receiver's fault."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return Outcome(await _exchange(url, body.encode(), secret), None)
    except TimeoutError:
        return Outcome(None, f"no answer within {_TIMEOUT_SECONDS:g} s")
    except (OSError, ValueError, EOFError) as problem:
        return Outcome(None, f"{type(problem).__name__}: {problem}")


async def _exchange(url: str, body: bytes, secret: str) -> int:
    """Make one HTTP/1.1 request on a connection of its own and return the status.

    Raises:
        OSError: the receiver cannot be reached, or hangs up.
        ValueError: what it answers is not HTTP.
        EOFError: it hangs up before it has answered.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        "User-Agent: Payspool-Sandbox/1.0 (webhooks)\r\n"
        f"Stripe-Signature: {signature(body.decode(), secret, int(time.time()))}\r\n\r\n"
    )
    try:
        writer.write(head.encode("latin-1") + body)
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

    def __init__(self, store: Store, pause: float = 0.5) -> None:
        self.store = store
        self.pause = pause
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Say that a delivery was queued."""
        self._woken.set()

    def start(self) -> None:
        """Begin sending, with what an earlier process left over."""
        self._woken.set()
        self._task = asyncio.create_task(self._forever())

    async def stop(self) -> None:
        """Stop sending; what is pending waits in the books."""
        running = [task for task in (self._task, *self._sending) if task is not None]
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
        now = time.time()
        due = self.store.all(
            "SELECT * FROM webhook_deliveries WHERE state = 'pending' AND due <= ? "
            "ORDER BY due, seq LIMIT ?",
            now,
            _AT_ONCE - len(self._sending),
        )
        for row in due:
            # Not due again while it is under way; after a crash, once this has passed.
            later = now + _LEASE_SECONDS
            self.store.run("UPDATE webhook_deliveries SET due = ? WHERE seq = ?", later, row["seq"])
            task = asyncio.create_task(self._deliver(row))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._woken.set()

    def _until_next(self) -> float:
        if len(self._sending) >= _AT_ONCE:
            return _IDLE_SECONDS
        later = self.store.one(
            "SELECT min(due) AS at FROM webhook_deliveries WHERE state = 'pending'"
        )
        if later is None or later["at"] is None:
            return _IDLE_SECONDS
        return max(float(later["at"]) - time.time(), 0.001)

    async def _deliver(self, row: Row) -> None:
        event = self.store.one("SELECT * FROM events WHERE id = ?", row["event"])
        endpoint = self.store.one(
            "SELECT * FROM webhook_endpoints WHERE id = ? AND status = 'enabled'",
            row["endpoint"],
        )
        if event is None or endpoint is None:
            self._finish(row, "failed", Outcome(None, "the endpoint is gone or disabled"))
            return
        body = dump(notify.shape(self.store, event, endpoint["api_version"]))
        secret = "whsec_wrong" if row["wrong_secret"] else endpoint["secret"]
        outcome = await post(endpoint["url"], body, secret)
        if outcome.received:
            self._finish(row, "succeeded", outcome)
        elif row["attempts"] + 1 >= MAX_ATTEMPTS:
            self._finish(row, "failed", outcome)
        else:
            self._finish(row, "pending", outcome)

    def _finish(self, row: Row, state: str, outcome: Outcome) -> None:
        attempts = row["attempts"] + 1
        pause = min(self.pause * 2 ** (attempts - 1), _LONGEST_PAUSE_SECONDS)
        self.store.run(
            "UPDATE webhook_deliveries SET state = ?, attempts = ?, due = ?, last_status = ?, "
            "last_error = ? WHERE seq = ?",
            state,
            attempts,
            time.time() + pause,
            outcome.status,
            outcome.error,
            row["seq"],
        )


def deliveries(store: Store, event: str) -> list[dict[str, Any]]:
    """Return what became of an event's deliveries, as the admin API shows it."""
    rows = store.all(
        "SELECT endpoint, state, attempts, last_status, last_error FROM webhook_deliveries "
        "WHERE event = ? ORDER BY seq",
        event,
    )
    return [dict(row) for row in rows]
