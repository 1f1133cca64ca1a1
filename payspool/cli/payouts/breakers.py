"""`payspool payouts breakers` and `close-breaker`: gateways that stopped answering, or refuse their key."""

from typing import Annotated

import typer

from domain.payouts.service import breakers as service
from domain.payouts.store import breakers as store
from payspool.cli import session
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson, MerchantKey


@app.command(epilog="Example: payspool payouts breakers --json")
def breakers(as_json: AsJson = False) -> None:
    """List open breakers: whose gateway, why, when it is asked next, and how many payouts wait."""
    with session.opened() as tx:
        rows = store.listed(tx)
    session.show(
        rows,
        ["id", "merchant", "method", "reason", "created_at", "probes", "probe_at", "waiting"],
        as_json=as_json,
        empty="No breaker is open.",
    )


@app.command(epilog="Example: payspool payouts close-breaker acme --method stripe")
def close_breaker(
    merchant: MerchantKey,
    method: Annotated[str, typer.Option(help="whose breaker, as stripe")] = "stripe",
) -> None:
    """Send again without waiting for the next probe. If the gateway is still down, it opens again."""
    with session.for_merchant(merchant) as (tx, found):
        waited = service.close_breaker(tx, found.id, method, actor=session.me())
    session.say(f"Closed; {session.count(waited, 'payout')} waited for it.")
