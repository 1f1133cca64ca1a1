"""What transactions ask for reaches the queue: never lost, and twice only where a relay was killed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine, event, text
from structlog.testing import capture_logs

from domain.db import transaction
from domain.outbox import service as outbox
from domain.outbox import store
from domain.outbox.rules import OUTBOX_CHANNEL, OutboxMessage
from queues.keys import QueueKeys
from workers import relay
from workers.context import Runtime
from workers.failures import is_infrastructure
from workers.stopping import Stop

PATIENCE = 20
"""Seconds that a test waits for something to happen."""


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(redis_url, socket_timeout=5)
    yield made
    made.close()


@pytest.fixture
def rt(engine: Engine, client: redis.Redis, namespace: str) -> Runtime:
    return Runtime(engine, client, namespace, None, sandbox=True)  # type: ignore[arg-type]


@pytest.fixture
def running(rt: Runtime) -> Iterator[Stop]:
    """A relay in a thread; its Stop."""
    stop = Stop()
    thread = threading.Thread(target=relay.run, args=(rt, stop), daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    while time.monotonic() < deadline and not scalar(rt.engine, listening):
        time.sleep(0.01)
    yield stop
    stop.set()
    scalar(rt.engine, f"SELECT pg_notify('{OUTBOX_CHANNEL}', '')")
    thread.join(PATIENCE)
    assert not thread.is_alive()


def scalar(engine: Engine, statement: str) -> Any:
    with transaction(engine) as tx:
        return tx.execute(text(statement)).scalar()


def ask(engine: Engine, *numbers: int, queue: str = "payouts", delay: float = 0.0) -> None:
    """Ask for ``some.work`` with each number, in one transaction."""
    with transaction(engine) as tx:
        outbox.emit(
            tx,
            [OutboxMessage(queue, "some.work", {"n": n}, delay_seconds=delay) for n in numbers],
        )


def queued(rt: Runtime, queue: str = "payouts") -> list[int]:
    """The numbers on a queue, in its order."""
    keys = QueueKeys(rt.namespace, queue)
    ids = rt.redis.lrange(keys.list, 0, -1)
    return [
        json.loads(raw)["kwargs"]["n"]
        for raw in (rt.redis.hmget(keys.messages, ids) if ids else [])
    ]


def wait_for(rt: Runtime, count: int, queue: str = "payouts") -> float:
    """Seconds until so many messages are queued."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE:
        if rt.redis.llen(QueueKeys(rt.namespace, queue).list) >= count:
            return time.monotonic() - started
        time.sleep(0.001)
    raise AssertionError(f"{count} messages never came")


def test_what_was_asked_for_is_queued_in_its_order_and_forgotten(rt: Runtime) -> None:
    ask(rt.engine, 3, 1, 2)
    ask(rt.engine, 5, 4)
    ask(rt.engine, 9, queue="sweeps")
    assert relay.drain(rt) == 6
    assert queued(rt) == [3, 1, 2, 5, 4]
    assert queued(rt, "sweeps") == [9]
    assert relay.drain(rt) == 0
    with transaction(rt.engine) as tx:
        assert (store.depth(tx), store.seconds_to_next(tx)) == (0, None)


def test_a_message_carries_its_actor_and_its_arguments_unchanged(rt: Runtime) -> None:
    args = {"n": 2**53 - 1, "text": 'é\U0001f600"\\\n', "none": None, "list": [1, {"a": False}]}
    with transaction(rt.engine) as tx:
        outbox.emit(tx, [OutboxMessage("payouts", "payouts.send", args, merchant_id=7)])
    relay.drain(rt)
    keys = QueueKeys(rt.namespace, "payouts")
    [raw] = rt.redis.hvals(keys.messages)
    message = json.loads(raw)
    assert (message["queue_name"], message["actor_name"]) == ("payouts", "payouts.send")
    assert (message["args"], message["kwargs"]) == ([], args)


def test_nothing_is_asked_for_by_a_transaction_that_rolls_back(rt: Runtime) -> None:
    with rt.engine.connect() as connection, connection.begin() as undone:
        outbox.emit(connection, [OutboxMessage("payouts", "some.work", {"n": 1})])
        undone.rollback()
    assert relay.drain(rt) == 0
    with transaction(rt.engine) as tx:
        outbox.emit(tx, [])


def test_a_delayed_message_waits_and_those_that_are_due_overtake_it(rt: Runtime) -> None:
    ask(rt.engine, 1, delay=0.3)
    ask(rt.engine, 2)
    assert relay.drain(rt) == 1
    with transaction(rt.engine) as tx:
        assert 0 < (store.seconds_to_next(tx) or 0) <= 0.3
        assert store.depth(tx) == 1
    time.sleep(0.3)
    assert relay.drain(rt) == 1
    assert queued(rt) == [2, 1]


