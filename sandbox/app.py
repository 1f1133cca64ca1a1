"""The application: from an HTTP request to an answer, in one thread and one order.

A request is executed in one go between two awaits, so requests are serialized and a transaction is
never seen half done; only a `slow` fault lets others in between. A plain ASGI application under
uvicorn: a framework would cost start-up time and throughput, and offer nothing that is used here.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox import auth, connection, idempotency, ids
from sandbox.admin import Admin
from sandbox.answer import Answer
from sandbox.api import ROUTES, Router
from sandbox.call import Call
from sandbox.clock import Clock
from sandbox.errors import ApiError
from sandbox.execution import Executor, broken
from sandbox.faults import Fault, Faults
from sandbox.form import MAX_BYTES, decode
from sandbox.injection import refuse_in_front
from sandbox.notify import Notifier
from sandbox.store import Store, dump
from sandbox.timeline import Timeline
from sandbox.webhooks import Dispatcher
from sandbox.wise import api as wise

_log = logging.getLogger("sandbox")


@dataclass
class Request:
    """What a request says, before anybody has judged it."""

    method: str
    path: str
    query: bytes
    headers: Mapping[str, str]
    body: bytes
    id: str
    base_url: str

    @property
    def is_for_wise(self) -> bool:
        """Whether it is the local Wise that is asked."""
        return self.path.startswith(f"{wise.PREFIX}/")

    @property
    def idempotency_key(self) -> str | None:
        """The key, of a POST; other methods are idempotent by themselves and ignore it."""
        if self.is_for_wise:
            return wise.key_of(self.body)
        return self.headers.get("idempotency-key") if self.method == "POST" else None


class Application:
    """The sandbox as an ASGI application. Open and close its store around it."""

    def __init__(self, store: Store, clock: Clock, faults: Faults, dispatcher: Dispatcher) -> None:
        self.store = store
        self.clock = clock
        self.faults = faults
        self.dispatcher = dispatcher
        self.notifier = Notifier(store, clock, faults, dispatcher.wake)
        keys = idempotency.Keys(store)
        self.router = Router(ROUTES)
        self.timeline = Timeline(store, self.notifier, clock)
        self.executor = Executor(store, keys, self.timeline)
        self.wise = wise.WiseApi(self.timeline)
        self.admin = Admin(store, clock, faults, self.timeline, keys)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.dispatcher.start()
                self.timeline.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.timeline.stop()
                await self.dispatcher.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _read(receive)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"],
            headers=headers,
            body=body,
            id=ids.new_request(),
            base_url=f"http://{headers.get('host', 'localhost')}",
        )
        if request.path.startswith("/_sandbox"):
            await _send(send, self.admin.answer(request.method, request.path, body))
            return
        fault = self.faults.draw(request.method, request.path, request.idempotency_key)
        if fault is not None:
            self.faults.note(
                fault,
                method=request.method,
                path=request.path,
                request_id=request.id,
                idempotency_key=request.idempotency_key,
                at=self.clock.now(),
            )
        dropped = await self._answer_or_drop(request, fault, scope, send)
        if dropped:
            # Wait until uvicorn has seen the loss too, so that it does not answer in our place.
            while (await receive())["type"] != "http.disconnect":
                pass

    async def _answer_or_drop(
        self, request: Request, fault: Fault | None, scope: Any, send: Any
    ) -> bool:
        """Answer, or drop the connection as the fault says; return whether it was dropped."""
        transport = scope.get("state", {}).get(connection.TRANSPORT)
        name = fault.name if fault else ""
        options = fault.options if fault else {}
        drop = connection.reset if options.get("how") == "reset" else connection.close
        if name == "drop_before":
            drop(transport)
            return True
        answer = await self._answer(request, fault)
        if name == "drop_after":
            drop(transport)
            return True
        if name == "drop_during":
            cut = options["bytes"]
            await _send(send, answer, len(answer.body) // 2 if cut is None else cut)
            connection.close(transport)
            return True
        if name == "garbage":
            answer = Answer(200, str(options["body"]).encode(), answer.headers)
        await _send(send, answer)
        return False

    async def _answer(self, request: Request, fault: Fault | None) -> Answer:
        key = request.idempotency_key
        headers = {"Request-Id": request.id}
        if request.is_for_wise:
            return await self._answer_as_wise(request, fault)
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            if fault is not None:
                refuse_in_front(fault, key)
            platform = auth.platform_of(self.store, request.headers)
            headers["Stripe-Version"] = auth.version(request.headers)
            account = auth.acting_as(self.store, platform, request.headers)
            if account != platform:
                headers["Stripe-Account"] = account
            route, path = self.router.find(request.method, request.path)
            raw = decode(request.query, request.body)
            call = Call(
                store=self.store,
                notifier=self.notifier,
                platform=platform,
                account=account,
                now=self.clock.now(),
                request_id=request.id,
                idempotency_key=key,
                base_url=request.base_url,
                path=path,
            )
            answer = await self.executor.answer(call, route, raw, request.path, fault)
        except ApiError as refusal:
            body = dump(refusal.body(request.id, self.clock.now()))
            answer = Answer(refusal.status, body.encode(), refusal.headers)
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            body = dump(broken().body(request.id, self.clock.now()))
            answer = Answer(500, body.encode())
        answer.headers = {**headers, **answer.headers}
        return answer

    async def _answer_as_wise(self, request: Request, fault: Fault | None) -> Answer:
        try:
            return await self.wise.answer(
                request.method,
                request.path,
                request.query,
                request.headers,
                request.body,
                fault,
            )
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            return Answer(500, dump({"errors": [{"code": "UNEXPECTED_ERROR"}]}).encode())


async def _read(receive: Any) -> bytes:
    """Return the body; of one that is too long, just enough to see that it is."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        if len(body) <= MAX_BYTES:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def _send(send: Any, answer: Answer, only: int | None = None) -> None:
    """Send an answer, or only the first bytes of it, leaving the rest owed."""
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(answer.body)),
        **answer.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        }
    )
    part = answer.body if only is None else answer.body[:only]
    await send({"type": "http.response.body", "body": part, "more_body": only is not None})
