"""All SQL of people, their sessions and their sign-in links. Times by PostgreSQL's real clock."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

_USER: Final = "u.id, u.name, u.role, u.password_hash, u.failures, u.locked_until, u.disabled_at"


def insert(tx: Tx, name: str, role: str, password_hash: str | None) -> int | None:
    """Add a person; None if the name is taken."""
    made: int | None = tx.execute(
        text(
            """
            INSERT INTO users (name, role, password_hash) VALUES (:name, :role, :password_hash)
            ON CONFLICT (name) DO NOTHING RETURNING id
            """
        ),
        {"name": name, "role": role, "password_hash": password_hash},
    ).scalar()
    return made


def find(tx: Tx, name: str, *, lock: bool = False) -> Any:
    """A person by name, or None. Locked: two who guess their password come one after the other."""
    return tx.execute(
        text(
            f"""
            SELECT {_USER}, coalesce(u.locked_until > clock_timestamp(), false) AS locked
            FROM users u WHERE u.name = :name {"FOR NO KEY UPDATE" if lock else ""}
            """  # noqa: S608 - constants of this module
        ),
        {"name": name},
    ).one_or_none()


def listing(tx: Tx) -> list[Any]:
    """Everybody, by name, with their open sessions."""
    return list(
        tx.execute(
            text(
                """
                SELECT u.name, u.role, u.password_hash IS NOT NULL AS password, u.created_at,
                       u.signed_in_at, u.disabled_at,
                       CASE WHEN u.locked_until > clock_timestamp() THEN u.locked_until END AS locked_until,
                       (SELECT count(*) FROM user_sessions s WHERE s.user_id = u.id
                        AND s.ended_at IS NULL AND s.expires_at > clock_timestamp()) AS sessions
                FROM users u ORDER BY u.name
                """
            )
        )
    )


def count(tx: Tx) -> int:
    """How many people may sign in."""
    found: int = tx.execute(
        text("SELECT count(*) FROM users WHERE disabled_at IS NULL")
    ).scalar_one()
    return found


def set_role(tx: Tx, user_id: int, role: str) -> None:
    """Give a person a role."""
    tx.execute(text("UPDATE users SET role = :role WHERE id = :id"), {"role": role, "id": user_id})


def set_password(tx: Tx, user_id: int, password_hash: str) -> None:
    """Give a person a password, and forget wrong ones."""
    tx.execute(
        text(
            """
            UPDATE users SET password_hash = :hash, failures = 0, locked_until = NULL WHERE id = :id
            """
        ),
        {"hash": password_hash, "id": user_id},
    )


def set_disabled(tx: Tx, user_id: int, *, disabled: bool) -> None:
    """Keep a person out, or let them in again."""
    tx.execute(
        text(
            """
            UPDATE users SET disabled_at = CASE WHEN :disabled THEN clock_timestamp() END WHERE id = :id
            """
        ),
        {"disabled": disabled, "id": user_id},
    )


def failed(tx: Tx, user_id: int, failures: int, lock: timedelta) -> None:
    """Count a wrong password; none is looked at for ``lock``."""
    tx.execute(
        text(
            """
            UPDATE users SET failures = :failures,
                   locked_until = clock_timestamp() + CAST(:lock AS interval) WHERE id = :id
            """
        ),
        {"failures": failures, "lock": lock, "id": user_id},
    )


def came_in(tx: Tx, user_id: int) -> None:
    """A person signed in: wrong passwords are forgotten."""
    tx.execute(
        text(
            """
            UPDATE users SET failures = 0, locked_until = NULL, signed_in_at = clock_timestamp()
            WHERE id = :id
            """
        ),
        {"id": user_id},
    )


def insert_session(tx: Tx, user_id: int, token_hash: bytes, keep: timedelta) -> None:
    """Open a session."""
    tx.execute(
        text(
            """
            INSERT INTO user_sessions (user_id, token_hash, expires_at)
            VALUES (:user_id, :token_hash, clock_timestamp() + CAST(:keep AS interval))
            """
        ),
        {"user_id": user_id, "token_hash": token_hash, "keep": keep},
    )


def session(tx: Tx, token_hash: bytes) -> Any:
    """The session of a token with its person, as they are now; None if it is over, or they are disabled."""
    return tx.execute(
        text(
            """
            SELECT u.id, u.name, u.role, s.expires_at FROM user_sessions s JOIN users u ON u.id = s.user_id
            WHERE s.token_hash = :token_hash AND s.ended_at IS NULL
              AND s.expires_at > clock_timestamp() AND u.disabled_at IS NULL
            """
        ),
        {"token_hash": token_hash},
    ).one_or_none()


def end_session(tx: Tx, token_hash: bytes) -> None:
    """End a session."""
    tx.execute(
        text(
            """
            UPDATE user_sessions SET ended_at = clock_timestamp()
            WHERE token_hash = :token_hash AND ended_at IS NULL
            """
        ),
        {"token_hash": token_hash},
    )


def end_sessions(tx: Tx, user_id: int) -> int:
    """End every session and open link of a person; returns how many sessions."""
    tx.execute(
        text(
            """
            UPDATE sign_in_links SET used_at = clock_timestamp() WHERE user_id = :id AND used_at IS NULL
            """
        ),
        {"id": user_id},
    )
    return tx.execute(
        text(
            """
            UPDATE user_sessions SET ended_at = clock_timestamp()
            WHERE user_id = :id AND ended_at IS NULL AND expires_at > clock_timestamp()
            """
        ),
        {"id": user_id},
    ).rowcount


def insert_link(tx: Tx, user_id: int, token_hash: bytes, by: str, keep: timedelta) -> None:
    """Keep a sign-in link."""
    tx.execute(
        text(
            """
            INSERT INTO sign_in_links (user_id, token_hash, created_by, expires_at)
            VALUES (:user_id, :token_hash, :by, clock_timestamp() + CAST(:keep AS interval))
            """
        ),
        {"user_id": user_id, "token_hash": token_hash, "by": by, "keep": keep},
    )


def use_link(tx: Tx, token_hash: bytes) -> Any:
    """Use a link up: its person, or None if it was used, is too old, or they are disabled."""
    return tx.execute(
        text(
            """
            UPDATE sign_in_links l SET used_at = clock_timestamp() FROM users u
            WHERE l.token_hash = :token_hash AND l.used_at IS NULL AND l.expires_at > clock_timestamp()
              AND u.id = l.user_id AND u.disabled_at IS NULL
            RETURNING u.id, u.name, u.role
            """
        ),
        {"token_hash": token_hash},
    ).one_or_none()


def prune(tx: Tx, keep: timedelta) -> None:
    """Forget sessions and links that were over for ``keep``."""
    for statement in (_PRUNE_SESSIONS, _PRUNE_LINKS):
        tx.execute(statement, {"keep": keep})


_PRUNE_SESSIONS: Final = text(
    "DELETE FROM user_sessions WHERE expires_at < clock_timestamp() - CAST(:keep AS interval)"
)
_PRUNE_LINKS: Final = text(
    "DELETE FROM sign_in_links WHERE expires_at < clock_timestamp() - CAST(:keep AS interval)"
)
