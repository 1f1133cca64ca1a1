"""One dashboard in a process of its own, one database, one Chromium: for all tests of this folder."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import Engine, create_engine, make_url, pool, text

from domain.db import connect
from payspool.embedded import Endpoints
from tests.browser import house
from tests.browser.house import PASSWORD, Seeded

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ROOT = Path(__file__).resolve().parents[2]

expect.set_options(timeout=15_000)  # a machine that is busy with the rest of the suite is slow


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that runs, and what it shows."""

    url: str
    engine: Engine
    redis: redis.Redis
    namespace: str
    seeded: Seeded

    def scalar(self, statement: str, **values: Any) -> Any:
        """What one statement says."""
        with self.engine.connect() as tx:
            return tx.execute(text(statement), values).scalar()


@contextmanager
def board(admin_url: str, template: str) -> Iterator[Engine]:
    """An engine on a database of its own."""
    name = f"board_{secrets.token_hex(4)}"
    admin = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(
            text(f'CREATE DATABASE "{name}" OWNER payspool_owner TEMPLATE "{template}"')
        )
    url = make_url(admin_url).set(database=name, username="payspool_runtime")
    engine = connect(url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def board_engine(admin_url: str, template: str) -> Iterator[Engine]:
    with board(admin_url, template) as engine:
        yield engine


@contextmanager
def opened(engine: Engine, redis_url: str, folder: Path) -> Iterator[Dashboard]:
    """The command, as people run it, over a database that is furnished for it."""
    namespace = f"board-{secrets.token_hex(4)}"
    client = redis.Redis.from_url(redis_url)
    seeded = house.seed(engine, client, namespace)
    with running(engine, redis_url, namespace, folder) as url:
        yield Dashboard(url, engine, client, namespace, seeded)
    client.close()


@pytest.fixture(scope="session")
def dashboard(
    board_engine: Engine, servers: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """One that all tests of pages share: each leaves what others look at as it was."""
    with opened(board_engine, servers.redis_url, tmp_path_factory.mktemp("board")) as made:
        yield made


@contextmanager
def running(
    engine: Engine,
    redis_url: str,
    namespace: str,
    folder: Path,
    *,
    module: str = "payspool",
    **more: str,
) -> Iterator[str]:
    """The address of a dashboard in a process of its own; ``more`` are further settings.

    ``module`` is what is run: the command itself, or one that adds to it.
    """
    environment = os.environ | {
        "PAYSPOOL_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "PAYSPOOL_REDIS_URL": redis_url,
        "PAYSPOOL_NAMESPACE": namespace,
        "PAYSPOOL_SECRET_KEYS": house.KEY,
        "PAYSPOOL_STRIPE_URL": "http://127.0.0.1:1",
        **more,
    }
    port_file, log = folder / "port", folder / "log"
    command = [sys.executable, "-m", module, "dashboard", "--port", "0"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port-file", str(port_file)],
            env=environment,
            cwd=ROOT,
            stdout=out,
            stderr=out,
        )
    try:
        yield _answers(process, port_file, log)
    finally:
        process.terminate()
        process.wait(20)
    said = log.read_text()
    assert "Traceback" not in said, said[-5000:]


def _answers(process: subprocess.Popen[bytes], port_file: Path, log: Path) -> str:
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        if port_file.exists():
            url = f"http://127.0.0.1:{int(port_file.read_text())}"
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/healthz", timeout=30).status_code == 200:
                    return url
        time.sleep(0.05)


def chromium_path() -> str | None:
    """The system's Chromium."""
    given = os.environ.get("PAYSPOOL_TEST_CHROMIUM")
    return given or next((found for name in CHROMIUM if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser. Without one these tests are skipped, but in CI that is a failure.

    Of a module, not of the session: while it is open, this thread has an event loop, and other tests that
    want one of their own could not run.
    """
    path = chromium_path()
    if path is None:
        said = "no Chromium: sh .ci/browser installs it, PAYSPOOL_TEST_CHROMIUM names it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(said)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def cookies(dashboard: Dashboard) -> dict[str, str]:
    """A session of each person."""
    return {name: sign_in(dashboard.url, name) for name in house.PEOPLE}


def sign_in(url: str, name: str, password: str = PASSWORD) -> str:
    """The token of a new session, over HTTP."""
    answer = httpx.post(
        f"{url}/sign-in", data={"name": name, "password": password}, headers={"Origin": url}
    )
    assert answer.status_code == 303, answer.text
    return answer.cookies["payspool_session"]


@dataclass
class Tab:
    """A page of somebody who is signed in, and what its console said."""

    page: Page
    url: str
    complaints: list[str]

    def open(self, path: str) -> Page:
        """Go to a page and wait until it is drawn and listens."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector("#content h1, #content [role=alert]")
        self.page.wait_for_function("window.socket && window.socket.connected")
        return self.page


Opener = Callable[..., Tab]


@pytest.fixture
def tab(dashboard: Dashboard, chromium: Browser, cookies: dict[str, str]) -> Iterator[Opener]:
    """Opens a tab as one of the people."""
    opened: list[tuple[BrowserContext, Tab]] = []

    def make(who: str, **options: Any) -> Tab:
        # Nothing fades: a colour in the middle of a change is no colour that anybody is asked to read.
        shown = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
        context = chromium.new_context(**{**shown, **options})
        context.add_cookies(
            [{"name": "payspool_session", "value": cookies[who], "url": dashboard.url}]
        )
        page, complaints = context.new_page(), []
        page.set_default_timeout(15_000)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        opened.append((context, made := Tab(page, dashboard.url, complaints)))
        return made

    yield make
    for context, _ in opened:
        context.close()
    for _, made in opened:
        assert made.complaints == []
