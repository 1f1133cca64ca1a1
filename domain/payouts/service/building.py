"""From earnings to a frozen run: claim shard by shard, freeze, and once it is approved ask for the sends.

Each step is one transaction that leaves the run resumable: killed anywhere and called again, it ends in
the same payouts. Any number of builders may work on one run; they take turns.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from domain.db import Tx, transaction
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts.errors import RunChangesTooFast, ShardChanged
from domain.payouts.rules import EMPTY_RUN_HASH
from domain.payouts.rules.approving import signature
from domain.payouts.rules.attempts import LOST_AFTER
from domain.payouts.rules.pacing import pace_delay
from domain.payouts.service import approving
from domain.payouts.service.claiming import (
    SHARD,
    STALLED,
    RunSpec,
    claim_one,
    claim_shard,
    limit_day,
)
from domain.payouts.store import approving as approving_store
from domain.payouts.store import policies, taking_up
from domain.payouts.store import runs as store

MAX_SHARD_TRIES: Final = 5
"""Tries of a shard whose earnings change between the decision and the claim."""

ONE_BUSY_SECONDS: Final = 2.0
LAST_PASS_SECONDS: Final = 30.0
"""How long the last pass waits for one locked account, and for all of them."""

ERRORS_SHOWN: Final = 100
"""Errors that a run's result lists."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run made: payouts created, payees and currencies skipped, errors; and why, and how much.

    ``by_currency``: number and sum in minor units of the payouts, ``{"usd": {"payouts": …, "amount": …}}``.
    """

    run_id: int
    state: str
    created: int
    skipped: int
    errors: list[str]
    reasons: dict[str, int]
    by_currency: dict[str, dict[str, int]]


def build_run(
    engine: Engine,
    spec: RunSpec,
    *,
    rate: float = 0.0,
    on_progress: Callable[[int], None] | None = None,
) -> RunResult:
    """Build and freeze a run, and ask for its sends; a repeated call resumes or tells.

    A run that a person has to approve stops at `pending_approval`, and is handed over once it is.

    ``rate`` is how many payouts a second are asked for (0: all at once).
    ``on_progress`` is called after each shard with the number of accounts looked at so far by this
    call. Raises RunChangesTooFast if a shard could not be claimed in MAX_SHARD_TRIES tries.
    """
    with transaction(engine) as tx:
        run_id = open_run(tx, spec)
    return finish_run(engine, run_id, rate=rate, on_progress=on_progress)


def open_run(tx: Tx, spec: RunSpec) -> int:
    """Open the run of this name and time under the merchant's present policy; the id of the one that is
    there if it was opened before. Whoever calls it, or the sweep, then finishes it (`finish_run`)."""
    return store.open_run(
        tx,
        merchant_id=spec.merchant_id,
        name=spec.name,
        as_of=spec.as_of,
        minimums=spec.minimums,
        methods=spec.methods,
        prepared_by=signature(spec.prepared_by or spec.name),
        policy=policies.of(tx, spec.merchant_id).as_json(),
        limit_day=limit_day(tx),
        look=STALLED,
        empty_hash=EMPTY_RUN_HASH,
    )


def finish_run(
    engine: Engine,
    run_id: int,
    *,
    rate: float = 0.0,
    on_progress: Callable[[int], None] | None = None,
) -> RunResult:
    """Take a run as far as it goes without a person, from wherever it stands: build and freeze it, hand it
    over if it is approved, cancel its payouts if it is rejected. Parameters and errors as of `build_run`."""
    looked_at = 0
    while (count := _claim_next_shard(engine, run_id)) > 0:
        looked_at += count
        if on_progress:
            on_progress(looked_at)
    _claim_busy(engine, run_id)
    with transaction(engine) as tx:
        _freeze(tx, run_id)
    with transaction(engine) as tx:
        approving.open_approval(tx, run_id)
    hand_over(engine, run_id, rate=rate)
    approving.cancel_drafts(engine, run_id)
    with transaction(engine) as tx:
        return run_result(tx, run_id)


def run_result(tx: Tx, run_id: int) -> RunResult:
    """What a run made, as it was when it was frozen (empty before)."""
    run = store.run(tx, run_id)
    result = run.result
    return RunResult(
        run_id=run_id,
        state=run.state,
        created=result.get("created", 0),
        skipped=result.get("skipped", 0),
        errors=result.get("errors", []),
        reasons=result.get("reasons", {}),
        by_currency=result.get("by_currency", {}),
    )


def _claim_next_shard(engine: Engine, run_id: int) -> int:
    """Claim the next shard; returns how many accounts were looked at, 0 when there are no more."""
    for _ in range(MAX_SHARD_TRIES):
        try:
            with transaction(engine) as tx:
                return claim_shard(tx, run_id)
        except ShardChanged:
            continue
    raise RunChangesTooFast(run_id, MAX_SHARD_TRIES)


def _claim_busy(engine: Engine, run_id: int) -> None:
    """The last pass: wait a little for accounts that were locked; what is locked still stays busy."""
    deadline = time.monotonic() + LAST_PASS_SECONDS
    after = 0
    while True:
        with transaction(engine) as tx:
            ids = store.busy_accounts(tx, run_id, after, SHARD)
        if not ids:
            return
        for account_id in ids:
            wait = min(ONE_BUSY_SECONDS, max(deadline - time.monotonic(), 0.001))
            try:
                with transaction(engine) as tx:
                    claim_one(tx, run_id, account_id, wait)
            except (OperationalError, ShardChanged) as error:
                if isinstance(error, OperationalError) and not _is_lock_timeout(error):
                    raise
        after = ids[-1]


def _is_lock_timeout(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "55P03"


def _freeze(tx: Tx, run_id: int) -> None:
    run = store.lock_run(tx, run_id)
    if run.state != "building":
        return
    by_currency = store.made_by_currency(tx, run_id)
    reasons = store.exclusion_reasons(tx, run_id)
    errors = [
        f"busy: {row.user_id} ({row.currency}) was held by another writer; the next run looks again"
        for row in store.busy_payees(tx, run_id, ERRORS_SHOWN)
    ]
    store.freeze_run(
        tx,
        run_id,
        {
            "created": sum(made["payouts"] for made in by_currency.values()),
            "skipped": sum(reasons.values()) - reasons.get("busy", 0),
            "errors": errors,
            "reasons": reasons,
            "by_currency": by_currency,
        },
        needs_approval=approving.needs_approval(tx, run),
    )


def ask_to_finish(tx: Tx, merchant_id: int, run_id: int) -> None:
    """Ask a worker to take a run further (`finish_run`), in the transaction that makes this possible."""
    outbox.emit(
        tx, [OutboxMessage("sweeps", "payouts.finish_run", {"run_id": run_id}, merchant_id)]
    )


def tend_runs(engine: Engine, *, rate: float = 0.0) -> None:
    """Reject runs that nobody approved in time, and finish what was interrupted: ask for runs whose
    builder is gone, hand over what was approved, and cancel what was rejected."""
    approving.expire(engine)
    with transaction(engine) as tx:
        for run in taking_up.take_stalled(tx, STALLED):
            ask_to_finish(tx, run.merchant_id, run.id)
        unfinished = approving_store.unfinished(tx)
    for run in unfinished:
        if run.state == "approved":
            hand_over(engine, run.id, rate=rate)
        else:
            approving.cancel_drafts(engine, run.id)


def hand_over(engine: Engine, run_id: int, *, rate: float = 0.0) -> None:
    """Ask for the sends of an approved run, shard by shard; a repeated call resumes, any other run is left.

    They are asked for ``rate`` a second (0: all at once), so that the queue is free for other runs between;
    after what the merchant's other runs have asked for, so that two of them do not fill it twice as fast.
    """
    asked: int | None = 0
    if rate:
        with transaction(engine) as tx:
            asked = taking_up.asked_for(tx, run_id)
    while asked is not None:
        with transaction(engine) as tx:
            asked = _hand_over(tx, run_id, asked, rate)


def _hand_over(tx: Tx, run_id: int, asked: int, rate: float) -> int | None:
    """Approve the next payouts and ask for their sends, together, after ``asked`` others; returns how
    many are asked for by now, None if there are no more."""
    run = store.lock_run(tx, run_id)
    if run.state != "approved":
        return None
    # None is taken for lost before the last of them was asked for.
    after_all = timedelta(seconds=pace_delay(asked + SHARD, rate))
    ids = store.approve_drafts(tx, run_id, SHARD, LOST_AFTER + after_all)
    if ids:
        outbox.emit(
            tx,
            [
                OutboxMessage(
                    "payouts",
                    "payouts.send",
                    {"payout_id": payout_id},
                    run.merchant_id,
                    delay_seconds=pace_delay(n, rate),
                )
                for n, payout_id in enumerate(ids, asked)
            ],
        )
        return asked + len(ids)
    store.move_run(tx, run_id, "approved", "sending")
    store.settle_runs(tx, run_id)
    return None
