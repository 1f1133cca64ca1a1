"""`payspool loyalty report`: what was issued, redeemed, voided and expired, and what is owed."""

from dataclasses import asdict
from typing import Annotated

import typer

from domain.db import snapshot
from domain.loyalty.rules.reporting import DIMENSIONS, PERIODS, wanted
from domain.loyalty.service import reporting
from domain.loyalty.service.reporting import Report
from domain.merchants import service as merchants
from domain.money import format_minor
from payspool.cli import session
from payspool.cli.exporting import STDOUT, Csv, write_csv
from payspool.cli.session import AsJson, MerchantKey


def report(
    merchant: MerchantKey,
    first: Annotated[str, typer.Option("--from", help="first day, as 2026-06-01")],
    last: Annotated[str, typer.Option("--to", help="last day")],
    by: Annotated[
        list[str] | None, typer.Option(help=f"divide by {', '.join(DIMENSIONS)}; several times")
    ] = None,
    per: Annotated[str | None, typer.Option(help=f"divide by {', '.join(PERIODS)}")] = None,
    zone: Annotated[
        str | None, typer.Option(help="IANA time zone of the days; the programs' if left out")
    ] = None,
    program: Annotated[str | None, typer.Option(help="of this program only")] = None,
    store: Annotated[str | None, typer.Option(help="of this store only")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="of this type only")] = None,
    staff: Annotated[str | None, typer.Option(help="of this staff PIN only")] = None,
    device: Annotated[str | None, typer.Option(help="of this device only")] = None,
    csv: Csv = None,
    as_json: AsJson = False,
) -> None:
    """Sum the history of a merchant's cards by store, type, staff, device, program and period."""
    with session.working() as rt, snapshot(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        asked = wanted(
            first,
            last,
            zone=zone or reporting.zone_of(tx, found.id, program),
            by=by or (),
            per=per,
            program=program,
            store=store,
            type=type_,
            staff=staff,
            device=device,
        )
        told = reporting.report(tx, found.id, asked)
    if csv is not None:
        written = write_csv(csv, told.columns, told.rows)
        if csv != STDOUT:
            session.say(f"{session.count(written, 'row')} in {csv}")
    elif as_json:
        session.emit_json(
            {
                "from": asked.since,
                "until": asked.until,
                "zone": asked.zone,
                "rows": told.rows,
                "programs": [asdict(one) for one in told.owed],
            }
        )
    else:
        _show(told)


def _show(told: Report) -> None:
    # What is zero in every row is not looked for; a table has to fit.
    columns = [
        name
        for name in told.columns
        if not name.startswith(("points_", "stamps_")) or any(row[name] for row in told.rows)
    ]
    session.show(told.rows, columns, as_json=False, empty="Nothing happened then.")
    owed = [
        {
            "program": one.program,
            "outstanding": one.outstanding,
            "worth": ""
            if one.outstanding_value is None
            else format_minor(one.outstanding_value, one.currency),
            "breakage": one.breakage,
            "breakage %": "" if one.breakage_rate is None else f"{one.breakage_rate / 100:.2f}",
        }
        for one in told.owed
    ]
    session.say("\nWhat is owed now:")
    session.show(
        owed,
        ["program", "outstanding", "worth", "breakage", "breakage %"],
        as_json=False,
        empty="No program.",
    )
