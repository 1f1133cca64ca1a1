"""The courier process: sends webhooks, woken by NOTIFY, with a poll as the net.

Threads take endpoint after endpoint and empty what is due there. An endpoint occupies PER_ENDPOINT of them at
most, and one while it fails, so that one that hangs holds up its own events and no others. Any number of
couriers may run. One that is killed between a request and its commit leaves a claim that ends: another sends
again, under the same `webhook-id`.
"""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import structlog

from domain.db import transaction
from domain.errors import DomainError
from domain.secrets import SecretBox
from domain.webhooks import deliveries, rules
from domain.webhooks.deliveries import Parcel
from workers.context import Runtime
from workers.failures import is_infrastructure
from workers.listening import listen
from workers.posting import Poster
from workers.stopping import Stop

log = structlog.get_logger(__name__)

CHANNEL: Final = "payspool_webhooks"
POLL_SECONDS: Final = 1.0
THREADS: Final = 32
ROUND: Final = 100
"""Deliveries after which a thread lets other endpoints have their turn."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a courier goes about it. ``threads`` bound what is in flight in this process."""

    poster: Poster
    box: SecretBox
    threads: int = THREADS
    delays: Sequence[float] = rules.DELAYS
    busy: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(rt: Runtime, stop: Stop, manner: Manner) -> None:
    """Send until told to stop; what is in flight then is finished."""
    with ThreadPoolExecutor(manner.threads, thread_name_prefix="courier") as pool:
        while not stop.is_set():
            try:
                with listen(rt.engine, CHANNEL) as wake:
                    while not stop.is_set():
                        rt.watch.turned()
                        _dispatch(rt, stop, manner, pool)
                        for _ in wake.notifies(timeout=POLL_SECONDS, stop_after=1):
                            break
            except Exception as error:
                if not is_infrastructure(error):
                    raise
                log.warning("courier.waiting", error=str(error)[:200])
                rt.watch.turned()
                stop.wait(POLL_SECONDS)


def _dispatch(rt: Runtime, stop: Stop, manner: Manner, pool: ThreadPoolExecutor) -> None:
    """Give each endpoint with something due a thread more, up to its bound, while there are any."""
    with transaction(rt.engine) as tx:
        due = deliveries.due(tx, manner.threads * 4)
    for endpoint_id in due:
        with manner.lock:
            if manner.busy.total() >= manner.threads:
                return
            missing = rules.PER_ENDPOINT - manner.busy[endpoint_id]
            starting = max(0, min(missing, manner.threads - manner.busy.total()))
            manner.busy[endpoint_id] += starting
        for _ in range(starting):
            pool.submit(_empty, rt, stop, manner, endpoint_id)


def _empty(rt: Runtime, stop: Stop, manner: Manner, endpoint_id: int) -> None:
    """Deliver what is due at an endpoint, one after the other."""
    try:
        for _ in range(ROUND):
            if stop.is_set() or not deliver_next(rt, manner, endpoint_id):
                return
    except DomainError as error:
        log.warning("courier.cannot", endpoint_id=endpoint_id, error=str(error))
    except Exception as error:
        if is_infrastructure(error):
            log.warning("courier.waiting", endpoint_id=endpoint_id, error=str(error)[:200])
        else:
            log.exception("courier.failed", endpoint_id=endpoint_id)
    finally:
        with manner.lock:
            manner.busy[endpoint_id] -= 1
            if not manner.busy[endpoint_id]:
                del manner.busy[endpoint_id]


def deliver_next(rt: Runtime, manner: Manner, endpoint_id: int) -> str | None:
    """Send an endpoint what is due first, and book what came of it; None if nothing was to be sent."""
    with transaction(rt.engine) as tx:
        parcel = deliveries.claim(tx, endpoint_id, box=manner.box)
    if parcel is None:
        return None
    headers = rules.headers_of(parcel.secrets, parcel.uid, parcel.timestamp, parcel.body)
    answer = manner.poster.post(parcel.url, parcel.mode, headers, parcel.body)
    with transaction(rt.engine) as tx:
        result = deliveries.book(
            tx,
            parcel,
            answer,
            jitter=random.random(),  # noqa: S311 - spreads retries, keeps no secret
            delays=manner.delays,
        )
    rt.watch.webhook_sent(answer.outcome, result, answer.milliseconds / 1000)
    _tell(parcel, answer.error or f"answered {answer.status}", result)
    return result


def _tell(parcel: Parcel, came: str, result: str) -> None:
    tell = log.debug if result == "delivered" else log.info
    tell(
        "webhook.sent",
        endpoint_id=parcel.endpoint_id,
        delivery_id=parcel.delivery_id,
        type=parcel.type,
        result=result,
        came=came,
    )
