"""A merchant, receivers on this machine that do as they are told, and couriers in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.secrets import SecretBox, new_key
from tests.workers.hooks.world import PATIENCE, World
from workers import courier
from workers.context import Runtime
from workers.courier import Manner
from workers.posting import Poster
from workers.stopping import Stop

MIA = Actor("person", "mia")


@dataclass
class Receiver:
    """A server that keeps what it got; ``answer`` says what it answers to a request, by number from 1."""

    url: str
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[int], tuple[int, dict[str, str], bytes]] = lambda _n: (200, {}, b"ok")
    hold: threading.Event = field(default_factory=threading.Event)
    at: list[float] = field(default_factory=list)

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@pytest.fixture
def receiver() -> Iterator[Callable[[], Receiver]]:
    """Makes receivers, each on a port of its own."""
    servers = []

    def make() -> Receiver:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                made.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                made.at.append(time.monotonic())
                status, headers, text_ = made.answer(len(made.got))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text_)))
                self.end_headers()
                self.wfile.write(text_)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_args: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        made = Receiver(f"http://127.0.0.1:{server.server_port}/hooks")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append((server, made))
        return made

    yield make
    for server, made in servers:
        made.hold.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def box() -> SecretBox:
    return SecretBox([new_key()])


@pytest.fixture
def world(engine: Engine, redis_url: str, namespace: str, box: SecretBox) -> Iterator[World]:
    """A test merchant, acme, on a database of the test's own."""
    client = redis.Redis.from_url(redis_url, socket_timeout=5)
    rt = Runtime(engine, client, namespace, None, sandbox=True)  # type: ignore[arg-type]
    with transaction(engine) as tx:
        acme = merchants.add(tx, "acme", "Acme", mode="test", actor=MIA)
    yield World(rt, box, acme.id)
    client.close()


@pytest.fixture
def couriers(world: World) -> Iterator[Callable[..., Stop]]:
    """Starts couriers; with delays of milliseconds unless told otherwise."""
    running = []

    def start(delays: tuple[float, ...] = (0.05,) * 9, seconds: float = 2.0, **more: Any) -> Stop:
        stop = Stop()
        manner = Manner(Poster(world.reach, seconds=seconds), world.box, delays=delays, **more)
        thread = threading.Thread(target=courier.run, args=(world.rt, stop, manner), daemon=True)
        thread.start()
        running.append((stop, thread))
        return stop

    yield start
    for stop, _ in running:
        stop.set()
    with transaction(world.engine) as tx:
        tx.execute(text("NOTIFY payspool_webhooks"))
    for _, thread in running:
        thread.join(PATIENCE)
        assert not thread.is_alive()
