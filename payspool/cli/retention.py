"""`payspool retention`: how long what was said is kept beside what was done."""

from typing import Annotated, Any

import typer

from domain.db import snapshot
from domain.errors import Forbidden
from domain.retention import service, store
from domain.retention.rules import PRUNED_BY_ITS_OWN
from payspool.cli import session
from payspool.cli.session import AsJson
from workers.archiving import Archive

app = typer.Typer(help="How long what was said is kept.", no_args_is_help=True)

COLUMNS = ["subject", "days", "upto", "pruned", "files", "archive_bytes", "ran_at"]


@app.command(epilog="Example: payspool retention show")
def show(as_json: AsJson = False) -> None:
    """Show what is kept how long by this command's settings, and how far it was pruned."""
    wanted = session.current().retention
    with session.opened() as tx:
        rows = [dict(row._mapping) | {"days": wanted.days(row.subject)} for row in store.marks(tx)]
    for row in rows:
        row["archive"] = str(wanted.archive) if wanted.archive else None
    if as_json:
        session.emit_json({"subjects": rows, "by_itself": PRUNED_BY_ITS_OWN})
        return
    session.show(rows, COLUMNS, as_json=False, empty="")
    session.say(
        f"Days 0: for ever. Archive: {wanted.archive or 'none, what goes is gone'}."
        " Keys, hashes, outcomes, money and the audit trail stay for ever."
    )
    for table, when in PRUNED_BY_ITS_OWN.items():
        session.say(f"{table}: {when}")


@app.command(epilog="Example: payspool retention run --dry-run")
def run(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only count; nothing is written")
    ] = False,
    most: Annotated[
        int, typer.Option(min=1, max=100_000_000, help="rows to look at, of each subject")
    ] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Let go of what is older than it has to be kept, as the schedule retention.prune does by itself."""
    wanted = session.current().retention
    with session.working() as rt:
        if dry_run:
            did = service.preview(rt.engine, wanted, most=most)
        else:
            did = service.run(rt.engine, wanted, Archive.of(wanted), most=most)
    rows: list[dict[str, Any]] = [
        {"subject": subject, "looked_at": one.looked_at, "rows": one.rows, "bytes": one.bytes}
        for subject, one in did.items()
    ]
    session.show(
        rows,
        ["subject", "looked_at", "rows", "bytes"],
        as_json=as_json,
        empty="Everything is kept for ever: PAYSPOOL_RETENTION_EVENT_DAYS and"
        " PAYSPOOL_RETENTION_DEAD_LETTER_DAYS are 0.",
    )
    if dry_run and not as_json:
        session.say("Nothing was done.")


@app.command(epilog="Example: payspool retention check")
def check() -> None:
    """Read every archive again, and compare it with the hash that was kept; exits with 1 if one differs."""
    wanted = session.current().retention
    if wanted.archive is None:
        raise Forbidden("PAYSPOOL_RETENTION_ARCHIVE is not set, so no archive is known here.")
    with session.working() as rt, snapshot(rt.engine) as tx:
        files = store.archives(tx)
    wrong = Archive(wanted.archive).check(files)
    for file in wrong:
        session.say(f"{wanted.archive / file} is not there, or not as it was written.")
    session.say(f"Checked {session.count(len(files), 'file')}.")
    if wrong:
        raise typer.Exit(1)
