"""What must hold after every run, else its figure counts for nothing."""

from collections.abc import Sequence

import redis
from sqlalchemy import Engine, text

from domain.db import snapshot
from payspool_client import wire
from queues.inspect import inspect
from workers.sweeps import broken_invariants

_ROWS = text(
    """
    SELECT (SELECT count(*) FROM inbox_events WHERE status = 'applied') AS applied,
           (SELECT count(*) FROM inbox_events) AS events,
           (SELECT count(*) FROM trackings) AS trackings,
           (SELECT count(*) FROM earnings) AS earnings,
           (SELECT count(*) FROM ledger_transfers) AS transfers,
           (SELECT count(*) FROM rejected_messages) AS unreadable
    """
)


def faults_of_rows(engine: Engine, events: int) -> list[str]:
    """Sentences, one for each thing that is not as ``events`` conversions must leave it."""
    with snapshot(engine) as tx:
        rows = tx.execute(_ROWS).one()._asdict()
        faults = broken_invariants(tx)
    wanted = dict.fromkeys(rows, events) | {"unreadable": 0}
    return faults + [
        f"{count} {name}, not {wanted[name]}"
        for name, count in rows.items()
        if count != wanted[name]
    ]


def faults_of_queue(client: redis.Redis) -> list[str]:
    """Sentences, one if anything is left on the events queue: waiting, in flight, later or dead."""
    (state,) = inspect(client, wire.NAMESPACE, [wire.QUEUE])
    left = client.hlen(wire.messages_key(wire.NAMESPACE))
    clean = state.idle and not state.dead and not left
    return [] if clean else [f"the queue is left as {state}, with {left} messages"]


def faults_of_keys(client: redis.Redis, keys: Sequence[str]) -> list[str]:
    """Sentences, one for each key of a peer's that should be gone and is not."""
    return [f"{key} is left" for key in keys if client.exists(key)]
