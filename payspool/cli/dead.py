"""`payspool dead`: messages that their queue gave up on."""

import re
from enum import StrEnum
from typing import Annotated

import typer

from domain.db import transaction
from domain.dead_letters import service, store
from domain.dead_letters.store import Filter
from domain.errors import NotFound
from payspool.cli import session
from payspool.cli.session import AsJson
from queues.dead import DeadSet
from workers.dead_letters import put_back

app = typer.Typer(help="Dead letters.", no_args_is_help=True)

Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="as `payspool dead list` shows")]


class State(StrEnum):
    """Which letters to list."""

    OPEN = "open"
    RETRIED = "retried"
    DISCARDED = "discarded"
    ALL = "all"


@app.command("list", epilog="Example: payspool dead list --queue payouts --text KeyError --json")
def list_(
    queue: Annotated[str | None, typer.Option(help="of this queue only")] = None,
    actor: Annotated[str | None, typer.Option(help="of this actor only")] = None,
    text: Annotated[
        str | None, typer.Option(help="with this in their arguments or reason only")
    ] = None,
    state: Annotated[State, typer.Option(help="what was decided")] = State.OPEN,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    wanted = None if state is State.ALL else state.value
    with session.opened() as tx:
        found = Filter(queue, actor, text)
        rows = store.search(tx, found, state=wanted, before=None, limit=limit)
    session.show(
        rows,
        ["id", "queue", "actor", "reason", "attempts", "deaths", "died_at", "state", "decided_by"],
        as_json=as_json,
        empty="No dead letters.",
    )


@app.command(epilog="Example: payspool dead show 17")
def show(
    letter_id: Annotated[int, typer.Argument(metavar="ID", help="as `payspool dead list` shows")],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its arguments and where it failed."""
    with session.opened() as tx:
        row = store.find(tx, letter_id)
    if row is None:
        raise NotFound("dead letter", str(letter_id), "See `payspool dead list --state all`.")
    found = dict(row._mapping)
    if as_json:
        session.emit_json(found)
        return
    for name, value in found.items():
        if value is not None:
            session.say(f"{name.replace('_', ' ') + ':':<18} {_printable(value)}")


@app.command(epilog="Example: payspool dead retry 17 18 --reason 'the fix is deployed'")
def retry(
    ids: Ids,
    reason: Annotated[str | None, typer.Option(help="for the audit trail")] = None,
) -> None:
    """Put messages back on their queues, as they were, with nothing counted against them."""
    with session.working() as rt:
        for letter_id in ids:
            with transaction(rt.engine) as tx:
                decided = service.retry(tx, [letter_id], session.me(), put_back(rt, tx), reason)
            _told(decided)
            session.say(f"Retried {letter_id}.")


@app.command(epilog="Example: payspool dead discard 17 --reason 'written by a broken script'")
def discard(
    ids: Ids,
    reason: Annotated[str, typer.Option(help="for the audit trail")],
) -> None:
    """Decide that messages shall not run. What they say stays here."""
    with session.working() as rt:
        for letter_id in ids:
            with transaction(rt.engine) as tx:
                decided = service.discard(tx, [letter_id], session.me(), reason)
            _told(decided)
            [row] = decided.letters
            # Should this fail, the sweep removes it: the decision is committed.
            DeadSet(rt.redis, rt.namespace, row.queue).remove([row.redis_message_id])
            session.say(f"Discarded {letter_id}.")


def _told(decided: service.Decided) -> None:
    """Raises why a letter was refused, if it was."""
    for error in decided.refused.values():
        raise error


def _printable(value: object) -> str:
    # Anybody may have written what is in a message: nothing of it may steer the terminal.
    return re.sub(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]", "?", str(value))
