"""A real Valkey that can be killed and started again, real worker processes, and waiting."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from payspool_client import wire

PROGRAM = Path(__file__).parent / "worker_program.py"


def wait_until(holds: Callable[[], Any], seconds: float = 10.0, what: str = "") -> float:
    """Wait until something holds; returns after how many seconds."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds} s: {what or holds}")
        time.sleep(0.01)
    return time.monotonic() - started


class Valkey:
    """A server on a socket of its own, with every write on disk before it is answered."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.socket = folder / "v.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(self.binary, "--port", "0", "--unixsocket", self.socket, "--dir", self.folder),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            ],
            stdout=subprocess.DEVNULL,
        )
        with redis.Redis.from_url(self.url) as client:

            def answers() -> bool:
                try:
                    return bool(client.ping())
                except redis.ConnectionError:
                    return False

            wait_until(answers)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None


class WorkerProcess:
    """A process that runs `worker_program.py` (or another), and what it wrote down."""

    def __init__(self, folder: Path, url: str, *, program: Path = PROGRAM, **options: Any) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, program, json.dumps({"url": url, "folder": str(folder)} | options)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in read_records(self.folder, kind) if record["pid"] == self.pid]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def terminate(self, seconds: float = 10) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def read_records(folder: Path, kind: str) -> list[dict[str, Any]]:
    path = folder / "records"
    lines = path.read_text().splitlines() if path.exists() else []
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def event(number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "shop",
        "merchant": "acme",
        "type": "conversion.recorded",
        "time": "2026-11-20T09:30:00Z",
        "data": {"referred_user_id": f"u-{number}", "amount": number},
    }


def publish_singly(client: redis.Redis, events: Iterable[dict[str, Any]]) -> None:
    """One message an event, as `publish` does, in one round trip."""
    pipeline = client.pipeline()
    for one in events:
        ((message_id, raw),) = wire.encode_messages([json.dumps(one)])
        pipeline.hset(wire.messages_key(wire.NAMESPACE), message_id, raw)
        pipeline.rpush(wire.list_key(wire.NAMESPACE), message_id)
    pipeline.execute()


@contextmanager
def losing_answers(valkey: Valkey, word: bytes, times: int) -> Iterator[str]:
    """An address of the server at which answers to requests with this word are lost, so many times,
    after the server ran them."""
    path = valkey.folder / "l.sock"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    left = iter(range(times))

    def relay(near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(str(valkey.socket))
            while request := near.recv(65536):
                far.sendall(request)
                answer = far.recv(65536)
                if word in request and next(left, None) is not None:
                    return
                near.sendall(answer)

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=[near], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"unix://{path}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
