"""`payspool payouts mark-paid-outside`: a payout that was paid elsewhere, by two people's word."""

from typing import Annotated

import typer

from domain.db import transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.payouts.service import outside as service
from payspool.cli import session
from payspool.cli.payouts.runs import PayoutId, app, of_merchant
from payspool.cli.session import AsJson, MerchantKey
from workers import mirroring


@app.command(
    "mark-paid-outside",
    epilog="Example: payspool payouts mark-paid-outside acme 7 --reference TR-5 --evidence 'statement of 5 June'",
)
def mark_paid_outside(
    merchant: MerchantKey,
    payout: PayoutId,
    reference: Annotated[
        str | None, typer.Option(help="what the payment is called where it was made")
    ] = None,
    evidence: Annotated[
        str | None, typer.Option(help="what was looked at and seen; proposes it")
    ] = None,
    withdraw: Annotated[str | None, typer.Option(help="take back what was proposed; why")] = None,
    as_json: AsJson = False,
) -> None:
    """Mark an approved or failed payout as paid outside of Payspool: one proposes, another agrees.

    From the proposal on nothing is sent for it, and it cannot be retried or canceled.
    """
    if (reference is None) != (evidence is None):
        raise Invalid("--evidence", "goes with --reference: say both, or neither to agree")
    if withdraw is not None and reference is not None:
        raise Invalid("--withdraw", "takes a proposal back; it goes with nothing else")
    agrees = withdraw is None and reference is None
    _, rt = session.build()
    if agrees:
        # Before anything is written: without Valkey nobody agrees.
        mirroring.check(rt)
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        of_merchant(tx, found.id, payout)
        if withdraw is not None:
            service.withdraw_outside(tx, payout, reason=withdraw, actor=session.me())
            did = "withdrawn"
        elif reference is not None and evidence is not None:
            service.propose_outside(
                tx, payout, reference=reference, evidence=evidence, actor=session.me()
            )
            did = "proposed"
        else:
            service.agree_outside(tx, payout, actor=session.me())
            did = "paid"
    if agrees:
        # Its attempt is kept outside too: a database that forgot it sends nothing until somebody has compared.
        mirroring.keep_newest(rt)
    if as_json:
        session.emit_json({"payout": payout, "did": did})
        return
    agree = f"payspool payouts mark-paid-outside {merchant} {payout}"
    told = {
        "withdrawn": f"Withdrawn; payout {payout} goes on as it was.",
        "proposed": f"Proposed; nothing is sent for it. Another person agrees with: {agree}",
        "paid": f"Payout {payout} is paid.",
    }
    session.say(told[did])
