"""Dead letters from the queue to SQL, on the real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
import redis
from sqlalchemy import Engine, create_engine, make_url, pool, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.dead_letters import service, store
from queues import LivenessSettings, PayspoolBroker, enqueue
from queues.dead import DeadSet
from queues.scripts import Scripts
from tests.queues.support import wait_until
from workers.context import Runtime
from workers.dead_letters import Mirrored, SqlDeadLetters, mirror

BOB = Actor("command", "bob")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def rt(engine: Engine, client: redis.Redis, namespace: str) -> Runtime:
    def none(*_: Any) -> Any:
        raise AssertionError("not needed here")

    return Runtime(engine, client, namespace, none, sandbox=True)


def bury(rt: Runtime, *names: str) -> None:
    scripts = Scripts(rt.redis, rt.namespace, "me")
    for name in names:
        rt.redis.hset(f"{rt.namespace}:sweeps.msgs", name, b"raw " + name.encode())
        rt.redis.rpush(f"{rt.namespace}:sweeps", name)
        scripts.fetch("sweeps", messages=1, size=1)
        assert scripts.dead_letter("sweeps", name, "ValueError: no", 2)


def letters(engine: Engine) -> list[Any]:
    with transaction(engine) as tx:
        return store.search(tx, store.Filter(), state=None, before=None, limit=100)


def test_a_sweep_keeps_strays_once_and_leaves_them_in_redis(rt: Runtime) -> None:
    bury(rt, "a", "b")
    assert mirror(rt) == Mirrored(2, 0)
    assert mirror(rt) == Mirrored(0, 0)
    assert {(row.redis_message_id, row.reason, row.attempts) for row in letters(rt.engine)} == {
        ("a", "ValueError: no", 2),
        ("b", "ValueError: no", 2),
    }
    assert rt.redis.zcard(f"{rt.namespace}:sweeps.XQ") == 2


def test_a_sweep_lets_redis_forget_what_is_decided_or_old(rt: Runtime) -> None:
    bury(rt, "decided", "old", "new", "older than its mirror")
    mirror(rt)
    key = f"{rt.namespace}:sweeps.XQ"
    (decided,) = [row for row in letters(rt.engine) if row.redis_message_id == "decided"]
    with transaction(rt.engine) as tx:
        service.discard(tx, [decided.id], BOB, "?")
    rt.redis.zadd(key, {"old": 1_000})
    assert mirror(rt) == Mirrored(0, 2)
    assert set(rt.redis.zrange(key, 0, -1)) == {b"new", b"older than its mirror"}
    assert rt.redis.hlen(f"{key}.msgs") == 2


def test_a_retried_letter_is_on_its_queue_and_cannot_be_retried_again(rt: Runtime) -> None:
    bury(rt, "a")
    mirror(rt)
    dead = DeadSet(rt.redis, rt.namespace, "sweeps")
    with transaction(rt.engine) as tx:
        decided = service.retry(
            tx,
            [letters(rt.engine)[0].id],
            BOB,
            lambda rows: [*dead.put_back({row.redis_message_id: row.raw for row in rows})],
        )
    assert decided.refused == {}
    fresh = letters(rt.engine)[0].retried_as
    (taken,) = Scripts(rt.redis, rt.namespace, "me").fetch("sweeps", messages=9, size=99).taken
    assert (taken.id, taken.raw) == (fresh, b"raw a")
    assert mirror(rt) == Mirrored(0, 0)


@contextmanager
def away(admin_url: str, database_url: str) -> Iterator[None]:
    """Nobody gets into the database, and who is in is thrown out."""
    name = make_url(database_url).database
    admin = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")

    def allow(connections: str) -> None:
        with admin.connect() as connection:
            connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {connections}'))

    allow("false")
    with admin.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
    try:
        yield
    finally:
        allow("true")


@pytest.fixture
def serve(
    redis_url: str, namespace: str, engine: Engine
) -> Iterator[Callable[[Callable[..., None]], None]]:
    broker = PayspoolBroker(
        redis_url,
        namespace=namespace,
        liveness=LivenessSettings(beat=0.4, timeout=1.6, sweep=0.2),
        dead_letters=SqlDeadLetters(engine),
    )
    workers: list[dramatiq.Worker] = []

    def start(work: Callable[..., None]) -> None:
        dramatiq.actor(work, broker=broker, queue_name="sweeps", actor_name="x.y", max_retries=0)
        workers.append(dramatiq.Worker(broker, worker_threads=1, worker_timeout=50))
        workers[-1].start()

    yield start
    for worker in workers:
        worker.stop(timeout=5000)
    broker.close()


def test_with_postgresql_away_a_dying_message_stays_on_its_queue_until_it_is_back(
    admin_url: str,
    database_url: str,
    rt: Runtime,
    serve: Callable[[Callable[..., None]], None],
) -> None:
    runs: list[int] = []

    def work(number: int) -> None:
        runs.append(number)
        raise RuntimeError("for ever")

    with away(admin_url, database_url):
        enqueue(rt.redis, "sweeps", "x.y", [7], namespace=rt.namespace)
        serve(work)
        wait_until(lambda: rt.redis.zcard(f"{rt.namespace}:sweeps.later") == 1)
        assert rt.redis.hlen(f"{rt.namespace}:sweeps.msgs") == 1
        assert rt.redis.zcard(f"{rt.namespace}:sweeps.XQ") == 0
    wait_until(lambda: rt.redis.zcard(f"{rt.namespace}:sweeps.XQ") == 1, 20)
    assert rt.redis.hlen(f"{rt.namespace}:sweeps.msgs") == 0
    (row,) = letters(rt.engine)
    assert (row.actor, row.reason, row.state) == ("x.y", "RuntimeError: for ever", "open")
    assert row.attempts == len(runs)
