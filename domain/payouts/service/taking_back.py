"""What a worker does with a request to take back: it takes its lease, and records what the gateway said.

The outcome table is that of sends: an unknown request is asked about under its own key while the gateway
surely remembers it, looked for after that, and never asked for under another key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from domain.db import Tx
from domain.payouts.errors import NoSuchPayout
from domain.payouts.gateway import FoundReversal, ReversalOrder, Reversals, SeenTransfer
from domain.payouts.rules import (
    LEASE,
    GatewayOutcome,
    Leave,
    Verdict,
    classify,
    is_forgotten,
    may_replay,
    params_hash,
)
from domain.payouts.rules.attempts import (
    AFTER_LEASE,
    LOST_AFTER,
    resolve_wait,
    turned_away_wait,
)
from domain.payouts.rules.reversing import Irreversible, to_take_back
from domain.payouts.service.elsewhere import OTHER_ACCOUNT
from domain.payouts.service.reversals import Booked, book_reversals
from domain.payouts.service.reversing import reversible
from domain.payouts.service.sending import IMMEDIATELY, WHILE_STOPPED, Route, ask
from domain.payouts.store import reversing as store
from domain.payouts.store import sending
from domain.payouts.store.reversing import RequestMove
from domain.payouts.store.sending import PayoutMove

NEEDS_A_PERSON: Final = (
    "unknown for 23 hours and not found at the gateway: two people decide"
    " (`payspool payouts give-up-reversal`)"
)


@dataclass(frozen=True, slots=True)
class ReversalCall:
    """A request whose lease the caller holds: send ``params`` under ``key``, exactly as they are.

    ``lease_until`` names the lease. ``may_send``: the key may be sent now; ``first``: nothing was sent under
    it before; ``final``: the gateway may have forgotten it, so that a look-up is all that is left.
    """

    request_id: int
    payout_id: int
    merchant_id: int
    method: str
    key: str
    params: dict[str, Any]
    api_version: str
    lease_until: datetime
    first: bool
    may_send: bool
    final: bool


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What an outcome made of a request."""

    verdict: Verdict
    state: str
    message: str = ""


def route_of_reversal(tx: Tx, request_id: int) -> Route:
    """Which gateway a request goes to. Raises NoSuchPayout."""
    row = store.read(tx, request_id)
    if row is None:
        raise NoSuchPayout("reversal request", request_id)
    return Route(row.merchant_id, row.method)


def put_off_reversal(tx: Tx, request_id: int, wait: timedelta) -> Leave:
    """Ask for a request again after ``wait``, unless it is settled. It is not begun."""
    row = store.read(tx, request_id)
    if store.hold(tx, request_id, row.waits_for, wait + LOST_AFTER):
        ask(tx, row.merchant_id, "payouts.reverse", {"request_id": request_id}, wait)
    return Leave("put_off")


def refuse_reversal(tx: Tx, request_id: int, code: str, why: str) -> Leave:
    """End a request that was never sent; one that may have been sent is left as it is."""
    row = store.read(tx, request_id)
    sending.lock_payout(tx, row.payout_id)
    if store.read(tx, request_id).state == "created":
        _end_unsent(tx, row, code, why)
    return Leave(code)


def begin_reversal(
    tx: Tx, request_id: int, gateway: Reversals, *, account: str, api_version: str
) -> ReversalCall | Leave:
    """Take the lease of a request, or leave it and say why; what is sent is fixed with the first lease.

    ``account`` is the gateway's account that can be asked: a request about another one's transfer is held.
    Raises NoSuchPayout.
    """
    row = store.read(tx, request_id)
    if row is None:
        raise NoSuchPayout("reversal request", request_id)
    payout = sending.lock_payout(tx, row.payout_id)
    row = store.read(tx, request_id)
    left = _left_alone(payout, row)
    if left is not None:
        return left
    if row.platform_account != account:
        waits = (
            f"its transfer was made through {row.platform_account}, the key is now of {account}:"
            f" give the merchant a key of {row.platform_account} until it is settled"
        )
        store.hold(tx, request_id, waits, OTHER_ACCOUNT)
        return Leave("other_account")
    if row.state == "sending" and row.lease_until is not None:
        vanished = RequestMove(
            "sending", "unknown", "its sender vanished", resolved=False, look=LOST_AFTER
        )
        store.move(tx, request_id, vanished)
        row = store.read(tx, request_id)
    stop = store.stop_in_force(tx, row.merchant_id, row.method)
    if row.state == "unknown":
        until = _lease(tx, row, "unknown")
        if stop is not None:
            store.hold(tx, request_id, stop.sentence, LEASE + AFTER_LEASE)
        may_send = may_replay(row.sent_at, row.real_now) and stop is None
        return _call(row, until, may_send=may_send, final=is_forgotten(row.sent_at, row.real_now))
    if stop is not None:
        store.hold(tx, request_id, stop.sentence, WHILE_STOPPED)
        return Leave("stopped")
    return _begin_first(tx, payout, row, gateway, api_version)


