"""After a failover: what the gateways paid and the database forgot is recorded again, or kept from being
paid by it; then sending goes on.

One person's command suffices: what it does rests on the gateways' books, not on that person's word, and
it only ever adds what was paid. The word of a person counts only where there are no books (bank files);
it is asked for with evidence, and kept.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx
from domain.installation import installation_code
from domain.payouts.errors import DatabaseMoved
from domain.payouts.gateway import Gateway, Order
from domain.payouts.rules import GatewayOutcome, params_hash
from domain.payouts.rules.rearming import (
    AFTER_FAILOVER,
    Fate,
    MadeTransfer,
    Standing,
    fate_of,
    pays_beside,
)
from domain.payouts.service import booking
from domain.payouts.service.recording import freeze, settle_success
from domain.payouts.service.sending import LEG, frozen
from domain.payouts.service.watermark import BY, KIND, WHAT_TO_DO
from domain.payouts.store import outside as outside_store
from domain.payouts.store import rearming as store
from domain.payouts.store import sending as sending_store
from domain.payouts.store import stops, watermark
from domain.payouts.store.sending import PayoutMove

NUMBERS_SKIPPED: Final = 1_000_000
"""Payout numbers that are skipped at most: metadata at a gateway can be written by others."""


@dataclass(frozen=True, slots=True)
class Account:
    """A merchant's way to pay, whose books are compared."""

    merchant_id: int
    merchant: str
    method: str

    @property
    def name(self) -> str:
        """As people write it: ``acme/stripe``."""
        return f"{self.merchant}/{self.method}"


@dataclass(frozen=True, slots=True)
class Matched:
    """A transfer, what is done about it, and why."""

    made: MadeTransfer
    fate: Fate
    why: str
    keeps_payee: bool = False
    """Whether those whom it paid are to be kept from being paid again."""


def accounts(tx: Tx) -> list[Account]:
    """Every merchant's ways to pay."""
    return [Account(row.merchant_id, row.merchant, row.method) for row in store.accounts(tx)]


def compare_since(tx: Tx) -> datetime | None:
    """From when on the gateways are to be looked through: an hour before the newest attempt that the
    database knew when it was stopped; None if it is not. What it forgot was sent later than that. (What is
    kept outside would tell when sending ended, not when knowing did.)"""
    return min((row.compare_from for row in store.stops(tx)), default=None)


def match(tx: Tx, account: Account, made: Sequence[MadeTransfer]) -> list[Matched]:
    """What would be done about transfers of this installation; nothing is done."""
    installation = installation_code(tx)
    explained = store.explained(tx, account.merchant_id, [one.external_id for one in made])
    matched = []
    for one in made:
        if one.external_id in explained:
            matched.append(Matched(one, Fate.KNOWN, "a person has explained it"))
            continue
        standing, _ = _standing(tx, account, one, installation)
        fate, why = fate_of(one, standing)
        matched.append(Matched(one, fate, why, pays_beside(one, standing, fate)))
    return matched


def apply(
    tx: Tx, account: Account, made: MadeTransfer, gateway: Gateway, *, actor: Actor
) -> Matched:
    """Do about a transfer what is to be done, under its payout's lock; repeating it changes nothing.

    A payee has to be blocked in another transaction, before (``keep_from_paying``): payees come before
    payouts in the lock order.
    """
    if made.payout_id is not None:
        sending_store.lock_payout(tx, made.payout_id)
    standing, row = _standing(tx, account, made, installation_code(tx))
    fate, why = fate_of(made, standing)
    if fate in (Fate.KNOWN, Fate.BLOCK) or standing is None:
        return Matched(made, fate, why)
    payout = sending_store.lock_payout(tx, standing.payout_id)
    outcome = GatewayOutcome("response", external_id=made.external_id, message="found by rearm")
    if fate is Fate.FREEZE:
        if payout.frozen_reason is not None:
            return Matched(made, fate, why)
        _freeze(tx, payout, row.attempt_id, outcome, f"{AFTER_FAILOVER}{why}")
    else:
        attempt_id = row.attempt_id
        if fate is Fate.RECORD:
            _take_back_what_was_said(tx, payout, made, actor)
            attempt_id = _mint_again(tx, payout, made, gateway, standing.last_n + 1)
            payout = sending_store.lock_payout(tx, payout.id)
        settle_success(tx, payout, sending_store.attempt(tx, attempt_id), outcome)
    audit.record(
        tx,
        actor,
        f"payout.rearmed_{fate.name.lower()}",
        merchant_id=account.merchant_id,
        subject_kind="payout",
        subject_id=payout.id,
        reason=why,
        before={"state": payout.state},
        after={"external_id": made.external_id, "attempt_key": made.key},
    )
    return Matched(made, fate, why)


def keep_from_paying(
    tx: Tx, account: Account, made: MadeTransfer, why: str, *, actor: Actor
) -> list[str]:
    """Block the payees whom a transfer paid for a payout that the database does not have; who they are.

    Their earnings are owed again, and the next run would pay them.
    """
    if made.destination is None or made.back >= made.amount:
        return []
    reason = (
        f"after a failover: {why} ({made.amount - made.back} {made.currency}); adjust what they are owed,"
        " resolve the difference, then unblock"
    )
    users = store.block_account(tx, account.merchant_id, account.method, made.destination, reason)
    for user in users:
        audit.record(
            tx,
            actor,
            "payee.blocked",
            merchant_id=account.merchant_id,
            subject_kind="payee",
            subject_id=user,
            reason=reason,
        )
    return users


