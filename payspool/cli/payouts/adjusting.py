"""`payspool payees adjust`, `agree-adjustment` and `reject-adjustment`."""

from typing import Annotated

import typer

from domain.money import format_minor
from domain.payouts.service import adjusting
from payspool.cli import payees, session
from payspool.cli.session import MerchantKey

Number = Annotated[int, typer.Argument(metavar="ID", help="the adjustment's number")]


@payees.app.command(
    epilog="Example: payspool payees adjust acme ada 500 usd --reason 'missed in May'",
    context_settings={"ignore_unknown_options": True},
)
def adjust(
    merchant: MerchantKey,
    user: Annotated[str, typer.Argument(metavar="USER", help="as events name them")],
    amount: Annotated[int, typer.Argument(metavar="AMOUNT", help="minor units, may be negative")],
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="as usd")],
    reason: Annotated[str, typer.Option(help="kept with it")],
) -> None:
    """Add to what a payee is owed, or take from it; above a limit, a second person agrees.

    The limit is of what you adjust in 7 days, whomever it is for: `payspool payouts policy` sets it.
    """
    code = currency.lower()
    with session.for_merchant(merchant) as (tx, found):
        made = adjusting.adjust(tx, found.id, user, amount, code, reason, session.me())
    if made.booked:
        session.say(f"Adjustment {made.number} is booked.")
        return
    if made.used:
        session.say(f"Within 7 days you have adjusted {format_minor(made.used, code)} already.")
    session.say(
        f"Beyond {format_minor(made.limit, code)} a second person agrees. Adjustment {made.number} is proposed."
        f" Another person agrees with: payspool payees agree-adjustment {merchant} {made.number}"
    )


@payees.app.command("agree-adjustment", epilog="Example: payspool payees agree-adjustment acme 7")
def agree_adjustment(merchant: MerchantKey, number: Number) -> None:
    """Agree to a large adjustment, as another person than the one who proposed it."""
    with session.for_merchant(merchant) as (tx, found):
        adjusting.agree(tx, found.id, number, session.me())
    session.say(f"Adjustment {number} is booked.")


@payees.app.command("reject-adjustment", epilog="Example: payspool payees reject-adjustment acme 7")
def reject_adjustment(merchant: MerchantKey, number: Number) -> None:
    """Reject a proposed adjustment."""
    with session.for_merchant(merchant) as (tx, found):
        adjusting.reject(tx, found.id, number, session.me())
    session.say(f"Adjustment {number} is rejected.")
