"""`payspool payouts runs`, `show`, `approve` and `reject`: who lets a run be sent."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.money import format_minor
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout
from domain.payouts.service import approving
from domain.payouts.store import listing
from domain.payouts.store import runs as runs_store
from payspool.cli import session
from payspool.cli.identity import APPROVE
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson, MerchantKey

RunId = Annotated[int, typer.Argument(metavar="RUN", help="its number in `payouts runs`")]


@app.command("runs", epilog="Example: payspool payouts runs acme")
def runs_(
    merchant: MerchantKey,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    with session.for_merchant(merchant) as (tx, found):
        rows = listing.runs(tx, found.id, limit)
    session.show(
        rows,
        ["id", "name", "as_of", "state", "prepared_by", "approved_by", "approval_expires_at"],
        as_json=as_json,
        empty=f"No runs. `payspool payouts preview {merchant}` shows who is owed what.",
    )


@app.command(epilog="Example: payspool payouts show acme 12")
def show(merchant: MerchantKey, run: RunId, as_json: AsJson = False) -> None:
    """Show what a run pays and leaves, its hash, and who prepared, approved or rejected it."""
    with session.for_merchant(merchant) as (tx, found):
        row = _run(tx, found.id, run)
        left = listing.exclusions(tx, run, 1_000)
    told = _told(row)
    if as_json:
        session.emit_json(told | {"exclusions": [dict(each._mapping) for each in left]})
        return
    _tell(told)
    session.show(
        left,
        ["user_id", "amount", "currency", "reason", "detail"],
        as_json=False,
        empty="Nobody was left out.",
    )


@app.command(epilog="Example: payspool payouts approve acme 12 --hash 5f1c…")
def approve(
    merchant: MerchantKey,
    run: RunId,
    seen: Annotated[
        str | None, typer.Option("--hash", help="the hash that `show` printed: what is approved")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="show it, and do not ask")] = False,
) -> None:
    """Let a run be sent that somebody else prepared.

    Without --hash it is shown first, and approved is what was shown. Who approves is the account that
    logged in, or the holder of PAYSPOOL_OPERATOR_KEY.
    """
    with session.working() as rt:
        hashed = _shown(rt.engine, merchant, run, yes=yes) if seen is None else _hash(seen)
        with transaction(rt.engine) as tx:
            found = merchants.get(tx, merchant)
            _run(tx, found.id, run)
            who = session.operator(tx, found, APPROVE)
            approving.approve(tx, run, actor=who, seen_hash=hashed)
        service.hand_over(rt.engine, run, rate=rt.pace.rate)
    session.say(f"Run {run} is approved. Follow it with `payspool payouts list {merchant}`.")


def _shown(engine: Engine, merchant: str, run: int, *, yes: bool) -> bytes:
    """Show a run to a person, and let them say that this is what they approve; its hash."""
    if not session.interactive():
        raise Invalid(
            "--hash", "say what you approve: the hash that `payspool payouts show` prints"
        )
    with transaction(engine) as tx:
        found = merchants.get(tx, merchant)
        row = _run(tx, found.id, run)
    _tell(_told(row))
    for reason, count in row.result.get("reasons", {}).items():
        session.say(f"  {count} left out: {reason}")
    if not yes and not typer.confirm("Approve exactly this?"):
        raise typer.Exit(1)
    return bytes(row.members_hash)


@app.command(epilog="Example: payspool payouts reject acme 12 --reason 'May was paid by hand'")
def reject(
    merchant: MerchantKey,
    run: RunId,
    reason: Annotated[str, typer.Option(help="kept with the run")],
) -> None:
    """Cancel a run that waits for approval; the next run pays its earnings."""
    with session.working() as rt:
        with transaction(rt.engine) as tx:
            found = merchants.get(tx, merchant)
            _run(tx, found.id, run)
            who = session.operator(tx, found, APPROVE)
            approving.reject(tx, run, actor=who, reason=reason)
        approving.cancel_drafts(rt.engine, run)
    session.say(f"Run {run} is rejected; its earnings can be claimed by the next run.")


def _told(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "as_of": row.as_of,
        "prepared_by": row.prepared_by,
        "needs_approval": row.needs_approval,
        "approval_expires_at": row.approval_expires_at,
        "approved_by": row.approved_by,
        "rejected_by": row.rejected_by,
        "reject_reason": row.reject_reason,
        "hash": bytes(row.members_hash).hex(),
        "result": row.result,
    }


def _tell(told: Mapping[str, Any]) -> None:
    for name, value in told.items():
        if value is not None and name != "result":
            session.say(f"{name}: {value}")
    for currency, made in told["result"].get("by_currency", {}).items():
        session.say(
            f"  {session.count(made['payouts'], 'payout')}, {format_minor(made['amount'], currency)}"
        )


def _run(tx: Tx, merchant_id: int, run_id: int) -> Any:
    """Raises NoSuchPayout unless the run is this merchant's."""
    row = runs_store.run(tx, run_id)
    if row is None or row.merchant_id != merchant_id:
        raise NoSuchPayout("run", run_id)
    return row


def _hash(given: str) -> bytes:
    try:
        return bytes.fromhex(given)
    except ValueError:
        raise Invalid("--hash", "is the hash that `payspool payouts show` prints") from None
