"""Pause and resume queues, quiet and wake workers."""

from domain.errors import NotFound
from queues.dead import known_queues
from queues.pause import Pauses
from queues.workforce import Workforce
from web.dashboard.actions.registry import Doing, action, given


@action("queue.pause", "operator")
def pause(doing: Doing, *, queue: str, reason: str) -> str:
    """Let nobody take messages of a queue."""
    context = doing.context
    if queue not in {*context.queues, *known_queues(context.redis, context.namespace)}:
        raise NotFound("queue", queue)
    Pauses(context.redis, context.namespace).pause(
        queue, by=doing.actor.id, reason=given(reason), log=context.log(doing.actor)
    )
    return f"Paused {queue}. What was taken is being finished."


@action("queue.resume", "operator")
def resume(doing: Doing, *, queue: str) -> str:
    """Let messages of a paused queue be taken again."""
    context = doing.context
    Pauses(context.redis, context.namespace).resume(queue, log=context.log(doing.actor))
    return f"Resumed {queue}."


@action("worker.quiet", "operator")
def quiet(doing: Doing, *, worker: str, reason: str) -> str:
    """Let one worker take nothing more."""
    context = doing.context
    name = Workforce(context.redis, context.namespace).quiet(
        worker, by=doing.actor.id, reason=given(reason), log=context.log(doing.actor)
    )
    return f"Quieted {name}. It finishes what it holds."


@action("worker.wake", "operator")
def wake(doing: Doing, *, worker: str) -> str:
    """Let a quiet worker take messages again."""
    context = doing.context
    name = Workforce(context.redis, context.namespace).wake(worker, log=context.log(doing.actor))
    return f"Woke {name}."
