"""`payspool loyalty`: points programs, and expiry by hand with a dry run."""

from datetime import datetime
from typing import Annotated

import typer

from domain import clock
from domain.audit import service as audit
from domain.db import transaction
from domain.loyalty import service
from domain.merchants import service as merchants
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey
from workers.sweeps import expire_due

app = typer.Typer(help="Loyalty programs and points.", no_args_is_help=True)


@app.command(
    "create-program",
    epilog="Example: payspool loyalty create-program acme points --currency eur --inactivity-days 365",
)
def create_program(
    merchant: MerchantKey,
    program: Annotated[str, typer.Argument(metavar="PROGRAM")],
    currency: Annotated[str, typer.Option(help="ISO 4217 of the purchases")],
    name: Annotated[str | None, typer.Option(help="shown to people")] = None,
    zone: Annotated[str, typer.Option(help="IANA time zone of deadlines")] = "UTC",
    earn_points: Annotated[int, typer.Option(help="points for each earn-per-amount")] = 1,
    earn_per_amount: Annotated[int, typer.Option(help="minor units")] = 100,
    welcome_bonus: Annotated[int, typer.Option(help="points at enrolment")] = 0,
    min_redemption: Annotated[int, typer.Option(help="fewest points of a redemption")] = 1,
    inactivity_days: Annotated[
        int | None, typer.Option(help="days without activity until all points expire; none: never")
    ] = None,
) -> None:
    """Create a points program, with a nightly expiry sweep if its points can expire."""
    from payspool.installing import expiry_schedule

    with session.for_merchant(merchant) as (tx, found):
        service.create_program(
            tx,
            found.id,
            program,
            name=name or program,
            currency=currency.lower(),
            zone=zone,
            earn_points=earn_points,
            earn_per_amount=earn_per_amount,
            welcome_bonus=welcome_bonus,
            min_redemption=min_redemption,
            inactivity_days=inactivity_days,
        )
        if inactivity_days is not None:
            expiry_schedule(tx, found)
        audit.record(
            tx,
            session.me(),
            "loyalty_program.created",
            merchant_id=found.id,
            subject_kind="loyalty_program",
            subject_id=program,
        )
    session.say(f"Created the points program {program!r}.")


@app.command(epilog="Example: payspool loyalty expire acme --dry-run")
def expire(
    merchant: MerchantKey,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell only")] = False,
    as_json: AsJson = False,
) -> None:
    """Book the expiry of what is due now."""
    _, rt = session.build()
    at: datetime
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        at = clock.business_now(tx)
        would = service.dry_run(tx, found.id, at)
    if dry_run:
        rows = [{"program": w.program, "cards": w.cards, "points": w.points} for w in would]
        session.show(
            rows, ["program", "cards", "points"], as_json=as_json, empty="Nothing is due to expire."
        )
        return
    did = expire_due(rt, found.id, at)
    session.say(f"Expired {did['points']} points on {did['cards']} cards.")


@app.command(epilog="Example: payspool loyalty summary acme")
def summary(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """Points issued, redeemed, expired and outstanding, per program."""
    from dataclasses import asdict

    with session.for_merchant(merchant) as (tx, found):
        rows = [asdict(row) for row in service.summary(tx, found.id)]
    session.show(
        rows,
        list(rows[0]) if rows else ["program"],
        as_json=as_json,
        empty=f"No points program yet. `payspool loyalty create-program {merchant} --help` shows an example.",
    )
