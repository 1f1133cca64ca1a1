"""`payspool schedule`: what fires when, and by hand."""

from typing import Annotated

import typer

from domain import clock
from domain.schedules import guarding, steering, store
from payspool.cli import session
from payspool.cli.session import AsJson

app = typer.Typer(help="Schedules and their fires.", no_args_is_help=True)


Name = Annotated[str, typer.Argument(metavar="NAME", help="as `payspool schedule list` shows it")]


@app.command("list", epilog="Example: payspool schedule list --json")
def list_(as_json: AsJson = False) -> None:
    """List the schedules with their next and last fire."""
    with session.opened() as tx:
        rows = [dict(row._mapping) for row in store.listing(tx)]
        hold = guarding.present_hold(tx)
    if hold is not None:
        session.errors.print(hold.sentence, markup=False, highlight=False, soft_wrap=True)
    for row in rows:
        row["timing"] = (
            f"{row['cron']} {row['zone']}" if row["cron"] else f"every {row['every_seconds']} s"
        )
    session.show(
        rows,
        [
            "name",
            "timing",
            "next_fire_at",
            "last_fire_at",
            "last_state",
            "paused_by",
            "pause_reason",
        ],
        as_json=as_json,
        empty="No schedules yet; the scheduler registers its own when it starts.",
    )


@app.command("run-now", epilog="Example: payspool schedule run-now payouts.run/acme")
def run_now(name: Name) -> None:
    """Fire a schedule by hand, as of now."""
    with session.opened() as tx:
        fire_at = steering.run_now(tx, name, actor=session.me())
    session.say(f"Fired {name} as of {fire_at:%Y-%m-%d %H:%M:%S} UTC.")


@app.command(epilog="Example: payspool schedule pause payouts.run/acme --reason 'bank holiday'")
def pause(
    name: Name, reason: Annotated[str, typer.Option(help="shown wherever it is paused")]
) -> None:
    """Stop a schedule from firing until it is resumed."""
    with session.opened() as tx:
        steering.pause(tx, name, actor=session.me(), reason=reason)
    session.say(f"Paused {name}.")


@app.command(epilog="Example: payspool schedule resume payouts.run/acme")
def resume(name: Name) -> None:
    """Let a paused schedule fire again; what it missed is caught up by its policy."""
    with session.opened() as tx:
        steering.resume(tx, name, actor=session.me())
    session.say(f"Resumed {name}.")


@app.command("accept-clock", epilog="Example: payspool schedule accept-clock")
def accept_clock() -> None:
    """Let schedules fire again after PostgreSQL's clock jumped; look at that clock first.

    Schedules that were missed fire once, or as often as they declare.
    """
    with session.opened() as tx:
        now = clock.real_now(tx)
        guarding.accept_clock(tx, actor=session.me())
    session.say(f"Accepted: PostgreSQL's clock says {now:%Y-%m-%d %H:%M:%S} UTC.")