def test_what_commits_late_is_not_overlooked(rt: Runtime) -> None:
    with transaction(rt.engine) as tx:
        outbox.emit(tx, [OutboxMessage("payouts", "some.work", {"n": 1})])
        ask(rt.engine, 2)
        assert relay.drain(rt) == 1
    assert relay.drain(rt) == 1
    assert queued(rt) == [2, 1]


def test_relays_side_by_side_queue_every_row_once(rt: Runtime) -> None:
    for start in range(0, 2_400, 100):
        ask(rt.engine, *range(start, start + 100))
    with ThreadPoolExecutor(4) as pool:
        moved = list(pool.map(lambda _: relay.drain(rt), range(4)))
    while relay.drain(rt):  # rows that another one held were skipped, never lost
        pass
    assert sum(moved) == 2_400
    assert sorted(queued(rt)) == list(range(2_400))


def test_one_relay_keeps_the_order_over_more_than_one_portion(rt: Runtime) -> None:
    ask(rt.engine, *range(outbox.RELAY_BATCH * 2 + 5))
    assert relay.drain(rt) == outbox.RELAY_BATCH * 2 + 5
    assert queued(rt) == list(range(outbox.RELAY_BATCH * 2 + 5))


KILLED = """
import os, signal, sys
sys.path[:0] = [".", "clients/python"]
import redis
from domain.db import connect, transaction
from domain.outbox import service as outbox
from queues.send import Outgoing, enqueue_many

client = redis.Redis.from_url(sys.argv[2])

def enqueue(queue, messages):
    enqueue_many(client, [Outgoing(queue, a, kwargs=k) for a, k in messages], namespace=sys.argv[3])
    os.kill(os.getpid(), signal.SIGKILL)

with transaction(connect(sys.argv[1])) as tx:
    outbox.relay(tx, enqueue)
"""


def test_a_relay_killed_between_the_queue_and_its_commit_queues_its_rows_again(
    rt: Runtime, redis_url: str
) -> None:
    ask(rt.engine, 1, 2, 3)
    url = rt.engine.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, url, redis_url, rt.namespace], timeout=60, check=False
    )
    assert done.returncode == -9
    assert queued(rt) == [1, 2, 3]
    deadline = time.monotonic() + PATIENCE
    while not (moved := relay.drain(rt)) and time.monotonic() < deadline:
        time.sleep(0.05)  # until the server notices that the killed one is gone
    assert moved == 3
    assert queued(rt) == [1, 2, 3, 1, 2, 3]


def test_rows_stay_while_the_queue_is_away(rt: Runtime) -> None:
    ask(rt.engine, 1)
    away = redis.Redis(host="localhost", port=1, retry=Retry(NoBackoff(), 0))
    broken = Runtime(rt.engine, away, rt.namespace, None, sandbox=True)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="localhost:1") as raised:
        relay.drain(broken)
    assert is_infrastructure(raised.value)
    away.close()
    assert relay.drain(rt) == 1


def test_a_commit_wakes_the_relay_within_half_a_second(rt: Runtime, running: Stop) -> None:
    waits = []
    for number in range(1, 21):
        ask(rt.engine, number)
        waits.append(wait_for(rt, number))
        time.sleep(0.01)
    assert max(waits) < 0.5
    assert statistics.median(waits) < 0.1
    assert queued(rt) == list(range(1, 21))


def test_a_delayed_message_is_relayed_at_its_time(rt: Runtime, running: Stop) -> None:
    ask(rt.engine, 1, delay=0.4)
    assert 0.35 < wait_for(rt, 1) < 0.9


def test_a_relay_whose_connections_are_cut_comes_back_by_itself(rt: Runtime, running: Stop) -> None:
    with capture_logs() as lines:
        scalar(
            rt.engine,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        ask(rt.engine, 1)
        assert wait_for(rt, 1) < 2 * relay.RETRY_SECONDS + 1
        # What was on its way may have gone out before the relay saw that it listens to nobody.
        end = time.monotonic() + PATIENCE
        while not any(line["log_level"] == "warning" for line in lines):
            assert time.monotonic() < end
            time.sleep(0.05)
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["relay.waiting"]


def test_an_idle_relay_hardly_asks(rt: Runtime, running: Stop) -> None:
    """An empty outbox is looked at every two seconds, and not as fast as it goes."""
    asked: list[object] = []
    event.listen(rt.engine, "before_cursor_execute", lambda *_: asked.append(1))
    time.sleep(1.0)
    assert len(asked) < 10


def test_a_relay_stops_when_it_is_told_to(rt: Runtime) -> None:
    stop = Stop()
    thread = threading.Thread(target=relay.run, args=(rt, stop), daemon=True)
    thread.start()
    time.sleep(0.1)
    stop.set()
    started = time.monotonic()
    thread.join(PATIENCE)
    assert time.monotonic() - started < relay.POLL_SECONDS + 1
