"""The HTTP API as an application: `create_app(context)`, served by any ASGI server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread
from fastapi import FastAPI

from payspool_client import Publisher
from web import documentation, errors, health, metrics, webhooks
from web.api import events
from web.context import ApiContext, ApiLimits
from web.documentation import DocumentedApp
from web.probes import probes, sweeps
from web.request_id import RequestIds
from web.services import Services

__all__ = ["ApiContext", "ApiLimits", "create_app"]

_ABOUT: Final = """\
Payspool turns conversion and loyalty events into money owed, and money owed into money paid,
exactly once.

Amounts are integers in minor units, beside a lower-case ISO 4217 code. Times are RFC 3339; those
that are answered are UTC. Every error is `{"error": {"code", "message", "field"?}}`. Every answer
has an `X-Request-Id`: the request's own, or a new one.
"""


def create_app(context: ApiContext) -> FastAPI:
    """Make the application. Nothing is connected to before the first request needs it.

    >>> app = create_app(context)  # doctest: +SKIP
    >>> uvicorn.run(app, host="127.0.0.1", port=8300)  # doctest: +SKIP
    """
    publisher = Publisher(context.redis_url, namespace=context.namespace)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = context.limits.threads
        yield
        publisher.close()
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
    app.state.services = Services(context, publisher, probes(context), sweeps(context))
    errors.install(app, context.limits.retry_after_seconds)
    app.add_middleware(RequestIds)
    app.documented = (events.router, webhooks.router, health.router)
    for router in (*app.documented, documentation.router, metrics.router):
        app.include_router(router)
    return app
