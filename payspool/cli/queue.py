"""`payspool queue`: what is on the queues, and stopping them."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

import workers.actors  # noqa: F401 - fills the registry
from domain.errors import Invalid, NotFound
from payspool.cli import session
from payspool.cli.session import AsJson
from queues.dead import known_queues
from queues.inspect import inspect
from queues.pause import Pauses
from workers.context import Runtime
from workers.pause_log import AuditedPauses
from workers.registry import ACTORS

REASON_CHARACTERS_MAX = 500

app = typer.Typer(help="Queues.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="as `payspool queue list` shows it")]


@app.command("list", epilog="Example: payspool queue list --json")
def list_(as_json: AsJson = False) -> None:
    """List the queues with what is on them, and who paused which, when and why."""
    with session.working() as rt:
        pauses = Pauses(rt.redis, rt.namespace).all()
        states = inspect(rt.redis, rt.namespace, sorted({*_names(rt), *pauses}))
    rows: list[dict[str, Any]] = []
    for state in states:
        pause = pauses.get(state.queue)
        rows.append(
            asdict(state)
            | {
                "oldest_seconds": None
                if state.oldest_seconds is None
                else round(state.oldest_seconds),
                "paused_by": pause and pause.by,
                "paused_at": pause and pause.at,
                "pause_reason": pause and pause.reason,
            }
        )
    columns = ["queue", "ready", "in_flight", "orphans", "later", "dead", "oldest_seconds"]
    columns += ["paused_by", "paused_at", "pause_reason"]
    session.show(rows, columns, as_json=as_json, empty="No queues yet.")


@app.command(epilog="Example: payspool queue pause payouts --reason 'the bank is on the phone'")
def pause(
    queue: Name, reason: Annotated[str, typer.Option(help="shown wherever it is paused")]
) -> None:
    """Let nobody take messages of a queue until it is resumed; what was taken is finished."""
    if not reason.strip() or len(reason) > REASON_CHARACTERS_MAX:
        raise Invalid("--reason", f"takes 1 to {REASON_CHARACTERS_MAX} characters.")
    with session.working() as rt:
        if queue not in _names(rt):
            raise NotFound("queue", queue, f"Choose from: {', '.join(_names(rt))}.")
        log = AuditedPauses(rt.engine, session.me())
        Pauses(rt.redis, rt.namespace).pause(queue, by=session.me().id, reason=reason, log=log)
    session.say(f"Paused {queue}. What was taken is being finished.")


@app.command(epilog="Example: payspool queue resume payouts")
def resume(queue: Name) -> None:
    """Let messages of a paused queue be taken again."""
    with session.working() as rt:
        log = AuditedPauses(rt.engine, session.me())
        Pauses(rt.redis, rt.namespace).resume(queue, log=log)
    session.say(f"Resumed {queue}.")


def _names(rt: Runtime) -> list[str]:
    declared = {spec.queue for spec in ACTORS.values()}
    return sorted(declared | set(known_queues(rt.redis, rt.namespace)))
