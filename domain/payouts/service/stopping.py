"""The kill switch: a person keeps payouts from being sent, all of them, a merchant's, or a method's.

It is read in the transaction that commits to a send. What is stopped waits as it is, and says for what;
what was sent already is not called back, and what may have been paid is still looked up.
"""

from typing import Final

from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid
from domain.payouts.errors import AlreadyStopped, NotStopped
from domain.payouts.rules.stopping import Stop
from domain.payouts.rules.words import said
from domain.payouts.service import auditing
from domain.payouts.store import stops as store

KIND: Final = "kill_switch"
METHODS: Final = ("stripe", "wise", "manual")


def stop(
    tx: Tx, *, actor: Actor, reason: str, merchant_id: int | None = None, method: str | None = None
) -> Stop:
    """Send nothing from now on, of a merchant and method (None: of all); what waits is kept.

    Once this is committed no send begins that is in its reach: it waits for the transactions that are
    beginning one. Raises Invalid for a reason or method that is none, AlreadyStopped.
    """
    reason = said("reason", reason, "say why")
    _check(method)
    store.wait_for_sends(tx)
    made = store.put(
        tx, KIND, merchant_id=merchant_id, method=method, reason=reason, by=actor.id[:255]
    )
    if made is None:
        raise AlreadyStopped(merchant_id, method)
    auditing.of_stop(tx, actor, "payouts.stopped", made, reason)
    return made


def lift(
    tx: Tx, *, actor: Actor, merchant_id: int | None = None, method: str | None = None
) -> tuple[Stop, int]:
    """Lift the stop of exactly this reach, and have what waited for it asked for again at once.

    Returns the stop and how many payouts waited. Raises Invalid for a method that is none, NotStopped.
    """
    _check(method)
    lifted = store.lift(tx, KIND, merchant_id=merchant_id, method=method, by=actor.id[:255])
    if lifted is None:
        raise NotStopped(merchant_id, method)
    waited = store.wake(tx, lifted.sentence)
    auditing.of_stop(tx, actor, "payouts.resumed", lifted, None)
    return lifted, waited


def in_force(tx: Tx, merchant_id: int, method: str) -> Stop | None:
    """The stop, of any kind, that keeps a merchant's payouts by a method from being sent; or None."""
    return store.in_force(tx, merchant_id, method)


def _check(method: str | None) -> None:
    if method is not None and method not in METHODS:
        raise Invalid("method", f"is one of {', '.join(METHODS)}")
