"""`payspool payouts reversals`, `release` and `decide`."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result
from sqlalchemy import Engine

from domain.db import transaction
from domain.payouts import service
from domain.payouts.gateway import SeenTransfer
from tests.domain.payouts import house
from tests.domain.payouts.house import SUCCESS, assert_whole, rows

Command = Callable[..., Result]


def came_back(engine: Engine, *parts: int) -> int:
    """A payout of 10.00 that was paid, and of which so much came back; returns it."""
    payout_id = house.one_payout(engine)
    attempt = house.begin(engine, payout_id)
    house.record(engine, attempt, SUCCESS)
    reversals = tuple((f"trr_{n}", amount) for n, amount in enumerate(parts))
    with transaction(engine) as tx:
        service.book_reversals(
            tx, attempt.merchant_id, SeenTransfer("tr_1", attempt.key, reversals)
        )
    return payout_id


def test_what_came_back_whole_is_listed_and_let_go_once(command: Command, engine: Engine) -> None:
    assert "Nothing came back." in _merchant_of(command, engine)
    payout_id = str(came_back(engine, 400, 600))
    listed = json.loads(command("payouts", "reversals", "acme", "--undecided", "--json").stdout)
    assert [(row["amount"], row["payout_state"], row["decision"]) for row in listed] == [
        (600, "reversed", None),
        (400, "reversed", None),
    ]
    assert command("payouts", "release", "acme", payout_id).exit_code != 0, "without a reason"
    assert command("payouts", "release", "acme", "999", "--reason", "x").exit_code == 1
    assert command("payouts", "release", "other", payout_id, "--reason", "x").exit_code == 1
    done = command("payouts", "release", "acme", payout_id, "--reason", "closed account")
    assert done.exit_code == 0, done.output
    assert command("payouts", "release", "acme", payout_id, "--reason", "again").exit_code == 1
    assert json.loads(command("payouts", "reversals", "acme", "--undecided", "--json").stdout) == []
    assert rows(engine, "SELECT payout_id FROM earnings") == [(None,)]
    assert_whole(engine)


def test_a_part_that_came_back_is_decided_once_owed_or_kept(
    command: Command, engine: Engine
) -> None:
    payout_id = str(came_back(engine, 100, 250))
    assert command("payouts", "release", "acme", payout_id, "--reason", "x").exit_code == 1
    first, second = (str(i) for (i,) in rows(engine, "SELECT id FROM payout_reversals ORDER BY id"))
    decide = ("payouts", "decide", "acme")
    assert command(*decide, first, "--reason", "x").exit_code == 1, "owed or kept"
    assert command(*decide, first, "--owed", "--kept", "--reason", "x").exit_code == 1
    assert command(*decide, "999", "--owed", "--reason", "x").exit_code == 1
    assert "owed to the payee again" in command(*decide, first, "--owed", "--reason", "ours").stdout
    assert "kept" in command(*decide, second, "--kept", "--reason", "theirs").stdout
    assert command(*decide, second, "--owed", "--reason", "again").exit_code == 1
    assert rows(engine, "SELECT amount, kind FROM earnings WHERE payout_id IS NULL") == [
        (100, "adjustment")
    ]
    assert rows(engine, "SELECT decision, decision_reason FROM payout_reversals ORDER BY id") == [
        ("owed", "ours"),
        ("kept", "theirs"),
    ]
    assert_whole(engine)


def _merchant_of(command: Command, engine: Engine) -> str:
    with transaction(engine) as tx:
        house.merchant(tx, "empty")
    return command("payouts", "reversals", "empty").stdout
