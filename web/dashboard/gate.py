"""Who gets in: one ASGI middleware in front of every page, asset, action and websocket.

It refuses what another site makes a browser do, finds out whose session it is, and sends everybody else to
sign in.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote, urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.access import sessions
from domain.access.sessions import User
from domain.db import transaction
from web.dashboard.context import DashboardContext
from web.dashboard.visit import SESSION

OPEN: Final = ("/sign-in", "/link/", "/assets/", "/healthz")
"""What is shown to everybody."""
SAFE: Final = ("GET", "HEAD")
_SOCKET: Final = "/_nicegui_ws/"

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'",
}


class Gate:
    """Lets in who is signed in, from pages of ours only (ASGI middleware)."""

    def __init__(self, app: ASGIApp, *, context: DashboardContext) -> None:
        self.app = app
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"]
        if self._foreign(scope, headers):
            await _refuse(
                scope, receive, send, "This request came from another site; nothing was done."
            )
            return
        if path.startswith(OPEN):
            await self.app(scope, receive, self._guarded(send, path))
            return
        try:
            user, token = await to_thread.run_sync(self._who, scope, headers)
        except Exception:
            if scope["type"] == "http" and path.startswith("/_nicegui/"):
                raise
            await _unavailable(scope, receive, send)
            return
        if user is None:
            await _sign_in(scope, receive, send)
            return
        scope["payspool_user"], scope["payspool_token"] = user, token
        try:
            await self.app(scope, receive, self._guarded(send, path))
        except RuntimeError as error:
            # What a middleware below says of a browser that went on to another page.
            if str(error) != "No response returned.":
                raise

    def _foreign(self, scope: Scope, headers: Headers) -> bool:
        """Whether another site is behind a request that changes something, or that opens a socket."""
        host = headers.get("host", "")
        if (
            self.context.access.url
            and host.lower() != urlsplit(self.context.access.url).netloc.lower()
        ):
            return bool(scope["path"] != "/healthz")
        socket = scope["type"] == "websocket" or scope["path"].startswith(_SOCKET)
        if not socket and scope.get("method") in SAFE:
            return False
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None and site not in ("same-origin", "none"):
            return True
        if origin is not None and self.context.access.url:
            return bool(origin.lower() != self.context.access.url.lower())
        if origin is not None:
            return urlsplit(origin).netloc.lower() != host.lower()
        # Browsers name the origin of each socket and each POST; a polling GET of ours names its site.
        return scope["type"] == "websocket" or site is None

    def _who(self, scope: Scope, headers: Headers) -> tuple[User | None, str | None]:
        access = self.context.access
        token = HTTPConnection(scope).cookies.get(SESSION)
        with transaction(self.context.engine) as tx:
            if access.sso_header and self._trusted(scope):
                name = headers.get(access.sso_header)
                if name:
                    return sessions.user_named(tx, name), None
            return (sessions.user_of(tx, token), token) if token else (None, None)

    def _trusted(self, scope: Scope) -> bool:
        client = scope.get("client")
        try:
            address = ip_address(client[0]) if client else None
        except ValueError:
            return False
        proxies = self.context.access.proxies
        return address is not None and any(address in network for network in proxies)

    def _guarded(self, send: Send, path: str) -> Send:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if not path.startswith(("/_nicegui/", "/assets/")):
                    headers["Cache-Control"] = "no-store"
                if self.context.access.secure:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        return guarded


async def _refuse(scope: Scope, receive: Receive, send: Send, message: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    await PlainTextResponse(message, 403)(scope, receive, send)


async def _unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013, "reason": "database away"})
        return
    message = "The database does not answer, so nobody can be let in. `payspool doctor` says more."
    await PlainTextResponse(message, 503, {"Retry-After": "5"})(scope, receive, send)


async def _sign_in(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" or scope["path"].startswith(("/_nicegui", "/export/")):
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "sign in"})
            return
        await PlainTextResponse("Sign in first.", 401)(scope, receive, send)
        return
    wanted = scope["path"]
    if scope.get("query_string"):
        wanted += "?" + scope["query_string"].decode("latin-1")
    answer: Response = RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", 303)
    await answer(scope, receive, send)


def local_path(wanted: str) -> str:
    """``wanted`` if it is a path of ours, else the front page: nobody is sent to another site.

    >>> local_path("/m/acme/payouts?state=failed"), local_path("//evil.example"), local_path("/\\\\evil")
    ('/m/acme/payouts?state=failed', '/', '/')
    """
    strange = not wanted.startswith("/") or wanted.startswith(("//", "/\\"))
    return "/" if strange or any(ord(sign) < 32 or sign == "\\" for sign in wanted) else wanted


Cookie = dict[str, Any]


def cookie(context: DashboardContext, token: str) -> Cookie:
    """The session's cookie, as Starlette's ``set_cookie`` takes it."""
    return {
        "key": SESSION,
        "value": token,
        "max_age": int(context.access.session.total_seconds()),
        "path": "/",
        "httponly": True,
        "samesite": "lax",
        "secure": context.access.secure,
    }