def _left_alone(payout: Any, row: Any) -> Leave | None:
    if row.state in ("succeeded", "failed"):
        return Leave(row.state)
    if payout.frozen_reason is not None:
        return Leave("frozen")
    if row.lease_until is not None and row.lease_until > row.real_now:
        return Leave("leased")
    if row.next_try_at is not None and row.next_try_at > row.real_now:
        return Leave("waiting")
    return None


def _begin_first(
    tx: Tx, payout: Any, row: Any, gateway: Reversals, api_version: str
) -> ReversalCall | Leave:
    paid_by = store.of_payout(tx, row.payout_id)
    # The live one is this request itself.
    decided = to_take_back(reversible(payout, paid_by, live=False), row.amount)
    if isinstance(decided, Irreversible):
        # Since it was asked for, something came back by another way.
        _end_unsent(tx, row, decided.code, decided.why)
        return Leave(decided.code)
    if row.state == "created":
        params = gateway.params(
            ReversalOrder(
                installation=paid_by.installation,
                payout_id=row.payout_id,
                merchant_id=row.merchant_id,
                key=row.idempotency_key,
                transfer=row.transfer,
                amount=row.amount,
                currency=row.currency,
            )
        )
        store.fix_params(tx, row.id, params, params_hash(params), api_version)
    until = _lease(tx, row, "sending")
    return _call(store.read(tx, row.id), until, first=True, may_send=True)


def _end_unsent(tx: Tx, row: Any, code: str, why: str) -> None:
    ended = RequestMove(
        row.state,
        "failed",
        "not sent",
        resolved=True,
        error_code=code,
        error_message=f"It was not asked for at the gateway: {why}.",
    )
    store.move(tx, row.id, ended)


def _lease(tx: Tx, row: Any, new: str) -> datetime:
    return store.lease(tx, row.id, old=row.state, new=new, lease=LEASE, look=LEASE + AFTER_LEASE)


def _call(
    row: Any, until: datetime, *, may_send: bool, first: bool = False, final: bool = False
) -> ReversalCall:
    """A request as it was stored: what is sent again is never rebuilt."""
    assert bytes(row.params_hash) == params_hash(row.params), (
        f"the parameters of reversal request {row.id} are not those that were sent"
    )
    return ReversalCall(
        row.id,
        row.payout_id,
        row.merchant_id,
        row.method,
        row.idempotency_key,
        row.params,
        row.api_version,
        until,
        first=first,
        may_send=may_send,
        final=final,
    )


def record_reversal(tx: Tx, call: ReversalCall, outcome: GatewayOutcome) -> TakenBack:
    """Record what the gateway answered: request, payout and ledger move together, and once.

    Only the holder of the lease that the request still has reads the first column of the outcome table;
    anyone else (a replay, a sender that came too late) reads the second. What is settled stays so.
    """
    payout = sending.lock_payout(tx, call.payout_id)
    row = store.read(tx, call.request_id)
    first_send = row.state == "sending" and row.lease_until == call.lease_until
    verdict = classify(outcome, replaying_unknown=not first_send)
    if row.state not in ("sending", "unknown"):
        state = _contradiction(tx, payout, row, outcome, verdict)
    elif verdict is Verdict.SUCCEEDED and first_send and outcome.replayed:
        # Nothing was sent under this key before: another installation uses this account and its numbers.
        state = _freeze(
            tx,
            payout,
            row,
            outcome,
            "the gateway had answered its reversal before it was asked for",
        )
    elif verdict is Verdict.SUCCEEDED:
        state = _settle(tx, row, outcome)
    elif verdict is Verdict.DEFINITE_FAILURE:
        store.move(tx, row.id, _move(row, "failed", outcome, resolved=True))
        state = "failed"
    elif verdict is Verdict.FREEZE:
        reason = "the key of its reversal was used with other parameters"
        state = _freeze(tx, payout, row, outcome, reason)
    elif verdict is Verdict.UNKNOWN:
        # A latecomer that knows nothing leaves another sender's lease alone.
        late = row.state == "sending" and not first_send
        state = row.state if late else _leave_unknown(tx, row, outcome)
    else:
        state = _wait(tx, row, outcome)
    return TakenBack(verdict, state, outcome.message or "")


