"""Schedules, for who operates the installation: what fires when; fired by hand, paused and resumed."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request

from domain.access.service import ApiKey, actor_of
from domain.db import Tx
from domain.schedules import steering, store
from domain.schedules.guarding import ClockHeld
from domain.schedules.service import AlreadyFired
from web.access import allowed_to
from web.api import schedules_docs as docs
from web.api import schedules_schemas as models
from web.api.asking import Body, answered, parsed
from web.database import bounded
from web.errors import ApiError
from web.services import services

router: Final = APIRouter(tags=["schedules"])

PATH: Final = "/v1/schedules"

Reader = Annotated[ApiKey, Depends(allowed_to(docs.READ))]
Writer = Annotated[ApiKey, Depends(allowed_to(docs.WRITE))]
Name = Annotated[
    str,
    Path(
        min_length=1,
        max_length=255,
        pattern=r"^[^\x00]*$",
        description="As the list names it.",
        examples=["payouts.run/acme"],
    ),
]


@router.get(PATH, summary="Schedules", response_model=models.Schedules, responses=docs.LIST)
def schedules(request: Request, key: Reader) -> dict[str, Any]:  # noqa: ARG001
    """Every schedule of the installation with its next and last fire, and who paused it, when and why."""
    with bounded(services(request).context) as tx:
        return {"schedules": [row._mapping for row in store.listing(tx)]}


@router.post(
    PATH + "/{name:path}/run",
    status_code=202,
    summary="Fire a schedule by hand",
    response_model=models.Fired,
    responses=docs.RUN,
)
def run(request: Request, key: Writer, name: Name) -> dict[str, Any]:
    """Fire it as of now, beside its own times. A worker does what it asks for."""
    try:
        with answered(), bounded(services(request).context) as tx:
            fire_at = steering.run_now(tx, name, actor=actor_of(key))
    except AlreadyFired as error:
        raise ApiError(409, "already_fired", str(error)) from None
    except ClockHeld as error:
        raise ApiError(409, "clock_held", str(error)) from None
    return {"name": name, "fire_at": fire_at}


@router.post(
    PATH + "/{name:path}/pause",
    summary="Pause a schedule",
    response_model=models.Schedule,
    responses=docs.PAUSE,
    openapi_extra=docs.PAUSE_BODY,
)
def pause(request: Request, key: Writer, name: Name, body: Body) -> Any:
    """Let it fire no more until it is resumed; what it fired goes on."""
    said = parsed(models.PauseRequest, body)
    with answered(), bounded(services(request).context) as tx:
        steering.pause(tx, name, actor=actor_of(key), reason=said.reason)
        return _shown(tx, name)


@router.post(
    PATH + "/{name:path}/resume",
    summary="Resume a schedule",
    response_model=models.Schedule,
    responses=docs.RESUME,
)
def resume(request: Request, key: Writer, name: Name) -> Any:
    """Let it fire again; what it missed is caught up by its policy."""
    with answered(), bounded(services(request).context) as tx:
        steering.resume(tx, name, actor=actor_of(key))
        return _shown(tx, name)


def _shown(tx: Tx, name: str) -> Any:
    return store.listing(tx, name)[0]._mapping
