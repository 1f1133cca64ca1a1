"""Pages of the dashboard that stay open, each with its websocket, as browsers hold them."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bench.site import BenchFailed, Database, Site
from domain.access import users
from domain.audit.service import Actor
from domain.db import transaction

PASSWORD: Final = "a password of a bench"
WAIT_SECONDS: Final = 60.0
PATHS: Final = ("/", "/queues", "/charts", "/dead", "/m/acme/events", "/m/acme/payouts")
"""What people leave open: the pages that keep themselves up to date."""


def add_person(database: Database) -> None:
    """Somebody who may look at everything."""
    with transaction(database.engine) as tx:
        users.add(tx, "ada", "admin", actor=Actor("command", "bench"), password=PASSWORD)


@contextmanager
def serving(site: Site, database: Database) -> Iterator[tuple[str, int]]:
    """A dashboard in a process of its own: its address and the process's number."""
    port_file = site.folder / "dashboard.port"
    port_file.unlink(missing_ok=True)
    command = ["payspool", "dashboard", "--port", "0", "--port-file", str(port_file)]
    with site.processes([command], database) as group:
        yield _listening(port_file), group.processes[0].pid


@contextmanager
def signed_in(base: str) -> Iterator[httpx.Client]:
    """A client with a session of the person."""
    with httpx.Client(base_url=base, timeout=WAIT_SECONDS) as client:
        entered = {"name": "ada", "password": PASSWORD}
        answer = client.post("/sign-in", data=entered, headers={"Origin": base})
        if answer.status_code != 303:
            raise BenchFailed(f"Nobody could sign in: {answer.status_code} {answer.text[:200]}")
        yield client


def _listening(port_file: Path) -> str:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if port_file.exists():
            base = f"http://127.0.0.1:{int(port_file.read_text())}"
            with suppress(httpx.TransportError):
                if httpx.get(f"{base}/healthz").status_code == 200:
                    return base
        time.sleep(0.1)
    raise BenchFailed("The dashboard did not start.")


class OpenPages:
    """``count`` pages, each loaded over HTTP and held by a websocket that answers as a browser does.

    A context manager. ``updates`` counts what the server drew anew in them.
    """

    def __init__(self, base: str, count: int, paths: Sequence[str] = PATHS) -> None:
        self.updates = 0
        self._base, self._count, self._paths = base, count, paths
        self._connected = 0
        self._done = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> OpenPages:
        self._thread.start()
        end = time.monotonic() + WAIT_SECONDS
        while self._connected < self._count:
            if self._error is not None or time.monotonic() > end:
                raise BenchFailed(f"{self._connected} of {self._count} pages opened: {self._error}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(WAIT_SECONDS)

    def check(self) -> list[str]:
        """Sentences, one if the pages did not stay open."""
        return [] if self._error is None else [f"a page did not stay open: {self._error}"]

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._hold_all())
        except BaseException as error:
            self._error = error
        finally:
            self._loop.close()

    async def _hold_all(self) -> None:
        with signed_in(self._base) as client:
            texts = [client.get(self._paths[n % len(self._paths)]).text for n in range(self._count)]
            cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        held = [asyncio.create_task(self._hold(text, cookie)) for text in texts]
        stop = asyncio.create_task(self._done.wait())
        ended, _ = await asyncio.wait([*held, stop], return_when=asyncio.FIRST_COMPLETED)
        for task in (*held, stop):
            task.cancel()
        await asyncio.gather(*held, stop, return_exceptions=True)
        if stop not in ended:
            raise BenchFailed("the server closed a page")

    async def _hold(self, text: str, cookie: str) -> None:
        found = re.search(r"client_id[\"'&quot;:\s]+([0-9a-f-]{36})", text)
        if found is None:
            raise BenchFailed(f"this is no page: {text[:200]}")
        client_id = found[1]
        query = {
            "EIO": "4",
            "transport": "websocket",
            "client_id": client_id,
            "document_id": str(uuid4()),
            "tab_id": str(uuid4()),
            "old_tab_id": "",
            "next_message_id": "0",
            "implicit_handshake": "true",
        }
        address = self._base.replace("http", "ws", 1) + "/_nicegui_ws/socket.io/?"
        async with connect(
            address + urlencode(query),
            additional_headers={"Cookie": cookie},
            origin=self._base,  # type: ignore[arg-type]
            max_size=None,
        ) as socket:
            with suppress(ConnectionClosed):
                async for frame in socket:
                    await self._answer(socket, str(frame), client_id)

    async def _answer(self, socket: Any, frame: str, client_id: str) -> None:
        """Engine.IO and Socket.IO, as far as a page speaks them: open, ping, and events."""
        if frame.startswith("0"):
            await socket.send("40")
        elif frame == "2":
            await socket.send("3")
        elif frame.startswith("40"):
            self._connected += 1
        elif frame.startswith("44"):
            raise BenchFailed(f"a page's websocket was refused: {frame[:200]}")
        elif frame.startswith("42"):
            said: list[Any] = json.loads(frame[2:])
            name, data = said[0], said[1] if len(said) > 1 else {}
            if name == "update":
                self.updates += 1
            elif name == "run_javascript" and data.get("request_id"):
                answer = {
                    "request_id": data["request_id"],
                    "client_id": client_id,
                    "result": False,
                }
                await socket.send("42" + json.dumps(["javascript_response", answer]))
