"""`/metrics`: for Prometheus. Who may read it, and that nothing waits for it."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Request, Response

from web.context import Metrics
from web.errors import ApiError
from web.scraping import may_scrape
from web.services import services

router: Final = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The metrics of this process, and the state of queues and rows."""
    found = services(request).context.metrics
    if found is None:
        raise ApiError(404, "not_found", "This API exports no metrics.")
    peer = request.client.host if request.client else None
    if not may_scrape(found.token, peer, request.headers):
        raise _refused(found)
    text = await asyncio.get_running_loop().run_in_executor(found.thread, found.render)
    return Response(text, media_type=found.content_type, headers={"Cache-Control": "no-store"})


def _refused(found: Metrics) -> ApiError:
    if found.token is None:
        message = "Metrics are open to this machine only. Set PAYSPOOL_METRICS_TOKEN for others."
        return ApiError(403, "metrics_are_local", message)
    message = "Send Authorization: Bearer and PAYSPOOL_METRICS_TOKEN."
    headers = {"WWW-Authenticate": "Bearer"}
    return ApiError(401, "metrics_token", message, field="Authorization", headers=headers)
