"""A payout that was paid, given back or taken back at the gateway ends in a signed delivery at the merchant's own system."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.payouts import service
from payspool_client import verify_webhook
from tests.workers.gateways.local_stripe import Platform
from tests.workers.hooks import conftest as hooks
from tests.workers.hooks.world import MIA, World, wait_until
from tests.workers.payouts.bank_office import BankOffice
from tests.workers.payouts.office import Office
from workers.context import Runtime

receiver, box, couriers = hooks.receiver, hooks.box, hooks.couriers
WANTED = (
    *("payout.paid", "payout.failed", "payout.returned"),
    *("payout.partly_reversed", "payout.reversed"),
)


@pytest.fixture
def world(engine: Engine, client: redis.Redis, namespace: str, box: Any) -> World:
    """Of a merchant that comes later: the one that an office makes."""
    return World(Runtime(engine, client, namespace, None, sandbox=True), box, 0)  # type: ignore[arg-type]


def listening(world: World, office: Office, url: str) -> str:
    """Add an endpoint for the office's merchant; its secret."""
    with transaction(office.engine) as tx:
        world.merchant_id = tx.execute(text("SELECT id FROM merchants")).scalar_one()
    return world.endpoint(url, *WANTED)[1]


def came(shop: Any, secret: str) -> list[tuple[str, dict[str, Any]]]:
    """What was delivered, each verified by its signature, in the order in which it happened."""
    told = [verify_webhook(body, headers, secret, now=time.time()) for headers, body in shop.got]
    return [(one["type"], one["data"]) for one in sorted(told, key=lambda one: one["created"])]


def test_a_payout_that_the_bank_gave_back_is_told_as_paid_and_then_as_returned(
    world: World, engine: Engine, platform: Platform, receiver: Any, couriers: Any
) -> None:
    platform.fund(10_000_000)
    office, shop = BankOffice(engine, platform), receiver()
    payout_id = office.transfer_only()
    secret = listening(world, office, shop.url)
    couriers()
    office.plan({"fault": "payout_fails", "code": "account_closed", "after": "paid", "times": 1})
    office.work_off()
    office.pass_days(3)
    office.sweep()
    office.pass_days(4)
    office.sweep()
    wait_until(lambda: len(shop.got) == 2)
    (paid, first), (returned, second) = came(shop, secret)
    assert (paid, returned) == ("payout.paid", "payout.returned")
    [transfer] = platform.transfers()
    for told in (first, second):
        assert (told["payout"], told["user_id"], told["amount"]) == (payout_id, "u0", 1_000)
        assert told["external_transaction_id"] == transfer.id
    assert (first["error_code"], second["error_code"]) == (None, "bank_returned")


def test_a_payout_that_a_person_had_taken_back_is_told_in_part_and_then_whole(
    world: World, engine: Engine, platform: Platform, receiver: Any, couriers: Any
) -> None:
    platform.fund(10_000_000)
    office, shop = Office(engine, platform), receiver()
    office.owe(1_000)
    [payout_id] = office.build()
    secret = listening(world, office, shop.url)
    couriers()
    office.work_off()
    for amount in (300, None):
        with transaction(engine) as tx:
            service.request_reversal(
                tx,
                office.merchant_id,
                payout_id,
                amount=amount,
                reason="paid by mistake",
                actor=MIA,
            )
        office.work_off()
    wait_until(lambda: len(shop.got) == 3)
    told = came(shop, secret)
    assert [(name, data["payout"], data["reversed_amount"]) for name, data in told] == [
        ("payout.paid", payout_id, 0),
        ("payout.partly_reversed", payout_id, 300),
        ("payout.reversed", payout_id, 1_000),
    ]
