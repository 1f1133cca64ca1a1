"""A shop with tablets: what a device's token says, what a PIN proves, and what is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.db import transaction
from domain.loyalty.service import shops
from domain.merchants import service as merchants
from tests.web.conftest import ACTOR
from tests.web.till import CARD, NOW, Till


@pytest.fixture
def tablet(till: Till) -> Till:
    """A tablet of the store Mitte, where Ann works with the PIN 4711."""
    with transaction(till.api.engine) as tx:
        acme = merchants.get(tx, "acme")
        shops.add_store(tx, acme, "mitte", name="Mitte", actor=ACTOR)
        shops.add_store(tx, acme, "nord", name="Nord", actor=ACTOR)
        shops.add_pin(tx, acme, "mitte", "ann", "4711", name="Ann A.", actor=ACTOR)
        token = shops.add_device(tx, acme, "mitte", "tablet-1", name="Tablet 1", actor=ACTOR)
    till.enrol()
    return Till(till.api, token)


def rows(till: Till, columns: str) -> list[Any]:
    with transaction(till.api.engine) as tx:
        return list(
            tx.execute(text(f"SELECT {columns} FROM loyalty_transactions ORDER BY id DESC LIMIT 1"))
        )


def typed(till: Till, pin: str, id: str, **data: Any) -> Any:
    body = {"id": id, "source": "t", "time": NOW.isoformat(), "data": data}
    return till.post(f"/{CARD}/earn", json.dumps(body), X_Staff_Pin=pin)


def test_a_tablet_says_its_store_and_who_paired_it(tablet: Till) -> None:
    answer = typed(tablet, "4711", "s1", points=5, staff_pin_id="ann")
    assert answer.status_code == 200, answer.text
    [row] = rows(
        tablet,
        "store_id, store_name, staff_pin_id, staff_name, terminal_device_id, principal_kind,"
        " principal_id, ip_address, user_agent",
    )
    assert tuple(row)[:7] == (
        "mitte", "Mitte", "ann", "Ann A.", "tablet-1", ACTOR.kind, ACTOR.id,
    )  # fmt: skip
    assert row.ip_address == "127.0.0.1"
    assert row.user_agent


def test_names_stay_as_they_were(till: Till, tablet: Till) -> None:
    typed(tablet, "4711", "s1", points=5, staff_pin_id="ann")
    with transaction(till.api.engine) as tx:
        acme = merchants.get(tx, "acme")
        shops.rename_store(tx, acme, "mitte", "Mitte (old)", actor=ACTOR)
        shops.rename_pin(tx, acme, "ann", "Ann B.", actor=ACTOR)
    newest = till.history()["transactions"][0]
    assert (newest["store_name"], newest["staff_name"]) == ("Mitte", "Ann A.")


def test_a_person_has_no_device(till: Till, tablet: Till) -> None:
    assert till.send(f"/{CARD}/earn", {"points": 5, "store_id": "nord"}, id="s1").status_code == 200
    [row] = rows(till, "terminal_device_id, store_id, principal_kind")
    assert tuple(row) == (None, "nord", "api_key")
    refused = till.send(f"/{CARD}/earn", {"points": 5, "terminal_device_id": "tablet-1"}, id="s2")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "device_mismatch")


@pytest.mark.parametrize("said", [{"terminal_device_id": "tablet-2"}, {"store_id": "nord"}])
def test_a_tablet_is_no_other(tablet: Till, said: dict[str, str]) -> None:
    refused = tablet.send(f"/{CARD}/earn", {"points": 5} | said, id="s1")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "device_mismatch")
    assert tablet.points()["balance"] == 10


def test_the_same_sale_from_another_way_counts_once(till: Till, tablet: Till) -> None:
    first = tablet.send(f"/{CARD}/earn", {"points": 5}, id="s1")
    again = till.send(f"/{CARD}/earn", {"points": 5}, id="s1")
    assert again.json()["transactions"] == first.json()["transactions"]
    assert tablet.points()["balance"] == 15


def test_a_revoked_device_is_out_at_once(till: Till, tablet: Till) -> None:
    assert tablet.card().status_code == 200
    with transaction(till.api.engine) as tx:
        shops.revoke_device(tx, merchants.get(tx, "acme"), "tablet-1", actor=ACTOR)
    refused = tablet.send(f"/{CARD}/earn", {"points": 5}, id="s1")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "device_revoked")
    assert till.points()["balance"] == 10


def test_five_wrong_pins_beside_each_other_lock_it_and_do_nothing(till: Till, tablet: Till) -> None:
    def guess(n: int) -> str:
        answer = typed(tablet, f"000{n}", f"guess-{n}", points=5, staff_pin_id="ann")
        return str(answer.json()["error"]["code"])

    with ThreadPoolExecutor(4) as pool:
        said = sorted(pool.map(guess, range(8)))
    assert said == ["pin_locked"] * 3 + ["pin_wrong"] * 5
    right = typed(tablet, "4711", "s1", points=5, staff_pin_id="ann")
    assert right.json()["error"]["code"] == "pin_locked"
    assert till.points()["balance"] == 10
    with transaction(till.api.engine) as tx:
        left, failures = tx.execute(
            text("SELECT locked_until - clock_timestamp(), failures FROM staff_pins")
        ).one()
        assert failures == 5
        assert timedelta(minutes=29) < left <= timedelta(minutes=30)
        shops.unlock_pin(tx, merchants.get(tx, "acme"), "ann", actor=ACTOR)
    assert typed(tablet, "4711", "s1", points=5, staff_pin_id="ann").status_code == 200


def test_a_tablet_proves_who_uses_it(tablet: Till) -> None:
    refused = tablet.send(f"/{CARD}/earn", {"points": 5, "staff_pin_id": "ann"}, id="s1")
    assert refused.json()["error"]["code"] == "pin_missing"


def test_a_code_pairs_once(till: Till, tablet: Till) -> None:
    with transaction(till.api.engine) as tx:
        acme = merchants.get(tx, "acme")
        code = shops.offer_pairing(tx, acme, "nord", "tablet-2", name="Tablet 2", actor=ACTOR)
    path = "/v1/loyalty/devices/pair"
    paired = till.api.http.post(path, json={"code": code.lower()})
    assert (paired.status_code, paired.json()["store"]) == (200, "nord")
    again = till.api.http.post(path, json={"code": code})
    assert (again.status_code, again.json()["error"]["code"]) == (403, "pairing_refused")
    assert Till(till.api, paired.json()["token"]).card().status_code == 200


def test_a_code_that_is_over_pairs_nothing(till: Till, tablet: Till) -> None:
    with transaction(till.api.engine) as tx:
        acme = merchants.get(tx, "acme")
        code = shops.offer_pairing(tx, acme, "nord", "tablet-2", name="Tablet 2", actor=ACTOR)
        tx.execute(text("UPDATE terminal_devices SET pairing_expires_at = now() - interval '1 s'"
                        " WHERE key = 'tablet-2'"))  # fmt: skip
    answer = till.api.http.post("/v1/loyalty/devices/pair", json={"code": code})
    assert answer.json()["error"]["code"] == "pairing_refused"


def test_a_void_that_waited_keeps_who_stood_behind_it(tablet: Till) -> None:
    void = {"related_event": {"id": "s1"}}
    assert tablet.send(f"/{CARD}/void", void, id="v1").status_code == 202
    assert tablet.send(f"/{CARD}/earn", {"points": 5}, id="s1").status_code == 200
    [row] = rows(tablet, "type, store_id, terminal_device_id, principal_kind")
    assert tuple(row) == ("points_voided", "mitte", "tablet-1", ACTOR.kind)
