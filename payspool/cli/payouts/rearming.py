"""`payspool payouts rearm`: send again after a failover, a restored backup or a copy."""

import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from domain.money import format_minor
from domain.payouts.rules.rearming import Fate
from payspool.cli import session
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson
from payspool.cli.times import utc
from workers.rearming import Report
from workers.rearming import rearm as run_rearm


@app.command(epilog="Example: payspool payouts rearm --dry-run")
def rearm(
    since: Annotated[
        str | None,
        typer.Option(
            help="look further back, UTC; an hour before the newest attempt that is known"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only tell what would be done")
    ] = False,
    compared: Annotated[
        list[str] | None,
        typer.Option(help="MERCHANT/METHOD that you compared by hand, as acme/manual; repeatable"),
    ] = None,
    evidence: Annotated[
        str | None, typer.Option(help="with --compared: what was compared and seen; kept")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Match what the gateways paid with the database, record what it forgot, and send again.

    Sending stops by itself when the database may have forgotten attempts: after a failover that lost
    commits, a restored backup, or in a copy. Waits two minutes for calls that may still be on their way.
    Ends with 1 where something stays stopped, or a person has to look.
    """
    _, rt = session.build()
    with session.errors.status("Reading the gateways' books") as status:
        report = run_rearm(
            rt,
            actor=session.me(),
            since=utc("--since", since),
            dry_run=dry_run,
            compared=compared or (),
            evidence=evidence,
            clock_may_move=rt.sandbox,
            sleep=time.sleep,
            on_wait=lambda seconds: status.update(
                f"Waiting {seconds:.0f} s for calls that may still be on their way"
            ),
        )
    if as_json:
        session.emit_json(_plain(report, dry_run))
    else:
        _tell(report, dry_run)
    if _needs_a_person(report):
        raise typer.Exit(1)


def _needs_a_person(report: Report) -> bool:
    doubtful = any(one.fate in (Fate.FREEZE, Fate.BLOCK) for _, one in report.matched)
    return doubtful or any(listed.uncompared for listed in report.listed)


def _plain(report: Report, dry_run: bool) -> dict[str, Any]:
    return {
        "stop": report.stop,
        "since": report.since.isoformat(),
        "dry_run": dry_run,
        "lifted": report.lifted,
        "waited": report.waited,
        "accounts": [
            {
                "account": listed.account.name,
                "transfers": listed.transfers,
                "uncompared": listed.uncompared,
            }
            for listed in report.listed
        ],
        "transfers": [
            {
                "account": account.name,
                **asdict(one.made),
                "fate": one.fate.name.lower(),
                "why": one.why,
            }
            for account, one in report.matched
        ],
        "blocked": [
            {"merchant": account.merchant, "user": user} for account, user in report.blocked
        ],
    }


def _tell(report: Report, dry_run: bool) -> None:
    if report.stop is None and not report.listed:
        session.say("Nothing is stopped after a failover.")
        return
    session.say(f"Payouts: {report.stop or 'not stopped as a whole'}")
    for listed in report.listed:
        found = session.count(listed.transfers, "transfer")
        session.say(f"  {listed.account.name}: {found} since {report.since:%Y-%m-%d %H:%M} UTC")
        if listed.uncompared:
            session.say(f"    not compared: {listed.uncompared}")
    known = sum(one.fate is Fate.KNOWN for _, one in report.matched)
    session.say(f"  known here: {known:,}")
    for account, one in report.matched:
        if one.fate is not Fate.KNOWN:
            amount = format_minor(one.made.amount, one.made.currency)
            session.say(
                f"  {one.made.external_id} ({amount}) of {account.merchant}, payout"
                f" {one.made.payout_id}: {one.fate.value}; {one.why}"
            )
    for account, user in report.blocked:
        session.say(f"  {account.merchant}'s payee {user} is blocked")
    if dry_run:
        session.say("Nothing was changed.")
    elif report.lifted:
        session.say(
            f"Sending goes on, {session.count(report.waited, 'payout')} had waited;"
            " what was not compared, and what is stopped or blocked above, waits for a person."
            if _needs_a_person(report)
            else f"Sending goes on; {session.count(report.waited, 'payout')} had waited."
        )
