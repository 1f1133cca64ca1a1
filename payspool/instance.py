"""The running instance of this checkout: what other terminals need in order to talk to it.

``payspool up`` and ``payspool demo`` write one small file beside their data; every other command reads
it, so that nobody has to copy addresses around.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from domain.secrets import new_key
from payspool.embedded import default_data_dir, read_running
from payspool.settings import CHECKOUT, BadSettings, Settings

FILE: Final = "instance.json"
SECRET_FILE: Final = "secret.key"  # noqa: S105 - a file's name


@dataclass(frozen=True, slots=True)
class Instance:
    """Addresses of a running instance that are not the servers' own."""

    kind: str
    api_url: str
    stripe_url: str
    sandbox_data: str | None
    dashboard_url: str = ""


def data_dir(settings: Settings, kind: str) -> Path:
    """Where an instance keeps its data: ``kind`` is up or demo, each with servers of its own."""
    base = settings.data_dir or default_data_dir(CHECKOUT)
    return base / kind


def write(folder: Path, instance: Instance) -> None:
    """Tell other terminals where we are."""
    part = folder / f"{FILE}.part"
    part.write_text(json.dumps(asdict(instance)), encoding="utf-8")
    part.replace(folder / FILE)


def read(folder: Path) -> Instance | None:
    """What the instance of this folder wrote, None if it never ran."""
    try:
        return Instance(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def dashboard_url(settings: Settings) -> str:
    """Where people reach the dashboard: as the settings say, else as the instance that runs here does, else
    at the address on which a dashboard would listen."""
    if settings.dashboard_url:
        return settings.dashboard_url
    for kind in ("up", "demo"):
        folder = data_dir(settings, kind)
        found = read(folder)
        if found is not None and found.dashboard_url and read_running(folder) is not None:
            return found.dashboard_url
    return url_of(settings.dashboard_host, settings.dashboard_port)


def url_of(host: str, port: int) -> str:
    """The address of a server of ours."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def secret_key(folder: Path) -> str:
    """The embedded instance's key for secrets at rest, made at its first start, readable by us only."""
    path = folder / SECRET_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(new_key())
    return path.read_text(encoding="utf-8").strip()


def resolve(settings: Settings, kind: str | None = None) -> Settings:
    """Settings with addresses: the environment's, else those of the running embedded instance.

    ``kind`` picks ``up`` or ``demo``; by default the one that runs, ``up`` before ``demo``. Raises
    BadSettings if none does.
    """
    if not settings.embedded:
        return settings
    for candidate in (kind,) if kind else ("up", "demo"):
        folder = data_dir(settings, candidate)
        endpoints, instance = read_running(folder), read(folder)
        if endpoints is not None:
            return settings.model_copy(
                update={
                    "database_url": endpoints.runtime_url,
                    "owner_database_url": endpoints.owner_url,
                    "redis_url": endpoints.redis_url,
                    "secret_keys": settings.secret_keys or secret_key(folder),
                    "stripe_url": settings.stripe_url or (instance.stripe_url if instance else ""),
                }
            )
    raise BadSettings(
        "Payspool is not running here. Start it with `payspool up` (or `make up`) in another terminal,"
        " or set PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL."
    )
