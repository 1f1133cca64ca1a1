"""A worker that dies: what stock Dramatiq makes of its messages, and what we make of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from queues.send import Outgoing, enqueue_many
from tests.queues.stock.sending import put
from tests.queues.support import WorkerProcess, read_records, wait_until

Start = Callable[..., WorkerProcess]
QUICK = {"beat": 0.2, "timeout": 0.8, "sweep": 0.1}

pytestmark = pytest.mark.slow


def test_stock_leaves_a_dead_workers_messages_though_it_is_long_known_to_be_dead(
    client: redis.Redis, stock: RedisBroker, start_stock: Start, url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "stock"
    (folder / "hold").touch()
    put(stock, 1, 2)
    victim = start_stock(url)
    wait_until(lambda: victim.records("ready") and len(victim.records("begun")) == 2)
    victim.kill()
    (folder / "hold").unlink()
    # As if it had been silent for an hour, far beyond the minute after which it counts as dead.
    (ready,) = victim.records("ready")
    client.zadd("dramatiq:__heartbeats__", {ready["broker_id"]: (time.time() - 3600) * 1000})
    survivor = start_stock(url)
    wait_until(lambda: survivor.records("ready"))
    time.sleep(3)
    assert survivor.records("begun") == []
    assert client.scard(f"dramatiq:__acks__.{ready['broker_id']}.payouts") == 2


def test_ours_gives_them_to_another_within_seconds(
    client: redis.Redis, start_worker: Start, url: str, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    enqueue_many(client, [Outgoing("payouts", "payouts.send", (n,)) for n in (1, 2)])
    victim = start_worker(url, queues=["payouts"], threads=2, liveness=QUICK)
    wait_until(lambda: len(victim.records("begun")) == 2)
    victim.kill()
    (tmp_path / "hold").unlink()
    survivor = start_worker(url, queues=["payouts"], threads=2, liveness=QUICK)
    wait_until(lambda: len(survivor.records("done")) == 2, 6)


def test_stock_runs_a_message_that_kills_its_worker_again_and_again(
    client: redis.Redis, stock: RedisBroker, start_stock: Start, url: str, tmp_path: Path
) -> None:
    put(stock, 7)
    deaths = 0
    # Even where what a dead worker held always comes back, and quickly:
    sure = {"maintenance_chance": 1_000_000, "heartbeat_timeout": 200}
    for _ in range(5):
        worker = start_stock(url, deadly=7, broker=sure)
        wait_until(lambda worker=worker: worker.process.poll() is not None)
        deaths += 1
        time.sleep(0.3)
    assert deaths == 5
    assert len(read_records(tmp_path / "stock", "begun")) == 5
    assert client.zcard("dramatiq:payouts.XQ") == 0
    (raw,) = client.hvals("dramatiq:payouts.msgs")
    assert b"retries" not in raw, "nothing was counted"


# Ours: tests/queues/test_deaths.py, where the third death of a message is its last.
