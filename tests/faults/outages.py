"""A flood of events into an installation whose servers a test stops, kills, fills and empties."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import redis

from payspool import instance
from payspool.embedded import Embedded, Endpoints
from payspool.embedded.box import ServerName
from payspool.sandbox_client import SandboxClient
from payspool_client import BacklogFull, Event, Publisher, QueueRefused, QueueUnavailable
from tests.e2e.installation import Installation, new_folder, wait_for
from tests.e2e.shop import Shop
from tests.faults.campaign import CARDS, NAMESPACE

MAXMEMORY = 160 * 2**20
"""Bytes; some four times what waits at most, so that what fills it is the filling."""
FUNDS = 900_000_00
"""Cents; more than a tenth of 200,000 purchases, and not more than the sandbox takes at once."""
PART_EVENTS = 250
POSTED_EVERY = 10
"""Of so many parts one goes over HTTP, two as messages of one event, the others as messages of many."""
PATIENCE_SECONDS = 600.0
"""Bounds waits that are as long as the work; what is measured has bounds of its own."""
QUIET_SECONDS = 3.0
"""Several times what a batch takes."""
LONG_LIVED = ("worker", "relay", "scheduler", "api")


class OnOwnServers(Installation):
    """`payspool up` on servers that nobody but the test starts again."""

    def __init__(self, box: Embedded, **env: str) -> None:
        super().__init__(new_folder(), **env)
        self.box = box
        self.env |= {
            "PAYSPOOL_DATABASE_URL": box.endpoints.runtime_url,
            "PAYSPOOL_OWNER_DATABASE_URL": box.endpoints.owner_url,
            "PAYSPOOL_REDIS_URL": box.endpoints.redis_url,
            "PAYSPOOL_SECRET_KEYS": instance.secret_key(self.data / "up"),
        }

    def endpoints(self, kind: str = "up") -> Endpoints:
        return self.box.endpoints

    def instance(self, kind: str = "up") -> dict[str, Any]:
        ports = {"api_url": "api.port", "stripe_url": "sandbox/port"}
        folder = self.data / kind
        return {
            name: f"http://127.0.0.1:{int((folder / at).read_text())}" for name, at in ports.items()
        }

    def long_lived(self) -> dict[int, str]:
        """The processes that have to come through it all."""
        found = self.processes().items()
        return {pid: name for pid, name in found if set(LONG_LIVED) & set(name.split())}

    def kill_server(self, server: ServerName) -> None:
        pid = self.box.pid_of(server)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(f"{server} is dead", lambda: self.box.pid_of(server) is None, 10)


@contextmanager
def on_own_servers(**env: str) -> Iterator[OnOwnServers]:
    """A pipeline that serves, beside its servers. Everything is gone afterwards."""
    place = new_folder()
    try:
        with Embedded(place / "box", valkey_maxmemory=MAXMEMORY, keep_alive=False) as box:
            made = OnOwnServers(box, **env)
            try:
                started = made.up()
                with SandboxClient(made.instance()["stripe_url"]) as sandbox:
                    sandbox.fund(FUNDS, "usd")
                yield made
                started.interrupt()
                assert started.end() == 0, started.said()
                assert made.remains(0) == []
            finally:
                made.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Flood(threading.Thread):
    """A producer that sends as fast as it can, as far as it may, each event until it is acknowledged
    and never again: what was acknowledged and is lost stays lost."""

    def __init__(self, installation: Installation, shop: Shop, events: list[Event]) -> None:
        super().__init__(name="flood")
        self._events = events
        self._redis_url = installation.endpoints().redis_url
        self._http = httpx.Client(
            base_url=installation.instance()["api_url"],
            headers={
                "Authorization": f"Bearer {shop.api_key}",
                "Content-Type": "application/x-ndjson",
            },
            timeout=15,
            trust_env=False,
        )
        self._allowed = 0
        self._moved = threading.Condition()
        self._ended = False
        self.acknowledged = 0
        self.repeated = 0
        self.failed: BaseException | None = None

    def allow(self, events: int) -> None:
        """Send up to so many of all events."""
        with self._moved:
            self._allowed = events
            self._moved.notify_all()

    def close(self) -> None:
        with self._moved:
            self._ended = True
            self._moved.notify_all()
        if self.ident is not None:
            self.join(60)
        self._http.close()

    def run(self) -> None:
        try:
            with Publisher(self._redis_url, namespace=NAMESPACE) as publisher:
                while self._may_go_on():
                    start = self.acknowledged
                    part = self._events[start : min(start + PART_EVENTS, self._allowed)]
                    posts = start // PART_EVENTS % POSTED_EVERY == POSTED_EVERY - 1
                    if self._posted(part) if posts else self._sent(publisher, part):
                        self.acknowledged += len(part)
                    else:
                        self.repeated += 1
                        time.sleep(0.1)
        except BaseException as error:
            self.failed = error

    def _may_go_on(self) -> bool:
        with self._moved:
            self._moved.wait_for(lambda: self._ended or self.acknowledged < self._allowed)
            return not self._ended

    def _sent(self, publisher: Publisher, part: list[Event]) -> bool:
        single = self.acknowledged // PART_EVENTS % POSTED_EVERY < 2
        try:
            publisher.publish_many(part, chunk=1 if single else PART_EVENTS)
        except (BacklogFull, QueueUnavailable, QueueRefused):
            return False
        return True

    def _posted(self, part: list[Event]) -> bool:
        try:
            body = "\n".join(event.to_json() for event in part)
            return self._http.post("/v1/events", content=body).status_code == 202
        except httpx.TransportError:
            return False


class Filling:
    """Keeps Valkey at its memory limit, whatever is freed."""

    def __init__(self, redis_url: str) -> None:
        self._client = redis.Redis.from_url(redis_url)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_full, name="filling")
        self._keys: list[str] = []

    def begin(self) -> None:
        while self._grow(2**20):
            pass
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self._client.delete(*self._keys)
        self._client.close()

    def _keep_full(self) -> None:
        while not self._ended.wait(0.01):
            while self._grow(2**14) and not self._ended.is_set():
                pass

    def _grow(self, size: int) -> bool:
        key = f"filling-{len(self._keys)}"
        try:
            self._client.set(key, b"x" * size)
        except redis.exceptions.OutOfMemoryError:
            return False
        self._keys.append(key)
        return True


@dataclass(frozen=True)
class Outage:
    """Something that happens to a server, and for how many seconds. ``drains``: meanwhile what is
    queued is worked off."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    seconds: float = 0.0
    drains: bool = False


