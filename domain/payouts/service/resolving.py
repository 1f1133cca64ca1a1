"""What became of an attempt whose outcome is unknown: asked with the same key while the gateway surely
remembers it, and looked up after that; never sent under another key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.db import Tx
from domain.payouts.errors import NoSuchPayout
from domain.payouts.gateway import Found
from domain.payouts.rules import (
    LEASE,
    GatewayOutcome,
    Leave,
    Verdict,
    is_forgotten,
    may_replay,
)
from domain.payouts.rules.attempts import AFTER_LEASE, resolve_wait
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.rules.watermark import BEHIND, Mark
from domain.payouts.service.elsewhere import hold_elsewhere
from domain.payouts.service.recording import Recorded, contradiction, freeze, settle_success
from domain.payouts.service.sending import (
    IMMEDIATELY,
    Attempt,
    ask,
    expire,
    leased,
)
from domain.payouts.store import sending as store
from domain.payouts.store import stops, watermark
from domain.payouts.store.sending import AttemptMove, PayoutMove

NEEDS_A_PERSON: Final = (
    "unknown for 23 hours and not found at the gateway: a person decides, and a second one agrees"
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """An unknown attempt whose lease the caller holds.

    ``may_replay``: its key may be sent again now; ``final``: the gateway may have forgotten the key, so
    that it may never be sent again, and a look-up is all that is left. While a stop is in force, or the
    clock is behind the one that it was sent by, neither holds: nothing is sent, and it stays unknown.
    """

    attempt: Attempt
    may_replay: bool
    final: bool


def begin_resolution(
    tx: Tx, attempt_id: int, account: str, mark: Mark | None = None
) -> Resolution | Leave:
    """Take the lease of an unknown attempt, or leave it and say why.

    ``account`` is the gateway's account that can be asked: an attempt of another one is held.
    ``mark`` is what is kept outside of the database (None: not compared); one that knows more than the
    database leaves the attempt as it is, for BEHIND. An attempt whose sender vanished (its lease ran out)
    becomes unknown here. Raises NoSuchPayout.
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
    stop = stops.in_force(tx, payout.merchant_id, payout.method)
    if stop is None and mark is not None and not watermark.agrees(tx, mark):
        return Leave(BEHIND)
    if row.state == "sending":
        expire(tx, payout, row)
        payout, row = store.lock_payout(tx, row.payout_id), store.attempt(tx, attempt_id)
    elsewhere = hold_elsewhere(tx, payout, row, account)
    if elsewhere is not None:
        return elsewhere
    lease_until = store.lease_attempt(tx, attempt_id, "unknown", LEASE)
    parked = None if stop is None else stop.sentence
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(payout.state, payout.state, look=LEASE + AFTER_LEASE, parked=parked),
    )
    return Resolution(
        leased(payout, row, lease_until),
        may_replay=may_replay(row.sent_at, row.real_now) and stop is None,
        final=is_forgotten(row.sent_at, row.real_now),
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
    ours = [f for f in found or () if f.key == row.idempotency_key]
    if row.state != "unknown":
        # Settled while it was looked for; what was found may contradict that.
        return Recorded(Verdict.UNKNOWN, _settled_meanwhile(tx, payout, row, ours))
    if not any(f.paid for f in ours) and not final and row.lease_until != attempt.lease_until:
        # The replay that came before it has said when to ask again.
        return Recorded(Verdict.UNKNOWN, payout.state)
    if not any(f.paid for f in ours):
        unpaid = ours[0] if ours else None
        return _not_found(tx, payout, row, asked=found is not None, final=final, unpaid=unpaid)
    seen = GatewayOutcome(
        "response",
        external_id=ours[0].external_id,
        message="found by look-up",
        arrived=ours[0].arrived,
    )
    # What came back of a transfer is not paid out to a bank: that leg may have been asked for less.
    asked_for = row.params["amount"] if row.leg == BANK else payout.amount
    right = (asked_for, payout.currency, payout.destination)
    if len(ours) > 1 or (ours[0].amount, ours[0].currency, ours[0].destination) != right:
        listed = ", ".join(f.external_id for f in ours)
        reason = f"the gateway holds {listed} for attempt {row.n}: not the one payment that was asked for"
        return Recorded(Verdict.FREEZE, freeze(tx, payout, row, seen, reason))
    if ours[0].reversed_amount:
        reason = f"{ours[0].external_id} was made and then reversed by {ours[0].reversed_amount}"
        return Recorded(Verdict.FREEZE, freeze(tx, payout, row, seen, reason))
    state = settle_success(tx, payout, row, seen)
    if row.leg == BANK:
        # It may have become of it by now whatever there was a notice for.
        ask(tx, payout.merchant_id, "payouts.follow", {"attempt_id": row.id}, IMMEDIATELY)
    return Recorded(Verdict.SUCCEEDED, state)


def _settled_meanwhile(tx: Tx, payout: Any, row: Any, ours: Sequence[Found]) -> str:
    state: str = payout.state
    for made in ours:
        if made.paid and row.state not in ("created", "sending"):
            seen = GatewayOutcome(
                "response", external_id=made.external_id, message="found by look-up"
            )
            state = contradiction(tx, payout, row, seen, Verdict.SUCCEEDED)
            payout = store.lock_payout(tx, payout.id)
    return state


def _not_found(
    tx: Tx, payout: Any, row: Any, *, asked: bool, final: bool, unpaid: Found | None = None
) -> Recorded:
    outcome = "not found by look-up" if asked else "could not be looked up"
    needs = NEEDS_A_PERSON
    if unpaid is not None:
        outcome = f"found by look-up: {unpaid.external_id} is {unpaid.standing}, and not paid for"
        needs = (
            f"unknown for 23 hours; {unpaid.external_id} is {unpaid.standing} at the gateway and was never"
            " paid for: a person sees to it that it is canceled there, and a second one agrees"
        )
    store.move_attempt(tx, row.id, AttemptMove("unknown", "unknown", outcome, resolved=False))
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            payout.state,
            # A look-up that was not answered, or is not the last word, is repeated: it moves no money.
            look=None if asked and final else resolve_wait(row.tries),
            parked=needs if asked and final else payout.parked_reason,
        ),
    )
    return Recorded(Verdict.UNKNOWN, payout.state)
