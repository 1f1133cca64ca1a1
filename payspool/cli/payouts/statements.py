"""`payspool payouts import-statement`: what a bank did with the payouts of its files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from domain.db import transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.payouts.rules.statement_csv import CsvForm
from domain.payouts.rules.statements import REJECTS
from payspool import statement_import
from payspool.cli import session
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson, MerchantKey
from payspool.statement_import import Report


@app.command(
    "import-statement",
    epilog="Example: payspool payouts import-statement acme june.xml --dry-run",
)
def import_statement(
    merchant: MerchantKey,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, camt.053 or camt.054")],
    format: Annotated[
        str | None, typer.Option(help="csv or camt; seen from the file by default")
    ] = None,
    delimiter: Annotated[str, typer.Option(help="of a CSV, as ;")] = ",",
    decimal: Annotated[str, typer.Option(help="sign of a CSV's decimals: . or ,")] = ".",
    encoding: Annotated[str, typer.Option(help="of a CSV, as cp1252")] = "utf-8-sig",
    skip_lines: Annotated[int, typer.Option(min=0, max=1_000, help="before a CSV's header")] = 0,
    currency: Annotated[
        str | None, typer.Option(help="of a CSV without a column for it, as eur")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="a CSV's name for a column of ours, as reference=Purpose; repeatable"),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="where refused entries go, FILE.rejects.csv by default; a dry run adds .dry-run to the name"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say it, and change nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Mark payouts paid, failed or returned as a bank's statement says. Again: nothing more.

    Only our own reference with the exact amount counts; every other entry is named. Ends with 1 if
    any was refused.
    """
    rejects = rejects or file.with_name(file.name + ".rejects.csv")
    if dry_run:
        # What a reading has refused is a record of it, and stays when somebody tries the next one.
        rejects = rejects.with_name(f"{rejects.stem}.dry-run{rejects.suffix}")
    if rejects.resolve() == file.resolve():
        raise Invalid("--rejects", "names the statement itself; choose another file")
    form = CsvForm(
        "\t" if delimiter == "\\t" else delimiter,
        decimal,
        skip_lines,
        None if currency is None else currency.lower(),
        _columns(column),
    )
    with session.working() as rt, _open(file) as source:
        with transaction(rt.engine) as tx:
            found = merchants.get(tx, merchant)
        report = statement_import.import_statement(
            rt.engine,
            found.id,
            source,
            format=format,
            form=form,
            encoding=encoding,
            rejects=rejects,
            actor=session.me(),
            dry_run=dry_run,
        )
    if as_json:
        session.emit_json(_told(report, rejects, dry_run=dry_run))
    else:
        _say(report, rejects, dry_run=dry_run)
    if report.rejected:
        raise typer.Exit(1)


def _open(file: Path) -> Any:
    try:
        return file.open("rb")
    except OSError as error:
        raise Invalid("FILE", f"cannot be read: {error.strerror}") from None


def _columns(given: list[str] | None) -> dict[str, str]:
    made = {}
    for one in given or ():
        ours, equals, theirs = one.partition("=")
        if not equals or not theirs:
            raise Invalid("--column", f"{one!r} is not of the form reference=Purpose")
        made[ours] = theirs
    return made


def _told(report: Report, rejects: Path, *, dry_run: bool) -> dict[str, Any]:
    return {
        "statement_id": None if dry_run else report.statement_id,
        "dry_run": dry_run,
        "format": report.format,
        "entries": report.entries,
        "paid": report.payouts["paid"],
        "refused": report.payouts["refused"],
        "returned": report.payouts["returned"],
        "seen": report.seen,
        "not_ours": report.not_ours,
        "rejected": dict(report.rejected),
        "rejects": str(rejects) if report.rejected else None,
    }


def _say(report: Report, rejects: Path, *, dry_run: bool) -> None:
    if dry_run:
        session.say("Nothing was changed. This is what would be done:")
    session.say(f"{report.entries:,} {'entry' if report.entries == 1 else 'entries'} read.")
    for did, shown in (
        ("paid", "paid"),
        ("refused", "failed: the bank refused"),
        ("returned", "reversed: it came back"),
    ):
        if report.payouts[did]:
            session.say(f"  {session.count(report.payouts[did], 'payout')} {shown}")
    if report.seen:
        session.say(f"  {report.seen:,} done by an earlier reading")
    if report.not_ours:
        session.say(f"  {report.not_ours:,} not about payouts")
    for code, count in sorted(report.rejected.items()):
        session.say(f"  {count:,} {code}: {REJECTS[code]}")
    if report.rejected:
        session.show(
            report.shown,
            ["place", "why", "detail", "reference", "amount", "currency", "booked_on"],
            as_json=False,
            empty="",
        )
        session.say(f"All that was refused is in {rejects}.")
