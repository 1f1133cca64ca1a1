"""Which exceptions are infrastructure (retry the whole message) and which are bugs (isolate it)."""

import psycopg
import redis
from dramatiq.errors import ConnectionClosed
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


def is_infrastructure(error: BaseException) -> bool:
    """Whether trying again, whole and later, is the answer.

    Lost connections, deadlocks, serialization failures, lock and statement time-outs, a server that is
    shutting down, a full disk (all OperationalError in psycopg); and a schema that this code does not
    know (class 42), because then every event would look poisoned while only a migration is missing.
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
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.OperationalError | psycopg.InterfaceError):
        return True
    return isinstance(original, psycopg.Error) and (original.sqlstate or "").startswith("42")
