"""Stores, PINs and devices by hand, each with its entry in the audit trail."""

import json
from typing import Any

from sqlalchemy import Engine, text

from domain.db import transaction
from domain.errors import AlreadyExists, Forbidden, Invalid
from tests.domain.inbox.shop import merchant


def test_a_shop_is_set_up_and_closed_again(engine: Engine, command: Any) -> None:
    with transaction(engine) as tx:
        merchant(tx)
    run = lambda *a, **k: command("loyalty", *a, **k)  # noqa: E731
    assert run("stores", "add", "acme", "mitte", "--name", "Mitte").exit_code == 0
    again = run("stores", "add", "acme", "mitte", "--name", "Mitte")
    assert isinstance(again.exception, AlreadyExists)
    given = ("pins", "add", "acme", "mitte", "ann", "--name", "Ann", "--pin")
    assert isinstance(run(*given, "4711").exception, Invalid)
    assert isinstance(run(*given, "-", input="47a1\n").exception, Invalid)
    assert run(*given, "-", input="4711\n").exit_code == 0
    code = json.loads(
        run("devices", "pair", "acme", "mitte", "t1", "--name", "T1", "--json").output
    )["code"]
    token = json.loads(
        run("devices", "add", "acme", "mitte", "t2", "--name", "T2", "--json").output
    )["token"]
    assert (len(code), token.startswith("pdt_test_")) == (10, True)
    assert run("devices", "revoke", "acme", "t1").exit_code == 0
    assert isinstance(run("devices", "revoke", "acme", "t1").exception, Forbidden)
    assert run("pins", "unlock", "acme", "ann").exit_code == 0
    assert run("pins", "disable", "acme", "ann").exit_code == 0
    assert run("stores", "retire", "acme", "mitte").exit_code == 0
    listed = run("devices", "list", "acme", "--json").output + run("pins", "list", "acme").output
    assert token not in listed
    assert code not in listed
    assert "argon2" not in listed
    with transaction(engine) as tx:
        actions = tx.execute(
            text(
                "SELECT action FROM audit_entries WHERE subject_kind IN ('store','pin','device')"
                " ORDER BY id"
            )
        ).scalars()
        assert list(actions) == [
            "store.created", "pin.created", "device.offered", "device.paired", "device.revoked",
            "pin.unlocked", "pin.disabled", "store.retired",
        ]  # fmt: skip
