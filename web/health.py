"""`/healthz`: the process lives. `/readyz`: what it needs is there, each told within a bounded time."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from web.api.answers import error_value, example
from web.api.schemas import Alive, NotReady, Readiness
from web.errors import error_object
from web.services import services

router: Final = APIRouter(tags=["health"])

_OK: Final = {"status": "ok", "detail": None, "milliseconds": 0.8}
_AWAY: Final = {
    "status": "failed",
    "detail": "It did not answer within 2 s.",
    "milliseconds": 2000.0,
}
_LATE: Final = "Sweeps are late: payouts.sweep by 184 s. Do a scheduler and a sweep worker run?"
_NOT_READY: Final = "These do not serve: {}. See each one's detail."


@router.get(
    "/healthz",
    summary="Alive",
    response_model=Alive,
    responses={200: example("It serves requests.", Alive, {"status": "alive"})},
)
async def healthz() -> dict[str, str]:
    """Whether the process serves requests. It touches no server: what it needs is `/readyz`."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    summary="Ready",
    response_model=Readiness,
    responses={
        200: example(
            "Everything is there.",
            Readiness,
            {
                "status": "ready",
                "dependencies": {"database": _OK, "redis": _OK},
                "warnings": [_LATE],
            },
        ),
        503: example(
            "Something is missing.",
            NotReady,
            {
                "error": error_value("not_ready", _NOT_READY.format("redis")),
                "status": "not_ready",
                "dependencies": {"database": _OK, "redis": _AWAY},
                "warnings": [],
            },
        ),
    },
)
async def readyz(request: Request) -> JSONResponse:
    """Whether events can be taken: the database is reachable and migrated, Redis reachable and
    writable. Each is given 2 seconds, side by side. A sweep that is late, and sending that is stopped
    after a failover, are warnings: requests are served without them."""
    held = services(request)
    seconds = held.context.limits.ready_seconds
    found = await asyncio.gather(*(probe.look(seconds) for probe in held.probes))
    warned = [held.sweeps, held.failover] if not found[0].detail else []
    told = await asyncio.gather(*(probe.look(seconds) for probe in warned))
    warnings = [one.detail for one in told if one.detail]
    body: dict[str, Any] = {"status": "ready", "dependencies": {}, "warnings": warnings}
    body["dependencies"] = {
        probe.name: one.model_dump() for probe, one in zip(held.probes, found, strict=True)
    }
    failed = [probe.name for probe, one in zip(held.probes, found, strict=True) if one.detail]
    if not failed:
        return JSONResponse(body)
    error = error_object("not_ready", _NOT_READY.format(", ".join(failed)))
    return JSONResponse({"error": error} | body | {"status": "not_ready"}, 503)
