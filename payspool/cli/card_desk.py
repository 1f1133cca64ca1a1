"""`payspool cards merge | restore | rewards | adjust | anonymize`: what an operator does for one customer, and looks up."""

import json
from datetime import UTC
from typing import Annotated, Any
from uuid import uuid4

import typer

from domain import clock
from domain.audit import service as audit
from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse
from domain.loyalty import service
from domain.loyalty.service import Grace
from domain.loyalty.store import views
from domain.merchants.service import Merchant
from payspool.cli import session
from payspool.cli.cards import SOURCE, CardNumber, DryRun, Reason, app
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


@app.command(
    epilog="Example: payspool cards adjust acme 4006381333931 --points -50 --id slip-12 --reason 'typed twice'"
)
def adjust(
    merchant: MerchantKey,
    card: CardNumber,
    reason: Reason,
    id_: Annotated[
        str,
        typer.Option("--id", help="name of this adjustment; the same again books nothing twice"),
    ],
    points: Annotated[int | None, typer.Option(help="up, or (below 0) down")] = None,
    stamps: Annotated[int | None, typer.Option(help="up, or (below 0) down")] = None,
    as_json: AsJson = False,
) -> None:
    """Correct the points or the stamps of a card by hand."""
    if (points is None) == (stamps is None):
        raise Invalid("--points", "give either --points or --stamps")
    kind, value = ("points", points) if stamps is None else ("stamps", stamps)
    type_ = "loyalty.points_adjusted" if stamps is None else "loyalty.stamp_adjusted"
    with session.for_merchant(merchant) as (tx, found):
        told, fresh = _once(tx, found, type_, id_, {"card": card, kind: value, "reason": reason})
        rows = service.transactions_of(tx, told["number"])
        if fresh:
            audit.record(
                tx,
                session.me(),
                "card.adjusted",
                merchant_id=found.id,
                subject_kind="card",
                subject_id=card,
                reason=reason,
                after={kind: value, "id": id_, "status": told["status"]},
            )
    columns = ["card", "type", "points", "balance", "stamps", "stamps_balance"]
    shown = [{name: getattr(row, name) for name in columns} for row in rows]
    if told["status"] != "applied":
        session.errors.print(f"{told['reason']}: {told['detail']}", highlight=False)
        raise typer.Exit(1)
    _show(shown, columns, as_json)


@app.command(epilog="Example: payspool cards anonymize acme u-42 --reason 'asked for it' --dry-run")
def anonymize(
    merchant: MerchantKey,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="id of the customer")],
    reason: Reason,
    dry_run: DryRun = False,
) -> None:
    """Forget a customer for good: who they are leaves their card and all that is kept of it; amounts stay."""
    with session.for_merchant(merchant) as (tx, found):
        cards = views.cards(tx, found.id, customer_id=customer, after=None, limit=1_000)
        numbers = [row.number for row in cards]
        named = f"card {', '.join(numbers)}" if numbers else "no card; only what is kept of events"
        if dry_run:
            session.say(f"It would forget the customer of {named}.")
            return
        # Names nobody, and is another one each time: who enrols again can be forgotten again.
        id_ = f"anonymize-{uuid4()}"
        told, _ = _once(tx, found, "loyalty.customer_anonymized", id_, {"customer_id": customer})
        audit.record(
            tx,
            session.me(),
            "customer.anonymized",
            merchant_id=found.id,
            subject_kind="card",
            subject_id=",".join(numbers) or "none",
            reason=reason,
            after={"event": id_, "status": told["status"]},
        )
    session.say(f"Forgot the customer of {named}.")


def _once(
    tx: Tx, merchant: Merchant, type_: str, id_: str, data: dict[str, Any]
) -> tuple[dict[str, Any], bool]:
    """Apply an event by the road of every event, once: what became of it, and whether that was now. Raises Invalid for
    one of this name that said something else."""
    before = inbox.status(tx, merchant.id, SOURCE, id_)
    # Repeated, it is the same event: its time is that of its first run.
    at = before["occurred_at"] if before else clock.business_now(tx)
    event = {
        "specversion": "1.0",
        "id": id_,
        "source": SOURCE,
        "merchant": merchant.key,
        "type": type_,
        "time": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": data,
    }
    [outcome] = inbox.apply(
        tx, parse([Delivery(f"command:{id_}", 0, json.dumps(event))]), at_once=True
    )
    if outcome.status == "conflict":
        raise Invalid("--id", "an event of this name said something else: choose another name")
    told = inbox.status(tx, merchant.id, SOURCE, id_)
    if told is None:
        raise Invalid("event", outcome.detail or str(outcome.reason))
    return told, outcome.status != "duplicate"


def _show(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    session.show(rows, columns, as_json=as_json, empty="")
