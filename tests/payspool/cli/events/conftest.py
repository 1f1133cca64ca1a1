"""The command line in this process, on the test's own database and queue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from payspool.cli import app


class Commands:
    """Runs commands. What they raise is raised, as ``main`` would see it."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        done = CliRunner().invoke(app, arguments, env=self.env, input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def payspool(engine: Engine, redis_url: str, namespace: str, tmp_path: Any) -> Commands:
    """``payspool("events", "status", …)``."""
    return Commands(
        {
            "PAYSPOOL_DATABASE_URL": engine.url.render_as_string(hide_password=False),
            "PAYSPOOL_REDIS_URL": redis_url,
            "PAYSPOOL_NAMESPACE": namespace,
            "PAYSPOOL_SECRET_KEYS": Fernet.generate_key().decode(),
            "PAYSPOOL_DATA_DIR": str(tmp_path / "data"),
        }
    )
