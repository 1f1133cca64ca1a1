"""What is on the queues, who works on them, and stopping one. Queues are the installation's, not a merchant's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Final

from dramatiq.errors import ConnectionClosed
from fastapi import APIRouter, Depends, Path, Request
from redis.exceptions import RedisError

from domain.access.service import ApiKey
from domain.audit.service import Actor
from queues.dead import known_queues
from queues.inspect import inspect
from queues.pause import AlreadyPaused, NotPaused, Pause, PauseLog, Pauses
from queues.workforce import Workforce
from web.access import allowed_to
from web.api import queues_docs, queues_schemas
from web.api.asking import Body, parsed
from web.errors import ApiError, Unavailable
from web.services import Services, services

router: Final = APIRouter(tags=["queues"])


Reader = Annotated[ApiKey, Depends(allowed_to("queues:read"))]
Writer = Annotated[ApiKey, Depends(allowed_to("queues:write"))]
QueueName = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9_.-]{1,100}$",
        description="As `GET /v1/queues` names it.",
        examples=["payouts"],
    ),
]


@router.get(
    "/v1/queues",
    summary="What is on the queues",
    response_model=queues_schemas.Queues,
    responses=queues_docs.LIST,
)
def queues(request: Request, key: Reader) -> dict[str, Any]:  # noqa: ARG001
    """Every queue with what waits, runs, is to be retried or is dead, and who paused it, when and why."""
    held = services(request)
    with queue_answers(held):
        pauses = Pauses(held.redis, held.context.namespace).all()
        states = inspect(held.redis, held.context.namespace, _names(held, pauses))
    return {"queues": [asdict(one) | {"paused": _pause(pauses.get(one.queue))} for one in states]}


@router.get(
    "/v1/workers",
    summary="Who works on the queues",
    response_model=queues_schemas.Workers,
    responses=queues_docs.WORKERS,
)
def workers(request: Request, key: Reader) -> dict[str, Any]:  # noqa: ARG001
    """Every worker process that is alive: where it is, what it is at and for how long, and whether it is quiet."""
    held = services(request)
    with queue_answers(held):
        found = Workforce(held.redis, held.context.namespace).all()
    return {"workers": [asdict(one) for one in found]}


@router.post(
    "/v1/queues/{queue}/pause",
    summary="Pause a queue",
    response_model=queues_schemas.Pause,
    responses=queues_docs.PAUSE,
    openapi_extra=queues_docs.PAUSE_BODY,
)
def pause(request: Request, key: Writer, queue: QueueName, body: Body) -> dict[str, Any]:
    """Let nobody take messages of a queue until it is resumed; what was taken is finished."""
    reason = parsed(queues_schemas.PauseRequest, body).reason
    held = services(request)
    with queue_answers(held):
        pauses = Pauses(held.redis, held.context.namespace)
        if queue not in _names(held, pauses.all()):
            message = f"There is no queue {queue!r}. GET /v1/queues lists them."
            raise ApiError(404, "queue_not_found", message, field="queue")
        try:
            made = pauses.pause(queue, by=_who(key), reason=reason, log=_log(held, key))
        except AlreadyPaused as error:
            raise ApiError(409, "already_paused", str(error)) from None
    return _pause(made) or {}


@router.post(
    "/v1/queues/{queue}/resume",
    summary="Resume a queue",
    response_model=queues_schemas.Pause,
    responses=queues_docs.RESUME,
)
def resume(request: Request, key: Writer, queue: QueueName) -> dict[str, Any]:
    """Let messages of a paused queue be taken again, and answer with the pause that ended."""
    held = services(request)
    with queue_answers(held):
        try:
            ended = Pauses(held.redis, held.context.namespace).resume(queue, log=_log(held, key))
        except NotPaused:
            message = f"The queue {queue!r} is not paused."
            raise ApiError(409, "not_paused", message) from None
    return _pause(ended) or {}


def _names(held: Services, pauses: dict[str, Pause]) -> list[str]:
    known = known_queues(held.redis, held.context.namespace)
    return sorted({*held.context.queues, *known, *pauses})


def _pause(pause: Pause | None) -> dict[str, Any] | None:
    return None if pause is None else {"by": pause.by, "at": pause.at, "reason": pause.reason}


def _who(key: ApiKey) -> str:
    return f"{key.merchant_key}/{key.name}"


def _log(held: Services, key: ApiKey) -> PauseLog:
    assert held.context.pause_log is not None, "the composition root passes one in"
    return held.context.pause_log(Actor("api_key", _who(key)))


@contextmanager
def queue_answers(held: Services) -> Iterator[None]:
    """Say so, as HTTP does, if the queues' server is away meanwhile."""
    try:
        yield
    except (ConnectionClosed, RedisError):
        message = "The queues' server cannot serve now. Repeating the request is safe."
        raise Unavailable(
            "queue_unavailable", message, held.context.limits.retry_after_seconds
        ) from None
