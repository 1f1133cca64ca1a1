"""The dashboard as an application: `create_dashboard(context)`, served by uvicorn in a process of its own."""

from __future__ import annotations

from typing import Final

from anyio import CapacityLimiter
from fastapi import FastAPI
from nicegui import ui

from web.dashboard import exports, signing
from web.dashboard.context import DashboardContext
from web.dashboard.gate import Gate
from web.dashboard.pages import PAGES
from web.dashboard.shell import Pages
from web.dashboard.visit import READERS

FAVICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7"'
    ' fill="#18212d"/><path d="M9 24V8h8a5.5 5.5 0 0 1 0 11h-8" fill="none" stroke="#6fb1ff"'
    ' stroke-width="3.4"/></svg>'
)


def create_dashboard(context: DashboardContext) -> FastAPI:
    """Make the application; once in a process, because NiceGUI keeps its pages for the process."""
    app = FastAPI(title="Payspool dashboard", docs_url=None, redoc_url=None, openapi_url=None)
    limiter = CapacityLimiter(READERS)
    signing.install(app, context)
    exports.install(app, context)
    pages = Pages(context, limiter)
    for install in PAGES:
        install(pages)
    ui.run_with(
        app,
        title="Payspool",
        favicon=FAVICON,
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=30.0,
        message_history_length=200,
        show_welcome_message=False,
    )
    app.add_middleware(Gate, context=context)
    return app
