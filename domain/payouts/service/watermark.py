"""The watermark: sending stops where the database may have forgotten what it had sent.

What is kept outside of the database is compared before each attempt is begun, in the statement that
begins it. Whoever finds a difference calls ``compare`` with what is kept outside by then; that puts the
stop, which `payspool payouts rearm` lifts.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.payouts.rules.stopping import Stop
from domain.payouts.rules.watermark import KEPT_ATTEMPTS, Mark, why_forgetful
from domain.payouts.store import rearming, stops
from domain.payouts.store import watermark as store

KIND: Final = "failover"
BY: Final = "the watermark"
WHAT_TO_DO: Final = "match what the gateways paid with `payspool payouts rearm`"
MARGIN: Final = timedelta(hours=1)
"""How long before the newest attempt that the database knows the gateways are looked through: clocks
that disagree, and attempts that ended in another order than they began."""
BEGINNING: Final = datetime(2010, 1, 1, tzinfo=UTC)
"""Before any payout."""
WORKER: Final = Actor("worker", "payouts.watermark")


def compare(tx: Tx, mark: Mark | None) -> Stop | None:
    """The stop of a database that may have forgotten attempts, put now if need be; None if it has not.

    ``mark`` is what is kept outside; None: nothing is, and the database's own word alone is compared. A
    database that never sent learns where it is.
    """
    present = in_force(tx)
    if present is not None:
        return present
    missing = store.missing(tx, () if mark is None else mark.attempts)
    why = why_forgetful(here=store.here(tx), own=store.own(tx), mark=mark, missing=missing)
    if why is None:
        store.learn(tx)
        return None
    reason = f"{why}; {WHAT_TO_DO}"
    made = stops.put(tx, KIND, merchant_id=None, method=None, reason=reason, by=BY)
    if made is None:
        return in_force(tx)
    newest = rearming.newest_attempt_at(tx)
    rearming.compare_from(tx, made.stop_id, BEGINNING if newest is None else newest - MARGIN)
    audit.record(
        tx,
        WORKER,
        "payouts.stopped",
        merchant_id=None,
        subject_kind="payout_stop",
        subject_id=made.stop_id,
        reason=reason,
    )
    return made


def in_force(tx: Tx) -> Stop | None:
    """The stop of all payouts after a failover; or None."""
    return stops.of_all(tx, KIND)


def present(tx: Tx) -> Mark:
    """What is to be kept outside, as the database has it: where it is, and its newest attempts."""
    return Mark(store.here(tx), store.newest(tx, KEPT_ATTEMPTS))
