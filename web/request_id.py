"""Every request has an id: in its answer, and in every log line about it."""

from __future__ import annotations

import re
from asyncio import CancelledError
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, get_contextvars

from domain.tracebacks import format_traceback
from web.errors import ApiError, Unavailable, error_response, log

HEADER: Final = "X-Request-Id"
#: Another process serves at once, or this one again in a moment.
STOPPING_RETRY_SECONDS: Final = 1
#: What is echoed; anything else is replaced, because it goes into logs.
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestIds:
    """Takes the client's request id, or makes one, and answers for what nobody handled.

    It is the outermost part, so that the answer to a bug has its id as well, and no stack trace.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else uuid4().hex
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except ClientDisconnect:
                return  # there is nobody to answer
            except CancelledError:
                if started:
                    raise
                await error_response(_stopping())(scope, receive, send_with_id)
            except Exception as error:
                log.error(
                    "request failed",
                    method=scope["method"],
                    path=scope["path"],
                    exception=format_traceback(error),
                )
                if started:
                    raise
                await error_response(_bug(request_id))(scope, receive, send_with_id)


def _stopping() -> Unavailable:
    message = (
        "The server stops, and waited for this request as long as it may. Something may have been"
        " done: repeat the request."
    )
    return Unavailable("stopping", message, STOPPING_RETRY_SECONDS)


def current() -> str:
    """The id of the request in hand."""
    return str(get_contextvars().get("request_id", ""))


def _bug(request_id: str) -> ApiError:
    message = (
        "This should not happen, and was logged. Repeating the request is safe; if it fails again,"
        f" report the request id {request_id}."
    )
    return ApiError(500, "internal_error", message)
