"""`payspool payouts reverse`: have the gateway take back what it paid."""

from typing import Annotated

import typer

from domain.errors import Invalid
from domain.money import format_minor
from domain.payouts import service
from domain.payouts.service import ReversalPlan
from payspool.cli import session
from payspool.cli.payouts.reversals import Reason
from payspool.cli.payouts.runs import PayoutId, app
from payspool.cli.session import AsJson, MerchantKey


@app.command(
    epilog="Example: payspool payouts reverse acme 7 --amount 300 --reason 'paid twice' --dry-run"
)
def reverse(
    merchant: MerchantKey,
    payout: PayoutId,
    reason: Reason,
    amount: Annotated[
        int | None, typer.Option(help="minor units to take back; without it, all that is left")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be asked for, and ask for nothing")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Have the gateway take back a paid payout, or a part of it. A worker asks it, once.

    What came back waits for a decision: `payspool payouts reversals`.
    """
    with session.for_merchant(merchant) as (tx, found):
        if dry_run:
            plan, asked = service.plan_reversal(tx, found.id, payout, amount), None
        else:
            asked = service.request_reversal(
                tx, found.id, payout, amount=amount, reason=reason, actor=session.me()
            )
            plan = asked.plan
    if as_json:
        session.emit_json(
            {
                "payout": plan.payout_id,
                "amount": plan.amount,
                "currency": plan.currency,
                "transfer": plan.transfer,
                "left": plan.left,
                "dry_run": dry_run,
                "request": None if asked is None else asked.n,
            }
        )
        return
    if asked is None:
        session.say(f"It would take back {_sentence(plan)}. Nothing was asked for.")
        return
    session.say(f"A worker takes back {_sentence(plan)}: request {asked.n}.")
    session.say(f"`payspool payouts explain {merchant} {payout}` says what became of it.")


@app.command(
    "give-up-reversal",
    epilog="Example: payspool payouts give-up-reversal acme 7 --evidence 'not on tr_1 in the dashboard'",
)
def give_up_reversal(
    merchant: MerchantKey,
    payout: PayoutId,
    evidence: Annotated[
        str | None, typer.Option(help="propose it: what you looked at, and what you saw")
    ] = None,
    agree: Annotated[
        bool, typer.Option("--agree", help="agree, as another person than who proposed it")
    ] = False,
) -> None:
    """Give up a reversal of which the gateway knows nothing after a day; another one may follow then."""
    if (evidence is None) == (not agree):
        raise Invalid("--evidence", "say one of --evidence and --agree")
    with session.for_merchant(merchant) as (tx, found):
        if evidence is not None:
            service.propose_giving_up(tx, found.id, payout, evidence=evidence, actor=session.me())
        else:
            service.agree_giving_up(tx, found.id, payout, actor=session.me())
    if evidence is not None:
        session.say("Proposed. Another person looks at the gateway too, and agrees with --agree.")
    else:
        session.say(f"Given up: payout {payout} stays paid, and can be reversed again.")


def _sentence(plan: ReversalPlan) -> str:
    taken, left = (format_minor(one, plan.currency) for one in (plan.amount, plan.left))
    return f"{taken} of payout {plan.payout_id} ({plan.transfer}); {left} of it stays paid"
