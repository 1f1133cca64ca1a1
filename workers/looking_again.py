"""Looks again at rewards after a payee's destination changed, and forgets what limits counted long ago."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine

from domain import clock
from domain.db import transaction
from domain.loyalty.service import velocity_desk as velocity
from domain.payouts import service as payouts
from domain.referrals import service as referrals
from workers.context import Runtime
from workers.registry import actor
from workers.sweeps import sweep

PAYEES: Final = 200
"""Payees of one page: what is done of them is noted together."""


def look_again(engine: Engine, merchant_id: int | None = None) -> dict[str, int]:
    """Look who shares the destinations that changed, and hold what those earned by one another; of one
    merchant or of all. Returns how many payees it looked at, and how many conversions it held.

    Each transaction is bounded. Killed anywhere, or run beside itself, it looks again and holds nothing twice.
    """
    looked = held = after = 0
    while True:
        with transaction(engine) as tx:
            looks = payouts.to_look(tx, merchant_id, after=after, limit=PAYEES)
            shared = payouts.not_alone(tx, looks)
        if not looks:
            return {"looked": looked, "held": held}
        for look in shared:
            held += _look(engine, look)
        # In a transaction of its own: who changes a payee has its note locked before the payable accounts.
        with transaction(engine) as tx:
            payouts.looked(tx, looks)
        looked, after = looked + len(looks), looks[-1].payee_id


def look_before_run(engine: Engine, merchant_id: int | None = None) -> None:
    """Look again before a run claims anything; twice, for the first look is of little use to a batch that was
    under way. What changes from now on, or cannot be settled yet, the run leaves to the next one."""
    for _ in range(2):
        look_again(engine, merchant_id)


def _look(engine: Engine, look: payouts.Look) -> int:
    held, payee = 0, 0
    while True:
        with transaction(engine) as tx:
            others, following = payouts.sharers(tx, look, payee)
        if following is None:
            return held
        payee, tracking = following, 0
        while others:
            with transaction(engine) as tx:
                now = clock.business_now(tx)
                new, last = referrals.hold_shared(
                    tx, look.merchant_id, look.user_id, others, now, tracking
                )
            held += new
            if last is None:
                break
            tracking = last


@actor("referrals.look_again", queue="sweeps")
def look_again_sweep(rt: Runtime, name: str, fire_at: str) -> None:
    """Look at the payees whose destination changed."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        return look_again(rt.engine)

    sweep(rt, name, fire_at, body)


@actor("referrals.forget_counts", queue="sweeps")
def forget_counts(rt: Runtime, name: str, fire_at: str) -> None:
    """Forget counts of conversions, and of what cards did, some in each transaction. Those are of business time, which may be
    simulated: each transaction reads it."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        forgotten = 0
        while True:
            with transaction(rt.engine) as tx:
                now = clock.business_now(tx)
                done = referrals.forget_counts(tx, now) + velocity.forget_counts(tx, now)
            if not done:
                return {"forgotten": forgotten}
            forgotten += done

    sweep(rt, name, fire_at, body)
