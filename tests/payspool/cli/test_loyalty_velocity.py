"""Velocity on the command line: say what is too fast, see what was, and decide it."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.loyalty import service as loyalty
from tests.domain.inbox.shop import merchant, rows, send
from tests.payspool.cli.conftest import Command
from tests.payspool.cli.test_cards import loyal

NOUN = ("loyalty", "velocity")
LIMIT = [{"per": "pin", "what": "earn", "minutes": 60, "count": 1, "then": "hold"}]


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """A card."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        loyalty.create_program(tx, acme, "p", name="P", currency="eur", backdating_days=3650)
    send(engine, loyal("card_created", "c", card="C1", customer_id="ada"))
    return engine


def test_what_was_too_fast_is_listed_released_and_rejected(shop: Engine, command: Command) -> None:
    assert "Set what is too fast" in command(*NOUN, "policy", "acme", json.dumps(LIMIT)).output
    for n in range(3):
        send(shop, loyal("points_earned", f"e{n}", card="C1", points=10, staff_pin_id="ann"))
    shown = command(*NOUN, "list", "acme").output
    assert "ann" in shown
    assert "2 of the pin in 60 minutes" in " ".join(shown.split())
    released = command(*NOUN, "release", "acme", "1", "--reason", "a bus tour")
    assert "its event is applied" in released.output
    rejected = command(*NOUN, "reject", "acme", "2", "--reason", "stamped himself")
    assert "velocity_rejected" in rejected.output
    assert rows(shop, "SELECT points_balance FROM cards") == [(20,)]
    assert "Nothing was too fast." in command(*NOUN, "list", "acme").output
    ended = json.loads(command(*NOUN, "list", "acme", "--closed", "--json").stdout)
    assert [(one["outcome"], one["close_reason"]) for one in ended] == [
        ("rejected", "stamped himself"),
        ("released", "a bus tour"),
    ]
    again = command(*NOUN, "release", "acme", "1", "--reason", "x")
    assert isinstance(again.exception, Forbidden)
    none = command(*NOUN, "release", "acme", "9", "--reason", "x")
    assert isinstance(none.exception, NotFound)
    told = json.loads(command(*NOUN, "policies", "acme", "--json").stdout)
    assert told == [{"program": None, "limits": LIMIT}]


def test_a_policy_that_cannot_be_meant_changes_nothing(shop: Engine, command: Command) -> None:
    for wrong in ("no json", "{}", '[{"per": "shop"}]'):
        refused = command(*NOUN, "policy", "acme", wrong)
        assert isinstance(refused.exception, Invalid), wrong
    assert rows(shop, "SELECT count(*) FROM loyalty_velocity_policies") == [(0,)]
