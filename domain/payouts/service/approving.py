"""Approval of a run: by another person than the one who prepared it, of what they saw, and in time.

Who, what and until when are kept by the database as well (the trigger guard_approval, and a check that
the approved hash is the run's).
"""

from typing import Any, Final

from sqlalchemy import Engine

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.payouts.errors import NoSuchPayout, NotApprovable
from domain.payouts.rules import EMPTY_RUN_HASH, extend_run_hash, members_hash
from domain.payouts.rules.approving import AUTOMATIC, policy_from, signature
from domain.payouts.rules.approving import needs_approval as person_needed
from domain.payouts.rules.words import said
from domain.payouts.service import canceling
from domain.payouts.store import approving as store
from domain.payouts.store import runs as run_store

PAGE: Final = 500
"""Payouts that are looked at in one statement."""
SHARD: Final = 2_000
"""Payouts that are canceled in one transaction, as they were claimed."""
EXPIRED: Final = "nobody approved it in time"
SWEEPER: Final = Actor("worker", "payouts.sweep")


def needs_approval(tx: Tx, run: Any) -> bool:
    """Whether a person has to approve a run that is built, by the policy that it was opened with."""
    return person_needed(policy_from(run.policy), store.made(tx, run.id))


def open_approval(tx: Tx, run_id: int) -> None:
    """Approve a frozen run that needs no person, or let it wait for one."""
    run = run_store.lock_run(tx, run_id)
    if run.state != "frozen":
        return
    if run.needs_approval:
        store.await_approval(tx, run_id, policy_from(run.policy).approval_hours)
    else:
        store.approve(tx, run_id, by=AUTOMATIC, approved_hash=bytes(run.members_hash))


def approve(tx: Tx, run_id: int, *, actor: Actor, seen_hash: bytes) -> None:
    """Approve a run whose hash is ``seen_hash``; its payouts are then handed over (`hand_over`).

    What is in it is read again, and has to be what was frozen; payouts that were canceled in between
    stay so. Raises NoSuchPayout, or NotApprovable with the reason.
    """
    run = _lock(tx, run_id)
    if run.state != "pending_approval":
        raise NotApprovable(run_id, f"it is {run.state}")
    name = signature(actor.id)
    if name == AUTOMATIC:
        raise NotApprovable(run_id, "a person has to approve it")
    if name == run.prepared_by:
        raise NotApprovable(run_id, f"{name} prepared it; another person has to approve it")
    if run_store.approval_is_over(tx, run_id):
        raise NotApprovable(
            run_id, f"it could be approved until {run.approval_expires_at:%F %R %Z}"
        )
    if seen_hash != bytes(run.members_hash):
        raise NotApprovable(
            run_id, f"its hash is {bytes(run.members_hash).hex()}; look at it again"
        )
    _check_members(tx, run)
    store.approve(tx, run_id, by=name, approved_hash=seen_hash)
    _record(tx, actor, "payout_run.approved", run, None)


def reject(tx: Tx, run_id: int, *, actor: Actor, reason: str) -> None:
    """Reject a run that waits for approval; its payouts are then canceled (`cancel_drafts`).

    Raises NoSuchPayout, Invalid without a reason, NotApprovable if it does not wait.
    """
    reason = said("reason", reason, "say why")
    run = _lock(tx, run_id)
    if run.state != "pending_approval":
        raise NotApprovable(run_id, f"it is {run.state}")
    store.reject(tx, run_id, by=signature(actor.id), reason=reason)
    _record(tx, actor, "payout_run.rejected", run, reason)


def cancel_drafts(engine: Engine, run_id: int) -> None:
    """Cancel what a rejected run would have paid, so that the next run can pay it; repeating it resumes.

    Shard by shard, each in a few statements and a transaction of its own: killed anywhere, what is
    canceled is canceled whole, and the sweep does the rest.
    """
    while True:
        with transaction(engine) as tx:
            run = run_store.run(tx, run_id)
            if run.state != "rejected":
                return
            found = store.drafts(tx, run_id, SHARD)
            if not found:
                return
            canceling.cancel_all(tx, found, reason=f"run rejected: {run.reject_reason}")


def expire(engine: Engine) -> list[int]:
    """Reject the runs that nobody approved in time; returns them."""
    with transaction(engine) as tx:
        over = store.expired(tx)
    for run_id in over:
        with transaction(engine) as tx:
            if run_store.lock_run(tx, run_id).state == "pending_approval":
                reject(tx, run_id, actor=SWEEPER, reason=EXPIRED)
    return over


def _lock(tx: Tx, run_id: int) -> Any:
    run = run_store.lock_run(tx, run_id)
    if run is None:
        raise NoSuchPayout("run", run_id)
    return run


def _check_members(tx: Tx, run: Any) -> None:
    """Compute the hash anew from the rows: payouts, and the earnings in those that are not canceled.

    The chain follows the order in which payouts were made, which is that of their ids.
    """
    run_hash, after = EMPTY_RUN_HASH, 0
    while page := store.members(tx, run.id, after, PAGE):
        for row in page:
            if row.state == "canceled":
                continue
            assert row.digest is not None, f"payout {row.id} has members"
            now = members_hash(
                bytes(row.digest),
                amount=row.amount,
                currency=row.currency,
                destination=row.destination,
            )
            if now != bytes(row.members_hash) or row.summed != row.amount:
                raise NotApprovable(run.id, f"payout {row.id} is not what was frozen; reject it")
        run_hash = extend_run_hash(run_hash, ((row.id, bytes(row.members_hash)) for row in page))
        after = page[-1].id
    if run_hash != bytes(run.members_hash):
        raise NotApprovable(run.id, "its payouts are not those that were frozen; reject it")


def _record(tx: Tx, actor: Actor, action: str, run: Any, reason: str | None) -> None:
    audit.record(
        tx,
        actor,
        action,
        merchant_id=run.merchant_id,
        subject_kind="payout_run",
        subject_id=run.id,
        reason=reason,
        after={"hash": bytes(run.members_hash).hex()},
    )
