"""`payspool payouts export` and `mark-paid`: payouts by bank file."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.db import transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.money import format_minor
from domain.payouts import service
from domain.payouts.service import bank_files
from domain.payouts.service.bank_files import BankFile
from payspool import runtime
from payspool.bank_desk import Desk
from payspool.cli import session
from payspool.cli.payouts.runs import PayoutId, app, audit_payout, of_merchant
from payspool.cli.session import AsJson, MerchantKey


@app.command(epilog="Example: payspool payouts export acme 12 --format pain.001 --out june.xml")
def export(
    merchant: MerchantKey,
    run: Annotated[int, typer.Argument(metavar="RUN", help="its number, as `run` told it")],
    out: Annotated[
        Path | None, typer.Option(help="the file to write; needed without --dry-run")
    ] = None,
    format: Annotated[str, typer.Option(help="csv, or pain.001 (ISO 20022 XML)")] = bank_files.CSV,
    execute_on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="of a pain.001; the next working day by default"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say it, and change nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the bank file of a run's manual payouts. Again: the same file, and who exported it.

    What the format does not carry is named and left; another export takes it. Ends with 1 if that is all.
    """
    if out is None and not dry_run:
        raise Invalid("--out", "names the file to write; or give --dry-run")
    settings, rt = session.build()
    on = None if execute_on is None else execute_on.date()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
    made = Desk(rt, runtime.secret_box(settings)).export(
        found.id, run, actor=session.me(), format=format, on=on, dry_run=dry_run
    )
    # Committed first: if it cannot be written, the same command gives the same file again.
    if out is not None and not dry_run and made.file_id is not None:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made.content)
    if as_json:
        session.emit_json(_told(made, dry_run=dry_run))
    else:
        _say(made, out, dry_run=dry_run)
    if made.file_id is None and made.left:
        raise typer.Exit(1)


def _told(made: BankFile, *, dry_run: bool) -> dict[str, Any]:
    return {
        # A number that was only tried is another one's later.
        "file_id": None if dry_run and not made.again else made.file_id,
        "dry_run": dry_run,
        "again": made.again,
        "created_by": made.created_by,
        "settled": made.settled,
        "totals": made.totals,
        "excluded": [{"payout": payout, "why": why} for payout, why in made.excluded],
        "left": [{"payout": payout, "why": why} for payout, why in made.left],
    }


def _say(made: BankFile, out: Path | None, *, dry_run: bool) -> None:
    would = "would be" if dry_run else "is"
    for payout, why in made.excluded:
        session.say(f"Payout {payout} {would} canceled, {why}")
    for payout, why in made.left:
        session.say(f"Payout {payout} {would} left for another file, {why}")
    if made.file_id is None:
        nothing = "Nothing fits this format" if made.left else "Nothing is left to pay"
        session.say(f"{nothing}; no file was written.")
        return
    before = f"; it was exported before, by {made.created_by}" if made.again else ""
    if dry_run:
        session.say(f"Nothing was changed. A file would hold{before}:")
    else:
        session.say(f"Wrote bank file {made.file_id} to {out}{before}.")
    for currency, total in made.totals.items():
        shown = format_minor(total["amount"], currency)
        session.say(f"  {session.count(total['payouts'], 'payout')}, {shown}")
    if made.again:
        session.say("Give it to the bank only if the bank has never had it: it would pay again.")
    if made.settled:
        settled = session.count(made.settled, "payout")
        session.say(f"The bank's word on {settled} of it is known already: it has had the file.")


@app.command("mark-paid", epilog="Example: payspool payouts mark-paid acme 7 --reference BANK-123")
def mark_paid(
    merchant: MerchantKey,
    payout: PayoutId,
    reference: Annotated[str | None, typer.Option(help="the bank's, of the payment")] = None,
    failed: Annotated[str | None, typer.Option(help="the bank refused it; why")] = None,
) -> None:
    """Say what the bank did with an exported payout: it paid it, or (--failed) refused it."""
    if (reference is None) == (failed is None):
        raise Invalid("--reference", "give it, or --failed with the bank's reason")
    with session.for_merchant(merchant) as (tx, found):
        of_merchant(tx, found.id, payout)
        if reference is not None:
            changed = service.mark_paid(tx, payout, reference=reference)
            if changed:
                audit_payout(tx, found.id, "payout.marked_paid", payout, reference)
        else:
            service.mark_failed(tx, payout, reason=failed or "")
            audit_payout(tx, found.id, "payout.marked_failed", payout, failed)
    if reference is None:
        session.say(f"Payout {payout} is failed. Retry it for the next bank file, or cancel it.")
    else:
        session.say(f"Payout {payout} {'is' if changed else 'was already'} paid.")
