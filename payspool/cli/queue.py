"""`payspool queue`: what is on the queues, who works on them, and stopping either."""

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
from queues.workforce import WorkerState, Workforce
from workers.context import Runtime
from workers.pause_log import AuditedPauses
from workers.registry import ACTORS

REASON_CHARACTERS_MAX = 500

app = typer.Typer(help="Queues.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="as `payspool queue list` shows it")]

Worker = Annotated[
    str,
    typer.Argument(metavar="WORKER", help="the beginning of its name in `payspool queue workers`"),
]


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
    _check(reason)
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


@app.command("workers", epilog="Example: payspool queue workers --json")
def workers_(as_json: AsJson = False) -> None:
    """List the worker processes: where they are, what they are at and for how long, and which are quiet."""
    with session.working() as rt:
        states = Workforce(rt.redis, rt.namespace).all()
    columns = ["name", "host", "pid", "queues", "threads", "memory_bytes", "heard_seconds"]
    columns += ["at", "quiet_by", "quiet_reason"]
    session.show(
        [_row(state) for state in states], columns, as_json=as_json, empty="No worker is running."
    )


@app.command(epilog="Example: payspool queue quiet 3f2a --reason 'looking at its memory'")
def quiet(
    worker: Worker, reason: Annotated[str, typer.Option(help="shown wherever it is quiet")]
) -> None:
    """Let one worker process take nothing more; what it holds is finished, and the others go on."""
    _check(reason)
    with session.working() as rt:
        log = AuditedPauses(rt.engine, session.me())
        workforce = Workforce(rt.redis, rt.namespace)
        name = workforce.quiet(worker, by=session.me().id, reason=reason, log=log)
    session.say(f"Quieted {name}. It finishes what it holds.")


@app.command(epilog="Example: payspool queue wake 3f2a")
def wake(worker: Worker) -> None:
    """Let a quiet worker process take messages again."""
    with session.working() as rt:
        log = AuditedPauses(rt.engine, session.me())
        name = Workforce(rt.redis, rt.namespace).wake(worker, log=log)
    session.say(f"Woke {name}.")


def _row(state: WorkerState) -> dict[str, Any]:
    at = [f"{one.actor} x{one.messages} for {one.seconds:.0f} s" for one in state.current]
    return asdict(state) | {
        "queues": ", ".join(state.queues),
        "heard_seconds": round(state.heard_seconds, 1),
        "at": "; ".join(at) or "idle",
        "quiet_by": state.quiet and state.quiet.by,
        "quiet_reason": state.quiet and state.quiet.reason,
    }


def _check(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_CHARACTERS_MAX:
        raise Invalid("--reason", f"takes 1 to {REASON_CHARACTERS_MAX} characters.")


def _names(rt: Runtime) -> list[str]:
    declared = {spec.queue for spec in ACTORS.values()}
    return sorted(declared | set(known_queues(rt.redis, rt.namespace)))
