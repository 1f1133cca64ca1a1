"""The HTTP API as an application: `create_app(context)`, served by any ASGI server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread
from fastapi import FastAPI

from queues.connection import connect
from web import documentation, errors, health, metrics, webhooks, wise_webhooks
from web.api import (
    card_desk,
    codes,
    dead_letters,
    devices,
    event_status,
    events,
    loyalty,
    loyalty_notices,
    loyalty_reports,
    payouts,
    people,
    queues,
    referrals,
    runs,
    schedules,
    shops,
    velocity,
    webhook_endpoints,
)
from web.context import ApiContext, ApiLimits
from web.crowd import Crowd
from web.documentation import DocumentedApp
from web.keys import KeyCache
from web.probes import failover, probes, sweeps
from web.queueing import EventQueue
from web.rate import RateLimit
from web.request_id import RequestIds
from web.services import Services

__all__ = ["ApiContext", "ApiLimits", "create_app"]

_ABOUT: Final = """\
Payspool turns conversion and loyalty events into money owed, and money owed into money paid,
exactly once.

Amounts are integers in minor units, beside a lower-case ISO 4217 code. Times are RFC 3339; those
that are answered are UTC. Every error is `{"error": {"code", "message", "field"?, "request_id"}}`.
Every answer has an `X-Request-Id`: the request's own, or a new one. A 429 or 503 has a
`Retry-After` in seconds, and the same request may be sent again: nothing counts twice.
"""


def create_app(context: ApiContext) -> FastAPI:
    """Make the application. Nothing is connected to before the first request needs it.

    >>> app = create_app(context)  # doctest: +SKIP
    >>> uvicorn.run(app, host="127.0.0.1", port=8300)  # doctest: +SKIP
    """
    limits = context.limits
    queue = EventQueue(
        context.redis_url,
        context.namespace,
        backlog_messages=limits.backlog_messages,
        backlog_memory=limits.backlog_memory,
    )
    rate = RateLimit(
        context.redis_url,
        context.namespace,
        per_second=limits.rate_per_second,
        burst_seconds=limits.burst_seconds,
    )
    looking = connect(
        context.redis_url,
        connect_timeout=limits.ready_seconds,
        read_timeout=limits.ready_seconds,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = limits.threads
        yield
        queue.close()
        rate.close()
        looking.close()
        if context.metrics is not None:
            context.metrics.thread.shutdown(wait=False, cancel_futures=True)

    app = DocumentedApp(
        title="Payspool",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = Services(
        context,
        queue,
        KeyCache(context.engine),
        rate,
        looking,
        probes(context),
        sweeps(context),
        failover(context),
    )
    errors.install(app, limits.retry_after_seconds)
    app.add_middleware(
        Crowd,
        most=limits.requests,
        most_bytes=limits.bodies_bytes,
        retry_after_seconds=limits.retry_after_seconds,
    )
    app.add_middleware(RequestIds)
    app.documented = (
        events.router,
        event_status.router,
        loyalty.router,
        loyalty_notices.router,
        shops.router,
        devices.router,
        loyalty_reports.router,
        card_desk.router,
        velocity.router,
        people.router,
        payouts.router,
        runs.router,
        referrals.router,
        codes.router,
        queues.router,
        dead_letters.router,
        schedules.router,
        webhook_endpoints.router,
        webhooks.router,
        wise_webhooks.router,
        health.router,
    )
    for router in (*app.documented, documentation.router, metrics.router):
        app.include_router(router)
    return app
