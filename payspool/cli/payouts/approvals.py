"""`payspool payouts policy`, `runs`, `show`, `approve` and `reject`: who lets a run be sent."""

from typing import Annotated, Any

import typer

from domain.audit import service as audit
from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.money import format_minor, is_currency
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout
from domain.payouts.rules.approving import Limits
from domain.payouts.service import approving
from domain.payouts.store import listing, policies
from domain.payouts.store import runs as runs_store
from payspool.cli import session
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson, MerchantKey

RunId = Annotated[int, typer.Argument(metavar="RUN", help="its number in `payouts runs`")]
Minor = Annotated[int | None, typer.Option(min=0, help="minor units of --currency")]


@app.command(epilog="Example: payspool payouts policy acme --currency usd --auto-run 500000")
def policy(
    merchant: MerchantKey,
    approval: Annotated[
        str | None, typer.Option(help="never, above_limits or always needs a person")
    ] = None,
    approval_hours: Annotated[
        int | None, typer.Option(min=1, max=8760, help="how long a run can be approved")
    ] = None,
    cooling_off_hours: Annotated[
        int | None,
        typer.Option(min=0, max=8760, help="how long a new or changed destination waits"),
    ] = None,
    currency: Annotated[str | None, typer.Option(help="of the limits, as usd")] = None,
    auto_payout: Minor = None,
    auto_run: Minor = None,
    as_json: AsJson = False,
) -> None:
    """Show when a merchant's runs need a person, or set it. Limits are per currency.

    Setting a limit makes runs above it need one, unless --approval says otherwise.
    """
    limited = auto_payout is not None or auto_run is not None
    if limited != (currency is not None) or (currency and not is_currency(currency.lower())):
        raise Invalid("--currency", "goes with --auto-payout or --auto-run, and is one as usd")
    if approval not in (None, "never", "above_limits", "always"):
        raise Invalid("--approval", "is never, above_limits or always")
    with session.for_merchant(merchant) as (tx, found):
        before = policies.of(tx, found.id)
        if limited or any(x is not None for x in (approval, approval_hours, cooling_off_hours)):
            chosen = approval or ("above_limits" if limited else before.approval)
            policies.put(
                tx,
                found.id,
                chosen,
                approval_hours or before.approval_hours,
                before.cooling_off_hours if cooling_off_hours is None else cooling_off_hours,
            )
            if currency is not None:
                old = before.limits.get(currency.lower(), Limits())
                new = Limits(
                    old.auto_payout if auto_payout is None else auto_payout,
                    old.auto_run if auto_run is None else auto_run,
                )
                policies.put_limits(tx, found.id, currency.lower(), new)
            audit.record(
                tx,
                session.me(),
                "payout_policy.set",
                merchant_id=found.id,
                subject_kind="merchant",
                subject_id=found.id,
                before=before.as_json(),
                after=policies.of(tx, found.id).as_json(),
            )
        now = policies.of(tx, found.id)
    if as_json:
        session.emit_json(now.as_json())
        return
    session.say(f"A person approves: {now.approval}, within {now.approval_hours} hours.")
    if now.cooling_off_hours:
        session.say(f"A new or changed destination waits {now.cooling_off_hours} hours.")
    for code, limits in now.limits.items():
        for name, amount in (("payout", limits.auto_payout), ("run", limits.auto_run)):
            if amount is not None:
                session.say(f"  nobody has to up to {format_minor(amount, code)} a {name}")


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
    told: dict[str, Any] = {
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
    if as_json:
        session.emit_json(told | {"exclusions": [dict(each._mapping) for each in left]})
        return
    for name, value in told.items():
        if value is not None and name != "result":
            session.say(f"{name}: {value}")
    for currency, made in row.result.get("by_currency", {}).items():
        session.say(
            f"  {session.count(made['payouts'], 'payout')}, {format_minor(made['amount'], currency)}"
        )
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
        str | None, typer.Option("--hash", help="the hash that `show` printed; else the run's now")
    ] = None,
) -> None:
    """Let a run be sent that somebody else prepared."""
    with session.working() as rt:
        with transaction(rt.engine) as tx:
            found = merchants.get(tx, merchant)
            row = _run(tx, found.id, run)
            hashed = bytes(row.members_hash) if seen is None else _hash(seen)
            approving.approve(tx, run, actor=session.me(), seen_hash=hashed)
        service.hand_over(rt.engine, run, rate=rt.pace.rate)
    session.say(f"Run {run} is approved. Follow it with `payspool payouts list {merchant}`.")


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
            approving.reject(tx, run, actor=session.me(), reason=reason)
        approving.cancel_drafts(rt.engine, run)
    session.say(f"Run {run} is rejected; its earnings can be claimed by the next run.")


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
