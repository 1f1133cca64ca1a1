"""API keys: seen once, stored as hashes, gone when revoked."""

from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain import clock
from domain.access import service, store
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.merchants import service as merchants
from domain.merchants.service import Merchant

ANN = Actor("person", "ann")


@pytest.fixture
def acme(tx: Tx) -> Merchant:
    return merchants.add(tx, "acme", "Acme", mode="test", actor=ANN)


def create(tx: Tx, merchant: Merchant, *scopes: str) -> str:
    return service.create(tx, merchant, "till 5", scopes or service.SCOPES, actor=ANN)


def test_a_key_opens_what_it_was_made_for(tx: Tx, acme: Merchant) -> None:
    secret = create(tx, acme, "events:write", "events:write")
    key = service.check(tx, secret)
    assert key is not None
    assert (key.name, key.merchant_id, key.merchant_key, key.mode, key.scopes) == (
        "till 5",
        acme.id,
        "acme",
        "test",
        frozenset({"events:write"}),
    )


def test_only_the_hash_of_a_key_is_stored(tx: Tx, acme: Merchant) -> None:
    secret = create(tx, acme)
    [row] = tx.execute(text("SELECT * FROM api_keys")).all()
    assert bytes(row.secret_hash) == sha256(secret.encode()).digest()
    everything = repr(row) + repr(tx.execute(text("SELECT * FROM audit_entries")).all())
    assert secret not in everything
    assert secret.removeprefix("psk_test_")[8:] not in everything
    [listed] = store.listing(tx, acme.id)
    assert secret.startswith(listed.prefix)
    assert len(secret) - len(listed.prefix) > 32, "what is shown gives nothing away"


def test_keys_are_never_the_same(tx: Tx, acme: Merchant) -> None:
    assert len({create(tx, acme) for _ in range(20)}) == 20


@pytest.mark.parametrize("change", ["", "x", "psk_test_", "psk_live_"])
def test_what_is_not_exactly_a_key_opens_nothing(tx: Tx, acme: Merchant, change: str) -> None:
    secret = create(tx, acme)
    for wrong in (change, secret + change + "x", secret[:-1], secret.upper(), f" {secret}"):
        assert service.check(tx, wrong) is None


def test_a_revoked_key_opens_nothing_and_the_others_go_on(tx: Tx, acme: Merchant) -> None:
    gone, kept = create(tx, acme), create(tx, acme)
    key = service.check(tx, gone)
    assert key is not None
    service.revoke(tx, acme, key.id, actor=ANN)
    assert service.check(tx, gone) is None
    assert service.check(tx, kept) is not None
    with pytest.raises(NotFound):
        service.revoke(tx, acme, key.id, actor=ANN)
    actions = tx.execute(text("SELECT action FROM audit_entries ORDER BY id")).scalars().all()
    assert actions == ["merchant.added", "api_key.created", "api_key.created", "api_key.revoked"]


def test_a_merchant_cannot_revoke_anothers_key(tx: Tx, acme: Merchant) -> None:
    key = service.check(tx, create(tx, acme))
    assert key is not None
    zeta = merchants.add(tx, "zeta", "Zeta", mode="test", actor=ANN)
    with pytest.raises(NotFound):
        service.revoke(tx, zeta, key.id, actor=ANN)
    assert store.listing(tx, zeta.id) == []


def test_the_keys_of_a_retired_merchant_open_nothing(tx: Tx, acme: Merchant) -> None:
    secret = create(tx, acme)
    tx.execute(text("UPDATE merchants SET retired_at = now()"))
    assert service.check(tx, secret) is None


@pytest.mark.parametrize("scopes", [[], ["events:delete"], ["events:read", "admin"]])
def test_a_scope_is_one_that_exists(tx: Tx, acme: Merchant, scopes: list[str]) -> None:
    with pytest.raises(Invalid, match="scopes"):
        service.create(tx, acme, "till", scopes, actor=ANN)


def test_a_key_with_an_end_opens_nothing_after_it(tx: Tx, acme: Merchant) -> None:
    later = clock.real_now(tx) + timedelta(hours=1)
    secret = service.create(tx, acme, "till", service.SCOPES, expires_at=later, actor=ANN)
    assert service.check(tx, secret) is not None
    [row] = service.listing(tx, acme)
    assert (row.status, row.expires_at) == ("good", later)
    tx.execute(text("UPDATE api_keys SET expires_at = clock_timestamp()"))
    assert service.check(tx, secret) is None
    assert service.listing(tx, acme)[0].status == "expired"
    with pytest.raises(Invalid, match="past"):
        service.create(tx, acme, "till", service.SCOPES, expires_at=clock.real_now(tx), actor=ANN)


def test_a_keys_last_use_is_on_record_to_the_minute(tx: Tx, acme: Merchant) -> None:
    used, unused = create(tx, acme), create(tx, acme)
    assert unused != used

    def last_use() -> datetime | None:
        return {row.id: row.last_used_at for row in service.listing(tx, acme)}[key.id]

    def use() -> service.ApiKey:
        found = service.check(tx, used)
        assert found is not None
        service.note_use(tx, found)
        return found

    key = use()
    first = last_use()
    assert first is not None
    use()
    assert last_use() == first, "a busy key costs one write a minute"
    tx.execute(text("UPDATE api_keys SET last_used_at = last_used_at - interval '61 s'"))
    use()
    again = last_use()
    assert again is not None
    assert again > first
    assert [row.last_used_at is None for row in service.listing(tx, acme)] == [True, False]


@pytest.mark.parametrize("rate", [0, -1, service.RATE_MAX + 1])
def test_a_rate_is_a_positive_number(tx: Tx, acme: Merchant, rate: int) -> None:
    with pytest.raises(Invalid, match="rate_per_second"):
        service.create(tx, acme, "till", service.SCOPES, rate_per_second=rate, actor=ANN)


def test_a_key_is_test_or_live_as_its_merchant_is(tx: Tx, acme: Merchant) -> None:
    live = merchants.add(tx, "zeta", "Zeta", mode="live", actor=ANN)
    assert create(tx, acme).startswith("psk_test_")
    assert create(tx, live).startswith("psk_live_")
    with pytest.raises(IntegrityError, match="fk_api_keys"):
        tx.execute(
            text("UPDATE api_keys SET mode = 'live' WHERE merchant_id = :id"), {"id": acme.id}
        )
