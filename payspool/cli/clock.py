"""`payspool clock`: business time, real or simulated."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from domain import clock
from domain.audit import service as audit
from domain.db import transaction
from domain.errors import Invalid
from payspool.cli import session

app = typer.Typer(help="Business time.", no_args_is_help=True)


@app.command(epilog="Example: payspool clock show")
def show() -> None:
    """Show business time."""
    with session.opened() as tx:
        simulated, now = clock.simulated_at(tx), clock.business_now(tx)
    kind = "simulated" if simulated else "real"
    session.say(f"{now:%Y-%m-%d %H:%M:%S} UTC ({kind})")


@app.command(epilog="Example: payspool clock set 2027-01-01T00:00:00")
def set(
    at: Annotated[datetime, typer.Argument(help="UTC", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])],
) -> None:
    """Simulate business time, with the sandbox only and forward only."""
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        moment = at.replace(tzinfo=UTC)
        if moment < clock.business_now(tx):
            raise Invalid("at", "business time only moves forward; give a later moment")
        clock.simulate(tx, moment, sandbox=settings.sandbox)
        audit.record(
            tx,
            session.me(),
            "clock.set",
            merchant_id=None,
            subject_kind="clock",
            subject_id="business",
            after={"at": moment},
        )
    session.say(f"Business time is {at:%Y-%m-%d %H:%M:%S} UTC.")


@app.command(epilog="Example: payspool clock real")
def real() -> None:
    """Let business time be the real time again.

    Only if the simulated time is not ahead of it: business time never goes back, or what was earned,
    fired and paid by then would lie in the future. What is due in between fires as after a long sleep.
    """
    with session.opened() as tx:
        before = clock.simulated_at(tx)
        if clock.go_real(tx):
            audit.record(
                tx,
                session.me(),
                "clock.real",
                merchant_id=None,
                subject_kind="clock",
                subject_id="business",
                before={"at": before},
            )
    session.say("Business time is the real time.")
