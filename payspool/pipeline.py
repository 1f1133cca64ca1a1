"""The whole pipeline of one machine: embedded servers, sandbox, workers, relay, scheduler, courier, API, dashboard."""

import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from migrations import apply
from payspool import instance
from payspool.embedded import Embedded, Rank
from payspool.instance import Instance, url_of
from payspool.settings import CHECKOUT, BadSettings, Settings
from payspool.supervisor import ProcessSpec, Supervisor, file_exists

READY_SECONDS: Final = 60.0
"""Longest wait for a process to serve; two slow cores starting ten processes need a third of it."""
METRICS: Final = "PAYSPOOL_METRICS_PORT"
SANDBOX_RANK: Final = Rank.WORKER + 10
"""The sandbox is stopped after the workers, which may be in the middle of a call to it."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Running:
    """A pipeline that serves: settings with all addresses filled in, and where to look.

    ``metrics_targets`` lists the processes' ports for Prometheus, if PAYSPOOL_METRICS_PORT is set.
    """

    settings: Settings
    api_url: str
    dashboard_url: str
    sandbox_data: Path | None
    data_dir: Path
    metrics_targets: Path | None


@contextmanager
def noting_interrupts() -> Iterator[list[int]]:
    """Note each Ctrl-C beside raising for it: what is raised in a callback or a finaliser ends there, and whoever
    asked to stop would wait for ever. Later the supervisor listens."""
    interrupted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.append(number)
        signal.default_int_handler(number, frame)

    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupted  # somebody else decides what it means
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Pipeline:
    """Starts and stops everything, in order. A context manager; ``say`` is told each step.

    ``kind`` (up or demo) names the data: each kind has servers of its own and never meets the other.
    """

    def __init__(
        self, settings: Settings, kind: str, say: Say, *, api_port: int | None = None
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._say = say
        self._api_port = settings.api_port if api_port is None else api_port
        self._stack = ExitStack()
        self._supervisor: Supervisor | None = None
        # Tells a second start where this one is.
        self._announce: Say = lambda _address: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def supervisor(self) -> Supervisor:
        """The supervisor; only after ``start``."""
        assert self._supervisor is not None, "start() comes first"
        return self._supervisor

    def start(self) -> Running:
        """Start everything and wait until it serves. Raises what says why not, and what to do."""
        folder = instance.data_dir(self._settings, self._kind)
        settings = self._servers(folder)
        self._migrate(settings)
        sandbox_data = None
        if not settings.stripe_url:
            sandbox_data = folder / "sandbox"
            settings = settings.model_copy(update={"stripe_url": self._sandbox(sandbox_data)})
        port_file, board_file = folder / "api.port", folder / "dashboard.port"
        for file in (port_file, board_file):
            file.unlink(missing_ok=True)
        self._say("Starting workers, relay, scheduler, API and dashboard")
        specs = _specs(settings, self._api_port, port_file, board_file)
        for spec in specs:
            self.supervisor.add(spec)
        self.supervisor.wait_ready(READY_SECONDS, ["api", "dashboard"])
        api_url = url_of(settings.api_host, int(port_file.read_text()))
        listens = url_of(settings.dashboard_host, int(board_file.read_text()))
        dashboard_url = settings.dashboard_url or listens
        targets = _write_targets(folder, api_url, specs, settings.metrics_host)
        if self._settings.embedded:
            where = Instance(
                self._kind, api_url, settings.stripe_url, str(sandbox_data or ""), dashboard_url
            )
            instance.write(folder, where)
            self._announce(api_url)
        self.supervisor.wait_ready(READY_SECONDS)
        return Running(settings, api_url, dashboard_url, sandbox_data, folder, targets)

    def _servers(self, folder: Path) -> Settings:
        if not self._settings.embedded:
            self._supervisor = self._stack.enter_context(Supervisor(log_dir=folder / "logs"))
            return self._settings
        self._say("Starting PostgreSQL and Valkey")
        box = Embedded(folder)
        self._stack.callback(box.stop)
        with noting_interrupts() as interrupted:
            endpoints = box.start()
        if interrupted:
            raise KeyboardInterrupt
        self._announce = box.announce
        self._supervisor = self._stack.enter_context(
            Supervisor(log_dir=folder / "logs", guard=box.guard, servers=box)
        )
        return self._settings.model_copy(
            update={
                "database_url": endpoints.runtime_url,
                "owner_database_url": endpoints.owner_url,
                "redis_url": endpoints.redis_url,
                "secret_keys": self._settings.secret_keys or instance.secret_key(folder),
            }
        )

    def _migrate(self, settings: Settings) -> None:
        if settings.owner_database_url is None:
            return  # somebody else migrates; the doctor and /readyz tell if it was forgotten
        self._say("Migrating the database")
        apply.upgrade(settings.owner_database_url)

    def _sandbox(self, data: Path) -> str:
        self._say("Starting the Stripe sandbox")
        data.mkdir(parents=True, exist_ok=True)
        port_file = data / "port"
        port = _free_port(int(port_file.read_text()) if port_file.exists() else 0)
        port_file.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "sandbox", "--data", str(data)]
        argv += ["--port", str(port), "--port-file", str(port_file)]
        self.supervisor.add(
            ProcessSpec(
                "sandbox", argv, rank=SANDBOX_RANK, ready=file_exists(port_file), cwd=CHECKOUT
            )
        )
        self.supervisor.wait_ready(READY_SECONDS, ["sandbox"])
        return f"http://127.0.0.1:{port}"


def _specs(
    settings: Settings, api_port: int, port_file: Path, board_file: Path
) -> list[ProcessSpec]:
    environment = {
        "PAYSPOOL_DATABASE_URL": settings.database_url or "",
        "PAYSPOOL_REDIS_URL": settings.redis_url or "",
        "PAYSPOOL_SECRET_KEYS": settings.secret_keys,
        "PAYSPOOL_STRIPE_URL": settings.stripe_url,
        "PAYSPOOL_WISE_URL": settings.wise_url,
        "PAYSPOOL_NAMESPACE": settings.namespace,
        "PAYSPOOL_TRANSFERS_PER_SECOND": str(settings.transfers_per_second),
        "PAYSPOOL_DASHBOARD_URL": settings.dashboard_url,
        "PAYSPOOL_DASHBOARD_SESSION_HOURS": str(settings.dashboard_session_hours),
        "PAYSPOOL_DASHBOARD_SSO_HEADER": settings.dashboard_sso_header,
        "PAYSPOOL_DASHBOARD_TRUSTED_PROXIES": settings.dashboard_trusted_proxies,
        "PAYSPOOL_WEBHOOK_NETWORKS": settings.webhook_networks,
        "PAYSPOOL_LOG_LEVEL": settings.log_level,
        "PAYSPOOL_LOG_FORMAT": settings.log_format,
        "PYTHONUNBUFFERED": "1",
    }
    if settings.metrics_token is not None:
        environment["PAYSPOOL_METRICS_TOKEN"] = settings.metrics_token
    serves = {"api": port_file, "dashboard": board_file}
    # Each process listens for itself, one port after the other; the API serves its own at its port.
    ports = count(settings.metrics_port or 0)

    def spec(name: str, *arguments: str, rank: int = Rank.WORKER) -> ProcessSpec:
        told = settings.metrics_port is not None and name != "api"
        own = {METRICS: str(next(ports))} if told else {}
        return ProcessSpec(
            name,
            [sys.executable, "-m", "payspool", *arguments],
            env=environment | own,
            rank=rank,
            ready=file_exists(serves[name]) if name in serves else None,
            cwd=CHECKOUT,
        )

    threads = str(settings.payout_threads)
    board = ("--host", settings.dashboard_host, "--port", str(settings.dashboard_port))
    listen = ("--host", settings.api_host, "--port", str(api_port), "--port-file", str(port_file))
    return [
        spec("api", "api", *listen, rank=Rank.INTAKE),
        *(
            spec(f"events-{n}", "worker", "--queue", "events")
            for n in range(1, settings.event_workers + 1)
        ),
        spec("payouts", "worker", "--queue", "payouts", "--threads", threads),
        spec("sweeps", "worker", "--queue", "sweeps", "--queue", "webhooks", "--threads", "2"),
        spec("relay", "relay"),
        spec("scheduler", "scheduler"),
        spec("courier", "courier"),
        spec("dashboard", "dashboard", *board, "--port-file", str(board_file), rank=Rank.INTAKE),
    ]


def _write_targets(
    folder: Path, api_url: str, specs: Sequence[ProcessSpec], host: str
) -> Path | None:
    """The processes' addresses, as Prometheus' file_sd_configs reads them; None if they have none."""
    file = folder / "metrics.json"
    ports = {spec.name: spec.env[METRICS] for spec in specs if METRICS in spec.env}
    if not ports:
        file.unlink(missing_ok=True)
        return None
    urls = {"api": api_url} | {name: url_of(host, int(port)) for name, port in ports.items()}
    listed = [
        {"targets": [url.removeprefix("http://")], "labels": {"name": name}}
        for name, url in urls.items()
    ]
    part = folder / ".metrics.json.part"
    part.write_text(json.dumps(listed, indent=2), encoding="utf-8")
    part.replace(file)
    return file


def _free_port(wanted: int) -> int:
    """``wanted`` if it is free on the loopback address, else any that is."""
    for port in (wanted, 0):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise BadSettings("No port is free for the Stripe sandbox; end something that holds many.")
