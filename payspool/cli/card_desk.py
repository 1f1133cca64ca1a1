"""`payspool cards merge | restore | rewards`: what an operator does for one customer, and looks up."""

from typing import Annotated, Any

import typer

from domain import clock
from domain.errors import NotFound
from domain.loyalty import service
from domain.loyalty.service import Grace
from payspool.cli import session
from payspool.cli.cards import CardNumber, DryRun, Reason, app
from payspool.cli.session import AsJson, MerchantKey
from payspool.cli.times import utc


@app.command(
    epilog="Example: payspool cards merge acme 0000000000422 4006381333931 --reason 'same customer' --dry-run"
)
def merge(
    merchant: MerchantKey,
    card: CardNumber,
    into: Annotated[str, typer.Argument(metavar="INTO", help="the card that takes over")],
    reason: Reason,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Merge CARD into INTO: points, stamps, debt and holds move, and CARD's number leads to INTO, for good."""
    with session.for_merchant(merchant) as (tx, found):
        done = service.merge_cards(
            tx,
            found.id,
            card,
            into,
            actor=session.me(),
            reason=reason,
            now=clock.business_now(tx),
            dry_run=dry_run,
        )
    columns = ["card", "into", "result", "points", "debt", "stamps", "holds", "balance"]
    _show([{name: getattr(done, name) for name in columns}], columns, as_json)


@app.command(
    epilog="Example: payspool cards restore acme 4006381333931 --id ill-4711 --reason 'was ill' --days 60"
)
def restore(
    merchant: MerchantKey,
    card: CardNumber,
    reason: Reason,
    id_: Annotated[
        str, typer.Option("--id", help="name of this restore; the same again gives nothing twice")
    ],
    points: Annotated[int | None, typer.Option(help="all that expired, if left out")] = None,
    days: Annotated[
        int | None, typer.Option(help="how long they live; the program's restore_days")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="or when they expire: 2027-01-01T00:00:00Z")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give back points that expired: the latest expiry first, never more than it took."""
    end = utc("until", until)
    with session.for_merchant(merchant) as (tx, found):
        done = service.restore_points(
            tx,
            found.id,
            card,
            id_,
            points=points,
            grace=Grace(until=end, days=days),
            actor=session.me(),
            reason=reason,
            now=clock.business_now(tx),
            dry_run=dry_run,
        )
    columns = ["card", "result", "points", "expires_at", "balance"]
    _show([{name: getattr(done, name) for name in columns}], columns, as_json)


@app.command(epilog="Example: payspool cards rewards acme 4006381333931")
def rewards(merchant: MerchantKey, card: CardNumber, as_json: AsJson = False) -> None:
    """Which rewards a card can redeem now, and what is missing for the others."""
    with session.for_merchant(merchant) as (tx, found):
        seen = service.rewards_of(tx, found.id, card, clock.business_now(tx))
    if seen is None:
        raise NotFound("card", card)
    columns = [
        "reward_id", "description", "points", "stamps", "cash", "currency", "available",
        "missing_points", "missing_stamps", "why",
    ]  # fmt: skip
    rows = [{name: getattr(offer, name) for name in columns} for offer in seen.offers]
    session.show(rows, columns, as_json=as_json, empty="The program has no rewards.")


def _show(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    session.show(rows, columns, as_json=as_json, empty="")
