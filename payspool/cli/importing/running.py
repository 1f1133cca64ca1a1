"""What every import does: a transaction a chunk, a dry run of which nothing stays, what was refused and why."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.audit import service as audit
from domain.db import Tx, transaction, trial
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.merchants.service import Merchant
from payspool.cli import session
from payspool.cli.importing.files import Broken, Line, Lines, RejectsFile, Shape

app = typer.Typer(
    help="Import from another system. Repeating a file is safe.", no_args_is_help=True
)
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".csv with a header")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would happen; nothing stays")]
Rejects = Annotated[
    Path | None, typer.Option(help="where refused lines go; FILE.rejects.csv if left out")
]

Totals = Counter[str]
Take = Callable[[Tx, Merchant, Sequence[Line]], Totals | None]
"""Takes a chunk: gives each line its status, and may tell what the new ones add up to."""


def run(
    merchant: str,
    file: Path,
    shape: Shape,
    take: Take,
    dry_run: bool,
    rejects: Path | None,
    as_json: bool,
) -> None:
    """Import a file, show the progress and tell what became of its lines; exits with 1 if some were refused.

    Raises Invalid for a file that is none of ``shape``.
    """
    counts, totals = Counter({"new": 0, "known": 0, "rejected": 0}), Totals()
    with session.working() as rt, ExitStack() as open_:
        # A dry run is one transaction, so that later lines see what earlier ones would have made.
        one = open_.enter_context(trial(rt.engine)) if dry_run else None
        with file.open("rb") as raw, session.progress() as shown:
            lines_of = Lines(raw, shape)
            kept = open_.enter_context(RejectsFile(file, rejects, lines_of.header))
            task = shown.add_task(file.name, total=file.stat().st_size)
            for lines in _until_broken(lines_of, dry_run):
                if one is not None:
                    added = take(one, merchants.get(one, merchant), lines)
                else:
                    with transaction(rt.engine) as tx:
                        found = merchants.get(tx, merchant)
                        added = take(tx, found, lines)
                        _audit(tx, found, file, shape.action, lines, added)
                totals.update(added or {})
                for line in lines:
                    counts[line.status] += 1
                    if line.status == "rejected":
                        kept.add(line)
                shown.update(task, completed=raw.tell())
    _tell(counts, totals, kept.path, dry_run, as_json)


def _until_broken(lines_of: Lines, dry_run: bool) -> Iterator[list[Line]]:
    # The lines before the broken one that had not made a transaction yet are not in either: who went on after it
    # would lose them.
    done = 0
    try:
        for lines in lines_of.chunks():
            yield lines
            done = 0 if dry_run else lines[-1].number
    except Broken as error:
        which = f"lines up to {done:,} are" if done else "nothing is"
        raise Invalid(
            error.field,
            f"{error.fault}; {which} imported. Mend it, and import the whole file again",
        ) from None


def _tell(
    counts: Counter[str], totals: Totals, kept: Path | None, dry_run: bool, as_json: bool
) -> None:
    refused = counts["rejected"]
    if as_json:
        told: dict[str, Any] = dict(counts) | dict(totals) | {"dry_run": dry_run}
        session.emit_json(told | {"rejects": str(kept) if kept else None})
    else:
        verb = "would be" if dry_run else "are"
        session.say(
            f"{session.count(counts['new'], 'line')} {verb} new, {counts['known']:,} known,"
            f" {refused:,} rejected" + (f": {kept}" if kept else "")
        )
        if totals:
            session.say("New: " + ", ".join(f"{total:,} {name}" for name, total in totals.items()))
    if refused:
        raise typer.Exit(1)


def read(line: Line, meaning: Callable[[dict[str, str]], Any]) -> Any:
    """What a line says; None if it was refused, or is now."""
    if line.status:
        return None
    try:
        return meaning(line.row)
    except Invalid as error:
        line.refuse("invalid", str(error))
        return None


def _audit(
    tx: Tx,
    merchant: Merchant,
    file: Path,
    action: str,
    lines: Sequence[Line],
    added: Totals | None,
) -> None:
    audit.record(
        tx,
        session.me(),
        action,
        merchant_id=merchant.id,
        subject_kind="file",
        subject_id=file.name[:100],
        after={
            "lines": [lines[0].number, lines[-1].number],
            "new": sum(line.status == "new" for line in lines),
            **(added or {}),
        },
    )
