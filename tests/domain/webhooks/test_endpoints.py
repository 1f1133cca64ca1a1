"""A merchant's endpoints: added within limits, changed, disabled with a reason, removed for good."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import Invalid, NotFound
from domain.secrets import CannotDecrypt, SecretBox, new_key
from domain.webhooks import delivery_store, service, store
from domain.webhooks.addresses import Reach
from domain.webhooks.rules import MAX_ENDPOINTS, MAX_ROLL_HOURS
from domain.webhooks.service import TooManyEndpoints
from tests.domain.payouts.house import merchant

MIA = Actor("person", "mia")
BOX = SecretBox([new_key()])


def add(
    tx: Tx, acme: int, url: str = "https://93.184.215.14/", types: tuple[str, ...] = ("*",)
) -> int:
    address = service.look_up(url, "live", Reach(), lambda host: [host])
    made, secret = service.add(tx, acme, address, types=types, box=BOX, actor=MIA)
    assert secret.startswith("whsec_")
    return made


def test_what_cannot_be_an_endpoint_leaves_none(tx: Tx) -> None:
    acme = merchant(tx)
    for url, types, why in (
        ("https://10.0.0.1/", ("*",), "url: 10.0.0.1 is no public address"),
        ("https://93.184.215.14/", ("payout.pay",), "types: there is no 'payout.pay'"),
        ("https://93.184.215.14/", (), "types: name at least one"),
        ("https://93.184.215.14/", ("webhook.test",), "types: there is no 'webhook.test'"),
    ):
        with pytest.raises(Invalid, match=why):
            add(tx, acme, url, types)
    assert store.count(tx, acme) == 0


def test_a_merchant_has_twenty_at_most_however_many_ask_at_once(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for _ in range(MAX_ENDPOINTS - 2):
            add(tx, acme)

    def one(_n: int) -> bool:
        try:
            with transaction(engine) as tx:
                add(tx, acme)
        except TooManyEndpoints:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(one, range(6))) == [False] * 4 + [True] * 2
    with transaction(engine) as tx:
        assert store.count(tx, acme) == MAX_ENDPOINTS
        service.remove(tx, acme, store.listing(tx, acme)[0].id, actor=MIA)
        add(tx, acme)


def test_another_merchants_endpoint_is_not_found(tx: Tx) -> None:
    acme, globex = merchant(tx), merchant(tx, "globex")
    made = add(tx, acme)
    for attempt in (
        lambda: service.get(tx, globex, made),
        lambda: service.remove(tx, globex, made, actor=MIA),
        lambda: service.roll(tx, globex, made, overlap_hours=1, box=BOX, actor=MIA),
        lambda: service.enable(tx, globex, made, actor=MIA),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_everything_that_is_done_to_an_endpoint_is_audited_and_no_secret_is_told(tx: Tx) -> None:
    acme = merchant(tx)
    made = add(tx, acme)
    service.change(tx, acme, made, types=["payout.paid"], actor=MIA)
    service.change(tx, acme, made, types=["payout.paid"], actor=MIA)
    secret = service.roll(tx, acme, made, overlap_hours=MAX_ROLL_HOURS, box=BOX, actor=MIA)
    with pytest.raises(Invalid, match="0 to 168"):
        service.roll(tx, acme, made, overlap_hours=MAX_ROLL_HOURS + 1, box=BOX, actor=MIA)
    with pytest.raises(Invalid, match="reason"):
        service.disable(tx, acme, made, reason=" ", actor=MIA)
    assert service.disable(tx, acme, made, reason="moving", actor=MIA)
    assert not service.disable(tx, acme, made, reason="moving", actor=MIA)
    assert service.enable(tx, acme, made, actor=MIA)
    service.remove(tx, acme, made, actor=MIA)
    entries = list(tx.execute(text("SELECT action, before, after FROM audit_entries ORDER BY id")))
    assert [row.action.partition(".")[2] for row in entries] == [
        *("added", "changed", "secret_rolled", "disabled", "enabled", "removed")
    ]
    assert "whsec_" not in str(entries)
    assert secret not in str(list(tx.execute(text("SELECT * FROM webhook_endpoints"))))


def test_secrets_are_resealed_under_the_newest_key(tx: Tx) -> None:
    acme = merchant(tx)
    made = add(tx, acme)
    service.roll(tx, acme, made, overlap_hours=1, box=BOX, actor=MIA)
    newest = new_key()
    with pytest.raises(CannotDecrypt):
        service.reseal(tx, box=SecretBox([newest]), actor=MIA)
    old = new_key()
    both = SecretBox([newest, old])
    tx.execute(
        text("UPDATE webhook_endpoints SET secret_encrypted = :a, old_secret_encrypted = :b"),
        {"a": SecretBox([old]).encrypt("whsec_a"), "b": SecretBox([old]).encrypt("whsec_b")},
    )
    assert service.reseal(tx, box=both, actor=MIA) == 1
    [row] = store.lock_secrets(tx)
    alone = SecretBox([newest])
    assert alone.decrypt(row.secret_encrypted, "secret") == "whsec_a"
    assert alone.decrypt(row.old_secret_encrypted, "secret") == "whsec_b"


def test_what_waits_and_since_when_is_counted_of_enabled_endpoints(tx: Tx) -> None:
    acme = merchant(tx)
    assert tuple(delivery_store.standing(tx, 10)) == (0, 0.0, 0)
    made = add(tx, acme)
    for _ in range(3):
        delivery_store.insert_for(tx, made, acme, "webhook.test", {})
    found = delivery_store.standing(tx, 2)
    assert (found.pending, found.disabled) == (2, 0)
    service.disable(tx, acme, made, reason="over", actor=MIA)
    assert delivery_store.standing(tx, 10).pending == 0
