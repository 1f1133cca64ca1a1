"""`payspool payouts`: reconcile with Stripe's books, and work off what differs."""

from typing import Annotated

import typer

from domain.db import transaction
from domain.merchants import service as merchants
from domain.money import format_minor
from domain.payouts.service import reconciling
from domain.payouts.store import differences as store
from payspool.cli import session
from payspool.cli.payouts.runs import app, audit_schedule
from payspool.cli.session import AsJson, MerchantKey
from payspool.cli.times import utc
from payspool.installing import reconciliation_schedule
from workers.reconciling import reconcile as run_reconciliation

_COLUMNS = [
    "id",
    "kind",
    "day",
    "currency",
    "subject",
    "payout_id",
    "external_id",
    "ours",
    "theirs",
]
_COLUMNS += ["state"]


@app.command(epilog="Example: payspool payouts reconcile acme --from 2026-06-01 --to 2026-07-01")
def reconcile(
    merchant: MerchantKey,
    from_: Annotated[
        str | None, typer.Option("--from", help="first day or time, UTC; where the last one ended")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="day or time, UTC, not included; an hour ago")
    ] = None,
    daily: Annotated[bool, typer.Option("--daily", help="only schedule it, for every day")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare payouts and ledger with Stripe's balance transactions. Moves no money.

    Stopped in the middle, the next one goes on from there.
    """
    _, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        if daily:
            reconciliation_schedule(tx, found)
            audit_schedule(
                tx, found.id, "reconciliation_schedule.set", f"payouts.reconcile/{merchant}"
            )
    if daily:
        session.say("Scheduled daily; `payspool schedule list` shows the next one.")
        return
    with session.errors.status("Reading Stripe's books") as status:
        report = run_reconciliation(
            rt,
            found.id,
            from_at=utc("--from", from_),
            to_at=utc("--to", to),
            clock_may_move=rt.sandbox,
            on_progress=lambda lines: status.update(f"Reading Stripe's books: {lines:,} lines"),
        )
    if as_json:
        session.emit_json(report)
        return
    session.say(
        f"{session.count(report['transactions'], 'line')} of Stripe's books, {report['from'][:16]} to"
        f" {report['to'][:16]} UTC."
    )
    for row in report["books"]:
        fee = f", fees {format_minor(row['fee'], row['currency'])}" if row["fee"] else ""
        amount = format_minor(row["amount"], row["currency"])
        session.say(f"  {row['type']}: {row['lines']:,}, {amount}{fee}")
    for row in report["in_flight"]:
        amount = format_minor(row["amount"], row["currency"])
        session.say(f"  in flight here, outcome not known yet: {row['attempts']:,}, {amount}")
    for payout in report["stopped_payouts"]:
        session.say(
            f"  Payout {payout} is stopped: money moved for it that it does not account for."
        )
    if not report["open"]:
        session.say("No difference is open.")
        return
    kinds = ", ".join(f"{number} {kind}" for kind, number in report["open"].items())
    session.say(f"Open differences: {kinds}. `payspool payouts differences {merchant}` shows them.")


@app.command(epilog="Example: payspool payouts differences acme --all")
def differences(
    merchant: MerchantKey,
    all_: Annotated[bool, typer.Option("--all", help="resolved ones too")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List what Stripe's books and ours do not agree on, newest first; amounts in minor units."""
    with session.for_merchant(merchant) as (tx, found):
        rows = store.listing(tx, found.id, resolved=all_, limit=limit)
    more = ["first_seen", "last_seen"] if as_json else []
    done = ["resolved_by", "resolved_at", "resolved_note"] if as_json or all_ else []
    session.show(
        rows,
        [*_COLUMNS, *more, *done],
        as_json=as_json,
        empty=f"No difference is open. `payspool payouts reconcile {merchant}` looks for them now.",
    )


@app.command(
    "resolve-difference",
    epilog="Example: payspool payouts resolve-difference acme 7 --note 'paid by hand, invoice 12'",
)
def resolve_difference(
    merchant: MerchantKey,
    difference: Annotated[int, typer.Argument(metavar="ID", help="its number in the list")],
    note: Annotated[str, typer.Option(help="what explains it; kept with it")],
) -> None:
    """Close a difference that you have explained. A payout that it stopped stays stopped."""
    with session.for_merchant(merchant) as (tx, found):
        reconciling.resolve_difference(tx, found.id, difference, note=note, actor=session.me())
    session.say(f"Difference {difference} is resolved.")
