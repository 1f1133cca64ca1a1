"""What became of an attempt whose outcome is unknown: asked with the same key while the gateway surely
remembers it, and looked up after that; never sent under another key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.db import Tx
from domain.payouts.errors import NoSuchPayout
from domain.payouts.gateway import Found
from domain.payouts.rules import LEASE, GatewayOutcome, Leave, Verdict, may_replay
from domain.payouts.rules.attempts import AFTER_LEASE, resolve_wait
from domain.payouts.service.recording import Recorded, freeze, settle_success
from domain.payouts.service.sending import Attempt, expire, hold_elsewhere, leased
from domain.payouts.store import sending as store
from domain.payouts.store import stops
from domain.payouts.store.sending import AttemptMove, PayoutMove

NEEDS_A_PERSON: Final = (
    "unknown for 23 hours and not found at the gateway: a person decides, and a second one agrees"
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """An unknown attempt whose lease the caller holds.

    ``may_replay``: its key may be sent again now; ``final``: the gateway may have forgotten the key, so
    that it may never be sent again, and a look-up is all that is left. While a stop is in force neither
    holds: nothing is sent, and the attempt stays unknown.
    """

    attempt: Attempt
    may_replay: bool
    final: bool


def begin_resolution(tx: Tx, attempt_id: int, account: str) -> Resolution | Leave:
    """Take the lease of an unknown attempt, or leave it and say why.

    ``account`` is the gateway's account that can be asked: an attempt of another one is held.
    An attempt whose sender vanished (its lease ran out) becomes unknown here. Raises NoSuchPayout.
    """
    row = store.attempt(tx, attempt_id)
    if row is None:
        raise NoSuchPayout("attempt", attempt_id)
    payout = store.lock_payout(tx, row.payout_id)
    row = store.attempt(tx, attempt_id)
    if payout.frozen_reason is not None:
        return Leave("frozen")
    if row.state not in ("sending", "unknown"):
        return Leave(row.state)
    if row.lease_until is None and row.state == "sending":
        return Leave("waiting")
    if row.lease_until is not None and row.lease_until > row.real_now:
        return Leave("leased")
    if row.state == "sending":
        expire(tx, payout, row)
        payout, row = store.lock_payout(tx, row.payout_id), store.attempt(tx, attempt_id)
    elsewhere = hold_elsewhere(tx, payout, row, account)
    if elsewhere is not None:
        return elsewhere
    lease_until = store.lease_attempt(tx, attempt_id, "unknown", LEASE)
    stop = stops.in_force(tx, payout.merchant_id, payout.method)
    parked = None if stop is None else stop.sentence
    store.move_payout(
        tx, payout.id, PayoutMove("unknown", "unknown", look=LEASE + AFTER_LEASE, parked=parked)
    )
    remembered = may_replay(row.sent_at, row.real_now)
    return Resolution(
        leased(payout, row, lease_until),
        may_replay=remembered and stop is None,
        final=not remembered,
    )


def record_found(
    tx: Tx, attempt: Attempt, found: Sequence[Found] | None, *, final: bool
) -> Recorded:
    """Record what a look-up found for an unknown attempt; it only ever proves that it was paid.

    ``found``: None if the gateway could not be asked. ``final``: the key may not be sent any more, so
    that finding nothing leaves the payout to a person.
    """
    payout = store.lock_payout(tx, attempt.payout_id)
    row = store.attempt(tx, attempt.attempt_id)
    if row.state != "unknown":
        return Recorded(Verdict.UNKNOWN, payout.state)
    ours = [f for f in found or () if f.key == row.idempotency_key]
    if not ours and not final and row.lease_until != attempt.lease_until:
        # The replay that came before it has said when to ask again.
        return Recorded(Verdict.UNKNOWN, payout.state)
    if not ours:
        return _not_found(tx, payout, row, asked=found is not None, final=final)
    seen = GatewayOutcome("response", external_id=ours[0].external_id, message="found by look-up")
    right = (payout.amount, payout.currency, payout.destination)
    if len(ours) > 1 or (ours[0].amount, ours[0].currency, ours[0].destination) != right:
        listed = ", ".join(f.external_id for f in ours)
        reason = f"the gateway holds {listed} for attempt {row.n}: not the one payment that was asked for"
        return Recorded(Verdict.FREEZE, freeze(tx, payout, row, seen, reason))
    if ours[0].reversed_amount:
        reason = f"{ours[0].external_id} was made and then reversed by {ours[0].reversed_amount}"
        return Recorded(Verdict.FREEZE, freeze(tx, payout, row, seen, reason))
    return Recorded(Verdict.SUCCEEDED, settle_success(tx, payout, row, seen))


def _not_found(tx: Tx, payout: Any, row: Any, *, asked: bool, final: bool) -> Recorded:
    outcome = "not found by look-up" if asked else "could not be looked up"
    store.move_attempt(tx, row.id, AttemptMove("unknown", "unknown", outcome, resolved=False))
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            payout.state,
            # A look-up that was not answered, or is not the last word, is repeated: it moves no money.
            look=None if asked and final else resolve_wait(row.tries),
            parked=NEEDS_A_PERSON if asked and final else payout.parked_reason,
        ),
    )
    return Recorded(Verdict.UNKNOWN, payout.state)
