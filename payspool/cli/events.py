"""`payspool events`: publish one, import a file, ask what became of one."""

import json
from codecs import BOM_UTF8
from typing import Annotated

import typer

from domain.errors import Invalid, NotFound
from domain.inbox import service as inbox
from payspool.cli import event_import, event_repairs, session
from payspool.cli.session import AsJson, MerchantKey
from payspool_client import InvalidEvent, parse_event

app = typer.Typer(help="Events: publish, import, follow, retry, edit.", no_args_is_help=True)
app.command(
    epilog="Example: payspool events retry --merchant acme --reason code_not_found --dry-run"
)(event_repairs.retry)
app.command(epilog="Example: payspool events edit 1881 data.json --reason 'code mistyped'")(
    event_repairs.edit
)

app.command(
    "import", epilog="Example: payspool events import purchases.csv --rejects refused.jsonl"
)(event_import.import_)


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
    with event_import.publisher() as publisher:
        publisher.publish(text)
    session.say(
        f"Published. `payspool events status {event.merchant} {event.source} {event.id}` tells what became of it."
    )


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
    detail = f": {known['detail']}" if known["detail"] else ""
    reason = f" ({known['reason']}{detail})" if known["reason"] else ""
    session.say(
        f"{known['type']} {known['id']}: {known['status']}{reason}; number {known['number']}"
    )
    for one in known["revisions"]:
        why = f": {one['reason']}" if one["reason"] else ""
        session.say(
            f"  revision {one['revision']} by {one['by']}, {one['at']:%Y-%m-%d %H:%M} UTC{why}"
        )
        session.say(f"    {json.dumps(one['data'], ensure_ascii=False)}")
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
