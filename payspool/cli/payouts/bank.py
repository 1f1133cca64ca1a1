"""`payspool payouts export` and `mark-paid`: payouts by bank file."""

import os
from pathlib import Path
from typing import Annotated

import typer

from domain.db import transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.money import format_minor
from domain.payouts import service
from payspool import runtime
from payspool.cli import session
from payspool.cli.payouts.runs import PayoutId, app, audit_payout, of_merchant
from payspool.cli.session import MerchantKey


@app.command(epilog="Example: payspool payouts export acme 12 --out june.csv")
def export(
    merchant: MerchantKey,
    run: Annotated[int, typer.Argument(metavar="RUN", help="its number, as `run` told it")],
    out: Annotated[Path, typer.Option(help="the file to write (CSV)")],
) -> None:
    """Write the bank file of a run's manual payouts. Again: the same file, and who exported it."""
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        made = service.export(
            tx, found.id, run, box=runtime.secret_box(settings), actor=session.me()
        )
    for payout, why in made.excluded:
        session.say(f"Payout {payout} is canceled, {why}")
    if made.file_id is None:
        session.say("Nothing is left to pay; no file was written.")
        return
    # Committed first: if it cannot be written, the same command gives the same file again.
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(made.content)
    before = f"; it was exported before, by {made.created_by}" if made.again else ""
    session.say(f"Wrote bank file {made.file_id} to {out}{before}.")
    for currency, total in made.totals.items():
        shown = format_minor(total["amount"], currency)
        session.say(f"  {session.count(total['payouts'], 'payout')}, {shown}")


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
