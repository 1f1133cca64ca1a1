"""`payspool users`, as whoever runs Payspool lets people in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from click.testing import Result
from sqlalchemy import Engine

from domain.access import sessions
from domain.db import transaction
from domain.errors import DomainError

Command = Callable[..., Result]
RIGHT = "correct horse battery"


def signed_in(engine: Engine, name: str, password: str) -> bool:
    with transaction(engine) as tx:
        return sessions.sign_in(tx, name, password, keep=timedelta(hours=1)) is not None


def test_the_first_person_gets_a_link_that_signs_in_once(command: Command, engine: Engine) -> None:
    assert "payspool users add" in command("users", "list").output
    made = json.loads(command("users", "add", "ada", "admin", "--json").output)
    address, _, token = made["link"].partition("/link/")
    assert address == "http://127.0.0.1:8400"
    with transaction(engine) as tx:
        assert sessions.sign_in_by_link(tx, token, keep=timedelta(hours=1)) is not None
    [row] = json.loads(command("users", "list", "--json").output)
    assert (row["name"], row["role"], row["password"], row["sessions"]) == (
        "ada",
        "admin",
        False,
        1,
    )


def test_a_password_comes_from_the_prompt_and_never_from_the_command_line(
    command: Command, engine: Engine
) -> None:
    refused = command("users", "add", "ada", "viewer", "--password", RIGHT)
    assert isinstance(refused.exception, DomainError)
    assert "seen by everyone who lists processes" in str(refused.exception)
    made = command("users", "add", "ada", "viewer", "--password", "-", input=f"{RIGHT}\n")
    assert made.exit_code == 0
    assert RIGHT not in made.output
    assert signed_in(engine, "ada", RIGHT)
    command("users", "password", "ada", input="another horse battery\n")
    assert signed_in(engine, "ada", "another horse battery")
    assert not signed_in(engine, "ada", RIGHT)


def test_a_person_is_given_a_role_and_kept_out_and_let_in_again(
    command: Command, engine: Engine
) -> None:
    command("users", "add", "ada", "viewer", "--password", "-", input=f"{RIGHT}\n")
    assert command("users", "role", "ada", "approver").output == "ada is approver.\n"
    assert signed_in(engine, "ada", RIGHT)
    assert command("users", "disable", "ada").output == "Disabled ada; 1 session ended.\n"
    assert not signed_in(engine, "ada", RIGHT)
    assert isinstance(command("users", "link", "ada").exception, DomainError)
    command("users", "enable", "ada")
    assert signed_in(engine, "ada", RIGHT)


def test_links_lead_to_where_people_reach_the_dashboard(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYSPOOL_DASHBOARD_URL", "https://pay.example.com")
    command("users", "add", "ada", "viewer")
    made = json.loads(command("users", "link", "ada", "--minutes", "60", "--json").output)
    assert made["link"].startswith("https://pay.example.com/link/")
