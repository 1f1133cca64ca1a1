"""Serving the sandbox: one process, one thread, one port on a loopback address."""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from sandbox.app import Application
from sandbox.clock import Clock
from sandbox.connection import DroppableProtocol
from sandbox.errors import SandboxError
from sandbox.faults import Faults
from sandbox.start import Options, forget, hold, prepare
from sandbox.store import Store
from sandbox.webhooks import Dispatcher

_log = logging.getLogger("sandbox")

_BACKLOG = 1024
# Long, so that a client's idle pooled connection is not lost to a time-out that nobody planned.
_KEEP_ALIVE_SECONDS = 600
_GRACE_SECONDS = 1
_START_SECONDS = 10
DEFAULTS = Options()


class CannotListen(SandboxError):
    """The address is taken, or not this machine's."""

    def __init__(self, host: str, port: int, problem: OSError) -> None:
        reason = (problem.strerror or str(problem)).lower()
        super().__init__(f"Cannot listen on {host}:{port}: {reason}; choose another --port.")
        self.host = host
        self.port = port


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named: asyncio turns Nagle's delay off only on sockets that say TCP, and an
    # answer, written as head and body, would otherwise wait 40 ms for an acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as problem:
        listener.close()
        raise CannotListen(host, port, problem) from None
    listener.setblocking(False)
    return listener


def _write_port(path: Path, port: int) -> None:
    """Write the port so that a reader sees the whole of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(f"{port}\n")
    partial.replace(path)


def _server(data_dir: Path, options: Options) -> tuple[_Server, Store]:
    if options.reset:
        forget(data_dir)
    store = Store(data_dir)
    clock = Clock(int(store.meta("clock_offset", "0")))
    faults = Faults()
    if options.plan is not None:
        faults.replace(options.plan)
    app = Application(store, clock, faults, Dispatcher(store, clock, options.webhook_pause))
    prepare(store, app.timeline, options)
    config = uvicorn.Config(
        app,
        http=DroppableProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return _Server(config), store


def serve(
    data_dir: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    port_file: Path | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Serve until SIGINT or SIGTERM; port 0 takes a free one.

    The port is written to `port_file` once connections are taken.

    Raises:
        KeyMalformed: a key is not a test key.
        BooksOfAnotherVersion: the directory was written by another version.
        BooksInUse: another sandbox runs on them.
        CannotListen: the address cannot be listened on.
    """
    with hold(data_dir), _listen(host, port) as listener:
        asyncio.run(_until_signal(data_dir, listener, port_file, options))


async def _until_signal(
    data_dir: Path,
    listener: socket.socket,
    port_file: Path | None,
    options: Options,
) -> None:
    server, store = _server(data_dir, options)
    host, port = listener.getsockname()[:2]
    if port_file is not None:
        _write_port(port_file, port)
    _log.info("listening on http://%s:%s, books in %s", host, port, store.path)

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop)
    try:
        await server.serve(sockets=[listener])
    finally:
        store.close()


@contextmanager
def running(data_dir: Path, options: Options = DEFAULTS) -> Iterator[str]:
    """Serve from a thread of this process, for as long as the block lasts; yields the address."""
    opened: Future[_Server] = Future()

    async def main(listener: socket.socket) -> None:
        try:
            server, store = _server(data_dir, options)
        except BaseException as problem:
            opened.set_exception(problem)
            return
        opened.set_result(server)
        try:
            await server.serve(sockets=[listener])
        finally:
            store.close()

    with hold(data_dir), _listen("127.0.0.1", 0) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=lambda: asyncio.run(main(listener)), name="sandbox")
        thread.start()
        server = opened.result(timeout=_START_SECONDS)
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(timeout=_START_SECONDS)
