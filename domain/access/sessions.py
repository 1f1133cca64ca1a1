"""Use cases of signing in: by password, by link, by a proxy's word; and who a session is of."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from domain.access import passwords, user_store
from domain.access.roles import may
from domain.access.service import hash_of
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx

KEPT: Final = timedelta(days=30)
"""How long sessions and links that are over stay on record."""


@dataclass(frozen=True, slots=True)
class User:
    """Who is signed in, as they are now."""

    id: int
    name: str
    role: str

    def may(self, needed: str) -> bool:
        """Whether they may do what needs the role ``needed``."""
        return may(self.role, needed)

    @property
    def actor(self) -> Actor:
        """How the audit trail names them."""
        return Actor("person", self.name)


def sign_in(tx: Tx, name: str, password: str, *, keep: timedelta) -> str | None:
    """The token of a new session, good for ``keep``; None for a wrong name or password, a disabled person,
    or one of whom too many wrong passwords were given lately.

    Never raises for any of these: the caller commits the count of failures. The person's row is locked
    while the password is looked at, so that guesses beside each other are counted one by one.
    """
    row = user_store.find(tx, _plain(name), lock=True)
    right = passwords.is_right(None if row is None else row.password_hash, password)
    if row is None or row.disabled_at is not None or row.locked:
        return None
    if not right:
        failures = row.failures + 1
        minutes = passwords.lock_minutes(failures)
        user_store.failed(tx, row.id, failures, timedelta(minutes=minutes))
        if minutes:
            _record(tx, row.name, "user.locked", after={"failures": failures, "minutes": minutes})
        return None
    return _open(tx, row, keep, "password")


def sign_in_by_link(tx: Tx, token: str, *, keep: timedelta) -> str | None:
    """The token of a new session for the person of a link, which is used up; None if it cannot be used."""
    row = user_store.use_link(tx, hash_of(token))
    return None if row is None else _open(tx, row, keep, "link")


def user_of(tx: Tx, token: str) -> User | None:
    """Whose session this is, with the role that they have now; None if it is over."""
    row = user_store.session(tx, hash_of(token))
    return None if row is None else User(row.id, row.name, row.role)


def user_named(tx: Tx, name: str) -> User | None:
    """The person of whom a trusted proxy says that they are here; None if unknown or disabled."""
    row = user_store.find(tx, _plain(name))
    if row is None or row.disabled_at is not None:
        return None
    return User(row.id, row.name, row.role)


def sign_out(tx: Tx, token: str) -> None:
    """End a session."""
    user_store.end_session(tx, hash_of(token))


def _plain(name: str) -> str:
    """A name as it is stored, of whatever was typed; PostgreSQL knows no NUL."""
    return name.replace("\0", "").strip().lower()[:100]


def _open(tx: Tx, row: Any, keep: timedelta, how: str) -> str:
    # Always a new token: whatever cookie the browser came with, nobody else knows this one.
    token = secrets.token_urlsafe(32)
    user_store.insert_session(tx, row.id, hash_of(token), keep)
    user_store.came_in(tx, row.id)
    user_store.prune(tx, KEPT)
    _record(tx, row.name, "user.signed_in", after={"by": how})
    return token


def _record(tx: Tx, name: str, action: str, after: dict[str, Any]) -> None:
    audit.record(
        tx,
        Actor("person", name),
        action,
        merchant_id=None,
        subject_kind="user",
        subject_id=name,
        after=after,
    )
