"""The server goes away and comes back: what stock Dramatiq loses, and what we keep."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from queues.inspect import inspect
from queues.send import Outgoing, enqueue_many
from tests.queues.stock.sending import put
from tests.queues.support import Valkey, WorkerProcess, read_records, wait_until

Start = Callable[..., WorkerProcess]

pytestmark = pytest.mark.slow


def test_stock_acknowledges_a_message_whose_retry_it_could_not_write_and_forgets_what_it_delays(
    own_valkey: Valkey, start_stock: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "stock"
    (folder / "hold").touch()
    (folder / "fail").touch()
    broker = RedisBroker(url=own_valkey.url)
    broker.declare_queue("payouts")
    put(broker, 1)
    put(broker, 2, delay=3000)
    worker = start_stock(own_valkey.url)
    wait_until(lambda: worker.records("ready") and worker.records("begun"))
    acks = f"dramatiq:__acks__.{worker.records('ready')[0]['broker_id']}.payouts.DQ"
    with redis.Redis.from_url(own_valkey.url) as client:
        wait_until(
            lambda: client.scard(acks) == 1, what="the delayed one is in the worker's memory"
        )
    own_valkey.kill()
    (folder / "hold").unlink()

    def logged(text: str) -> bool:
        return any(text in record["text"] for record in read_records(folder, "log"))

    # The client repeats each command for some seconds before it gives up.
    wait_until(lambda: logged("Unexpected failure in after_process_message"), 25)
    wait_until(lambda: logged("Consumer encountered a connection error"), 25)
    (folder / "fail").unlink()
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        # The acknowledgement is repeated every 5 s until it succeeds; the retry is not.
        wait_until(lambda: client.hlen("dramatiq:payouts.msgs") == 0, 20)
        assert client.zcard("dramatiq:payouts.XQ") == 0
        assert client.hlen("dramatiq:payouts.DQ.msgs") == 1
        assert client.llen("dramatiq:payouts.DQ") == 0
        assert client.scard(acks) == 1, "its live worker holds it for ever, and does not know"
    time.sleep(1)
    assert worker.process.poll() is None
    assert [record["number"] for record in worker.records("begun")] == [1]
    assert worker.records("done") == []
    broker.client.connection_pool.disconnect()


def test_ours_runs_both_the_failed_and_what_waited_when_the_server_is_back(
    own_valkey: Valkey, start_worker: Start, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    (tmp_path / "fail").touch()
    with redis.Redis.from_url(own_valkey.url) as client:
        enqueue_many(client, [Outgoing("payouts", "payouts.send", (n,)) for n in (1, 2, 3)])
    worker = start_worker(own_valkey.url, queues=["payouts"], threads=2)
    wait_until(lambda: len(worker.records("begun")) == 2)
    own_valkey.kill()
    (tmp_path / "hold").unlink()
    time.sleep(0.5)
    (tmp_path / "fail").unlink()
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        wait_until(lambda: client.hlen("payspool:payouts.msgs") == 0, 20)
        (state,) = inspect(client, "payspool", ["payouts"])
        assert (state.in_flight, state.later, state.dead) == (0, 0, 0)
    assert {record["number"] for record in worker.records("done")} == {1, 2, 3}
