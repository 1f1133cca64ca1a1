"""Fire, pause and resume schedules."""

from domain.db import transaction
from domain.schedules import service
from web.dashboard.actions.registry import Doing, action, given


@action("schedule.run_now", "operator")
def run_now(doing: Doing, *, name: str) -> str:
    """Fire a schedule by hand, as of now."""
    with transaction(doing.engine) as tx:
        fire_at = service.run_now(tx, name)
        doing.audit(
            tx,
            "schedule.run_now",
            merchant_id=None,
            subject=("schedule", name),
            after={"fire_at": fire_at},
        )
    return f"Fired {name} as of {fire_at:%Y-%m-%d %H:%M:%S} UTC."


@action("schedule.pause", "operator")
def pause(doing: Doing, *, name: str, reason: str) -> str:
    """Stop a schedule from firing."""
    why = given(reason)
    with transaction(doing.engine) as tx:
        service.pause(tx, name, by=doing.actor.id, reason=why)
        doing.audit(tx, "schedule.paused", merchant_id=None, subject=("schedule", name), reason=why)
    return f"Paused {name}."


@action("schedule.resume", "operator")
def resume(doing: Doing, *, name: str) -> str:
    """Let a paused schedule fire again."""
    with transaction(doing.engine) as tx:
        service.resume(tx, name)
        doing.audit(tx, "schedule.resumed", merchant_id=None, subject=("schedule", name))
    return f"Resumed {name}."
