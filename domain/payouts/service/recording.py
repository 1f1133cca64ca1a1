"""Recording what the gateway answered: attempt, payout and ledger move together, once."""

from dataclasses import dataclass
from typing import Any

from domain.clock import business_now
from domain.db import Tx
from domain.payouts.errors import AttemptForgotten
from domain.payouts.rules import PAYOUT, GatewayOutcome, Verdict, can, classify
from domain.payouts.rules.attempts import (
    FIRST_LOOK,
    LOST_AFTER,
    healing_wait,
    resolve_wait,
    turned_away_wait,
)
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.rules.outside import SAID
from domain.payouts.rules.shortfall import SHORT
from domain.payouts.service import bank_leg, booking, shortfalls
from domain.payouts.service.sending import Attempt, ask
from domain.payouts.store import sending as store
from domain.payouts.store import straight
from domain.payouts.store.sending import AttemptMove, PayoutMove


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an outcome made of a payout. ``message`` is the gateway's sentence, if it said one."""

    verdict: Verdict
    payout_state: str
    message: str = ""


def record_outcome(tx: Tx, attempt: Attempt, outcome: GatewayOutcome) -> Recorded:
    """Record what a send or a replay answered: attempt, payout and ledger move together.

    Only the holder of the lease that the attempt still has reads the first column of the outcome
    table; anyone else (a replay, a sender that came too late) reads the second. An attempt that is
    settled stays so; a success that contradicts it freezes the payout. Raises AttemptForgotten if the
    database lost it.
    """
    verdict = classify(outcome, replaying_unknown=False)
    if (
        verdict is Verdict.SUCCEEDED
        and not outcome.replayed
        and outcome.arrived
        and _settle_first(tx, attempt, outcome)
    ):
        return Recorded(verdict, "paid", outcome.message or "")
    payout = store.lock_payout(tx, attempt.payout_id)
    row = store.attempt(tx, attempt.attempt_id)
    if payout is None or row is None or row.idempotency_key != attempt.key:
        answer = outcome.external_id or outcome.kind
        raise AttemptForgotten(attempt.payout_id, attempt.attempt_id, attempt.key, answer)
    first_send = row.state == "sending" and row.lease_until == attempt.lease_until
    verdict = classify(outcome, replaying_unknown=not first_send)
    if row.state not in ("sending", "unknown"):
        state = contradiction(tx, payout, row, outcome, verdict)
    elif verdict is Verdict.SUCCEEDED and first_send and outcome.replayed:
        # Nothing was sent under this key before, yet the gateway remembers it: another installation uses
        # this account and its numbers. What it paid is not this payout.
        state = freeze(
            tx, payout, row, outcome, "the gateway had answered its key before it was sent"
        )
    elif verdict is Verdict.SUCCEEDED:
        state = settle_success(tx, payout, row, outcome)
    elif verdict is Verdict.DEFINITE_FAILURE:
        state = _settle_failure(tx, payout, row, outcome)
    elif verdict is Verdict.FREEZE:
        state = freeze(tx, payout, row, outcome, "its key was used with other parameters")
    elif verdict is Verdict.UNKNOWN:
        # A latecomer that knows nothing leaves another sender's lease alone.
        late = row.state == "sending" and not first_send
        state = payout.state if late else _leave_unknown(tx, payout, row, outcome)
    else:
        state = _wait(tx, payout, row, outcome)
    return Recorded(verdict, state, outcome.message or "")


def _settle_first(tx: Tx, attempt: Attempt, outcome: GatewayOutcome) -> bool:
    """Settle the plain case in fewer statements: the first answer to the holder of the lease says paid.

    False, and nothing is changed, in every other case.
    """
    assert outcome.external_id, "a success names what it made"
    payout = straight.settle(
        tx, attempt.payout_id, attempt.attempt_id, attempt.lease_until, outcome.external_id
    )
    if payout is None:
        return False
    store.move_attempt(
        tx, attempt.attempt_id, _move("sending", "succeeded", outcome, resolved=True)
    )
    booking.pay(tx, payout, attempt.attempt_id, payout.now)
    return True