def record_found_reversals(
    tx: Tx, call: ReversalCall, found: Sequence[FoundReversal] | None
) -> TakenBack:
    """Record what a look-up found for an unknown request; it only ever proves that it was made.

    ``found``: None if the gateway could not be asked.
    """
    payout = sending.lock_payout(tx, call.payout_id)
    row = store.read(tx, call.request_id)
    if row.state != "unknown":
        return TakenBack(Verdict.UNKNOWN, row.state)
    ours = [one for one in found or () if one.key == row.idempotency_key]
    if not ours and not call.final and row.lease_until != call.lease_until:
        # The replay that came before it has said when to ask again.
        return TakenBack(Verdict.UNKNOWN, row.state)
    if not ours:
        last_word = found is not None and call.final
        looked = RequestMove(
            "unknown",
            "unknown",
            "could not be looked up" if found is None else "not found by look-up",
            resolved=False,
            # A look-up that was not answered, or is not the last word, is repeated: it moves no money.
            look=None if last_word else resolve_wait(row.tries),
            waits_for=NEEDS_A_PERSON if last_word else row.waits_for,
        )
        store.move(tx, row.id, looked)
        return TakenBack(Verdict.UNKNOWN, "unknown")
    seen = GatewayOutcome("response", external_id=ours[0].external_id, message="found by look-up")
    if len(ours) > 1 or ours[0].amount != row.amount:
        listed = ", ".join(one.external_id for one in ours)
        reason = f"the gateway holds {listed} for reversal {row.n}: not the one that was asked for"
        return TakenBack(Verdict.FREEZE, _freeze(tx, payout, row, seen, reason))
    return TakenBack(Verdict.SUCCEEDED, _settle(tx, row, seen))


def _settle(tx: Tx, row: Any, outcome: GatewayOutcome) -> str:
    """It came back: booked here, unless the gateway's notice was faster."""
    assert outcome.external_id, "a success names what it made"
    seen = SeenTransfer(row.transfer, row.attempt_key, ((outcome.external_id, row.amount),))
    booked = book_reversals(tx, row.merchant_id, seen)
    assert booked is Booked.BOOKED, f"reversal request {row.id}: {booked.value}"
    store.move(tx, row.id, _move(row, "succeeded", outcome, resolved=True))
    return "succeeded"


def _leave_unknown(tx: Tx, row: Any, outcome: GatewayOutcome) -> str:
    wait = resolve_wait(row.tries)
    store.move(tx, row.id, _move(row, "unknown", outcome, resolved=False, look=wait + LOST_AFTER))
    ask(tx, row.merchant_id, "payouts.reverse", {"request_id": row.id}, wait)
    return "unknown"


def _wait(tx: Tx, row: Any, outcome: GatewayOutcome) -> str:
    """Turned away before it began: the same request keeps its key and waits without a lease."""
    wait = turned_away_wait(row.tries, outcome.retry_after)
    waiting = _move(row, "sending", outcome, resolved=False, look=wait + LOST_AFTER, next_try=wait)
    store.move(tx, row.id, waiting)
    ask(tx, row.merchant_id, "payouts.reverse", {"request_id": row.id}, wait)
    return "sending"


def _freeze(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome, reason: str) -> str:
    """Stop everything about a payout until people have looked at it; the request is asked about after."""
    if row.state in ("sending", "unknown"):
        store.move(tx, row.id, _move(row, "unknown", outcome, resolved=False, look=IMMEDIATELY))
    sending.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            payout.state,
            frozen=reason,
            error_code=outcome.code,
            error_message=outcome.message,
        ),
    )
    return "unknown" if row.state in ("sending", "unknown") else str(row.state)


def _contradiction(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome, verdict: Verdict) -> str:
    """A settled request stays settled; one that was not to have been made, or made another, freezes."""
    if verdict is not Verdict.SUCCEEDED or outcome.external_id == row.external_id:
        return str(row.state)
    found = f"reversal {row.n} is {row.state}, yet the gateway made {outcome.external_id} for it"
    return _freeze(tx, payout, row, outcome, found)


def _move(
    row: Any,
    new: str,
    outcome: GatewayOutcome,
    *,
    resolved: bool,
    look: timedelta | None = None,
    next_try: timedelta | None = None,
) -> RequestMove:
    return RequestMove(
        row.state,
        new,
        outcome.kind,
        resolved,
        next_try=next_try,
        look=look,
        external_id=outcome.external_id if new == "succeeded" else None,
        http_status=outcome.http_status,
        error_code=outcome.code,
        error_message=outcome.message,
        replayed=outcome.replayed,
        note=outcome.note,
    )