@dataclass
class Seen:
    """What an outage did: how much waited when it began and when it was over, and after how many seconds
    events were applied again, and all were that had been acknowledged by then."""

    name: str
    waited: int
    queued: int = 0
    returned: float = 0.0
    caught_up: float = 0.0


def all_outages(installation: OnOwnServers, seconds: float) -> list[Outage]:
    box, kill = installation.box, installation.kill_server
    filling = Filling(box.endpoints.redis_url)

    def start(server: ServerName) -> Callable[[], None]:
        return lambda: box.start_server(server)

    return [
        Outage("Valkey stopped", lambda: box.stop_server("valkey"), start("valkey"), seconds),
        Outage(
            "PostgreSQL stopped", lambda: box.stop_server("postgres"), start("postgres"), seconds
        ),
        Outage("Valkey killed", lambda: kill("valkey"), start("valkey")),
        Outage("PostgreSQL killed", lambda: kill("postgres"), start("postgres")),
        Outage("Valkey full", filling.begin, filling.end, seconds, drains=True),
    ]


@dataclass
class Storm:
    """A flood that goes through outages."""

    installation: OnOwnServers
    flood: Flood
    events: list[Event]
    seen: list[Seen] = field(default_factory=list)

    def applied(self) -> int:
        [row] = self.installation.rows("SELECT count(*) AS events FROM inbox_events")
        return int(row.events)

    def wait_until_applied(self, events: int, seconds: float = PATIENCE_SECONDS) -> float:
        def are() -> bool:
            assert self.flood.failed is None, self.flood.failed
            return self.applied() >= events

        return wait_for(f"{events} events are applied", are, seconds)

    def begin(self) -> None:
        """The cards exist before their purchases come."""
        self.flood.start()
        self.flood.allow(CARDS)
        self.wait_until_applied(CARDS, 60)

    def go_to(self, events: int) -> int:
        """Let the flood go so far, and return in the middle of it; how many of it are not applied."""
        before = self.applied()
        self.flood.allow(events)
        self.wait_until_applied(before + (events - before) // 10)
        return events - self.applied()

    def go_through(self, outage: Outage, events: int) -> Seen:
        """Let the flood go on until so many are sent, with an outage in the middle."""
        seen = Seen(outage.name, self.go_to(events))
        began, queued = time.monotonic(), self.flood.acknowledged
        outage.begin()
        try:
            if outage.drains:
                self.wait_until_applied(queued, outage.seconds + 60)
            time.sleep(max(0.0, began + outage.seconds - time.monotonic()))
        finally:
            outage.end()
        before, acknowledged = self.applied(), self.flood.acknowledged
        seen.queued = max(0, acknowledged - before)
        if before < events:
            seen.returned = self.wait_until_applied(before + 1)
        seen.caught_up = seen.returned + self.wait_until_applied(acknowledged)
        self.seen.append(seen)
        return seen

    def wait_until_sent(self, events: int) -> None:
        """Let the flood go to the end, and return once so many events were acknowledged."""
        self.flood.allow(len(self.events))
        sent = lambda: self.flood.acknowledged >= events  # noqa: E731
        wait_for(f"{events} events are sent", sent, PATIENCE_SECONDS)

    def wait_until_quiet(self) -> None:
        """Nothing more is applied: what workers still hold is in no set of a server that was emptied."""
        last, since = self.applied(), time.monotonic()

        def quiet() -> bool:
            nonlocal last, since
            if (now := self.applied()) != last:
                last, since = now, time.monotonic()
            return time.monotonic() - since > QUIET_SECONDS

        wait_for("nothing more is applied", quiet, PATIENCE_SECONDS)

    def finish(self) -> None:
        self.flood.allow(len(self.events))
        self.wait_until_applied(len(self.events))

    def tell(self) -> None:
        print(f"\n{len(self.events)} events; {self.flood.repeated} requests were repeated")  # noqa: T201
        for seen in self.seen:
            print(  # noqa: T201
                f"  {seen.name}: in the middle of {seen.waited}; {seen.queued} queued at its end,"
                f" events applied again after {seen.returned:.1f} s, all of these after"
                f" {seen.caught_up:.1f} s"
            )


@contextmanager
def storm(installation: OnOwnServers, shop: Shop, events: list[Event]) -> Iterator[Storm]:
    flood = Flood(installation, shop, events)
    made = Storm(installation, flood, events)
    try:
        made.begin()
        yield made
    finally:
        flood.close()
