"""No more requests and bodies in hand than can be carried; the rest hears that it should come back."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.errors import Unavailable, error_response

#: They are bounded by themselves, and who watches must hear of the process then above all.
_ALWAYS: Final = ("/healthz", "/readyz", "/metrics")


class Crowd:
    """Counts the requests in hand and the bytes of their bodies (ASGI middleware), and turns away with
    a 503 what comes beyond ``most`` or ``most_bytes``."""

    def __init__(
        self, app: ASGIApp, *, most: int, most_bytes: int, retry_after_seconds: int
    ) -> None:
        self.app = app
        self.most = most
        self.most_bytes = most_bytes
        self.retry_after_seconds = retry_after_seconds
        self.in_hand = 0
        self.bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self.app(scope, receive, send)
            return
        if self.in_hand >= self.most:
            await error_response(self._crowded())(scope, receive, send)
            return
        mine = 0

        async def counted() -> Message:
            nonlocal mine
            message = await receive()
            size = len(message.get("body", b""))
            mine += size
            self.bytes += size
            if self.bytes > self.most_bytes:
                raise self._crowded()
            return message

        self.in_hand += 1
        try:
            await self.app(scope, counted, send)
        finally:
            self.in_hand -= 1
            self.bytes -= mine

    def _crowded(self) -> Unavailable:
        message = "Too many requests are in hand. Nothing was done: repeat the request later."
        return Unavailable("crowded", message, self.retry_after_seconds)
