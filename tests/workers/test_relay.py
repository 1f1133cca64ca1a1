"""What a transaction asked for is enqueued: after its commit, soon, and at least once."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.outbox import service as outbox
from domain.outbox import store
from domain.outbox.rules import OutboxMessage
from queues.connection import connect as connect_redis
from queues.inspect import inspect
from workers import relay
from workers.context import Runtime
from workers.stopping import Stop


def no_gateway(*_: Any) -> Any:
    raise AssertionError("the relay sends nothing")


@pytest.fixture
def rt(engine: Engine, redis_url: str, namespace: str) -> Iterator[Runtime]:
    client = connect_redis(redis_url)
    yield Runtime(engine, client, namespace, no_gateway, no_gateway, sandbox=True)
    client.close()


def ask(engine: Engine, *numbers: int, delay: float = 0) -> None:
    with transaction(engine) as tx:
        outbox.emit(
            tx,
            [
                OutboxMessage("payouts", "payouts.send", {"payout_id": n}, delay_seconds=delay)
                for n in numbers
            ],
        )


def queued(rt: Runtime) -> int:
    (state,) = inspect(rt.redis, rt.namespace, ["payouts"])
    return state.ready


def left(engine: Engine) -> int:
    with transaction(engine) as tx:
        return store.depth(tx)


def test_what_was_asked_for_is_enqueued_and_forgotten(rt: Runtime) -> None:
    ask(rt.engine, *range(1_200))
    assert relay.drain(rt) == 1_200
    assert (queued(rt), left(rt.engine)) == (1_200, 0)
    assert relay.drain(rt) == 0


def test_what_was_rolled_back_is_never_enqueued(rt: Runtime) -> None:
    with rt.engine.connect() as connection, connection.begin() as work:
        outbox.emit(connection, [OutboxMessage("payouts", "payouts.send", {"payout_id": 1})])
        work.rollback()
    assert relay.drain(rt) == 0


def test_what_is_to_wait_waits(rt: Runtime) -> None:
    ask(rt.engine, 1, delay=60)
    ask(rt.engine, 2)
    assert relay.drain(rt) == 1
    with transaction(rt.engine) as tx:
        seconds = store.seconds_to_next(tx)
    assert seconds is not None
    assert 50 < seconds <= 60


def test_an_empty_outbox_is_not_due(rt: Runtime) -> None:
    with transaction(rt.engine) as tx:
        assert store.seconds_to_next(tx) is None


def test_four_relays_at_once_enqueue_each_row_once(rt: Runtime) -> None:
    ask(rt.engine, *range(2_000))
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: relay.drain(rt), range(8))) == 2_000
    assert (queued(rt), left(rt.engine)) == (2_000, 0)


def test_killed_between_enqueue_and_commit_it_enqueues_again(rt: Runtime) -> None:
    ask(rt.engine, 1, 2)

    def enqueue_and_die(queue: str, messages: Any) -> None:
        relay._enqueue(rt, queue, messages)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), transaction(rt.engine) as tx:
        outbox.relay(tx, enqueue_and_die)
    assert (queued(rt), left(rt.engine)) == (2, 2)
    relay.drain(rt)
    assert (queued(rt), left(rt.engine)) == (4, 0)


def test_with_the_queue_away_nothing_is_forgotten(rt: Runtime, engine: Engine) -> None:
    ask(engine, 1)
    away = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    lost = Runtime(engine, away, rt.namespace, no_gateway, no_gateway, sandbox=True)
    with pytest.raises(Exception, match=r"(?i)connect"):
        relay.drain(lost)
    assert left(engine) == 1
    away.close()


def test_a_commit_wakes_the_relay(rt: Runtime) -> None:
    stop = Stop()
    thread = threading.Thread(target=relay.run, args=(rt, stop))
    thread.start()
    try:
        time.sleep(0.5)  # let it come to rest: it listens, and would look again only in 2 s
        began = time.monotonic()
        ask(rt.engine, 1)
        while not queued(rt):
            assert time.monotonic() - began < 1.5, "woken by NOTIFY, not by the poll"
            time.sleep(0.005)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def test_after_a_lost_connection_the_relay_comes_back(rt: Runtime) -> None:
    stop = Stop()
    thread = threading.Thread(target=relay.run, args=(rt, stop))
    thread.start()
    try:
        time.sleep(0.3)
        with rt.engine.connect() as connection:
            user = connection.execute(text("SELECT current_user")).scalar()
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = :user"
                ),
                {"user": user},
            )
        began = time.monotonic()
        while True:
            try:
                ask(rt.engine, 1)
                break
            except Exception:
                assert time.monotonic() - began < 5
        while not queued(rt):
            assert time.monotonic() - began < 10
            time.sleep(0.01)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
