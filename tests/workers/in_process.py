"""The worker of the events queue in this process, on a test's own database and namespace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
from cryptography.fernet import Fernet
from dramatiq import Worker
from sqlalchemy import Engine, text

from domain.db import transaction
from payspool import runtime
from payspool.settings import Settings
from payspool_client.wire import QUEUE, list_key, messages_key

PATIENCE = 60
"""Seconds that a test waits for the queue to be empty."""


@contextmanager
def working(engine: Engine, redis_url: str, namespace: str) -> Iterator[None]:
    """A worker, as `payspool worker --queue events` builds it."""
    settings = Settings(
        database_url=engine.url.render_as_string(hide_password=False),
        redis_url=redis_url,
        namespace=namespace,
        secret_keys=Fernet.generate_key().decode(),
    )
    rt = runtime.build(settings, pool_size=2, process="test")
    broker = runtime.build_broker(settings, rt, [QUEUE])
    worker = Worker(broker, queues={QUEUE}, worker_threads=1, worker_timeout=50)
    worker.start()
    try:
        yield
    finally:
        worker.stop(timeout=PATIENCE * 1000)
        broker.close()
        rt.engine.dispose()
        rt.redis.close()


def put(client: redis.Redis, namespace: str, messages: list[tuple[str, bytes]]) -> None:
    """Put messages on the queue as they are: (redis message id, message)."""
    pipeline = client.pipeline(transaction=True)
    for message_id, message in messages:
        pipeline.hset(messages_key(namespace), message_id, message)  # type: ignore[arg-type]
        pipeline.rpush(list_key(namespace), message_id)
    pipeline.execute()


def wait_until_done(client: redis.Redis, namespace: str) -> None:
    """Return once nothing waits and nothing is held; fails after PATIENCE."""
    wait_until(lambda: client.hlen(messages_key(namespace)) == 0)


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s"
        time.sleep(0.01)


def dead_letters(engine: Engine, client: redis.Redis, namespace: str) -> list[bytes]:
    """The raw bytes of the queue's dead letters: in Redis, or mirrored to SQL where that is done."""
    found = list(client.hvals(f"{list_key(namespace)}.XQ.msgs"))
    with transaction(engine) as tx:
        if tx.execute(text("SELECT to_regclass('dead_letters')")).scalar():
            rows = tx.execute(text("SELECT raw FROM dead_letters WHERE raw IS NOT NULL"))
            found += [bytes(row.raw) for row in rows]
    return found
