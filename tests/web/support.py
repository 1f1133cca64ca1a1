"""A real API on a real server, its Valkey, and events to send it."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis
import uvicorn
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse
from domain.merchants.service import Merchant
from payspool_client.wire import decode_message, list_key, messages_key
from web.app import ApiContext, create_app
from web.protocol import server_config

NAMESPACE = "webtest"
SECRET = "whsec_test_acme"
_WISE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WISE_PUBLIC_KEY = (
    _WISE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
WISE_PRIVATE_KEY = _WISE.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()


def sign_as_wise(body: bytes) -> str:
    """A signature that Wise would make, if the key above were its own."""
    return base64.b64encode(_WISE.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()


def wait_until(holds: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s: {holds}"
        time.sleep(0.01)


class Valkey:
    """A server on a Unix socket of its own."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.url = f"unix://{folder / 'v.sock'}"
        self._binary, self._folder = binary, folder
        self.start()

    def start(self) -> None:
        """Start it on what it left."""
        folder = self._folder
        self.process = subprocess.Popen(
            [
                *(self._binary, "--port", "0", "--unixsocket", folder / "v.sock", "--dir", folder),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            ],
            stdout=subprocess.DEVNULL,
        )
        with self.client() as client:

            def answers() -> bool:
                with contextlib.suppress(redis.ConnectionError):
                    return bool(client.ping())
                return False

            wait_until(answers)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def queued(self) -> list[str]:
        """The texts of all events on the queue, in order."""
        with self.client() as client:
            ids = client.lrange(list_key(NAMESPACE), 0, -1)
            messages = client.hmget(messages_key(NAMESPACE), ids) if ids else []
        return [text for message in messages for text in decode_message(message).texts]


@contextlib.contextmanager
def serve(context: ApiContext) -> Iterator[httpx.Client]:
    """The API on a free port, and a client of it."""
    # With its protocol named, asyncio turns Nagle's algorithm off: 40 ms less for each request.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(create_app(context)))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = listener.getsockname()[1]
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=15, trust_env=False
        ) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


@dataclass
class Api:
    """A running API with one merchant, its keys and its queue."""

    http: httpx.Client
    engine: Engine
    valkey: Valkey
    merchant: Merchant
    key: str
    read_key: str = field(repr=False)
    other_key: str = field(repr=False)

    def post(
        self, body: Any, *, kind: str = "application/json", key: str | None = None, **headers: str
    ) -> httpx.Response:
        content = body if isinstance(body, str | bytes) else json.dumps(body)
        headers = {
            "Content-Type": kind,
            "Authorization": f"Bearer {self.key if key is None else key}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.http.post("/v1/events", content=content, headers=headers)

    def status(self, source: str, event_id: str, *, key: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.read_key}"}
        parameters = {"source": source, "id": event_id}
        return self.http.get("/v1/events", params=parameters, headers=headers)

    def apply_queued(self) -> None:
        """What a worker would do with what is queued."""
        deliveries = [Delivery("m-1", i, t) for i, t in enumerate(self.valkey.queued())]
        with transaction(self.engine) as tx:
            inbox.apply(tx, parse(deliveries))

    def rows(self, statement: str) -> list[Any]:
        with transaction(self.engine) as tx:
            return list(tx.execute(text(statement)))


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A payee event: the smallest one that needs nothing to be there before."""
    return {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "shop",
        "merchant": "acme",
        "type": "payee.updated",
        "time": "2026-11-20T09:30:00Z",
        "data": {"user_id": f"u-{number}", "method": "stripe", "account": f"acct_{number}"},
    } | changes


def conversion(number: int = 1, **data: Any) -> dict[str, Any]:
    said = {
        "code": "REF-7K2M9Q",
        "referred_user_id": f"u-{number}",
        "transaction_id": f"o-{number}",
    }
    money = {"amount": 12900, "currency": "eur"}
    return event(number, type="conversion.recorded", data=said | money | data)
