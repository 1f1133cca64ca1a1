"""`payspool payouts explain`: one payout, and why it is where it is."""

from typing import Any

from domain.payouts import service
from domain.payouts.service import Explained
from payspool.cli import session
from payspool.cli.payouts.runs import PayoutId, app
from payspool.cli.session import AsJson, MerchantKey


@app.command(epilog="Example: payspool payouts explain acme 7")
def explain(merchant: MerchantKey, payout: PayoutId, as_json: AsJson = False) -> None:
    """Say why somebody was paid this amount, or was not, and what alone is safe to do next."""
    with session.for_merchant(merchant) as (tx, found):
        told = service.explain_payout(tx, found.id, found.key, payout)
    if as_json:
        session.emit_json(_plain(told))
        return
    session.say(f"Payout {payout} to {told.payout.user_id}: {told.payout.status}.")
    for sentence in told.why:
        session.say(f"  {sentence}")
    session.say("Its earnings:")
    columns = ["id", "amount", "kind", "source_kind", "source_id", "available_at"]
    session.show(told.members, columns, as_json=False, empty="None: they were given back.")
    if told.next_member is not None:
        session.say(f"  … the first {len(told.members)} of {told.payout.members}.")
    session.say("Attempts:")
    columns = ["n", "leg", "state", "key", "outcome", "http_status", "error_code", "external_id"]
    session.show(told.attempts, columns, as_json=False, empty="None: nothing was sent.")
    if told.reversals:
        session.say("Asked to be taken back:")
        columns = ["n", "amount", "state", "reason", "asked_by", "key", "error_code", "external_id"]
        session.show(told.reversals, columns, as_json=False, empty="")


def _plain(told: Explained) -> dict[str, Any]:
    return {
        "payout": dict(told.payout._mapping),
        "run": dict(told.run._mapping),
        "why": told.why,
        "members": [dict(row._mapping) for row in told.members],
        "next": told.next_member,
        "attempts": [dict(row._mapping) for row in told.attempts],
        "reversals": [dict(row._mapping) for row in told.reversals],
    }
