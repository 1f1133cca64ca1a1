"""Stores, PINs and devices: what events may name, what history keeps, and what the database refuses."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.loyalty import service
from domain.loyalty.rules import Refusal
from domain.loyalty.service import shops
from domain.merchants import service as merchants
from tests.domain.loyalty.conftest import NOON, Shop, claim

ME = Actor("person", "ada")


def registered(tx: Tx) -> Shop:
    """A merchant with the stores Mitte and Nord, Ann in Mitte, and a tablet there."""
    acme = merchants.add(tx, "acme", "Acme", mode="test", actor=ME)
    service.create_program(tx, acme.id, "beans", name="Beans", currency="eur", kind="hybrid")
    for key in ("mitte", "nord"):
        shops.add_store(tx, acme, key, name=key.title(), actor=ME)
    shops.add_pin(tx, acme, "mitte", "ann", "4711", name="Ann A.", actor=ME)
    shops.add_device(tx, acme, "mitte", "tablet-1", name="T", actor=ME)
    return Shop(acme.id)


def told(tx: Tx, shop: Shop, *events: Any) -> list[Any]:
    claim(tx, events)
    return service.apply(tx, events, NOON).outcomes


def test_an_event_of_the_queue_keeps_what_it_says_with_the_names_of_now(tx: Tx) -> None:
    shop = registered(tx)
    said = {"staff_pin_id": "ann", "terminal_device_id": "tablet-1"}
    told(tx, shop, shop.enrol("C1"), shop.earn("C1", 5, **said))
    row = tx.execute(
        text(
            "SELECT store_id, store_name, staff_pin_id, staff_name, terminal_device_id, principal_id"
            " FROM loyalty_transactions WHERE merchant_id = :m AND type = 'points_earned'"
        ),
        {"m": shop.merchant_id},
    ).one()
    assert tuple(row) == ("mitte", "Mitte", "ann", "Ann A.", "tablet-1", None)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"store_id": "sued"}, "store_unknown"),
        ({"staff_pin_id": "bob"}, "pin_unknown"),
        ({"terminal_device_id": "tablet-9"}, "device_unknown"),
        ({"staff_pin_id": "ann", "store_id": "nord"}, "pin_of_another_store"),
    ],
)
def test_what_is_not_registered_is_refused_by_name(
    tx: Tx, said: dict[str, str], reason: str
) -> None:
    shop = registered(tx)
    _, refused = told(tx, shop, shop.enrol("C1"), shop.earn("C1", 5, **said))
    assert isinstance(refused, Refusal)
    assert refused.reason == reason


def test_what_happened_before_a_device_was_revoked_still_counts(tx: Tx) -> None:
    shop = registered(tx)
    acme = merchants.get(tx, "acme")
    shops.revoke_device(tx, acme, "tablet-1", actor=ME)
    revoked = tx.execute(
        text("SELECT revoked_at FROM terminal_devices WHERE merchant_id = :m"), {"m": acme.id}
    ).scalar_one()
    on = {"terminal_device_id": "tablet-1"}
    early = shop.earn("C1", 5, time=revoked - timedelta(seconds=1), **on)
    late = shop.earn("C1", 5, time=revoked, **on)
    _, counted, refused = told(tx, shop, shop.enrol("C1"), early, late)
    assert counted.points == 5
    assert refused.reason == "device_revoked"


def test_a_program_asks_for_a_pin_where_it_says_so(tx: Tx) -> None:
    shop = registered(tx)
    service.change_program(tx, shop.merchant_id, "beans", NOON, pin_required=["stamps"])
    stamp = shop.event("stamp_earned", NOON, card="C1")
    proven = shop.event("stamp_earned", NOON, card="C1", staff_pin_id="ann")
    _, refused, points, stamped = told(
        tx, shop, shop.enrol("C1"), stamp, shop.earn("C1", 5), proven
    )
    assert refused.reason == "pin_required"
    assert (points.points, stamped.stamps) == (5, 1)


@pytest.mark.parametrize(
    "said",
    ["store_id = 'sued'", "store_id = 'nord', staff_pin_id = 'ann'", "terminal_device_id = 'x'"],
)
def test_the_database_refuses_what_is_not_of_the_merchant(tx: Tx, said: str) -> None:
    shop = registered(tx)
    told(tx, shop, shop.enrol("C1"))
    values = dict(part.split(" = ") for part in said.split(", "))
    with pytest.raises(IntegrityError, match="is not one of its merchant and store"):
        tx.execute(
            text(
                f"""
                INSERT INTO loyalty_transactions (merchant_id, card_id, program_id, program_version, seq, type,
                    points_balance_after, stamps_balance_after, explanation, transaction_at,
                    {", ".join(values)})
                SELECT merchant_id, card_id, program_id, program_version, seq + 1, 'card_deactivated', 0, 0,
                       '{{}}', transaction_at, {", ".join(values.values())}
                FROM loyalty_transactions WHERE merchant_id = :m
                """
            ),
            {"m": shop.merchant_id},
        )


def test_a_revoked_device_stays_revoked(tx: Tx) -> None:
    registered(tx)
    shops.revoke_device(tx, merchants.get(tx, "acme"), "tablet-1", actor=ME)
    with pytest.raises(IntegrityError, match="stays revoked"):
        tx.execute(text("UPDATE terminal_devices SET revoked_at = NULL"))


def test_wrong_pins_beside_each_other_are_counted_one_by_one(engine: Engine) -> None:
    with transaction(engine) as tx:
        shop = registered(tx)

    def guess(n: int) -> str:
        with transaction(engine) as tx:
            refusal = shops.prove_pin(tx, shop.merchant_id, "ann", f"000{n}")
        assert refusal is not None
        return refusal.reason

    with ThreadPoolExecutor(8) as pool:
        said = sorted(pool.map(guess, range(8)))
    assert said == ["pin_locked"] * 3 + ["pin_wrong"] * 5


def test_a_right_pin_forgets_the_wrong_ones_before_it(tx: Tx) -> None:
    shop = registered(tx)
    for _ in range(4):
        assert shops.prove_pin(tx, shop.merchant_id, "ann", "0000")
    assert shops.prove_pin(tx, shop.merchant_id, "ann", "4711") is None
    assert tx.execute(text("SELECT failures FROM staff_pins")).scalars().all() == [0]
