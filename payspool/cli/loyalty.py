"""`payspool loyalty`: points programs, and expiry by hand with a dry run."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.progress import Progress

from domain import clock
from domain.audit import service as audit
from domain.db import transaction
from domain.errors import Invalid
from domain.loyalty import service
from domain.merchants import service as merchants
from payspool.cli import loyalty_reports, loyalty_shops, loyalty_velocity, session
from payspool.cli.session import AsJson, MerchantKey
from workers.sweeps import expire_due, settle_tiers

app = typer.Typer(help="Loyalty programs and points.", no_args_is_help=True)
app.add_typer(loyalty_shops.stores, name="stores")
app.add_typer(loyalty_shops.pins, name="pins")
app.add_typer(loyalty_shops.devices, name="devices")
app.add_typer(loyalty_velocity.app, name="velocity")

app.command(
    epilog="Example: payspool loyalty report acme --from 2026-06-01 --to 2026-06-30 --by store --per week"
)(loyalty_reports.report)

TermsJson = Annotated[
    str,
    typer.Option("--terms", metavar="JSON", help="further terms: see docs/reference/loyalty.md"),
]


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
    terms: TermsJson = "{}",
) -> None:
    """Create a points program, with a nightly expiry sweep if its points can expire."""
    from payspool.installing import expiry_schedule

    more = _read(terms)
    with session.for_merchant(merchant) as (tx, found):
        made = service.create_program(
            tx,
            found.id,
            program,
            name=name or program,
            currency=currency.lower(),
            zone=zone,
            **{
                "earn_points": earn_points,
                "earn_per_amount": earn_per_amount,
                "welcome_bonus": welcome_bonus,
                "min_redemption": min_redemption,
                "inactivity_days": inactivity_days,
                **more,
            },
        )
        if made.expires:
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


@app.command(
    "change-program",
    epilog="""Example: payspool loyalty change-program acme points '{"daily_points_cap": 500}'""",
)
def change_program(
    merchant: MerchantKey,
    program: Annotated[str, typer.Argument(metavar="PROGRAM")],
    terms: Annotated[str, typer.Argument(metavar="TERMS", help="JSON of the terms that change")],
) -> None:
    """Make a new version of a program. Nothing that was earned changes or expires because of it."""
    from payspool.installing import expiry_schedule

    changes = _read(terms)
    with session.for_merchant(merchant) as (tx, found):
        before = service.terms_of(tx, found.id, program)
        made = service.change_program(tx, found.id, program, clock.business_now(tx), **changes)
        if made.expires:
            expiry_schedule(tx, found)
        audit.record(
            tx,
            session.me(),
            "loyalty_program.changed",
            merchant_id=found.id,
            subject_kind="loyalty_program",
            subject_id=program,
            before={name: before[name] for name in changes},
            after=changes,
        )
    session.say(f"The program {program!r} is at version {made.version}.")


@app.command("set-status", epilog="Example: payspool loyalty set-status acme points paused")
def set_status(
    merchant: MerchantKey,
    program: Annotated[str, typer.Argument(metavar="PROGRAM")],
    status: Annotated[str, typer.Argument(metavar="STATUS", help="active, paused or ended")],
) -> None:
    """Pause, resume or end a program: only an active one earns and redeems."""
    with session.for_merchant(merchant) as (tx, found):
        service.set_status(tx, found.id, program, status)
        audit.record(
            tx,
            session.me(),
            f"loyalty_program.{status}",
            merchant_id=found.id,
            subject_kind="loyalty_program",
            subject_id=program,
        )
    session.say(f"The program {program!r} is {status}.")


def _read(terms: str) -> dict[str, Any]:
    try:
        read = json.loads(terms)
    except ValueError as error:
        raise Invalid("terms", f"this is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise Invalid("terms", 'give a JSON object such as {"daily_points_cap": 500}')
    return read


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
    with Progress(console=session.errors, disable=not session.errors.is_terminal) as progress:
        bar = progress.add_task("cards looked at")
        did = expire_due(
            rt,
            found.id,
            at,
            lambda done, due: progress.update(bar, completed=done, total=due),
        )
    with transaction(rt.engine) as tx:
        audit.record(
            tx,
            session.me(),
            "loyalty.expired",
            merchant_id=found.id,
            subject_kind="merchant",
            subject_id=merchant,
            after={"as_of": at.isoformat(), **did},
        )
    if as_json:
        session.emit_json(did)
    else:
        session.say(f"Expired {did['points']} points on {did['cards']} cards.")
    if did["skipped"]:
        session.errors.print(f"{did['skipped']} cards were held by others: run it again.")
        raise typer.Exit(1)


@app.command(epilog="Example: payspool loyalty tiers acme --dry-run")
def tiers(
    merchant: MerchantKey,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell only")] = False,
    as_json: AsJson = False,
) -> None:
    """Book the falls of tiers whose period has ended by now, and what other tiers changed; tell what it was."""
    _, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        at = clock.business_now(tx)
    did = settle_tiers(rt, found.id, at, dry_run=dry_run)
    rows = [
        {"program": program, "from": before, "to": after, "cards": cards}
        for (program, before, after), cards in sorted(did.items(), key=str)
    ]
    columns = ["program", "from", "to", "cards"]
    session.show(rows, columns, as_json=as_json, empty="No tier changes.")


@app.command(epilog="Example: payspool loyalty notices acme --tiers")
def notices(
    merchant: MerchantKey,
    of_tiers: Annotated[bool, typer.Option("--tiers", help="tiers that fall, not points")] = False,
    after: Annotated[int, typer.Option(min=0, help="only above this number")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """What was announced: points that are about to expire, or tiers that are about to fall, oldest first."""
    told = service.tier_notices if of_tiers else service.notices
    with session.for_merchant(merchant) as (tx, found):
        rows = told(tx, found.id, after=after, limit=limit)
    session.show(
        rows,
        [*rows[0]._mapping] if rows else ["id"],
        as_json=as_json,
        empty="Nothing was announced.",
    )


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
