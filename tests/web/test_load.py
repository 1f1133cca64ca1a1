"""Many clients, slow clients, and a stop in the midst of it: as the real process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from domain.secrets import new_key
from tests.web.support import NAMESPACE, Valkey, event, wait_until
from web.protocol import GRACE_SECONDS

CHECKOUT = Path(__file__).parents[2]
START_SECONDS = 90
#: uvicorn ends by the signal that asked it to, after all is finished.
ENDED = (0, -signal.SIGTERM)

pytestmark = pytest.mark.slow


@dataclass
class Process:
    """`payspool api`, and what it takes to talk to it."""

    process: subprocess.Popen[bytes]
    port: int
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def begin(self, number: int, *, sent: float = 1.0) -> tuple[socket.socket, bytes]:
        """A connection that has said its head and a part of its body, and the rest."""
        body = json.dumps(event(number)).encode()
        head = (
            f"POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        peer = socket.create_connection(("127.0.0.1", self.port), 30)
        cut = int(len(body) * sent)
        peer.sendall(head.encode() + body[:cut])
        return peer, body[cut:]


@pytest.fixture
def served(
    database_url: str, own_valkey: Valkey, people: dict[str, Any], tmp_path: Path
) -> Iterator[Process]:
    port_file = tmp_path / "port"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PAYSPOOL_")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "payspool", "api", "--port", "8400"),
            *("--port-file", str(port_file)),
        ],
        cwd=CHECKOUT,
        env=inherited
        | {
            "PAYSPOOL_DATABASE_URL": database_url,
            "PAYSPOOL_REDIS_URL": own_valkey.url,
            "PAYSPOOL_NAMESPACE": NAMESPACE,
            "PAYSPOOL_SECRET_KEYS": new_key(),
            "PAYSPOOL_LOG_LEVEL": "error",
        },
    )
    try:
        wait_until(lambda: port_file.exists() or process.poll() is not None, START_SECONDS)
        made = Process(process, int(port_file.read_text()), str(people["key"]))

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError), made.client() as client:
                return client.get("/healthz").status_code == 200
            return False

        wait_until(answers, START_SECONDS)
        yield made
    finally:
        process.kill()
        process.wait(10)


def heard(peer: socket.socket) -> bytes:
    with peer:
        return peer.recv(65_536)


def test_two_hundred_clients_are_served_and_slow_ones_hold_nobody_up(
    served: Process, own_valkey: Valkey
) -> None:
    slow = [served.begin(n, sent=0.5) for n in range(100)]
    watched: list[float] = []
    done = threading.Event()

    def watch() -> None:
        with served.client() as client:
            while not done.is_set():
                began = time.monotonic()
                for path in ("/healthz", "/readyz"):
                    assert client.get(path).status_code == 200
                watched.append(time.monotonic() - began)

    def busy(n: int) -> list[int]:
        with served.client() as client:
            return [
                client.post("/v1/events", content=json.dumps(event(1000 + n * 10 + i))).status_code
                for i in range(5)
            ]

    with ThreadPoolExecutor(101) as pool:
        watching = pool.submit(watch)
        codes = Counter(code for codes in pool.map(busy, range(100)) for code in codes)
        done.set()
        watching.result(30)
    assert codes == {202: 500}
    assert len(watched) >= 3
    assert sorted(watched)[len(watched) // 2] < 2.0, watched
    for peer, rest in slow:
        peer.sendall(rest)
    assert {heard(peer)[:12] for peer, _ in slow} == {b"HTTP/1.1 202"}
    assert len(own_valkey.queued()) == 600


def test_more_requests_than_can_be_carried_are_turned_away_and_health_is_not(
    served: Process,
) -> None:
    """As a flood of clients that never finish their bodies."""
    held = [served.begin(n, sent=0.5) for n in range(400)]
    with served.client() as client:

        def crowded() -> bool:
            answer = client.post("/v1/events", content=json.dumps(event(9)))
            if answer.status_code == 503:
                assert answer.json()["error"]["code"] == "crowded"
                assert int(answer.headers["Retry-After"]) > 0
            return answer.status_code == 503

        wait_until(crowded)
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.get("/metrics").status_code == 200
        for peer, _ in held[:50]:
            peer.close()
        wait_until(lambda: not crowded())
    for peer, _ in held:
        peer.close()


def taken(served: Process) -> int:
    """Connections that the server has accepted."""
    held = psutil.Process(served.process.pid).net_connections("tcp")
    return sum(c.status == psutil.CONN_ESTABLISHED and c.laddr.port == served.port for c in held)


def test_a_stop_finishes_what_was_begun_and_takes_nothing_new(
    served: Process, own_valkey: Valkey
) -> None:
    with own_valkey.client() as valkey, served.client() as idle:
        assert idle.get("/healthz").status_code == 200
        # Writes stand still, so that these are in hand when the stop comes; one is not even said.
        valkey.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        begun = [served.begin(n) for n in range(30)]
        unsaid, rest = served.begin(30, sent=0.5)
        wait_until(lambda: int(valkey.info("clients")["blocked_clients"]) >= 10)
        # Whom the server has not taken yet when it closes its door, the system turns away.
        wait_until(lambda: taken(served) >= 31)
        served.process.send_signal(signal.SIGTERM)

        def closed() -> bool:
            try:
                socket.create_connection(("127.0.0.1", served.port), 1).close()
            except OSError:
                return True
            return False

        wait_until(closed)
        assert served.process.poll() is None
        valkey.execute_command("CLIENT", "UNPAUSE")
        unsaid.sendall(rest)
        answers = [heard(peer)[:12] for peer, _ in (*begun, (unsaid, b""))]
        assert answers == [b"HTTP/1.1 202"] * 31
        assert served.process.wait(GRACE_SECONDS + 5) in ENDED
    assert len(own_valkey.queued()) == 31


def test_a_stop_does_not_wait_for_ever_for_a_client_that_says_nothing(served: Process) -> None:
    peer, _ = served.begin(1, sent=0.5)
    with peer:
        served.process.send_signal(signal.SIGTERM)
        assert peer.recv(4096).startswith(b"HTTP/1.1 503")
        assert served.process.wait(5) in ENDED
