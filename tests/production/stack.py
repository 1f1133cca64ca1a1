"""The Compose file's services as processes: their commands, environments, health checks and limits.

What an image would be is a folder with what the Dockerfile copies; host names and ports become those of
servers on the loopback address. Everything else is as Compose would have it.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from payspool.embedded import Embedded, Endpoints, scratch_data_dir
from payspool.embedded.binaries import installed_binaries
from tests.e2e.installation import wait_for
from tests.production.composed import ROOT, compose, dockerfile, example

HEALTHY_SECONDS = 60.0
PROFILES = {"sandbox"}
"""Prometheus and Grafana are images of others: their files are checked, not run."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def passwords() -> dict[str, str]:
    """An `.env` as somebody would fill it in."""
    # Letters only: in digits a port could be found, which is replaced.
    made = {name: value or _letters(40) for name, value in example().items()}
    command = [sys.executable, "-m", "payspool", "keys", "secret"]
    key = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return made | {"PAYSPOOL_SECRET_KEYS": key.stdout.strip()}


def _letters(count: int) -> str:
    return "".join(secrets.choice(string.ascii_letters) for _ in range(count))


def image(folder: Path) -> Path:
    """What the Dockerfile copies, where nothing else of the checkout is."""
    ignore = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info")
    for line in dockerfile():
        if line.word == "COPY" and not line.rest.startswith("--from"):
            source, target = (ROOT / line.words[0], folder / line.words[0])
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignore)
            else:
                shutil.copy2(source, target)
    return folder


@dataclass
class Process:
    """A running replica of a service."""

    service: str
    process: subprocess.Popen[bytes]
    output: Path
    health: list[str]
    env: dict[str, str]
    metrics_port: int

    def healthy(self) -> bool:
        """What the service's own health check says."""
        status = self.process.poll()
        assert status is None, f"{self.service} ended with {status}:\n{self.said()}"
        done = subprocess.run(
            self.health, env=self.env, capture_output=True, timeout=20, check=False
        )
        return done.returncode == 0

    def said(self) -> str:
        return self.output.read_text(errors="replace")[-4_000:]

    def memory(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


@dataclass
class Stack:
    """Everything that `docker compose up` would start."""

    folder: Path
    endpoints: Endpoints
    file: dict[str, Any]
    ports: dict[str, int]
    app: Path
    running: list[Process] = field(default_factory=list)

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.file["services"][name]
        return found

    def environment(self, name: str, metrics_port: int = 0) -> dict[str, str]:
        """A container's: the image's, Compose's, and nothing of ours."""
        given = {k: self._here(v) for k, v in self.service(name)["environment"].items()}
        if "PAYSPOOL_METRICS_PORT" in given:
            given["PAYSPOOL_METRICS_PORT"] = str(metrics_port or free_port())
        interpreter = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        paths = f"{self.app}:{self.app / 'clients' / 'python'}"
        return {"PATH": interpreter, "PYTHONPATH": paths, "HOME": "/nonexistent"} | given

    def command(self, arguments: list[str]) -> list[str]:
        """The ENTRYPOINT with its arguments."""
        return [str(self.app / "deploy" / "payspool"), *map(self._here, arguments)]

    def run(self, service: str, *arguments: str) -> str:
        """`docker compose exec SERVICE payspool …` (or `run`, for a job)."""
        done = subprocess.run(
            self.command(list(arguments) or self.service(service)["command"]),
            env=self.environment(service) | {"COLUMNS": "300"},
            cwd=self.app,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def in_postgres(self, command: str) -> str:
        """`docker compose exec -T postgres …` in a shell, whose redirections are files of the stack's folder."""
        where = parse_qs(urlsplit(self.endpoints.admin_url).query)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env={
                "PATH": f"{installed_binaries().postgres.parent}:/usr/bin:/bin",
                "PGHOST": where["host"][0],
                "PGPORT": where["port"][0],
                "POSTGRES_USER": "postgres",
                **self.service("postgres")["environment"],
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def start(self, name: str) -> None:
        """Every replica of a service."""
        service = self.service(name)
        for number in range(int(service["deploy"].get("replicas", 1))):
            port = free_port()
            env = self.environment(name, port)
            output = self.folder / f"{name}-{number}.log"
            with output.open("wb") as file:
                process = subprocess.Popen(
                    self.command(service["command"]),
                    env=env,
                    cwd=self.app,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                )
            kind, *words = service["healthcheck"]["test"]
            assert kind == "CMD"
            health = [self._here(word).replace(":9300/", f":{port}/") for word in words]
            self.running.append(Process(name, process, output, health, env, port))

    def wait_until_healthy(self) -> None:
        for one in self.running:
            wait_for(f"{one.service} is healthy: {one.said()}", one.healthy, HEALTHY_SECONDS)

    def stop(self) -> dict[str, tuple[int | None, float]]:
        """SIGTERM to all at once; how each ended, and after how many seconds."""
        began = time.monotonic()
        for one in self.running:
            one.process.send_signal(signal.SIGTERM)
        ended: dict[str, tuple[int | None, float]] = {}
        for number, one in enumerate(self.running):
            grace = float(self.service(one.service)["stop_grace_period"].removesuffix("s"))
            left = began + grace - time.monotonic()
            status = one.process.wait(max(0.1, left))
            ended[f"{one.service}-{number}"] = (status, time.monotonic() - began)
        self.running.clear()
        return ended

    def kill(self) -> None:
        for one in self.running:
            if one.process.poll() is None:
                one.process.kill()
            one.process.wait(10)

    def _here(self, value: str) -> str:
        for theirs, ours in (
            ("@postgres:5432", f"@127.0.0.1:{self.ports['postgres']}"),
            ("@valkey:6379", f"@127.0.0.1:{self.ports['valkey']}"),
            ("8300", str(self.ports["api"])),
            ("8400", str(self.ports["dashboard"])),
            ("12111", str(self.ports["sandbox"])),
            ("/var/lib/payspool-sandbox", str(self.folder / "sandbox")),
        ):
            value = value.replace(theirs, ours)
        return value


@contextmanager
def valkey(service: dict[str, Any], folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Valkey with Compose's own options, and a place and port of the test's."""
    program, *options = service["command"]
    assert program == "valkey-server"
    folder.mkdir()
    here = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command = [str(installed_binaries().valkey_server), *options, *here]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@contextmanager
def stack() -> Iterator[Stack]:
    """The stack with its servers, its roles and its schema; nothing of ours runs yet."""
    folder = scratch_data_dir()
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres_port = free_port()
        box = Embedded(folder / "data", durable=False, postgres_tcp=postgres_port)
        endpoints = closing.enter_context(box).endpoints
        tcp = urlsplit(endpoints.runtime_tcp_url or "")
        ports = {name: free_port() for name in ("valkey", "api", "dashboard", "sandbox")}
        ports["postgres"] = tcp.port or 0
        app = image(folder / "app")
        made = Stack(folder, endpoints, compose(passwords()), ports, app)
        closing.enter_context(valkey(made.service("valkey"), folder / "valkey", ports["valkey"]))
        closing.callback(made.kill)
        # What PostgreSQL's image runs when it makes the data directory.
        made.in_postgres(str(ROOT / "deploy" / "postgres" / "10-roles.sh"))
        yield made


def is_ours(service: dict[str, Any]) -> bool:
    """Whether a service runs our image, in a profile that the test starts."""
    ours = service["image"].startswith("payspool:")
    return ours and set(service.get("profiles", ())) <= PROFILES
