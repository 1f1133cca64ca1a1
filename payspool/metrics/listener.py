"""Serves a process's metrics, and whether it lives, at a port of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, Final

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from payspool.metrics.work import WorkMetrics
from payspool.settings import BadSettings, Settings
from web.scraping import may_scrape

REQUEST_SECONDS: Final = 5.0
"""A client that says nothing for so long is let go."""


@contextmanager
def listening(settings: Settings, metrics: WorkMetrics) -> Iterator[None]:
    """Serve ``/metrics`` and ``/healthz`` if PAYSPOOL_METRICS_PORT is set.

    Raises BadSettings if the port cannot be listened on, or if an address that others reach is to be
    open to everyone.
    """
    if settings.metrics_port is None:
        yield
        return
    _check(settings)
    try:
        server = _Server((settings.metrics_host, settings.metrics_port), _Handler)
    except OSError as error:
        raise BadSettings(
            f"PAYSPOOL_METRICS_HOST, PAYSPOOL_METRICS_PORT: {settings.metrics_host} port"
            f" {settings.metrics_port} cannot be listened on ({error.strerror or error})."
        ) from None
    server.metrics, server.token = metrics, settings.metrics_token
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _check(settings: Settings) -> None:
    if settings.metrics_token is None and not ip_address(settings.metrics_host).is_loopback:
        raise BadSettings(
            f"PAYSPOOL_METRICS_HOST is {settings.metrics_host}, which others reach: set"
            " PAYSPOOL_METRICS_TOKEN as well, and let Prometheus send it."
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    metrics: WorkMetrics
    token: str | None


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS
    server_version = "payspool"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            stuck = self.server.metrics.stuck
            self._answer(503 if stuck else 200, b"stuck\n" if stuck else b"alive\n")
        elif path != "/metrics":
            self._answer(404, b"/metrics and /healthz are here.\n")
        elif not self._allowed():
            self._answer(401, b"Send Authorization: Bearer and PAYSPOOL_METRICS_TOKEN.\n")
        else:
            self._answer(200, generate_latest(self.server.metrics.registry), CONTENT_TYPE_LATEST)

    def _allowed(self) -> bool:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return may_scrape(self.server.token, self.client_address[0], headers)

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news."""
