"""The server is killed and started again on its data, in the middle of work."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from payspool_client import Publisher
from queues import enqueue_many
from queues.send import Outgoing
from tests.queues.support import Valkey, WorkerProcess, event, read_records, wait_until

pytestmark = pytest.mark.slow

Start = Callable[..., WorkerProcess]
QUICK = {"beat": 0.4, "timeout": 1.6, "sweep": 0.2}


def test_a_restarted_server_loses_nothing_and_consumers_recover_by_themselves(
    own_valkey: Valkey, start_worker: Start, tmp_path: Path
) -> None:
    with Publisher(own_valkey.url) as publisher:
        publisher.publish_many((event(i) for i in range(300)), chunk=1)
    workers = [
        start_worker(own_valkey.url, limits={"messages": 10}, seconds=0.02) for _ in range(2)
    ]
    wait_until(lambda: len(read_records(tmp_path, "done")) >= 8)
    own_valkey.kill()
    time.sleep(0.5)
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        # A consumer starts again after 3 s, an acknowledgement is repeated after 5 s.
        wait_until(lambda: client.hlen("payspool:events.msgs") == 0, 15)
        assert client.llen("payspool:events") == 0
    done = {id_ for record in read_records(tmp_path, "done") for id_ in record["ids"]}
    assert done == {f"e-{i}" for i in range(300)}
    assert all(worker.process.poll() is None for worker in workers)
    assert [worker.terminate() for worker in workers] == [0, 0]


def test_an_outage_is_not_taken_for_the_death_of_workers(
    own_valkey: Valkey, start_worker: Start, tmp_path: Path
) -> None:
    with Publisher(own_valkey.url) as publisher:
        publisher.publish_many((event(i) for i in range(20)), chunk=1)
    (tmp_path / "hold").touch()
    for _ in range(2):
        start_worker(own_valkey.url, limits={"messages": 5}, liveness=QUICK)
    wait_until(lambda: len(read_records(tmp_path, "begun")) == 2)
    time.sleep(0.5)
    own_valkey.kill()
    time.sleep(3)
    own_valkey.start()
    time.sleep(3)
    (tmp_path / "hold").unlink()
    wait_until(
        lambda: sum(len(record["ids"]) for record in read_records(tmp_path, "done")) >= 20, 20
    )
    begun = [id_ for record in read_records(tmp_path, "begun") for id_ in record["ids"]]
    assert len(begun) == 20, "each was begun once"
    assert {record["redelivered"] for record in read_records(tmp_path, "done")} == {0}


def test_after_an_outage_the_dead_are_noticed_as_before(
    own_valkey: Valkey, start_worker: Start, tmp_path: Path
) -> None:
    with Publisher(own_valkey.url) as publisher:
        publisher.publish_many((event(i) for i in range(10)), chunk=1)
    (tmp_path / "hold").touch()
    victim = start_worker(own_valkey.url, liveness=QUICK)
    wait_until(lambda: victim.records("begun"))
    survivor = start_worker(own_valkey.url, liveness=QUICK)
    wait_until(lambda: survivor.records("ready"))
    time.sleep(0.5)
    own_valkey.kill()
    time.sleep(0.5)
    own_valkey.start()
    time.sleep(1)
    victim.kill()
    (tmp_path / "hold").unlink()
    wait_until(lambda: survivor.records("done"), 15)
    assert survivor.records("done")[0]["ids"] == [f"e-{i}" for i in range(10)]


def test_other_queues_recover_as_well(
    own_valkey: Valkey, start_worker: Start, tmp_path: Path
) -> None:
    with redis.Redis.from_url(own_valkey.url) as client:
        enqueue_many(client, [Outgoing("payouts", "payouts.send", (i,)) for i in range(100)])
    start_worker(own_valkey.url, queues=["payouts"], threads=4, seconds=0.05)
    wait_until(lambda: len(read_records(tmp_path, "done")) >= 20)
    own_valkey.kill()
    time.sleep(0.3)
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        wait_until(lambda: client.hlen("payspool:payouts.msgs") == 0, 20)
    assert {record["number"] for record in read_records(tmp_path, "done")} == set(range(100))


def test_a_retry_that_cannot_be_written_leaves_the_message_unacknowledged(
    own_valkey: Valkey, start_worker: Start, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    (tmp_path / "fail").touch()
    with redis.Redis.from_url(own_valkey.url) as client:
        enqueue_many(client, [Outgoing("payouts", "payouts.send", (7,))])
    worker = start_worker(own_valkey.url, queues=["payouts"])
    wait_until(lambda: worker.records("begun"))
    own_valkey.kill()
    (tmp_path / "hold").unlink()
    time.sleep(0.5)  # the actor raises, and its retry finds no server
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.hlen("payspool:payouts.msgs") == 1
        wait_until(lambda: client.exists("payspool:payouts.tries"), what="it was tried again")
        (tmp_path / "fail").unlink()
        wait_until(lambda: client.hlen("payspool:payouts.msgs") == 0)
        assert client.zcard("payspool:payouts.XQ") == 0
    assert [record["number"] for record in worker.records("done")] == [7]
