"""Executing one request: idempotency around it, faults inside it, one transaction under it."""

import asyncio

from sandbox import idempotency
from sandbox.answer import Answer
from sandbox.api import EXPANDER, validated
from sandbox.call import Call, Json, Route
from sandbox.errors import ApiError, InvalidParameter
from sandbox.faults import Fault
from sandbox.idempotency import Keys, Stored
from sandbox.injection import change_state
from sandbox.store import Store, dump
from sandbox.timeline import Timeline


def broken() -> ApiError:
    """Return the refusal that says that Stripe itself failed."""
    return ApiError(500, "An unknown error occurred in the sandbox.", type="api_error")


class Executor:
    """Runs endpoints. A request's money, events and stored result commit together."""

    def __init__(self, store: Store, keys: Keys, timeline: Timeline) -> None:
        self.store = store
        self.keys = keys
        self.timeline = timeline

    async def answer(
        self, call: Call, route: Route, raw: Json, path: str, fault: Fault | None
    ) -> Answer:
        """Return the stored answer of the key, or execute the endpoint and store its answer.

        Raises:
            ApiError: refused before execution began; no key remembers it.
        """
        key, scope, mark = call.idempotency_key, f"{call.platform}/{call.account}", ""
        if key is not None:
            mark = idempotency.fingerprint(route.method, path, raw)
            stored = self.keys.find(scope, key, mark, call.now)
            if stored is not None:
                await _pause(fault, "before", "after")
                return _replay(stored, fault)
        call.params = validated(route, raw)
        with self.keys.under_way(scope, key):
            await _pause(fault, "before")
            self.timeline.advance()
            if fault is not None:
                with self.store.transaction():
                    change_state(fault, call)
            result = self._run(call, route, fault, scope, mark)
            await _pause(fault, "after")
        return Answer(result.status, result.body.encode())

    def _run(self, call: Call, route: Route, fault: Fault | None, scope: str, mark: str) -> Stored:
        if route.method == "GET":
            return self._execute(call, route, fault)
        try:
            with self.store.transaction():
                result = self._execute(call, route, fault)
                if call.idempotency_key is not None:
                    self.keys.save(scope, call.idempotency_key, mark, result, call.now)
                return result
        except InvalidParameter:
            raise
        except ApiError as refusal:
            # Rolled back; what is stored is that the endpoint refused.
            request_id = call.request_id or ""
            body = dump(refusal.body(request_id, call.now))
            if fault is not None and fault.name == "error_500_done":
                refusal = broken()
                body = dump(refusal.body(request_id, call.now))
            result = Stored(refusal.status, body, request_id)
            forgets = fault is not None and fault.options.get("stored") is False
            if call.idempotency_key is not None and not forgets:
                with self.store.transaction():
                    self.keys.save(scope, call.idempotency_key, mark, result, call.now)
            return result

    def _execute(self, call: Call, route: Route, fault: Fault | None) -> Stored:
        if fault is not None and fault.name == "error_500_not_done":
            raise broken()
        body = route.handler(call)
        EXPANDER.apply(call, body)
        if fault is not None and fault.name == "error_500_done":
            refusal = broken()
            text = dump(refusal.body(call.request_id or "", call.now))
            return Stored(refusal.status, text, call.request_id or "")
        return Stored(200, dump(body), call.request_id or "")


async def _pause(fault: Fault | None, *moments: str) -> None:
    if fault is not None and fault.name == "slow" and fault.options["when"] in moments:
        await asyncio.sleep(fault.options["ms"] / 1000)


def _replay(stored: Stored, fault: Fault | None) -> Answer:
    if fault is not None and fault.name.startswith("error_500"):
        # The failure of this try alone: the key keeps what it has.
        raise broken()
    headers = {"Idempotent-Replayed": "true", "Original-Request": stored.request_id}
    return Answer(stored.status, stored.body.encode(), headers)
