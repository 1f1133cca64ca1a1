"""`payspool payouts look-for-returns`: find what came back and told nobody."""

from dataclasses import asdict
from typing import Annotated

import typer

from domain.db import transaction
from domain.merchants import service as merchants
from domain.payouts.errors import NoReturns
from domain.payouts.rules.returns import LOOK_BACK_DAYS, MOST_DAYS, PAGES
from payspool.cli import session
from payspool.cli.payouts.runs import EveryMinutes, app, audit_schedule
from payspool.cli.session import AsJson, MerchantKey
from payspool.installing import returns_schedule
from workers import returns


@app.command("look-for-returns", epilog="Example: payspool payouts look-for-returns acme --days 90")
def look_for_returns(
    merchant: MerchantKey,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_DAYS,
            help=f"how old the transfers may be, from the newest one again; {LOOK_BACK_DAYS} without it",
        ),
    ] = None,
    pages: Annotated[int, typer.Option(min=1, help="pages of 100 transfers at most")] = PAGES,
    every_minutes: EveryMinutes = None,
    as_json: AsJson = False,
) -> None:
    """Look through what Wise lists as come back, and ask about payouts of which no webhook told it.

    Stopped in the middle, the next one goes on from there. Repeating it changes nothing.
    """
    _, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        if every_minutes is not None:
            returns_schedule(tx, found, every_minutes * 60, days or LOOK_BACK_DAYS)
            after = {"every_minutes": every_minutes, "days": days or LOOK_BACK_DAYS}
            audit_schedule(
                tx, found.id, "returns_schedule.set", f"payouts.returns/{merchant}", after
            )
    if every_minutes is not None:
        session.say(f"Scheduled: every {session.count(every_minutes, 'minute')}.")
        return
    with session.errors.status("Reading what came back at Wise") as status:
        report = returns.look_for_returns(
            rt,
            found.id,
            days=days or LOOK_BACK_DAYS,
            pages=pages,
            anew=days is not None,
            on_progress=lambda n: status.update(f"Reading what came back at Wise: {n:,} transfers"),
        )
    if report is None:
        raise NoReturns("wise")
    if as_json:
        session.emit_json(asdict(report))
    else:
        _tell(merchant, report)
    if report.waits:
        raise typer.Exit(1)


def _tell(merchant: str, report: returns.ReturnsReport) -> None:
    session.say(
        f"Read {session.count(report.listed, 'transfer')} that came back or were given up:"
        f" {session.count(report.asked, 'payout')} of which that was not known."
    )
    if report.asked:
        session.say("Wise is asked about each of them now; what it says is applied.")
    if report.waits:
        session.say(f"Wise could not be asked any more: {report.waits}")
    if report.unfinished:
        session.say(f"There is more: `payspool payouts look-for-returns {merchant}` goes on.")
