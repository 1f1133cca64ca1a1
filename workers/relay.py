"""The outbox relay: enqueues what transactions asked for, woken by NOTIFY, with a poll as the net."""

import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg
import structlog

from domain.db import transaction
from domain.outbox import service as outbox
from domain.outbox import store
from domain.outbox.rules import OUTBOX_CHANNEL
from queues.pause import Pauses
from queues.send import Outgoing, enqueue_many
from workers.context import Runtime
from workers.failures import is_infrastructure
from workers.listening import listen
from workers.pause_log import restore_pauses
from workers.stopping import Stop

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 2.0
"""Longest sleep between looks, for a NOTIFY that was lost with its connection."""
RETRY_SECONDS: Final = 1.0


def run(rt: Runtime, stop: Stop) -> None:
    """Relay until told to stop. Any number of relays may run: rows are locked with SKIP LOCKED."""
    while not stop.is_set():
        try:
            with listen(rt.engine, OUTBOX_CHANNEL) as wake:
                _relay_until_stopped(rt, stop, wake)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            log.warning("relay.waiting", error=str(error)[:200])
            rt.watch.turned()
            stop.wait(RETRY_SECONDS)


def drain(rt: Runtime) -> int:
    """Relay everything that is due; returns how many rows."""
    total = 0
    while True:
        keep_paused(rt)
        with transaction(rt.engine) as tx:
            moved = outbox.relay(tx, lambda queue, messages: _enqueue(rt, queue, messages))
        total += moved
        rt.watch.relayed(moved)
        if moved < outbox.RELAY_BATCH:
            return total


def keep_paused(rt: Runtime) -> None:
    """Before anything is enqueued: a queue that a person stopped is stopped, whatever became of Valkey.

    After an outage that emptied it, its messages come through here alone.
    """
    for queue in restore_pauses(rt.engine, Pauses(rt.redis, rt.namespace)):
        log.warning("queue.paused_again", queue=queue)


def _relay_until_stopped(rt: Runtime, stop: Stop, wake: "psycopg.Connection[Any]") -> None:
    while not stop.is_set():
        rt.watch.turned()
        drain(rt)
        with transaction(rt.engine) as tx:
            next_due = store.seconds_to_next(tx)
        timeout = POLL_SECONDS if next_due is None else min(POLL_SECONDS, max(next_due, 0.005))
        started = time.monotonic()
        for _ in wake.notifies(timeout=timeout, stop_after=1):
            log.debug("relay.woken", after=time.monotonic() - started)


def _enqueue(rt: Runtime, queue: str, messages: Sequence[tuple[str, dict[str, Any]]]) -> None:
    enqueue_many(
        rt.redis,
        [Outgoing(queue, actor, kwargs=args) for actor, args in messages],
        namespace=rt.namespace,
    )
