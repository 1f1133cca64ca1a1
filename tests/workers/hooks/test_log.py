"""What failed is sent again when somebody says so, by whom it is signed, and how long the log goes back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from domain.db import transaction
from domain.errors import Forbidden
from domain.webhooks import deliveries, delivery_store, rules, service
from payspool_client.webhooks import BadWebhook, verify
from tests.workers.hooks.world import MIA, World, wait_until


def test_after_ten_attempts_it_has_failed_until_somebody_sends_it_again(
    world: World, receiver: Any, couriers: Any
) -> None:
    shop = receiver()
    shop.answer = lambda _n: (500, {}, b"")
    endpoint, _ = world.endpoint(shop.url)
    world.earn(5, 6)
    for _ in range(20):
        world.run("UPDATE webhook_endpoints SET quiet_until = NULL")
        world.run(
            "UPDATE webhook_deliveries SET due_at = clock_timestamp() WHERE state = 'pending'"
        )
        world.deliver(endpoint)
    assert world.states() == ["failed"] * 2
    assert len(world.attempts()) == 20
    first, second = world.deliveries()
    shop.answer = lambda _n: (200, {}, b"")
    world.run("UPDATE webhook_endpoints SET quiet_until = NULL")
    with transaction(world.engine) as tx:
        assert deliveries.resend(tx, world.merchant_id, first.id, actor=MIA)
        assert not deliveries.resend(tx, world.merchant_id, first.id, actor=MIA)
    assert world.deliver(endpoint) == "delivered"
    since = second.created_at
    with transaction(world.engine) as tx:
        later = since + timedelta(seconds=5)
        assert deliveries.resend_failed(tx, world.merchant_id, endpoint, later, actor=MIA) == 0
        assert deliveries.resend_failed(tx, world.merchant_id, endpoint, since, actor=MIA) == 1
    couriers()
    wait_until(lambda: world.states() == ["delivered"] * 2)
    assert len(set(shop.ids())) == 2
    with transaction(world.engine) as tx:
        service.disable(tx, world.merchant_id, endpoint, reason="over", actor=MIA)
        with pytest.raises(Forbidden):
            deliveries.resend(tx, world.merchant_id, first.id, actor=MIA)


def test_during_a_roll_both_secrets_sign_and_after_it_the_new_one_alone(
    world: World, receiver: Any
) -> None:
    shop = receiver()
    endpoint, old = world.endpoint(shop.url)
    with transaction(world.engine) as tx:
        new = service.roll(
            tx, world.merchant_id, endpoint, overlap_hours=1, box=world.box, actor=MIA
        )
    world.earn(5, 6)
    world.deliver(endpoint)
    headers, body = shop.got[-1]
    assert verify(body, headers, old) == verify(body, headers, new)
    world.run("UPDATE webhook_endpoints SET old_secret_until = clock_timestamp()")
    world.deliver(endpoint)
    headers, body = shop.got[-1]
    verify(body, headers, new)
    with pytest.raises(BadWebhook):
        verify(body, headers, old)
    [row] = world.rows("SELECT secret_encrypted FROM webhook_endpoints")
    assert new.encode() not in bytes(row.secret_encrypted)


def test_an_endpoint_tries_itself_and_a_removed_one_gets_nothing_more(
    world: World, receiver: Any
) -> None:
    shop = receiver()
    endpoint, secret = world.endpoint(shop.url, "payout.paid")
    with transaction(world.engine) as tx:
        deliveries.test(tx, world.merchant_id, endpoint, actor=MIA)
    assert world.deliver(endpoint) == "delivered"
    headers, body = shop.got[0]
    assert verify(body, headers, secret)["type"] == rules.TEST
    with transaction(world.engine) as tx:
        deliveries.test(tx, world.merchant_id, endpoint, actor=MIA)
        assert service.remove(tx, world.merchant_id, endpoint, actor=MIA) == 1
    assert world.deliver(endpoint) is None
    assert world.states() == ["delivered", "canceled"]


def test_the_log_ends_where_it_is_old(world: World, receiver: Any) -> None:
    endpoint, _ = world.endpoint(receiver().url)
    world.earn(5)
    world.deliver(endpoint)
    world.earn(6)
    with transaction(world.engine) as tx:
        assert deliveries.prune(tx) == 0
    with transaction(world.engine) as tx:
        assert delivery_store.prune(tx, 0, 100) == 1, "what still waits stays"
    assert world.states() == ["pending"]
    assert world.attempts() == []


def test_bodies_are_exact_json(world: World, receiver: Any) -> None:
    shop = receiver()
    endpoint, _ = world.endpoint(shop.url)
    world.earn(2**53 + 1)
    world.deliver(endpoint)
    assert json.loads(shop.got[0][1])["data"]["amount"] == 2**53 + 1
    assert shop.got[0][0]["content-type"] == "application/json"
