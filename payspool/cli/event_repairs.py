"""`payspool events retry` and `edit`: what operators do with refused and dead events."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress
from sqlalchemy import Engine

from domain.db import transaction
from domain.errors import DomainError, Invalid
from domain.inbox import service as inbox
from domain.inbox.service import Retried, Selection
from domain.merchants import service as merchants
from payspool.cli import session
from payspool.cli.session import AsJson
from workers.failures import is_infrastructure

_SHOWN: Final = ("number", "merchant", "source", "id", "type", "status", "reason", "detail")

TIMES: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
"""How a time is given here; always UTC."""


def retry(
    numbers: Annotated[
        list[int] | None,
        typer.Argument(metavar="[NUMBER]...", help="as `payspool events status` shows them"),
    ] = None,
    merchant: Annotated[str | None, typer.Option(help="only this merchant's")] = None,
    reason: Annotated[str | None, typer.Option(help="only of this reason code")] = None,
    status: Annotated[str | None, typer.Option(help="only rejected, or only dead")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="only of this type, as loyalty.points_earned")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="only received since then, UTC", formats=TIMES)
    ] = None,
    because: Annotated[str | None, typer.Option(help="kept in the audit trail")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list them")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply refused and dead events again, by number or by filter, with the content that they have.

    A filter leaves out what was refused by a decision that stands (a used-up code, too few points),
    unless --reason names it. Exit status 1 if a bug stopped any.
    """
    if bool(numbers) == any((merchant, reason, status, since, type_)):
        raise Invalid("NUMBER", "name events by their numbers, or filter them, not both or neither")
    if status not in (None, "rejected", "dead"):
        raise Invalid("--status", "is rejected or dead")
    with _database() as engine:
        with transaction(engine) as tx:
            found = merchants.get(tx, merchant) if merchant else None
            at = since.replace(tzinfo=UTC) if since else None
            selection = Selection(found.id if found else None, reason, status, at, type_)
            total, left_out = inbox.count_selected(tx, selection)
        batches = _cut(numbers) if numbers else _selected(engine, selection)
        if dry_run:
            _list(engine, batches, as_json=as_json)
            return
        results, buggy = _retried(engine, batches, len(numbers or ()) or total, because)
    if as_json:
        session.emit_json([_told(one) for one in results])
    else:
        _say(results)
        if left_out and not numbers:
            session.say(
                f"Left out {session.count(left_out, 'event')} whose refusal was a decision;"
                " --reason names one to retry them."
            )
    for number, sentence in buggy:
        session.errors.print(
            f"Event {number}: a bug stopped it ({sentence}); it stays as it was.",
            markup=False,
            soft_wrap=True,
        )
    if buggy:
        raise typer.Exit(1)


def edit(
    number: Annotated[
        int, typer.Argument(metavar="NUMBER", help="as `payspool events status` shows it")
    ],
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(help="the new data, a JSON object; - for standard input"),
    ],
    reason: Annotated[str, typer.Option(help="why; kept with the revision and in the audit trail")],
    type_: Annotated[str | None, typer.Option("--type", help="another type")] = None,
    time: Annotated[datetime | None, typer.Option(help="another time, UTC", formats=TIMES)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only check it")] = False,
) -> None:
    """Give a refused or dead event new data, and apply it. What it said before is kept and shown.

    A replay of any of its revisions is a duplicate. What is applied is not edited.
    """
    try:
        data = file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("FILE", "is not UTF-8 text") from None
    with _database() as engine, engine.connect() as tx, tx.begin() as open_transaction:
        done = inbox.edit(
            tx,
            number,
            data,
            actor=session.me(),
            reason=reason,
            type=type_,
            time=time.replace(tzinfo=UTC) if time else None,
        )
        if dry_run:
            open_transaction.rollback()
    sentence = _sentence(done.outcome)
    if dry_run:
        session.say(f"Event {number} would become revision {done.revision}: {sentence}")
    else:
        session.say(f"Event {number} is revision {done.revision} now: {sentence}")
    if done.outcome.status == "rejected":
        raise typer.Exit(1)


@contextmanager
def _database() -> Iterator[Engine]:
    _, rt = session.build()
    try:
        yield rt.engine
    finally:
        rt.engine.dispose()


def _cut(numbers: Sequence[int]) -> Iterator[list[int]]:
    ordered = sorted(set(numbers))
    for at in range(0, len(ordered), inbox.RETRY_BATCH):
        yield ordered[at : at + inbox.RETRY_BATCH]


def _selected(engine: Engine, selection: Selection) -> Iterator[list[int]]:
    """Numbers, page by page: what is refused again is behind us and does not come twice."""
    after = 0
    while True:
        with transaction(engine) as tx:
            page = [row.id for row in inbox.selected(tx, selection, after)]
        if not page:
            return
        yield page
        after = page[-1]


def _retried(
    engine: Engine, batches: Iterator[list[int]], total: int, because: str | None
) -> tuple[list[Retried], list[tuple[int, str]]]:
    results: list[Retried] = []
    buggy: list[tuple[int, str]] = []
    with Progress(console=session.errors) as progress:
        task = progress.add_task("Retrying", total=total)
        for batch in batches:
            todo = [batch]
            while todo:
                part = todo.pop()
                try:
                    with transaction(engine) as tx:
                        results += inbox.retry(tx, part, actor=session.me(), reason=because)
                except Exception as error:
                    if isinstance(error, DomainError) or is_infrastructure(error):
                        raise
                    if len(part) > 1:  # a bug: its neighbours go on
                        middle = len(part) // 2
                        todo += [part[middle:], part[:middle]]
                        continue
                    buggy.append((part[0], type(error).__name__))
                progress.advance(task, len(part))
    return results, buggy


def _list(engine: Engine, batches: Iterator[list[int]], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for batch in batches:
        with transaction(engine) as tx:
            rows += [
                {"number": row.id, "id": row.event_id}
                | {name: getattr(row, name) for name in _SHOWN if name not in ("number", "id")}
                for row in inbox.by_number(tx, batch)
            ]
    session.show(rows, _SHOWN, as_json=as_json, empty="No event is refused or dead like that.")
    if rows and not as_json and sys.stdout.isatty():
        session.say(f"{session.count(len(rows), 'event')}; without --dry-run they are retried.")


def _told(one: Retried) -> dict[str, Any]:
    return {
        "number": one.number,
        "before": one.before,
        "before_reason": one.before_reason,
        "status": one.status,
        "reason": one.reason,
        "detail": one.detail,
        "tried": one.tried,
    }


def _say(results: Sequence[Retried]) -> None:
    tried = [one for one in results if one.tried]
    applied = sum(1 for one in tried if one.status == "applied")
    session.say(f"Retried {session.count(len(tried), 'event')}: {applied:,} applied.")
    for one in results:
        if not one.tried:
            session.say(f"  Event {one.number} is {one.status} and was left alone.")
        elif one.status != "applied":
            session.say(f"  Event {one.number}: {_sentence(one)}")


def _sentence(one: Retried) -> str:
    why = f" ({one.reason}{f': {one.detail}' if one.detail else ''})" if one.reason else ""
    return f"{one.status}{why}."
