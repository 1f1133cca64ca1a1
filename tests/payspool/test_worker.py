"""`payspool worker`, as a process: what it cannot run ends in SQL, and a pause holds it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.dead_letters import store
from domain.dead_letters.store import Filter
from domain.secrets import new_key
from queues import Pauses, Workforce
from tests.queues.support import wait_until
from workers.pause_log import AuditedPauses

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def worker(database_url: str, redis_url: str, namespace: str) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "PAYSPOOL_DATABASE_URL": database_url,
        "PAYSPOOL_REDIS_URL": redis_url,
        "PAYSPOOL_NAMESPACE": namespace,
        "PAYSPOOL_SECRET_KEYS": new_key(),
        "PAYSPOOL_STRIPE_URL": "http://127.0.0.1:1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "payspool", "worker", "--queue", "events"],
        cwd=CHECKOUT,
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.terminate()
    assert process.wait(15) == 0


def letters(engine: Engine) -> list[Any]:
    with transaction(engine) as tx:
        return store.search(tx, Filter(queue="events"), state="open", before=None, limit=10)


def test_what_a_worker_cannot_read_or_must_not_run_is_kept_in_sql(
    worker: subprocess.Popen[bytes], client: redis.Redis, namespace: str, engine: Engine
) -> None:
    for name, raw in {"odd": b"\xff", "deadly": b'{"actor_name": "events.ingest"}'}.items():
        client.hset(f"{namespace}:events.msgs", name, raw)
        client.rpush(f"{namespace}:events", name)
    client.hset(f"{namespace}:events.deaths", "deadly", 3)
    wait_until(lambda: len(letters(engine)) == 2, 20)
    kept = {row.redis_message_id: (row.deaths, row.reason) for row in letters(engine)}
    assert kept["odd"][1].startswith("undecodable: ")
    assert kept["deadly"] == (3, "killed its worker: 3 workers died while they held it")
    wait_until(lambda: client.hlen(f"{namespace}:events.msgs") == 0)


def test_a_worker_takes_nothing_from_a_paused_queue(
    client: redis.Redis, namespace: str, engine: Engine, request: pytest.FixtureRequest
) -> None:
    pauses, log = Pauses(client, namespace), AuditedPauses(engine, Actor("command", "ada"))
    pauses.pause("events", by="ada", reason="checking", log=log)
    request.getfixturevalue("worker")
    client.hset(f"{namespace}:events.msgs", "odd", b"\xff")
    client.rpush(f"{namespace}:events", "odd")
    wait_until(lambda: client.zcard(f"{namespace}:heartbeats") == 1, 20, "the worker lives")
    time.sleep(1)
    assert client.llen(f"{namespace}:events") == 1
    pauses.resume("events", log=log)
    wait_until(lambda: len(letters(engine)) == 1)


def test_a_worker_is_listed_quieted_and_woken_and_the_audit_trail_says_by_whom(
    worker: subprocess.Popen[bytes], client: redis.Redis, namespace: str, engine: Engine
) -> None:
    workforce, log = Workforce(client, namespace), AuditedPauses(engine, Actor("command", "ada"))
    wait_until(lambda: [one for one in workforce.all() if one.pid == worker.pid], 20)
    [state] = workforce.all()
    assert (state.queues, state.threads) == (("events",), 1)
    workforce.quiet(state.name[:6], by="ada", reason="its memory", log=log)
    client.hset(f"{namespace}:events.msgs", "odd", b"\xff")
    client.rpush(f"{namespace}:events", "odd")
    time.sleep(1)
    assert client.llen(f"{namespace}:events") == 1
    workforce.wake(state.name, log=log)
    wait_until(lambda: len(letters(engine)) == 1)
    with transaction(engine) as tx:
        told = tx.execute(
            text("SELECT action, actor_id FROM audit_entries WHERE subject_kind = 'worker'")
        )
        assert [tuple(row) for row in told] == [("worker.quieted", "ada"), ("worker.woken", "ada")]
