"""`payspool payouts poll-events`: find what webhooks did not bring."""

from dataclasses import asdict
from typing import Annotated

import typer

from domain.db import transaction
from domain.merchants import service as merchants
from domain.payouts.errors import NoEvents
from domain.payouts.rules.polling import ACCOUNTS, FIRST_DAYS, PAGES
from payspool.cli import session
from payspool.cli.payouts.runs import EveryMinutes, app, audit_schedule
from payspool.cli.session import AsJson, MerchantKey
from payspool.installing import polling_schedule
from workers import polling


@app.command("poll-events", epilog="Example: payspool payouts poll-events acme --days 30")
def poll_events(
    merchant: MerchantKey,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=30,
            help=f"look so far back, whatever was read; the first time {FIRST_DAYS} without it",
        ),
    ] = None,
    pages: Annotated[int, typer.Option(min=1, help="pages of 100 events of an account")] = PAGES,
    accounts: Annotated[
        int, typer.Option(min=0, help="connected accounts to ask about at most")
    ] = ACCOUNTS,
    every_minutes: EveryMinutes = None,
    as_json: AsJson = False,
) -> None:
    """Look through Stripe's events for those that no webhook brought, and have them applied.

    Stopped in the middle, the next one goes on from there. Repeating it changes nothing.
    """
    _, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        if every_minutes is not None:
            polling_schedule(tx, found, every_minutes * 60)
            after = {"every_minutes": every_minutes}
            audit_schedule(tx, found.id, "polling_schedule.set", f"webhooks.poll/{merchant}", after)
    if every_minutes is not None:
        session.say(f"Scheduled: every {session.count(every_minutes, 'minute')}.")
        return
    with session.errors.status("Reading Stripe's events") as status:
        report = polling.poll(
            rt,
            found.id,
            days=days,
            pages=pages,
            accounts=accounts,
            on_progress=lambda n: status.update(f"Reading Stripe's events: {n:,} accounts"),
        )
    if report is None:
        raise NoEvents("stripe")
    if as_json:
        session.emit_json(asdict(report))
    else:
        _tell(merchant, report)
    if report.silent:
        raise typer.Exit(1)


def _tell(merchant: str, report: polling.PollReport) -> None:
    session.say(
        f"Read {session.count(report.pages, 'page')} of {session.count(report.accounts, 'account')}:"
        f" {session.count(report.stored, 'event')} that no webhook had brought,"
        f" {report.missed} of them older than five minutes."
    )
    for account, before in report.lost.items():
        session.say(
            f"The last poll of {account} is more than 30 days ago: what it told before {before} may be lost."
            f" `payspool payouts reconcile {merchant}` compares the money."
        )
    for account, why in report.silent.items():
        session.say(f"Nothing was learned of {account}: {why}")
    for account, why in report.refused.items():
        session.say(f"{account} is not shown to us, and was asked for by itself: {why}")
    if report.unfinished:
        unfinished = session.count(report.unfinished, "account")
        session.say(f"There is more of {unfinished}: run it again, it goes on.")
