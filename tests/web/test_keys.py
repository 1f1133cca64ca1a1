"""The cache of keys: what it saves, and how long it may be wrong."""

from __future__ import annotations

import secrets

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from domain.access import service as access
from domain.access.service import ApiKey
from domain.db import transaction
from domain.merchants import service as merchants
from domain.merchants.service import Merchant
from tests.web.conftest import ACTOR
from web.keys import KeyCache


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
