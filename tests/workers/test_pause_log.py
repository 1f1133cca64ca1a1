"""A person's stop outlives the server that carries it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from queues import NotPaused, Pause, Pauses
from queues.keys import QueueKeys, paused
from workers import relay
from workers.context import Runtime
from workers.pause_log import AuditedPauses, restore_pauses


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, socket_timeout=5) as made:
        yield made


@pytest.fixture
def pauses(client: redis.Redis, namespace: str) -> Pauses:
    return Pauses(client, namespace)


@pytest.fixture
def log(engine: Engine) -> AuditedPauses:
    return AuditedPauses(engine, Actor("command", "ada"))


def kept(engine: Engine) -> list[tuple[str, str, str]]:
    with transaction(engine) as tx:
        found = tx.execute(text("SELECT queue, paused_by, reason FROM queue_pauses ORDER BY 1"))
        return [(row.queue, row.paused_by, row.reason) for row in found]


def test_a_server_that_was_emptied_has_its_pauses_back_before_anything_is_enqueued(
    engine: Engine, client: redis.Redis, namespace: str, pauses: Pauses, log: AuditedPauses
) -> None:
    made = pauses.pause("payouts", by="ada", reason="the bank calls", log=log)
    client.delete(paused(namespace))
    with transaction(engine) as tx:
        outbox.emit(tx, [OutboxMessage("payouts", "payouts.send", {"payout_id": 1}, None)])
    seen: list[Pause | None] = []

    class Watching(redis.Redis):
        def pipeline(self, *args: object, **options: object) -> object:
            seen.append(pauses.of("payouts"))
            return super().pipeline(*args, **options)  # type: ignore[arg-type]

    with Watching(connection_pool=client.connection_pool) as watching:
        rt = Runtime(engine, watching, namespace, None, sandbox=True)  # type: ignore[arg-type]
        assert relay.drain(rt) == 1
    assert client.llen(QueueKeys(namespace, "payouts").list) == 1
    again = pauses.of("payouts")
    assert again is not None
    assert (again.by, again.reason) == ("ada", "the bank calls")
    assert abs(again.at - made.at).total_seconds() <= 60
    assert seen, "messages went through a pipeline"
    assert None not in seen, "the pause was there before them"


def test_a_pause_that_ended_does_not_come_back(
    engine: Engine, client: redis.Redis, namespace: str, pauses: Pauses, log: AuditedPauses
) -> None:
    pauses.pause("payouts", by="ada", reason="the bank calls", log=log)
    assert kept(engine) == [("payouts", "ada", "the bank calls")]
    assert restore_pauses(engine, pauses) == []
    pauses.resume("payouts", log=log)
    assert kept(engine) == []
    assert restore_pauses(engine, pauses) == []
    with pytest.raises(NotPaused):
        pauses.resume("payouts", log=log)


def test_nobody_resumes_while_pauses_are_brought_back(
    engine: Engine, pauses: Pauses, log: AuditedPauses
) -> None:
    """Else the one that was read before the resume would come back after it."""
    pauses.pause("payouts", by="ada", reason="the bank calls", log=log)
    resumed = threading.Event()

    def resume() -> None:
        pauses.resume("payouts", log=log)
        resumed.set()

    with transaction(engine) as tx:
        tx.execute(text("SELECT FROM queue_pauses FOR SHARE"))
        thread = threading.Thread(target=resume, daemon=True)
        thread.start()
        assert not resumed.wait(0.5)
        assert pauses.of("payouts") is not None
    assert resumed.wait(10)
    assert pauses.of("payouts") is None


def test_a_later_pause_takes_the_place_of_one_that_was_kept(
    engine: Engine, client: redis.Redis, namespace: str, pauses: Pauses, log: AuditedPauses
) -> None:
    pauses.pause("payouts", by="ada", reason="the bank calls", log=log)
    client.delete(paused(namespace))
    later = AuditedPauses(engine, Actor("command", "ben"))
    pauses.pause("payouts", by="ben", reason="now Stripe", log=later)
    assert kept(engine) == [("payouts", "ben", "now Stripe")]
