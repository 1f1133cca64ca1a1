"""`payspool payouts unfreeze`: a payout that was stopped goes on, by two people."""

from typing import Annotated

import typer

from domain.payouts.service import unfreezing as service
from payspool.cli import session
from payspool.cli.payouts.runs import PayoutId, app, of_merchant
from payspool.cli.session import MerchantKey


@app.command(
    epilog="Example: payspool payouts unfreeze acme 7 --evidence 'one transfer in the dashboard, tr_1'"
)
def unfreeze(
    merchant: MerchantKey,
    payout: PayoutId,
    evidence: Annotated[
        str | None, typer.Option(help="what was compared and seen; proposes it")
    ] = None,
) -> None:
    """Let a stopped payout go on as its attempt stands: one person proposes, another agrees."""
    with session.for_merchant(merchant) as (tx, found):
        of_merchant(tx, found.id, payout)
        if evidence is not None:
            follows = service.propose_unfreeze(tx, payout, evidence=evidence, actor=session.me())
        else:
            follows = service.agree_unfreeze(tx, payout, actor=session.me())
    if evidence is not None:
        session.say(
            f"Proposed. Another person agrees with: payspool payouts unfreeze {merchant} {payout}"
        )
        session.say(f"Then: {follows}")
    else:
        session.say(f"It goes on. {follows}")
