"""``events.ingest``: one batch of the events queue, one transaction, acknowledged after its commit."""

import time
from collections.abc import Sequence

import structlog

from domain.db import transaction
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, Outcome, Parsed, parse
from domain.tracebacks import format_traceback
from queues.batches import Batch
from workers.context import Runtime
from workers.failures import is_infrastructure, sentence_of
from workers.guilt import bury_guilty
from workers.registry import actor

log = structlog.get_logger(__name__)


@actor("events.ingest", queue="events")
def ingest(rt: Runtime, batch: Batch) -> None:
    """Apply a batch. An exception that leaves here is infrastructure: the batch goes back whole."""
    began = time.monotonic()
    parsed = parse(
        Delivery(item.message_id, position, text)
        for item in batch
        for position, text in enumerate(item.texts)
    )
    apply(rt, parsed)
    rt.watch.batch_committed(
        events=len(parsed),
        seconds=time.monotonic() - began,
        published_ms=[item.timestamp for item in batch],
    )


def apply(rt: Runtime, parsed: Sequence[Parsed]) -> None:
    """Apply deliveries in one transaction; a bug is found by halving, and its event is kept as dead."""
    try:
        with transaction(rt.engine) as tx:
            outcomes = inbox.apply(tx, parsed)
    except Exception as error:
        if is_infrastructure(error):
            raise
    else:
        rt.watch.events_decided(outcomes)
        return
    if len(parsed) > 1:
        middle = len(parsed) // 2
        apply(rt, parsed[:middle])
        apply(rt, parsed[middle:])
        return
    try:
        # A stored event that this one wakes may be the poison: then that one dies, and this one lives.
        outcomes = bury_guilty(rt, lambda tx, stored: inbox.apply(tx, parsed, stored))
    except Exception as error:
        if is_infrastructure(error):
            raise
        _bury(rt, parsed[0], error)
    else:
        rt.watch.events_decided(outcomes)


def _bury(rt: Runtime, parsed: Parsed, bug: Exception) -> None:
    """Keep a poison event; one that cannot even be claimed must not bring its batch back for ever."""
    message_id = parsed.delivery.message_id
    log.error("event.dead", message_id=message_id, exception=format_traceback(bug))
    try:
        with transaction(rt.engine) as tx:
            inbox.mark_dead(tx, parsed, sentence_of(bug))
    except Exception as error:
        if is_infrastructure(error):
            raise
        with transaction(rt.engine) as tx:
            inbox.keep_unclaimable(tx, parsed, sentence_of(error))
    type_ = parsed.event.type if parsed.event else None
    rt.watch.events_decided([Outcome("dead", type_, reason="bug")])
