"""The pages before the door: sign in by password or link, and sign out. Plain HTML, no script needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)

from domain.access import sessions
from domain.db import Tx, transaction
from web.dashboard.components.markup import Html, page, tag
from web.dashboard.context import DashboardContext
from web.dashboard.gate import cookie, local_path
from web.dashboard.visit import SESSION

STATIC: Final = Path(__file__).with_name("static")
WRONG: Final = (
    "Name or password is wrong, or there were too many tries. Wait a few minutes, or ask whoever runs"
    " Payspool for a link: payspool users link NAME."
)
USED: Final = "This link was used or is too old. Whoever runs Payspool makes another: payspool users link NAME."
GUESSES: Final = 2
"""Passwords that are looked at at once: each takes 19 MiB and a part of a second, on purpose."""


def install(app: FastAPI, context: DashboardContext) -> None:
    """Add the pages to an application."""
    router = APIRouter()

    @router.get("/healthz")
    def health() -> Response:
        return PlainTextResponse("ok\n")

    @router.get("/assets/{name}")
    def assets(name: str) -> Response:
        found = {file.name: file for file in STATIC.iterdir()}.get(name)
        if found is None:
            return PlainTextResponse("There is no such file.", 404)
        return FileResponse(found, headers={"Cache-Control": "no-cache"})

    @router.post("/sign-out")
    def sign_out(request: Request) -> Response:
        with transaction(context.engine) as tx:
            sessions.sign_out(tx, request.cookies.get(SESSION, ""))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(SESSION, path="/")
        return answer

    _by_password(router, context)
    _by_link(router, context)
    app.include_router(router)


def _by_password(router: APIRouter, context: DashboardContext) -> None:
    limiter = CapacityLimiter(GUESSES)

    @router.get("/sign-in")
    def ask(next: str = "/") -> HTMLResponse:
        return _form(local_path(next), None)

    @router.post("/sign-in")
    async def sign_in(
        request: Request,
        name: Annotated[str, Form(max_length=200)] = "",
        password: Annotated[str, Form(max_length=1000)] = "",
        next: Annotated[str, Form(max_length=2000)] = "/",
    ) -> Response:
        def check() -> str | None:
            with transaction(context.engine) as tx:
                token = sessions.sign_in(tx, name, password, keep=context.access.session)
                return _instead(tx, request, token)

        token = await to_thread.run_sync(check, limiter=limiter)
        if token is None:
            return _form(local_path(next), WRONG, status=401)
        return _come_in(context, token, local_path(next))


def _by_link(router: APIRouter, context: DashboardContext) -> None:
    @router.get("/link/{token}")
    def offer(token: str) -> HTMLResponse:
        # Not used up by looking: programs open links that are sent around, people press the button.
        button = tag("button", "Sign in", type="submit")
        form = tag("form", button, method="post", action=f"/link/{token}", class_="door")
        return _door(tag("p", "This link signs you in, once."), form)

    @router.post("/link/{token}")
    def use(request: Request, token: str) -> Response:
        with transaction(context.engine) as tx:
            session = sessions.sign_in_by_link(tx, token, keep=context.access.session)
            session = _instead(tx, request, session)
        if session is None:
            return _door(tag("p", USED, class_="wrong", role="alert"), status=401)
        return _come_in(context, session, "/")


def _instead(tx: Tx, request: Request, token: str | None) -> str | None:
    """The new session, if there is one, takes the place of the one that the browser came with."""
    if token is not None:
        sessions.sign_out(tx, request.cookies.get(SESSION, ""))
    return token


def _come_in(context: DashboardContext, token: str, to: str) -> Response:
    answer = RedirectResponse(to, 303)
    answer.set_cookie(**cookie(context, token))
    return answer


def _form(to: str, wrong: str | None, *, status: int = 200) -> HTMLResponse:
    said = tag("p", wrong, class_="wrong", role="alert") if wrong else Html("")
    form = tag(
        "form",
        tag("input", type="hidden", name="next", value=to),
        tag("label", "Name", for_="name"),
        tag(
            "input", id="name", name="name", autocomplete="username", required=True, autofocus=True
        ),
        tag("label", "Password", for_="password"),
        tag(
            "input",
            id="password",
            name="password",
            type="password",
            autocomplete="current-password",
            required=True,
        ),
        tag("button", "Sign in", type="submit"),
        method="post",
        action="/sign-in",
        class_="door",
    )
    hint = tag(
        "p", "The first person is added by a command: payspool users add NAME admin.", class_="dim"
    )
    return _door(said, form, hint, status=status)


def _door(*parts: Html, status: int = 200) -> HTMLResponse:
    body = tag("main", tag("h1", "Payspool"), *parts, class_="door-page")
    return HTMLResponse(page("Sign in – Payspool", body), status)
