"""`payspool events`: publish one, import a file, ask what became of one."""

import json
from codecs import BOM_UTF8
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress

from domain.errors import Invalid, NotFound
from domain.inbox import service as inbox
from payspool.cli import event_files, session
from payspool.cli.session import AsJson, MerchantKey
from payspool_client import InvalidEvent, Publisher, parse_event

app = typer.Typer(help="Events: publish, import, follow.", no_args_is_help=True)

CHUNK: Final = 1_000
"""Lines that an import validates and publishes at a time."""
REJECTED_TEXT: Final = 2_000
"""Characters of a refused line that the rejects file keeps."""


@app.command(epilog="Example: payspool events publish event.json")
def publish(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="a JSON event; - for standard input")
    ],
) -> None:
    """Publish one event."""
    text = file.read().removeprefix(BOM_UTF8).strip()
    try:
        event = parse_event(text)
    except InvalidEvent as error:
        raise Invalid(error.field or "event", error.message) from None
    with _publisher() as publisher:
        publisher.publish(text)
    session.say(
        f"Published. `payspool events status {event.merchant} {event.source} {event.id}` tells what became of it."
    )


@app.command(
    "import", epilog="Example: payspool events import purchases.csv --rejects refused.jsonl"
)
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".jsonl or .csv")],
    rejects: Annotated[
        Path | None, typer.Option(help="where refused lines go, with their reasons")
    ] = None,
) -> None:
    """Import a file of events. Lines that are refused do not hold up the others; repeating is safe.

    A .jsonl file has one event a line. A .csv file has a header with id, source, merchant, type, time,
    and one column for each field of data.
    """
    rejects = rejects or file.with_suffix(file.suffix + ".rejects.jsonl")
    if rejects.resolve() == file.resolve():
        raise Invalid("--rejects", "names the file that is imported; choose another")
    sent, refused = 0, 0
    with (
        _publisher() as publisher,
        rejects.open("w", encoding="utf-8") as out,
        Progress(console=session.errors) as progress,
    ):
        task = progress.add_task(f"Importing {file.name}", total=file.stat().st_size)
        chunk: list[str] = []
        for line in event_files.read(file):
            progress.update(task, completed=line.done)
            refusal = _refusal(line)
            if refusal is None:
                chunk.append(line.text)
            else:
                refused += 1
                out.write(json.dumps(refusal | {"text": line.text[:REJECTED_TEXT]}) + "\n")
            if len(chunk) == CHUNK:
                sent += publisher.publish_many(chunk)
                chunk = []
        sent += publisher.publish_many(chunk)
    if refused == 0:
        rejects.unlink()
    session.say(f"Published {session.count(sent, 'event')}.")
    if refused:
        session.errors.print(
            f"Refused {session.count(refused, 'line')}; see {rejects}.",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(1)


def _refusal(line: event_files.Line) -> dict[str, Any] | None:
    if line.broken is not None:
        return {"line": line.number, "reason": "broken_line", "message": line.broken}
    try:
        parse_event(line.text)
    except InvalidEvent as error:
        return {"line": line.number, "reason": error.reason, "message": error.message}
    return None


@app.command(epilog="Example: payspool events status acme shop-eu ord-1881/paid")
def status(
    merchant: MerchantKey,
    source: Annotated[str, typer.Argument(metavar="SOURCE")],
    event_id: Annotated[str, typer.Argument(metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Tell what became of an event, with the rows that it made."""
    with session.for_merchant(merchant) as (tx, found):
        known = inbox.status(tx, found.id, source, event_id)
    if known is None:
        raise NotFound(
            "event", f"{source} {event_id}", "It never arrived, or still waits on the queue."
        )
    if as_json:
        session.emit_json(known)
        return
    reason = f" ({known['reason']}: {known['detail']})" if known["reason"] else ""
    session.say(f"{known['type']} {known['id']}: {known['status']}{reason}")
    for table, rows in known["made"].items():
        for row in rows:
            session.say(
                f"  {table}: " + ", ".join(f"{k} {v}" for k, v in row.items() if v is not None)
            )


@app.command(epilog="Example: payspool events counts --json")
def counts(as_json: AsJson = False) -> None:
    """Count events by type, status and reason."""
    with session.opened() as tx:
        rows = [dict(row._mapping) for row in inbox.counts(tx)]
        rows += [
            {"type": None, "status": "unreadable"} | dict(row._mapping)
            for row in inbox.unreadable_counts(tx)
        ]
    session.show(
        rows, ["type", "status", "reason", "events"], as_json=as_json, empty="No events yet."
    )


@app.command(epilog="Example: payspool events rejected --limit 20 --json")
def rejected(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100, as_json: AsJson = False
) -> None:
    """List what came without a readable identity or for no known merchant, newest first."""
    with session.opened() as tx:
        rows = inbox.unreadable(tx, limit)
    session.show(
        rows,
        ["id", "received_at", "reason", "detail", "message_id", "position", "begins"],
        as_json=as_json,
        empty="Nothing. What has an identity is found with `payspool events status`.",
    )


def _publisher() -> Publisher:
    settings = session.current()
    assert settings.redis_url is not None
    return Publisher(settings.redis_url, namespace=settings.namespace)
