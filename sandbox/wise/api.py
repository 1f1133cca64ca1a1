"""The local Wise over HTTP: from a request under `/wise` to an answer."""

import asyncio
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from sandbox import ledger
from sandbox.answer import Answer
from sandbox.errors import ApiError
from sandbox.faults import Fault
from sandbox.form import MAX_BYTES
from sandbox.injection import refuse_in_front
from sandbox.store import dump
from sandbox.timeline import Timeline
from sandbox.wise import accounts, quotes, subscriptions, transfers
from sandbox.wise.call import Json, WiseCall, WiseError, WiseRoute

PREFIX = "/wise"
ROUTES: tuple[WiseRoute, ...] = (
    *accounts.ROUTES,
    *quotes.ROUTES,
    *transfers.ROUTES,
    *subscriptions.ROUTES,
)
_PATTERNS = tuple(
    (route, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))) for route in ROUTES
)


def key_of(body: bytes) -> str | None:
    """Return the `customerTransactionId` of a body, by which fault plans name a request."""
    try:
        value = json.loads(body).get("customerTransactionId")
    except (ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None


class WiseApi:
    """Serves the endpoints. A request's money, state and events commit together."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.store = timeline.store

    async def answer(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: Mapping[str, str],
        body: bytes,
        fault: Fault | None,
    ) -> Answer:
        """Serve one request."""
        now = self.timeline.clock.now()
        try:
            if fault is not None:
                _refuse(fault)
            call = self._call(query, headers, body)
            route, call.path = _find(method, path.removeprefix(PREFIX))
            await _pause(fault, "before")
            self.timeline.advance()
            answer = self._run(call, route, fault)
            await _pause(fault, "after")
        except WiseError as refusal:
            return Answer(refusal.status, dump(refusal.body(now)).encode(), dict(refusal.headers))
        return answer

    def _call(self, query: bytes, headers: Mapping[str, str], body: bytes) -> WiseCall:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        user = accounts.user_of(self.store, token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise WiseError(401, "invalid_token", "The token is missing or unknown.")
        return WiseCall(
            store=self.store,
            notifier=self.timeline.notifier,
            user=user,
            now=self.timeline.clock.now(),
            query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)),
            body=_decoded(body),
        )

    def _run(self, call: WiseCall, route: WiseRoute, fault: Fault | None) -> Answer:
        name = fault.name if fault else ""
        broken = WiseError(500, "UNEXPECTED_ERROR", "Something failed in the sandbox.")
        if name == "error_500_not_done":
            raise broken
        with self.store.transaction():
            if fault is not None:
                _change_state(fault, call)
        with self.store.transaction():
            result: Any = route.handler(call)
        if name == "error_500_done":
            raise broken
        return Answer(201 if route.created else 200, dump(result).encode())


def _decoded(body: bytes) -> Json:
    if len(body) > MAX_BYTES:
        raise WiseError(413, "TOO_LARGE", f"A body has up to {MAX_BYTES} bytes.")
    try:
        decoded = json.loads(body, parse_float=Decimal) if body else {}
        # Half of a surrogate pair is JSON, and no text that can be kept.
        json.dumps(decoded, default=str, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise WiseError(400, "BAD_REQUEST", "Send a JSON object.")
    return decoded


def _find(method: str, path: str) -> tuple[WiseRoute, Mapping[str, str]]:
    for route, pattern in _PATTERNS:
        if route.method == method and (match := pattern.fullmatch(path)):
            return route, match.groupdict()
    message = f"The sandbox does not serve {method} {path}; GET /_sandbox/endpoints lists it."
    raise WiseError(404, "NOT_FOUND", message)


def _refuse(fault: Fault) -> None:
    """Raise the refusal of a fault in front of the API, in the shape of Wise's."""
    try:
        refuse_in_front(fault, None)
    except ApiError as refusal:
        code = "invalid_token" if refusal.status == 401 else (refusal.code or "ERROR").upper()
        raise WiseError(refusal.status, code, refusal.message, headers=refusal.headers) from None


def _change_state(fault: Fault, call: WiseCall) -> None:
    """Change the world just before the request executes; it stays changed."""
    if fault.name == "wise_bounces":
        call.destiny = {"wise": True}
    if fault.name != "balance_dry":
        return
    currency = fault.options["currency"]
    for profile in call.store.all("SELECT id FROM wise_profiles WHERE user = ?", call.user):
        own = accounts.ledger_of(profile["id"])
        for row in call.store.all("SELECT * FROM balances WHERE ledger = ?", own):
            if row["amount"] and currency in (None, row["currency"]):
                ledger.shift(
                    call.store,
                    debit=own,
                    credit="world:drained",
                    amount=row["amount"],
                    currency=row["currency"],
                    kind="wise_drain",
                    source=f"wise/profiles/{profile['id']}",
                    now=call.now,
                )


async def _pause(fault: Fault | None, moment: str) -> None:
    if fault is not None and fault.name == "slow" and fault.options["when"] == moment:
        await asyncio.sleep(fault.options["ms"] / 1000)
