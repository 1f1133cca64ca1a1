"""HTTP/1.1 as uvicorn speaks it, with an error that programs can read and an end to slow heads."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final
from uuid import uuid4

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from web.request_id import HEADER

HEAD_SECONDS: Final = 10.0
"""How long a client may take to send the head of a request. Who sends none is a connection for nothing."""

GRACE_SECONDS: Final = 10
"""How long a stopping server waits for the requests in hand."""

_MESSAGE: Final = (
    "This is no HTTP/1.1 request: check its first line, its headers and their lengths, above all"
    " Content-Length. Nothing was done."
)


class Protocol(H11Protocol):
    """One connection. A head that never ends is given up after `HEAD_SECONDS`."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Read on, and wait for the rest of a head that has only begun."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_watch()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.timeout_keep_alive_task is not None:
            self._stop_watch()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_watch(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's sentence is for nobody)
        """Answer what is no HTTP in the shape of every other error."""
        request_id = uuid4().hex
        error = {"code": "invalid_http", "message": _MESSAGE, "request_id": request_id}
        body = json.dumps({"error": error}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
            (HEADER, request_id),
        ]
        answer: tuple[Any, ...] = (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        try:
            for event in answer:
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass  # an answer is on its way already, to the request before this garbage
        self.transport.close()


def server_config(app: FastAPI) -> uvicorn.Config:
    """How the API is served, by the command and in tests alike."""
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
