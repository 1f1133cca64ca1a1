from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis

from payspool_client import Publisher
from queues import PayspoolBroker, UnknownQueue, run
from tests.queues.support import WorkerProcess, event, read_records, wait_until

Start = Callable[..., WorkerProcess]


def in_flight(client: redis.Redis) -> list[bytes]:
    return client.keys("payspool:*.in_flight.*")


def test_a_worker_that_is_told_to_stop_finishes_its_batch_and_returns_the_rest_in_order(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publisher.publish_many((event(i) for i in range(100)), chunk=1)
    queued = client.lrange("payspool:events", 0, -1)
    (tmp_path / "hold").touch()
    worker = start_worker(url, limits={"messages": 20, "events": 5})
    wait_until(lambda: worker.records("begun"))
    wait_until(lambda: client.llen("payspool:events") == 80)
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    (tmp_path / "hold").unlink()
    assert worker.process.wait(10) == 0
    assert [id_ for record in worker.records("done") for id_ in record["ids"]] == [
        f"e-{i}" for i in range(5)
    ]
    assert client.lrange("payspool:events", 0, -1) == queued[5:]
    assert client.hlen("payspool:events.msgs") == 95
    assert in_flight(client) == []
    assert not client.exists("payspool:heartbeats", "payspool:events.owners")
    assert not client.exists("payspool:events.tries"), "being returned unbegun is no failure"


def test_an_actor_that_does_not_end_loses_its_messages_in_bounded_time(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publisher.publish(event(1))
    (tmp_path / "hold").touch()
    worker = start_worker(url, shutdown_seconds=2)
    wait_until(lambda: worker.records("begun"))
    started = time.monotonic()
    worker.terminate()
    assert time.monotonic() - started < 4
    assert client.llen("payspool:events") == 1
    assert in_flight(client) == []


def test_a_second_signal_ends_the_process_at_once(
    publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publisher.publish(event(1))
    (tmp_path / "hold").touch()
    worker = start_worker(url)
    wait_until(lambda: worker.records("begun"))
    worker.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    started = time.monotonic()
    assert worker.terminate() == 70
    assert time.monotonic() - started < 0.5


def test_a_worker_stops_though_the_server_is_away(start_worker: Start) -> None:
    worker = start_worker("redis://127.0.0.1:1/0", shutdown_seconds=5)
    wait_until(lambda: worker.records("ready"))
    time.sleep(0.5)
    assert worker.terminate(15) in {0, 70}


def test_an_idle_worker_uses_next_to_no_cpu(start_worker: Start, url: str) -> None:
    worker = start_worker(url, queues=["events", "payouts"], threads=4)
    wait_until(lambda: worker.records("ready"))
    time.sleep(1)
    process = psutil.Process(worker.pid)
    before = process.cpu_times()
    time.sleep(3)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    assert used / 3 <= 0.05


def test_work_is_shared_between_processes(
    publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publisher.publish_many((event(i) for i in range(200)), chunk=1)
    workers = [start_worker(url, limits={"messages": 10}, seconds=0.05) for _ in range(2)]
    wait_until(lambda: sum(len(r["ids"]) for r in read_records(tmp_path, "done")) >= 200)
    ids = [id_ for record in read_records(tmp_path, "done") for id_ in record["ids"]]
    assert sorted(ids) == sorted(f"e-{i}" for i in range(200))
    assert all(worker.records("done") for worker in workers)


def test_a_queue_without_actors_is_refused_by_name() -> None:
    broker = PayspoolBroker("redis://127.0.0.1:1/0")
    broker.declare_queue("payouts")
    with pytest.raises(UnknownQueue, match=r"payotus.*choose from: payouts") as caught:
        run(broker, ["payotus", "payouts"])
    assert caught.value.unknown == {"payotus"}


def test_importing_the_package_reaches_no_server_and_makes_no_broker() -> None:
    code = (
        "import socket; socket.socket.connect = None\n"
        "import queues, queues.worker, queues.send, queues.inspect, payspool_client\n"
        "import dramatiq.broker; assert dramatiq.broker.global_broker is None\n"
        "queues.PayspoolBroker('redis://127.0.0.1:1/0')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=Path.cwd())
