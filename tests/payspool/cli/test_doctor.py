"""`payspool doctor` looks at whether merchants' own systems are told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import Engine

from domain.db import connect, transaction
from domain.webhooks import delivery_store
from tests.domain.payouts import house
from tests.domain.webhooks.ear import listen

Command = Callable[..., Result]


def courier(command: Command) -> dict[str, object]:
    done = command("doctor", "--json")
    [found] = [one for one in json.loads(done.output) if one["check"] == "Courier"]
    assert done.exit_code == 1 or found["ok"]
    return found


def test_without_an_endpoint_no_courier_is_missed(command: Command) -> None:
    assert courier(command) == {
        "check": "Courier",
        "ok": True,
        "seen": "no webhook endpoint: there is nobody to tell",
        "do": "",
    }


def test_a_courier_is_missed_while_something_waits_and_found_once_it_is_there(
    command: Command, engine: Engine
) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        endpoint = listen(tx, acme)
    idle = courier(command)
    assert idle["ok"], "nothing waits"
    assert "payspool courier" in str(idle["do"])
    with transaction(engine) as tx:
        delivery_store.insert_for(tx, endpoint, acme, "webhook.test", {})
    missed = courier(command)
    assert not missed["ok"]
    assert missed["seen"] == "none is connected, 1 webhook waiting"
    assert "payspool courier" in str(missed["do"])
    url = engine.url.render_as_string(hide_password=False)
    there = connect(url, pool_size=1, application_name="payspool courier")
    with transaction(there):
        assert courier(command) == {
            "check": "Courier",
            "ok": True,
            "seen": "running, 1 webhook waiting",
            "do": "",
        }
    there.dispose()


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ("UPDATE webhook_deliveries SET created_at = now() - interval '2 hours'", "whose receiver"),
        (
            "UPDATE webhook_endpoints SET state = 'disabled', disabled_at = now(), disabled_by = 'courier',"
            " disabled_reason = 'gone'",
            "1 endpoint given up",
        ),
    ],
)
def test_a_receiver_that_fails_is_told_beside_a_courier_that_runs(
    command: Command, engine: Engine, change: str, hint: str
) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        delivery_store.insert_for(tx, listen(tx, acme), acme, "webhook.test", {})
    house.execute(engine, change)
    url = engine.url.render_as_string(hide_password=False)
    there = connect(url, pool_size=1, application_name="payspool courier")
    with transaction(there):
        found = courier(command)
    there.dispose()
    assert found["ok"]
    assert hint in str(found["do"])
