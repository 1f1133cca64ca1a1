"""Use cases of reconciliation: take up a run, keep a page of the gateway's books, compare, resolve."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.clock import real_now
from domain.db import Tx
from domain.errors import Invalid
from domain.installation import installation_code
from domain.payouts.books import BooksPage
from domain.payouts.errors import NoSuchDifference
from domain.payouts.rules.words import said
from domain.payouts.store import differences
from domain.payouts.store import reconciliation as store

CUT_OFF: Final = timedelta(hours=1)
"""How long ago the books are read up to by default: what is younger may still be on its way."""
OVERLAP: Final = timedelta(days=1)
"""How much is read again each time: a line that was shown late is found all the same."""
CLOCKS_APART: Final = timedelta(minutes=5)
"""How far the gateway's clock may be from ours."""
BEGINNING: Final = datetime(2010, 1, 1, tzinfo=UTC)
"""Before any payout: where the first reconciliation of an account begins."""


@dataclass(frozen=True, slots=True)
class Window:
    """What to reconcile, by the gateway's clock; None: from where the last one ended, until an hour ago.

    ``newest`` is the time of the newest line there, which counts where the gateway's clock may be moved
    (the sandbox); None where it cannot.
    """

    from_at: datetime | None = None
    to_at: datetime | None = None
    newest: datetime | None = None


def take_up(tx: Tx, merchant_id: int, method: str, account: str, window: Window) -> Any:
    """The reconciliation that was interrupted, or a new one of ``window``. Raises Invalid if it is empty."""
    present = store.running(tx, merchant_id, method, account)
    if present is not None:
        return present
    now = real_now(tx)
    until = store.read_until(tx, merchant_id, method, account)
    follows = BEGINNING if until is None else until - OVERLAP
    to_at, settled_before = window.to_at or now - CUT_OFF, now
    if window.newest is not None:
        to_at = window.to_at or max(to_at, window.newest + timedelta(seconds=1))
        if to_at <= window.newest:
            # Our attempts have no time of that clock: any may have made a line that is not read.
            settled_before = BEGINNING
    else:
        settled_before = min(now, to_at - CLOCKS_APART)
    from_at = window.from_at or min(follows, to_at - OVERLAP)
    if from_at >= to_at:
        raise Invalid("--to", f"{to_at:%Y-%m-%d %H:%M} is not after {from_at:%Y-%m-%d %H:%M} (UTC)")
    store.begin(
        tx,
        (merchant_id, method, account),
        (from_at, to_at),
        settled_before=settled_before,
        continues=from_at <= follows,
    )
    return store.running(tx, merchant_id, method, account)


def keep_page(tx: Tx, run: Any, after: str | None, page: BooksPage) -> Any:
    """Keep a page that was read after the line ``after``, and move on; returns the run as it is now.

    Somebody else may have read it too: the lines are kept once, and the run moves on once.
    """
    store.mirror(tx, run.merchant_id, run.method, run.platform_account, page.lines)
    last = page.lines[-1].external_id if page.lines else None
    store.advance(tx, run.id, after, last, len(page.lines), end=not page.more or not page.lines)
    return store.find(tx, run.id)


def compare(tx: Tx, run_id: int) -> dict[str, Any]:
    """Compare what was read with our attempts and ledger: differences become rows; returns the report.

    A payout that was paid twice, or by an attempt that was given up, is stopped.
    """
    run = store.lock(tx, run_id)
    if run.state == "done":
        done: dict[str, Any] = run.result
        return done
    since = differences.compare_from(tx, run)
    differences.raise_found(tx, run, since=since, installation=installation_code(tx))
    gone = differences.resolve_gone(tx, run, since=since)
    stopped = differences.freeze_doubtful(tx, run)
    for payout in stopped:
        audit.record(
            tx,
            Actor("worker", "reconciliation"),
            "payout.stopped",
            merchant_id=run.merchant_id,
            subject_kind="payout",
            subject_id=payout.id,
            reason=payout.frozen_reason,
        )
    result = {
        "from": run.from_at.isoformat(),
        "to": run.to_at.isoformat(),
        "transactions": run.transactions,
        "books": [
            {
                "currency": row.currency,
                "type": row.type,
                "lines": row.lines,
                "amount": int(row.amount),
                "fee": int(row.fee),
            }
            for row in store.sums(tx, run)
        ],
        "in_flight": [
            {"currency": row.currency, "attempts": row.attempts, "amount": int(row.amount)}
            for row in store.in_flight(tx, run)
        ],
        "open": differences.open_by_kind(tx, run.merchant_id),
        "no_longer_shown": gone,
        "stopped_payouts": [payout.id for payout in stopped],
    }
    store.finish(tx, run.id, result)
    return result


def resolve_difference(
    tx: Tx, merchant_id: int, difference_id: int, *, note: str, actor: Actor
) -> None:
    """Close a difference that a person has explained. It stays closed while it looks the same.

    Raises Invalid without a note, NoSuchDifference if it is not open.
    """
    note = said("--note", note, "say what explains it")
    row = differences.resolve(tx, merchant_id, difference_id, by=actor.id, note=note)
    if row is None:
        raise NoSuchDifference(difference_id)
    audit.record(
        tx,
        actor,
        "payout_difference.resolved",
        merchant_id=merchant_id,
        subject_kind="payout_difference",
        subject_id=difference_id,
        reason=note,
        before={"kind": row.kind, "subject": row.subject, "ours": row.ours, "theirs": row.theirs},
    )
