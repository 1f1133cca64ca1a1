"""`payspool payouts stop`, `resume` and `stops`: the kill switch."""

from typing import Annotated

import typer

from domain.db import Tx
from domain.merchants import service as merchants
from domain.payouts.service import stopping
from domain.payouts.store import stops as store
from payspool.cli import session
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson

Reach = Annotated[
    str | None, typer.Argument(metavar="[MERCHANT]", help="key of the merchant; all without it")
]
Method = Annotated[str | None, typer.Option(help="only payouts by this method, as stripe")]


@app.command(epilog="Example: payspool payouts stop acme --method stripe --reason 'wrong amounts'")
def stop(
    reason: Annotated[str, typer.Option(help="kept with the stop and shown on what waits")],
    merchant: Reach = None,
    method: Method = None,
) -> None:
    """Send no payout from now on, until `resume`. What is on its way already is not called back."""
    with session.opened() as tx:
        stopping.stop(
            tx,
            actor=session.me(),
            reason=reason,
            merchant_id=_id_of(tx, merchant),
            method=method,
        )
    session.say(f"Stopped: {_reach(merchant, method)}. `payspool payouts resume` lifts it.")


@app.command(epilog="Example: payspool payouts resume acme --method stripe")
def resume(merchant: Reach = None, method: Method = None) -> None:
    """Lift the stop of this merchant and method; what waited for it is sent."""
    with session.opened() as tx:
        _, waited = stopping.lift(
            tx, actor=session.me(), merchant_id=_id_of(tx, merchant), method=method
        )
    session.say(
        f"Resumed: {_reach(merchant, method)}; {session.count(waited, 'payout')} waited for it."
    )


@app.command(epilog="Example: payspool payouts stops --json")
def stops(as_json: AsJson = False) -> None:
    """List what keeps payouts from being sent: people, open breakers, a failover."""
    with session.opened() as tx:
        rows = store.listed(tx)
    session.show(
        rows,
        ["id", "kind", "merchant", "method", "reason", "stopped_by", "created_at"],
        as_json=as_json,
        empty="Nothing is stopped.",
    )


def _id_of(tx: Tx, merchant: str | None) -> int | None:
    return None if merchant is None else merchants.get(tx, merchant).id


def _reach(merchant: str | None, method: str | None) -> str:
    return f"payouts of {merchant or 'all merchants'} by {method or 'any method'}"
