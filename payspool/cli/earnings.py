"""`payspool earnings`: what users earned by referring, and why."""

from typing import Annotated

import typer

from domain import clock
from domain.earnings import service as earnings
from domain.errors import Invalid
from domain.money import format_minor
from domain.referrals import answers
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey

app = typer.Typer(help="What users earned, and why.", no_args_is_help=True)

User = Annotated[str, typer.Argument(metavar="USER", help="as events name them")]


@app.command(epilog="Example: payspool earnings show acme ada")
def show(merchant: MerchantKey, user: User, as_json: AsJson = False) -> None:
    """What a user earned, per currency: due now, waiting, held, void, and in payouts by their state."""
    with session.for_merchant(merchant) as (tx, found):
        owed = earnings.summary(tx, found.id, user, clock.business_now(tx))
    session.show(
        [
            {
                "currency": one.currency,
                "earnings": one.earnings,
                "owed": one.owed,
                "due": one.due,
                "pending": one.pending,
                "held": one.held,
                "voided": one.voided,
                "in_payouts": dict(one.in_payouts),
            }
            for one in owed
        ],
        ["currency", "earnings", "owed", "due", "pending", "held", "voided", "in_payouts"],
        as_json=as_json,
        empty=f"{user} earned nothing at {merchant} yet.",
    )


@app.command(epilog="Example: payspool earnings history acme ada --limit 20")
def history(
    merchant: MerchantKey,
    user: User,
    before: Annotated[int | None, typer.Option(help="only below this number")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """The conversions that a user is credited with, newest first, and where their money is."""
    with session.for_merchant(merchant) as (tx, found):
        rows = answers.history(tx, found.id, user, before=before, limit=limit)
    session.show(
        rows,
        [
            "id",
            "converted_at",
            "program",
            "code",
            "referred_user_id",
            "transaction_id",
            "transaction_amount",
            "amount_earned",
            "reversed_amount",
            "currency",
            "payout_status",
            "payout_id",
        ],
        as_json=as_json,
        empty=f"{user} referred nobody who converted at {merchant} yet.",
    )


@app.command(
    epilog="Example: payspool earnings explain acme --transaction ord-1881   (or a tracking's number)"
)
def explain(
    merchant: MerchantKey,
    tracking: Annotated[int | None, typer.Argument(metavar="TRACKING")] = None,
    transaction: Annotated[str | None, typer.Option(help="as events name it")] = None,
    as_json: AsJson = False,
) -> None:
    """Why this amount: the rule, tier and version that gave it, what was taken back, held and paid."""
    if (tracking is None) == (transaction is None):
        raise Invalid("TRACKING", "give a tracking's number, or --transaction")
    with session.for_merchant(merchant) as (tx, found):
        number = (
            answers.tracking_of(tx, found.id, transaction)
            if transaction is not None
            else tracking or 0
        )
        told = answers.explain_tracking(tx, found.id, number)
    if as_json:
        session.emit_json(
            {
                "tracking": dict(told.tracking._mapping),
                "terms": dict(told.terms._mapping),
                **{
                    name: [dict(row._mapping) for row in getattr(told, name)]
                    for name in ("reversals", "holds", "earnings")
                },
                "why": told.why,
            }
        )
        return
    earned = format_minor(told.tracking.amount_earned, told.tracking.currency)
    session.say(f"Tracking {number}: {earned} for {told.tracking.referrer_user_id}")
    for sentence in told.why:
        session.say(f"  {sentence}")
