"""The circuit breaker of a merchant's gateway: opened by what its calls come to, closed by a probe.

It is a stop like the kill switch, read by the same sends; what waits for it is asked for again when it is
closed. What may have been paid is still looked up meanwhile.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.audit.service import Actor
from domain.db import Tx
from domain.payouts.errors import BreakerNotOpen
from domain.payouts.rules.breaker import REOPENED, Trip, probe_wait
from domain.payouts.rules.stopping import Stop
from domain.payouts.service import auditing
from domain.payouts.store import breakers as store
from domain.payouts.store import stops

KIND: Final = "breaker"
BY_SILENCE: Final = "the breaker"
BY_KEY: Final = "the breaker (key refused)"
"""By whom a stop of this kind is: it says what closes it."""

WORKER: Final = Actor("worker", "payouts.send")
PROBE: Final = Actor("worker", "payouts.probe")

PROBE_LIMIT: Final = 32
"""Breakers that one sweep probes; the next one takes the rest."""

NEW_KEY_IS_USED: Final = timedelta(seconds=10)
"""How long after a new key was set every worker uses it: they keep a gateway for some seconds."""


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """A breaker that is to be probed."""

    merchant_id: int
    method: str
    key_refused: bool


def open_breaker(tx: Tx, merchant_id: int, method: str, trip: Trip) -> Stop | None:
    """Send nothing more of a merchant by a method; None if its breaker is open already."""
    by = BY_KEY if trip.key_refused else BY_SILENCE
    made = stops.put(tx, KIND, merchant_id=merchant_id, method=method, reason=trip.reason, by=by)
    if made is None:
        return None
    probes = store.recent_probes(tx, merchant_id, method, by=PROBE.id, within=REOPENED)
    store.start_probing(tx, made.stop_id, probes=probes, wait=probe_wait(probes))
    auditing.of_stop(tx, WORKER, "breaker.opened", made, made.reason)
    return made


def to_probe(tx: Tx) -> list[OpenBreaker]:
    """The breakers whose gateways are to be asked now; each is asked by one caller, and later next time."""
    rows = store.due(tx, PROBE_LIMIT)
    store.probed(tx, [(row.id, probe_wait(row.probes + 1)) for row in rows])
    return [OpenBreaker(r.merchant_id, r.method, r.stopped_by == BY_KEY) for r in rows]


def close_breaker(
    tx: Tx, merchant_id: int, method: str, *, actor: Actor, after: timedelta = timedelta(0)
) -> int:
    """Send again; what waited is asked for, ``after`` a while; returns how many payouts that are.

    Raises BreakerNotOpen.
    """
    lifted = stops.lift(tx, KIND, merchant_id=merchant_id, method=method, by=actor.id[:255])
    if lifted is None:
        raise BreakerNotOpen(merchant_id, method)
    auditing.of_stop(tx, actor, "breaker.closed", lifted, lifted.reason)
    return stops.wake(tx, lifted.sentence, after)


def key_was_set(tx: Tx, merchant_id: int, method: str, *, actor: Actor) -> bool:
    """A new key was set, and the gateway knows it: a breaker that the old one opened is closed."""
    if not store.is_in_force(tx, merchant_id, method, BY_KEY):
        return False
    close_breaker(tx, merchant_id, method, actor=actor, after=NEW_KEY_IS_USED)
    return True
