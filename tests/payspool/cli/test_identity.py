"""Who a person at the command line is taken for."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from payspool.cli import identity

ACCOUNT = identity.account
"""As it is: the tests of commands put another one in its place."""
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Says what the system keeps of who logged in."""
    kept = tmp_path / "loginuid"
    monkeypatch.setattr(identity, "LOGIN_UID", kept)

    def says(uid: str) -> None:
        kept.write_text(uid)

    return says


def test_it_is_who_logged_in_whatever_they_have_become_and_call_themselves(
    login: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("SUDO_UID", "0")
    login(str(NOBODY.pw_uid))
    assert ACCOUNT() == "nobody"
    login("12345678")
    assert ACCOUNT() == "uid 12345678"


@pytest.mark.parametrize("kept", [str(identity.NO_LOGIN), "", "x"])
def test_where_nobody_logged_in_it_is_the_account_of_the_process(
    login: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    login(kept)
    monkeypatch.setenv("USER", "ann")
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert ACCOUNT() == pwd.getpwuid(os.getuid()).pw_name


def test_root_is_who_called_sudo_and_nobody_else_is(
    login: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    login(str(identity.NO_LOGIN))
    monkeypatch.setenv("SUDO_UID", str(NOBODY.pw_uid))
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert ACCOUNT() == "nobody"
    monkeypatch.setattr(os, "getuid", lambda: NOBODY.pw_uid)
    monkeypatch.setenv("SUDO_UID", "0")
    assert ACCOUNT() == "nobody"