def settle_success(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome) -> str:
    """An attempt has paid: the payout is paid, and leaves flight for the gateway's clearing account.

    Where the gateway has yet to say that the payee has it, it is `in_transit`, and stays in flight.
    With a second leg it is on its way: to that leg after its transfer, and to the bank after that.
    """
    assert outcome.external_id, "a success names what it made"
    store.move_attempt(tx, row.id, _move(row.state, "succeeded", outcome, resolved=True))
    if row.leg == BANK:
        return bank_leg.accepted(tx, payout)
    if payout.bank_leg:
        return bank_leg.transferred(tx, payout, outcome.external_id)
    assert can(PAYOUT, payout.state, "paid"), f"payout {payout.id} is {payout.state}"
    now = business_now(tx)
    if not outcome.arrived:
        store.move_payout(
            tx,
            payout.id,
            PayoutMove(
                payout.state, "in_transit", look=FIRST_LOOK, external_id=outcome.external_id
            ),
        )
        return "in_transit"
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(payout.state, "paid", external_id=outcome.external_id, processed_at=now),
    )
    booking.pay(tx, payout, row.id, now)
    return "paid"


def _settle_failure(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome) -> str:
    store.move_attempt(tx, row.id, _move(row.state, "failed", outcome, resolved=True))
    if row.leg == BANK:
        return bank_leg.refused(tx, payout, row, outcome)
    now = business_now(tx)
    wait = healing_wait(outcome.code, row.n)
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            "failed",
            next_try=wait,
            look=wait,
            parked=outcome.code if wait is not None else None,
            error_code=outcome.code,
            error_message=outcome.message,
            failed_at=now,
        ),
    )
    booking.fail(tx, payout, row.id, now)
    if outcome.code == SHORT:
        shortfalls.begin(tx, payout)
    return "failed"


def _leave_unknown(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome) -> str:
    wait = resolve_wait(row.tries)
    store.move_attempt(tx, row.id, _move(row.state, "unknown", outcome, resolved=False))
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            "unknown",
            look=wait + LOST_AFTER,
            error_code=outcome.code,
            error_message=outcome.message,
        ),
    )
    ask(tx, payout.merchant_id, "payouts.resolve", {"attempt_id": row.id}, wait)
    return "unknown"


def _wait(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome) -> str:
    """Turned away before it began: the same attempt keeps its key and waits without a lease."""
    wait = turned_away_wait(row.tries, outcome.retry_after)
    store.move_attempt(tx, row.id, _move("sending", "sending", outcome, resolved=False))
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            payout.state,
            next_try=wait,
            look=wait + LOST_AFTER,
            error_code=outcome.code,
            error_message=outcome.message,
        ),
    )
    ask(tx, payout.merchant_id, "payouts.send", {"payout_id": payout.id}, wait)
    state: str = payout.state
    return state


def freeze(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome, reason: str) -> str:
    """Stop every further send of a payout until a person has looked at it."""
    state = "unknown" if payout.state == "sending" else payout.state
    if row.state in ("sending", "unknown"):
        store.move_attempt(tx, row.id, _move(row.state, "unknown", outcome, resolved=False))
        # A first bank attempt is sent while its payout is `in_transit`.
        state = "unknown" if can(PAYOUT, payout.state, "unknown") else state
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            state,
            frozen=reason,
            # Somebody may have said that it was paid outside: once it is let go on, that still stands.
            parked=SAID if payout.parked_reason == SAID else None,
            error_code=outcome.code,
            error_message=outcome.message,
        ),
    )
    return state


def contradiction(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome, verdict: Verdict) -> str:
    """A settled attempt stays settled; one that was not to have paid, or paid something else, freezes."""
    state: str = payout.state
    if verdict is not Verdict.SUCCEEDED or outcome.external_id == row.external_id:
        return state
    found = f"attempt {row.n} is {row.state}, yet the gateway made {outcome.external_id} for it"
    return freeze(tx, payout, row, outcome, found)


def _move(old: str, new: str, outcome: GatewayOutcome, *, resolved: bool) -> AttemptMove:
    return AttemptMove(
        old,
        new,
        outcome.kind,
        resolved,
        external_id=outcome.external_id if new == "succeeded" else None,
        http_status=outcome.http_status,
        error_code=outcome.code,
        error_message=outcome.message,
        replayed=outcome.replayed,
        note=outcome.note,
    )
