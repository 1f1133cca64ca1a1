"""Use cases of people: make them, give them a role and a password, keep them out."""

import re
import secrets
from datetime import timedelta
from typing import Any, Final

from domain.access import passwords, user_store
from domain.access.roles import ROLES
from domain.access.service import hash_of
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound

LINK_GOOD_FOR: Final = timedelta(minutes=15)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,99}")
RESERVED: Final = frozenset({"automatic", "scheduler", "worker", "producer", "unknown"})
"""Names by which Payspool itself appears in the audit trail."""


def add(tx: Tx, name: str, role: str, *, actor: Actor, password: str | None = None) -> int:
    """Add a person; without ``password`` they sign in by links.

    Raises Invalid for a name, role or password that cannot be; AlreadyExists.
    """
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise Invalid("name", "is 1 to 100 of a-z, 0-9, dot, @, - and _, as ada or ada@example.com")
    _check_role(role)
    stored = None if password is None else passwords.hashed(password)
    user_id = user_store.insert(tx, name, role, stored)
    if user_id is None:
        raise AlreadyExists("user", name, "Names are never given to another person.")
    _record(tx, actor, "user.added", name, after={"role": role})
    return user_id


def set_role(tx: Tx, name: str, role: str, *, actor: Actor) -> None:
    """Give a person another role, from their next click on. Raises Invalid, NotFound."""
    _check_role(role)
    row = _get(tx, name)
    user_store.set_role(tx, row.id, role)
    _record(tx, actor, "user.role_set", name, before={"role": row.role}, after={"role": role})


def set_password(tx: Tx, name: str, password: str, *, actor: Actor) -> None:
    """Give a person a password, and end all their sessions. Raises Invalid, NotFound."""
    row = _get(tx, name)
    user_store.set_password(tx, row.id, passwords.hashed(password))
    ended = user_store.end_sessions(tx, row.id)
    _record(tx, actor, "user.password_set", name, after={"sessions_ended": ended})


def disable(tx: Tx, name: str, *, actor: Actor) -> int:
    """Keep a person out from now on; returns how many sessions that ended. Raises NotFound."""
    row = _get(tx, name)
    user_store.set_disabled(tx, row.id, disabled=True)
    ended = user_store.end_sessions(tx, row.id)
    _record(tx, actor, "user.disabled", name, after={"sessions_ended": ended})
    return ended


def enable(tx: Tx, name: str, *, actor: Actor) -> None:
    """Let a person in again who was disabled. Raises NotFound."""
    row = _get(tx, name)
    user_store.set_disabled(tx, row.id, disabled=False)
    _record(tx, actor, "user.enabled", name)


def make_link(tx: Tx, name: str, *, actor: Actor, good_for: timedelta = LINK_GOOD_FOR) -> str:
    """A token by which a person signs in once, within ``good_for``. Raises NotFound, Forbidden if they
    are disabled."""
    row = _get(tx, name)
    if row.disabled_at is not None:
        raise Forbidden(f"{name} is disabled; `payspool users enable {name}` lets them in again.")
    token = secrets.token_urlsafe(32)
    user_store.insert_link(tx, row.id, hash_of(token), actor.id[:255], good_for)
    _record(tx, actor, "user.link_made", name)
    return token


def listing(tx: Tx) -> list[Any]:
    """Everybody, by name; never what they sign in with."""
    return user_store.listing(tx)


def anybody(tx: Tx) -> bool:
    """Whether there is somebody who can sign in."""
    return user_store.count(tx) > 0


def _get(tx: Tx, name: str) -> Any:
    row = user_store.find(tx, name, lock=True)
    if row is None:
        raise NotFound("user", name, "`payspool users list` shows them.")
    return row


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Invalid("role", f"is one of {', '.join(ROLES)}")


def _record(
    tx: Tx,
    actor: Actor,
    action: str,
    name: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit.record(
        tx,
        actor,
        action,
        merchant_id=None,
        subject_kind="user",
        subject_id=name,
        before=before,
        after=after,
    )
