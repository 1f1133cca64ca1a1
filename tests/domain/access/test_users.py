"""People of the dashboard: who gets in, who does not, and for how long."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.access import sessions, users
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound

ANN = Actor("command", "ann")
RIGHT = "correct horse battery"
HOUR = timedelta(hours=1)


def add(tx: Tx, name: str = "ada", role: str = "operator") -> None:
    users.add(tx, name, role, actor=ANN, password=RIGHT)


def test_a_person_signs_in_with_their_password_and_is_who_they_are(tx: Tx) -> None:
    add(tx)
    token = sessions.sign_in(tx, " Ada ", RIGHT, keep=HOUR)
    assert token is not None
    user = sessions.user_of(tx, token)
    assert user is not None
    assert (user.name, user.role, user.actor) == ("ada", "operator", Actor("person", "ada"))
    assert user.may("viewer")
    assert not user.may("approver")


def test_neither_a_wrong_password_nor_an_unknown_name_signs_in(tx: Tx) -> None:
    add(tx)
    assert sessions.sign_in(tx, "ada", "wrong horse battery", keep=HOUR) is None
    assert sessions.sign_in(tx, "bob", RIGHT, keep=HOUR) is None
    assert sessions.sign_in(tx, "", "", keep=HOUR) is None
    assert sessions.sign_in(tx, "a\0" * 300, "\0" * 300, keep=HOUR) is None


def test_after_five_wrong_passwords_the_right_one_waits_too(tx: Tx) -> None:
    add(tx)
    for _ in range(5):
        assert sessions.sign_in(tx, "ada", "wrong horse battery", keep=HOUR) is None
    assert sessions.sign_in(tx, "ada", RIGHT, keep=HOUR) is None
    tx.execute(text("UPDATE users SET locked_until = clock_timestamp() WHERE name = 'ada'"))
    assert sessions.sign_in(tx, "ada", RIGHT, keep=HOUR) is not None
    failures = tx.execute(text("SELECT failures FROM users WHERE name = 'ada'")).scalar_one()
    assert failures == 0


def test_a_link_lets_in_once_and_only_for_a_while(tx: Tx) -> None:
    users.add(tx, "ada", "admin", actor=ANN)
    token = users.make_link(tx, "ada", actor=ANN)
    assert sessions.sign_in_by_link(tx, token, keep=HOUR) is not None
    assert sessions.sign_in_by_link(tx, token, keep=HOUR) is None
    late = users.make_link(tx, "ada", actor=ANN, good_for=timedelta(0))
    assert sessions.sign_in_by_link(tx, late, keep=HOUR) is None


def test_without_a_password_nobody_signs_in_by_one(tx: Tx) -> None:
    users.add(tx, "ada", "admin", actor=ANN)
    assert sessions.sign_in(tx, "ada", "nobody has this password", keep=HOUR) is None


def test_who_is_disabled_is_out_at_once_with_their_links(tx: Tx) -> None:
    add(tx)
    token = sessions.sign_in(tx, "ada", RIGHT, keep=HOUR)
    link = users.make_link(tx, "ada", actor=ANN)
    assert token is not None
    assert users.disable(tx, "ada", actor=ANN) == 1
    assert sessions.user_of(tx, token) is None
    assert sessions.user_named(tx, "ada") is None
    assert sessions.sign_in(tx, "ada", RIGHT, keep=HOUR) is None
    assert sessions.sign_in_by_link(tx, link, keep=HOUR) is None
    with pytest.raises(Forbidden, match="users enable ada"):
        users.make_link(tx, "ada", actor=ANN)
    users.enable(tx, "ada", actor=ANN)
    assert sessions.sign_in(tx, "ada", RIGHT, keep=HOUR) is not None
    assert sessions.user_of(tx, token) is None, "an ended session stays ended"


def test_sessions_end_by_signing_out_by_time_and_by_a_new_password(tx: Tx) -> None:
    add(tx)
    first, second, third = (str(sessions.sign_in(tx, "ada", RIGHT, keep=HOUR)) for _ in range(3))
    over = str(sessions.sign_in(tx, "ada", RIGHT, keep=timedelta(0)))
    assert len({first, second, third}) == 3
    assert sessions.user_of(tx, over) is None
    sessions.sign_out(tx, first)
    assert sessions.user_of(tx, first) is None
    assert sessions.user_of(tx, second) is not None
    users.set_password(tx, "ada", "another horse battery", actor=ANN)
    assert sessions.user_of(tx, second) is None
    assert sessions.user_of(tx, third) is None


def test_a_new_role_holds_for_a_session_that_is_open(tx: Tx) -> None:
    add(tx, role="admin")
    token = sessions.sign_in(tx, "ada", RIGHT, keep=HOUR)
    assert token is not None
    users.set_role(tx, "ada", "viewer", actor=ANN)
    user = sessions.user_of(tx, token)
    assert user is not None
    assert user.role == "viewer"


@pytest.mark.parametrize("name", ["", "Ada", "a b", "<b>", "automatic", "-x", "x" * 101])
def test_a_name_that_could_confuse_is_refused(tx: Tx, name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        users.add(tx, name, "viewer", actor=ANN)


def test_what_cannot_be_is_refused(tx: Tx) -> None:
    add(tx)
    with pytest.raises(AlreadyExists):
        add(tx)
    with pytest.raises(Invalid, match="password"):
        users.set_password(tx, "ada", "short", actor=ANN)
    with pytest.raises(Invalid, match="role"):
        users.set_role(tx, "ada", "root", actor=ANN)
    with pytest.raises(NotFound, match="users list"):
        users.disable(tx, "bob", actor=ANN)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM users", "UPDATE users SET name = 'eve'", "TRUNCATE users CASCADE"]
)
def test_a_name_is_never_given_to_another_person(tx: Tx, statement: str) -> None:
    add(tx)
    with pytest.raises(DBAPIError):
        tx.execute(text(statement))


def test_no_password_or_token_is_stored_or_audited_in_the_clear(tx: Tx) -> None:
    add(tx)
    token = sessions.sign_in(tx, "ada", RIGHT, keep=HOUR)
    link = users.make_link(tx, "ada", actor=ANN)
    stored = str(
        [
            tx.execute(text(f"SELECT * FROM {table}")).all()
            for table in ("users", "user_sessions", "sign_in_links", "audit_entries")
        ]
    )
    for secret in (RIGHT, token, link):
        assert secret is not None
        assert secret not in stored
    actions = tx.execute(text("SELECT action FROM audit_entries ORDER BY id")).scalars().all()
    assert actions == ["user.added", "user.signed_in", "user.link_made"]
