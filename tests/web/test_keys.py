"""The cache of keys: what it saves, and how long it may be wrong."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, pool, text
from sqlalchemy.exc import OperationalError

from domain.access import service as access
from domain.access.service import ApiKey
from domain.db import transaction
from domain.merchants import service as merchants
from domain.merchants.service import Merchant
from tests.domain.inbox.shop import PATIENCE, wait_until_blocked
from tests.web.conftest import ACTOR
from web import keys as module
from web.keys import LOOK_TIMEOUT_MS, KeyCache


@pytest.fixture
def merchant(engine: Engine) -> Merchant:
    with transaction(engine) as tx:
        return merchants.add(tx, "acme", "Acme", mode="test", actor=ACTOR)


@pytest.fixture
def secret(engine: Engine, merchant: Merchant) -> str:
    with transaction(engine) as tx:
        return access.create(tx, merchant, "till", access.SCOPES, rate_per_second=7, actor=ACTOR)


class Database:
    """Counts what is asked of a database, and can be cut off."""

    def __init__(self, engine: Engine) -> None:
        self.statements = 0
        self.away = False
        event.listen(engine, "before_cursor_execute", self._asked)

    def _asked(self, *_: object) -> None:
        self.statements += 1
        if self.away:
            raise OperationalError("SELECT 1", {}, Exception("away"))


@pytest.fixture
def database(engine: Engine) -> Database:
    return Database(engine)


def revoke_all(engine: Engine) -> None:
    with transaction(engine) as tx:
        tx.execute(text("UPDATE api_keys SET revoked_at = clock_timestamp()"))


def test_a_key_is_looked_up_once_while_it_is_fresh(
    engine: Engine, secret: str, database: Database
) -> None:
    keys = KeyCache(engine, fresh=60)
    found = keys.find(secret)
    assert isinstance(found, ApiKey)
    assert (found.merchant_key, found.rate_per_second) == ("acme", 7)
    asked = database.statements
    assert asked > 0
    assert all(keys.find(secret) == found for _ in range(100))
    assert database.statements == asked


def test_a_revoked_key_is_gone_with_the_next_look(engine: Engine, secret: str) -> None:
    patient, prompt = KeyCache(engine, fresh=60), KeyCache(engine, fresh=0)
    assert patient.find(secret)
    assert prompt.find(secret)
    revoke_all(engine)
    assert patient.find(secret), "within its freshness it is not looked at"
    assert prompt.find(secret) is None


def test_without_the_database_a_known_key_is_good_for_a_bounded_time(
    engine: Engine, secret: str, database: Database
) -> None:
    keys, brief = KeyCache(engine, fresh=0, stale=60), KeyCache(engine, fresh=0, stale=0)
    assert keys.find(secret)
    assert brief.find(secret)
    database.away = True
    assert keys.find(secret)
    with pytest.raises(OperationalError):
        brief.find(secret)
    with pytest.raises(OperationalError):
        KeyCache(engine).find(secret)
    database.away = False
    assert brief.find(secret)


def test_what_has_not_the_form_of_a_key_costs_no_look(engine: Engine, database: Database) -> None:
    keys = KeyCache(engine)
    for text_ in ("", "psk_test_x", "psk_prod_" + "x" * 43, "psk_test_" + "é" * 43, "x" * 52):
        assert keys.find(text_) is None
    assert database.statements == 0
    assert keys.find(f"psk_test_{secrets.token_urlsafe(32)}") is None
    assert database.statements > 0


@contextmanager
def locked(engine: Engine, admin_url: str) -> Iterator[None]:
    """Meanwhile the table of keys is somebody else's, as during a migration."""
    url = make_url(admin_url).set(database=engine.url.database)
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"))
        yield


LONG = 5 * LOOK_TIMEOUT_MS / 1000
"""Seconds: far over the limit of a look, far below that of other statements."""


def test_while_one_thread_looks_for_a_key_the_others_use_what_is_held(
    engine: Engine, secret: str, admin_url: str
) -> None:
    keys = KeyCache(engine, fresh=0)
    found = keys.find(secret)
    assert found is not None
    with ThreadPoolExecutor(1) as threads, locked(engine, admin_url):
        began = time.monotonic()
        looking = threads.submit(keys.find, secret)
        wait_until_blocked(engine, 1)
        assert [keys.find(secret) for _ in range(100)] == [found] * 100
        assert not looking.done(), "nobody waited for it"
        held = looking.result(PATIENCE)
        assert time.monotonic() - began < LONG
        assert held == found


def test_threads_that_ask_for_the_same_unknown_key_share_one_bounded_look(
    engine: Engine, secret: str, admin_url: str, database: Database
) -> None:
    keys = KeyCache(engine)
    with ThreadPoolExecutor(8) as threads, locked(engine, admin_url):
        began = time.monotonic()
        first = threads.submit(keys.find, secret)
        wait_until_blocked(engine, 1)
        asked = database.statements
        others = [threads.submit(keys.find, secret) for _ in range(7)]
        for one in (first, *others):
            assert isinstance(one.exception(PATIENCE), OperationalError)
        assert time.monotonic() - began < LONG
        assert database.statements == asked
    assert keys.find(secret) is not None


def test_a_key_whose_use_cannot_be_recorded_in_time_is_good(
    engine: Engine, secret: str, admin_url: str
) -> None:
    url = make_url(admin_url).set(database=engine.url.database)
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE api_keys IN EXCLUSIVE MODE"))  # it may still be read
        began = time.monotonic()
        assert KeyCache(engine).find(secret) is not None
        assert time.monotonic() - began < LONG


def test_after_a_look_in_vain_no_held_key_is_looked_for_until_it_may_be_worth_it(
    engine: Engine,
    merchant: Merchant,
    secret: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with transaction(engine) as tx:
        other = access.create(tx, merchant, "desk", access.SCOPES, actor=ACTOR)
    now = 0.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    keys = KeyCache(engine, fresh=2, stale=60)
    found = [keys.find(one) for one in (secret, other)]
    database.away, now = True, 10.0
    assert keys.find(secret) == found[0]
    asked = database.statements
    assert keys.find(other) == found[1]
    assert database.statements == asked
    database.away, now = False, 12.5
    revoke_all(engine)
    assert [keys.find(one) for one in (secret, other)] == [None, None]
