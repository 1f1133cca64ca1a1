"""What an error of a command is told as: imported only once there is one."""

from typing import Final

import httpx
import redis.exceptions
from dramatiq.errors import ConnectionClosed
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError

from domain.errors import DomainError
from payspool.embedded import EmbeddedError
from payspool.sandbox_client import SandboxRefused
from payspool.settings import BadSettings
from payspool.supervisor import SupervisorError
from payspool_client import PayspoolClientError
from queues.errors import QueuesError

_EXPECTED: Final = (
    DomainError,
    BadSettings,
    EmbeddedError,
    SupervisorError,
    PayspoolClientError,
    SandboxRefused,
    QueuesError,
)
_OTHER_SCHEMA: Final = ("42P01", "42703")
"""SQLSTATEs undefined_table and undefined_column."""


def sentence_of(error: Exception) -> str | None:
    """What went wrong and what to do; None if nobody expected it, and the stack trace should be seen."""
    if isinstance(error, _EXPECTED):
        return str(error)
    if isinstance(error, OperationalError):
        return f"PostgreSQL does not answer: {error.orig}\nTry `payspool doctor`."
    if isinstance(error, redis.exceptions.ConnectionError | ConnectionClosed):
        return f"Valkey does not answer: {error}\nTry `payspool doctor`."
    if isinstance(error, httpx.TransportError):
        return f"The sandbox does not answer: {error}\nTry `payspool doctor`."
    if isinstance(error, DataError):
        return f"A value cannot be stored: {error.orig}"
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if isinstance(error, ProgrammingError) and state in _OTHER_SCHEMA:
        return (
            f"The database has another schema than this Payspool: {error.orig}\n"
            "Run `payspool migrate`."
        )
    return None
