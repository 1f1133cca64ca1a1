"""Commands in this process, on a database of the test's own and a sandbox."""

import os
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from domain.secrets import new_key
from payspool.cli import app, session
from tests.workers.gateways.local_stripe import LocalStripe, Platform, running

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def _person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test says by USER who sits there: this machine has one account only."""
    monkeypatch.setattr("payspool.cli.identity.account", lambda: os.environ.get("USER", "nobody"))


@pytest.fixture(scope="session")
def local_stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStripe]:
    with running(tmp_path_factory.mktemp("stripe")) as stripe:
        yield stripe


@pytest.fixture
def platform(local_stripe: LocalStripe) -> Iterator[Platform]:
    made = local_stripe.platform()
    yield made
    made.close()


@pytest.fixture
def command(
    engine: Engine,
    redis_url: str,
    namespace: str,
    local_stripe: LocalStripe,
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """Runs a command on the test's database; ``input`` is what it reads from standard input."""
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("PAYSPOOL_DATABASE_URL", url)
    monkeypatch.setenv("PAYSPOOL_REDIS_URL", redis_url)
    # What one test sent is not kept for the database of another, which would be a copy or a failover.
    monkeypatch.setenv("PAYSPOOL_NAMESPACE", namespace)
    monkeypatch.setenv("PAYSPOOL_STRIPE_URL", local_stripe.url)
    monkeypatch.setenv("PAYSPOOL_SECRET_KEYS", new_key())
    # Read once a process, and elsewhere 80: a table is not to be cut.
    monkeypatch.setattr(session.console, "width", 300)
    runner = CliRunner()

    def run(*arguments: str, input: str | None = None) -> Result:
        return runner.invoke(app, list(arguments), input=input, env={"COLUMNS": "300"})

    return run
