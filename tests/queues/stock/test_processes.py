"""Processes that die or do not end: what Dramatiq's command line makes of them.

Ours: tests/payspool/supervisor (a dead process comes back, the others go on), tests/faults/test_kills.py
(the same with everything running), and tests/queues/test_worker.py (the end is bounded).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from dramatiq.brokers.redis import RedisBroker
from dramatiq.cli import make_argument_parser

from queues.worker import SHUTDOWN_SECONDS
from tests.queues.stock.sending import put
from tests.queues.support import wait_until

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture
def command_line(url: str, tmp_path: Path) -> Iterator[Callable[[int], psutil.Process]]:
    """Starts Dramatiq's command line with so many worker processes; all are gone after the test."""
    started: list[psutil.Process] = []

    def start(processes: int) -> psutil.Process:
        arguments = ("--processes", str(processes), "--threads", "1", "--path", str(HERE))
        started.append(
            psutil.Popen(
                [sys.executable, "-m", "dramatiq", "stock_module", *arguments],
                env=os.environ | {"STOCK_URL": url, "STOCK_FOLDER": str(tmp_path)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return started[-1]

    yield start
    for process in started:
        family = [*process.children(recursive=True), process] if process.is_running() else []
        for one in family:
            one.kill()
        process.wait(10)


def test_stock_ends_all_its_processes_when_one_dies(
    stock: RedisBroker, command_line: Callable[[int], psutil.Process], tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    put(stock, *range(8))  # each takes twice as many as it has threads
    main = command_line(2)
    wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2, 20)
    (tmp_path / "hold").unlink()
    workers = [
        child for child in main.children(recursive=True) if child.name() != "resource_tracker"
    ]
    holding = [child for child in workers if child.num_threads() > 1]
    holding[-1].kill()
    assert main.wait(20) != 0
    wait_until(lambda: not any(child.is_running() for child in workers), 10)


def test_stock_waits_ten_minutes_for_an_actor_that_does_not_end(
    stock: RedisBroker, command_line: Callable[[int], psutil.Process], tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    put(stock, 1)
    main = command_line(1)
    wait_until(lambda: list(tmp_path.glob("begun-*")), 20)
    main.terminate()
    with pytest.raises(psutil.TimeoutExpired):
        main.wait(4)
    default = make_argument_parser().parse_args(["stock_module"]).worker_shutdown_timeout
    assert default == 600_000
    assert SHUTDOWN_SECONDS == 30
    (tmp_path / "hold").unlink()
    main.wait(20)
