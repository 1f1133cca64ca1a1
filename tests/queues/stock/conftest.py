"""Stock Dramatiq on the servers of the queues' tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dramatiq.brokers.redis import RedisBroker

from tests.queues.support import WorkerProcess

PROGRAM = Path(__file__).parent / "stock_program.py"


@pytest.fixture
def start_stock(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts stock worker processes, with records of their own, that are gone after the test."""
    processes: list[WorkerProcess] = []
    folder = tmp_path / "stock"
    folder.mkdir()

    def start(url: str, **options: Any) -> WorkerProcess:
        processes.append(WorkerProcess(folder, url, program=PROGRAM, **options))
        return processes[-1]

    yield start
    for process in processes:
        if process.process.poll() is None:
            process.kill()


@pytest.fixture
def stock(url: str) -> Iterator[RedisBroker]:
    """A stock broker in this process, with one queue."""
    broker = RedisBroker(url=url)
    broker.declare_queue("payouts")
    yield broker
    broker.client.close()
    broker.client.connection_pool.disconnect()
