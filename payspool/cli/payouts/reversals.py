"""`payspool payouts`: what came back, and what becomes of it."""

from typing import Annotated

import typer

from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout
from domain.payouts.store import reversals as store
from payspool.cli import session
from payspool.cli.payouts.runs import PayoutId, app
from payspool.cli.session import AsJson, MerchantKey

Reason = Annotated[str, typer.Option(help="kept in the audit trail")]


@app.command("reversals", epilog="Example: payspool payouts reversals acme --undecided")
def reversals(
    merchant: MerchantKey,
    undecided: Annotated[
        bool, typer.Option("--undecided", help="only those that wait for a decision")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List what came back of payouts, newest first; amounts in minor units."""
    with session.for_merchant(merchant) as (tx, found):
        rows = store.listing(tx, found.id, undecided=undecided, limit=limit)
    columns = ["id", "payout_id", "user_id", "amount", "paid", "currency", "payout_state"]
    session.show(
        rows,
        [*columns, "external_id", "decision", "decided_by", "decision_reason", "created_at"],
        as_json=as_json,
        empty="Nothing came back.",
    )


@app.command(epilog="Example: payspool payouts release acme 7 --reason 'sent to the wrong account'")
def release(merchant: MerchantKey, payout: PayoutId, reason: Reason) -> None:
    """Let the earnings of a payout that was reversed in full be paid again, by the next run."""
    with session.for_merchant(merchant) as (tx, found):
        if service.route(tx, payout).merchant_id != found.id:
            raise NoSuchPayout("payout", payout)
        service.release(tx, payout, reason=reason, actor=session.me())
    session.say(f"Payout {payout} is let go; its earnings can be claimed by the next run.")


@app.command(
    epilog="Example: payspool payouts decide acme 3 --owed --reason 'paid to a closed card'"
)
def decide(
    merchant: MerchantKey,
    reversal: Annotated[int, typer.Argument(metavar="REVERSAL", help="its number in `reversals`")],
    reason: Reason,
    owed: Annotated[bool, typer.Option("--owed", help="the payee is owed it again")] = False,
    kept: Annotated[bool, typer.Option("--kept", help="the merchant keeps it")] = False,
) -> None:
    """Say what becomes of a part that came back: owed to the payee again, or kept."""
    if owed == kept:
        raise Invalid("--owed", "say one of --owed and --kept")
    with session.for_merchant(merchant) as (tx, found):
        service.decide(tx, found.id, reversal, owed=owed, reason=reason, actor=session.me())
    session.say(f"Reversal {reversal} is {'owed to the payee again' if owed else 'kept'}.")
