"""Fire, pause and resume schedules."""

from domain.db import transaction
from domain.schedules import steering
from web.dashboard.actions.registry import Doing, action, given


@action("schedule.run_now", "operator")
def run_now(doing: Doing, *, name: str) -> str:
    """Fire a schedule by hand, as of now."""
    with transaction(doing.engine) as tx:
        fire_at = steering.run_now(tx, name, actor=doing.actor)
    return f"Fired {name} as of {fire_at:%Y-%m-%d %H:%M:%S} UTC."


@action("schedule.pause", "operator")
def pause(doing: Doing, *, name: str, reason: str) -> str:
    """Stop a schedule from firing."""
    with transaction(doing.engine) as tx:
        steering.pause(tx, name, actor=doing.actor, reason=given(reason))
    return f"Paused {name}."


@action("schedule.resume", "operator")
def resume(doing: Doing, *, name: str) -> str:
    """Let a paused schedule fire again."""
    with transaction(doing.engine) as tx:
        steering.resume(tx, name, actor=doing.actor)
    return f"Resumed {name}."
