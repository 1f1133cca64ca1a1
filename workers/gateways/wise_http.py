"""Calls of Wise's API over ``httpx``: each ends as a ``Reply``, and never as an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from domain.payouts.rules import GatewayOutcome
from workers.gateways.tries import kind_of_loss, seconds_to_wait

MAX_CONNECTIONS: Final = 50
"""Connections of one client: more than the threads of a worker process."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

MESSAGE_KEPT: Final = 500
"""Characters of an error message that are kept."""

NEVER_MADE: Final = frozenset({400, 404, 422})
"""Statuses by which Wise says that it made nothing of a request."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call ended, and the JSON that was answered (None if there was none).

    ``said`` are Wise's own error codes, ``fields`` the fields that they are about.
    """

    outcome: GatewayOutcome
    body: Any = None
    said: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it was answered well, in JSON."""
        status = self.outcome.http_status
        return self.outcome.kind == "response" and status is not None and 200 <= status < 300

    @property
    def made_nothing(self) -> bool:
        """Whether Wise itself refused the request, so that nothing came of it."""
        return (
            self.outcome.kind == "response"
            and self.outcome.http_status in NEVER_MADE
            and bool(self.said)
        )


class WiseHttp:
    """One pool of connections to Wise with one token, shared by all threads."""

    def __init__(
        self, token: str, base_url: str, connect_seconds: float, read_seconds: float
    ) -> None:
        self._pool = httpx.Client(
            base_url=base_url.rstrip("/"),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=httpx.Timeout(read_seconds, connect=connect_seconds, pool=connect_seconds),
            trust_env=urlsplit(base_url).hostname not in LOOPBACK,
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS
            ),
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """Make one call, once."""
        try:
            answer = self._pool.request(
                method, path, params=dict(query) if query else None, json=body
            )
        except httpx.HTTPError as error:
            message = f"{type(error).__name__}: {error}"[:MESSAGE_KEPT]
            return Reply(GatewayOutcome(kind_of_loss(error), message=message))
        return _read(answer)

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()


def _read(answer: httpx.Response) -> Reply:
    seen = {
        "http_status": answer.status_code,
        "request_id": answer.headers.get("x-request-id") or answer.headers.get("request-id"),
        "retry_after": seconds_to_wait(answer.headers.get("retry-after")),
    }
    try:
        body = json.loads(answer.content)
    except (ValueError, RecursionError):
        return Reply(GatewayOutcome("unreadable", message="the answer is no JSON", **seen))
    if answer.is_success:
        return Reply(GatewayOutcome("response", **seen), body)
    said, fields, message = _errors(body)
    if not said:
        # An error that is not surely Wise's own, but of something in between, proves nothing.
        return Reply(
            GatewayOutcome("unreadable", message="the answer is no error of Wise's", **seen)
        )
    return Reply(GatewayOutcome("response", message=message, **seen), body, said, fields)


def _errors(body: Any) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Codes, fields and the sentence of an error body: a list of errors, or one."""
    if not isinstance(body, dict):
        return (), (), ""
    listed = body.get("errors")
    if isinstance(listed, list) and listed and all(isinstance(one, dict) for one in listed):
        said = tuple(str(one.get("code", "")) for one in listed)
        fields = tuple(str(one["path"]) for one in listed if one.get("path"))
        message = "; ".join(f"{one.get('code')}: {one.get('message')}" for one in listed)
        return said, fields, message[:MESSAGE_KEPT]
    code = body.get("error") or body.get("errorCode") or body.get("code")
    if isinstance(code, str):
        message = body.get("error_description") or body.get("message") or code
        return (code,), (), str(message)[:MESSAGE_KEPT]
    return (), (), ""
