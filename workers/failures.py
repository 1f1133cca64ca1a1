"""Which exceptions are infrastructure (retry the whole message) and which are bugs (isolate it)."""

from typing import Final

import psycopg
import redis
from dramatiq.errors import ConnectionClosed
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_TIMED_OUT: Final = ("25P03", "25P04")
"""Idle-in-transaction and transaction time-out: a process that was frozen. InternalError in psycopg."""
_READ_ONLY: Final = "25006"
"""A server that takes no writes: after a failover, one that was demoted or is not yet promoted."""
_OTHER_SCHEMA: Final = "42"
"""Class of what this code's schema has and the database's does not."""


def is_infrastructure(error: BaseException) -> bool:
    """Whether trying again, whole and later, is the answer.

    Lost connections, deadlocks, serialization failures, lock and statement time-outs, a server that is
    shutting down, a full disk (all OperationalError in psycopg); a connection that was given up; a server
    that is read-only, as after a failover; and a schema that this code does not know, because then every
    event would look poisoned while only a migration is missing.
    """
    if isinstance(
        error,
        OperationalError
        | InterfaceError
        | PoolTimeout
        | redis.RedisError
        | ConnectionClosed
        | MemoryError,
    ):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.OperationalError | psycopg.InterfaceError):
        return True
    state = (original.sqlstate or "") if isinstance(original, psycopg.Error) else ""
    return state in (*_TIMED_OUT, _READ_ONLY) or state.startswith(_OTHER_SCHEMA)


def sentence_of(error: Exception) -> str:
    """What went wrong, without the row: it holds people's data, and this text is stored and shown."""
    original = getattr(error, "orig", None) or error
    diagnosis = getattr(original, "diag", None)
    text = getattr(diagnosis, "message_primary", None) or str(error)
    return f"{type(original).__name__}: {text}"