def paid_nobody_known(tx: Tx, account: Account, made: MadeTransfer) -> bool:
    """Whether a transfer that has to keep those whom it paid from being paid again paid nobody who is known.

    Who gave this account, or was new, in the time that was forgotten is owed what they were paid, and nobody
    can tell who it is but a person.
    """
    if made.back >= made.amount:
        return False
    return made.destination is None or not store.has_payee(tx, account.method, made.destination)


def skip_numbers(tx: Tx, highest: int) -> int:
    """Give no payout a number again that the gateways know; returns how many are skipped."""
    return store.skip_numbers(tx, highest, NUMBERS_SKIPPED)


def lift(
    tx: Tx,
    *,
    server: str,
    since: datetime,
    uncompared: Sequence[tuple[Account, str]],
    compared_by_hand: Collection[str],
    evidence: str | None,
    actor: Actor,
) -> int:
    """Let sending go on from where the database is now; returns how many payouts had waited.

    ``since`` is from when on the books were matched. ``uncompared`` ways to pay, each with its reason, stay
    stopped by themselves, until theirs are. ``compared_by_hand``
    names those that rest on a person's word, with its ``evidence``. ``server`` is the one on which it was all
    recorded: raises DatabaseMoved on another one, which may have forgotten that, or the stop itself.
    """
    here = watermark.here(tx)
    if here != server:
        raise DatabaseMoved(server, here)
    in_force = store.stops(tx)
    before = {(row.merchant_id, row.method) for row in in_force}
    stay = {(a.merchant_id, a.method): (a, why) for a, why in uncompared}
    for account, why in stay.values():
        if (account.merchant_id, account.method) not in before:
            reason = f"{account.name} was not compared after a failover: {why}; {WHAT_TO_DO}"[:500]
            made = stops.put(
                tx,
                KIND,
                merchant_id=account.merchant_id,
                method=account.method,
                reason=reason,
                by=BY,
            )
            assert made is not None, "there was none of this reach"
            store.compare_from(tx, made.stop_id, since)
    waited = 0
    for row in in_force:
        if (row.merchant_id, row.method) in stay:
            continue
        lifted = stops.lift(
            tx, KIND, merchant_id=row.merchant_id, method=row.method, by=actor.id[:255]
        )
        assert lifted is not None, "it is locked"
        waited += stops.wake(tx, lifted.sentence)
        audit.record(
            tx,
            actor,
            "payouts.rearmed",
            merchant_id=row.merchant_id,
            subject_kind="payout_stop",
            subject_id=row.id,
            reason=evidence,
            before={"reason": row.reason, "server": watermark.own(tx)},
            after={
                "server": watermark.here(tx),
                "uncompared": sorted(a.name for a, _ in stay.values()),
                "compared_by_hand": sorted(compared_by_hand),
            },
        )
    watermark.move(tx)
    return waited


def _standing(
    tx: Tx, account: Account, made: MadeTransfer, installation: str
) -> tuple[Standing | None, Any]:
    if made.payout_id is None:
        return None, None
    row = store.standing(tx, account.method, made.payout_id, made.key)
    if row is None:
        return None, None
    standing = Standing(
        installation,
        row.merchant_id == account.merchant_id,
        row.id,
        row.state,
        row.frozen_reason is not None,
        row.amount,
        row.currency,
        row.destination,
        row.attempt,
        row.external_id,
        row.last_n,
        row.live,
    )
    return standing, row


def _take_back_what_was_said(tx: Tx, payout: Any, made: MadeTransfer, actor: Actor) -> None:
    """Somebody saw the payment at the gateway and said that it was made outside: it was this payout's own."""
    said = outside_store.proposal(tx, payout.id)
    if said is None:
        return
    outside_store.withdraw(tx, said.id, by=actor.id[:255])
    audit.record(
        tx,
        actor,
        "payout.outside_withdrawn",
        merchant_id=payout.merchant_id,
        subject_kind="payout",
        subject_id=payout.id,
        reason=f"{made.external_id} is an attempt of it that was forgotten",
        after={"reference": said.reference},
    )


def _mint_again(tx: Tx, payout: Any, made: MadeTransfer, gateway: Gateway, n: int) -> int:
    """The attempt as it must have been: it is not sent, for it has paid."""
    assert made.key is not None, "its key follows from the payout's attempts"
    facts = frozen(tx, payout.id)
    params = gateway.params(
        Order(
            installation=facts.installation,
            payout_id=payout.id,
            merchant_id=payout.merchant_id,
            key=made.key,
            amount=payout.amount,
            currency=payout.currency,
            destination=payout.destination,
        )
    )
    sending_store.move_payout(tx, payout.id, PayoutMove(payout.state, "sending", tried=1))
    minted = sending_store.insert_attempt(
        tx,
        merchant_id=payout.merchant_id,
        payout_id=payout.id,
        leg=LEG,
        n=n,
        key=made.key,
        params=params,
        params_hash=params_hash(params),
        api_version=gateway.api_version,
        platform_account=gateway.account,
        lease=None,
    )
    booking.send(tx, payout, minted.id, business_now(tx))
    attempt_id: int = minted.id
    return attempt_id


def _freeze(
    tx: Tx, payout: Any, attempt_id: int | None, outcome: GatewayOutcome, reason: str
) -> None:
    if attempt_id is not None:
        freeze(tx, payout, sending_store.attempt(tx, attempt_id), outcome, reason)
        return
    sending_store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            payout.state,
            frozen=reason,
            error_code=payout.error_code,
            error_message=payout.error_message,
        ),
    )
