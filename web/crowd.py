"""No more requests in hand than can be carried; the rest hears at once that it should come back."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from web.errors import Unavailable, error_response

#: They cost nothing, and who watches must hear that the process lives.
_ALWAYS: Final = ("/healthz", "/readyz")


class Crowd:
    """Counts the requests in hand (ASGI middleware) and turns those beyond ``most`` away with a 503."""

    def __init__(self, app: ASGIApp, *, most: int, retry_after_seconds: int) -> None:
        self.app = app
        self.most = most
        self.retry_after_seconds = retry_after_seconds
        self.in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self.app(scope, receive, send)
            return
        if self.in_hand >= self.most:
            message = (
                f"{self.most} requests are in hand. Nothing was done: repeat the request later."
            )
            crowded = Unavailable("crowded", message, self.retry_after_seconds)
            await error_response(crowded)(scope, receive, send)
            return
        self.in_hand += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.in_hand -= 1
