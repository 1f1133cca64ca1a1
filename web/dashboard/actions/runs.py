"""Build, approve and reject payout runs. Who prepared one does not approve it; the database holds that too."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.money import is_currency
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout
from domain.payouts.service import approving
from domain.payouts.service.stopping import METHODS
from domain.payouts.store import policies
from domain.payouts.store import runs as store
from web.dashboard.actions.registry import Doing, NotAllowed, action, given

NAMESPACE: Final = "manual "
"""What the names of runs begin with that were started here."""
NAME_MAX: Final = 100


@action("run.start", "operator")
def start(
    doing: Doing,
    *,
    merchant_id: int,
    name: str,
    minimums: Mapping[str, int],
    methods: Sequence[str],
) -> str:
    """Have a worker build a run of what is due now; by the merchant's policy it is sent, or waits for a person.

    ``name`` is its key: who starts it again finds the run of the first time.
    """
    if not methods or not set(methods) <= set(METHODS):
        raise Invalid("method", f"is one of {', '.join(METHODS)}")
    if any(not is_currency(code) or least < 0 for code, least in minimums.items()):
        raise Invalid("minimum", "is a currency with an amount in minor units, as usd=1000")
    if not name.startswith(NAMESPACE) or len(name) > NAME_MAX:
        raise Invalid("name", f"begins with {NAMESPACE!r}: none of a schedule's runs does")
    with transaction(doing.engine) as tx:
        policy = policies.of(tx, merchant_id)
        if policy.approval == "never" and not doing.user.may("approver"):
            # Nobody would look at it again: whoever starts it lets the money go.
            raise NotAllowed(
                doing.user, "run.start of a merchant whose runs need no approval", "approver"
            )
        made = service.prepare(
            tx,
            merchant_id,
            name=name,
            as_of=None,
            minimums=minimums,
            methods=tuple(methods),
            actor=doing.actor,
        )
    waits = "" if policy.approval == "never" else " Another person may have to approve it then."
    return f"Run {made.run_id} is being built by a worker.{waits}"


@action("run.approve", "approver")
def approve(doing: Doing, *, merchant_id: int, run_id: int, seen: str) -> str:
    """Let a run be sent that somebody else prepared; ``seen`` is the hash of what was looked at."""
    try:
        hashed = bytes.fromhex(seen)
    except ValueError:
        raise Invalid("hash", "is the one that the run's page shows") from None
    with transaction(doing.engine) as tx:
        _of_merchant(tx, merchant_id, run_id)
        approving.approve(tx, run_id, actor=doing.actor, seen_hash=hashed)
    service.hand_over(doing.engine, run_id, rate=doing.context.rate)
    return f"Run {run_id} is approved; its payouts are being sent."


@action("run.reject", "approver")
def reject(doing: Doing, *, merchant_id: int, run_id: int, reason: str) -> str:
    """Cancel a run that waits for approval."""
    with transaction(doing.engine) as tx:
        _of_merchant(tx, merchant_id, run_id)
        approving.reject(tx, run_id, actor=doing.actor, reason=given(reason))
    approving.cancel_drafts(doing.engine, run_id)
    return f"Run {run_id} is rejected; its earnings can be claimed by the next run."


def _of_merchant(tx: Tx, merchant_id: int, run_id: int) -> None:
    row: Any = store.run(tx, run_id)
    if row is None or row.merchant_id != merchant_id:
        raise NoSuchPayout("run", run_id)
