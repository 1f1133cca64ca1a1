"""`payspool payouts breakers`, `close-breaker` and `shortfalls`: gateways that do not answer, refuse their
key, or have too little money."""

from typing import Annotated

import typer

from domain.payouts.service import breakers as service
from domain.payouts.store import breakers as store
from domain.payouts.store import shortfalls as shortfall_store
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


@app.command(epilog="Example: payspool payouts shortfalls --json")
def shortfalls(as_json: AsJson = False) -> None:
    """List where a gateway has too little money; amounts in minor units.

    `available` is what may be sent meanwhile; `amount` is the sum of what waits.
    """
    with session.opened() as tx:
        rows = shortfall_store.listed(tx)
    session.show(
        rows,
        [
            "merchant",
            "method",
            "currency",
            "waiting",
            "amount",
            "available",
            "created_at",
            "probe_at",
        ],
        as_json=as_json,
        empty="No gateway is short of money, as far as its answers tell.",
    )
