"""The one JSON shape of everything that goes wrong:
``{"error": {"code", "message", "field"?, "request_id"}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from structlog.contextvars import get_contextvars

log: Final = structlog.get_logger("web")

#: The database serves, but not this request within its time.
_IN_USE: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
#: Connections refused or lost, a pool that stays empty, a lock or statement that took too long.
_AWAY: Final = (OperationalError, InterfaceError, PoolTimeout)
#: The same as COPY raises it, not wrapped; and what SQLAlchemy counts among others: a transaction that
#: was ended because this process was frozen in it, and a server that is read-only since a failover.
_CANNOT_SERVE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
)
_CODES: Final = {404: "not_found", 405: "method_not_allowed"}


class ApiError(Exception):
    """The base of what ends a request with an error.

    Attributes:
        status: The HTTP status.
        code: A stable code for programs.
        message: A sentence for people that says what to do.
        field: What in the request is at fault, if one thing is.
        headers: Headers of the answer, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers


class BodyTooLarge(ApiError):
    """The body has more bytes than the endpoint takes (`limit`)."""

    def __init__(self, limit: int, advice: str) -> None:
        self.limit = limit
        size = f"{limit // 1024} KiB" if limit % 1024 == 0 else f"{limit} bytes"
        message = f"The body may have at most {size} ({limit} bytes). {advice}"
        super().__init__(413, "body_too_large", message, headers={"Connection": "close"})


class Unavailable(ApiError):
    """A server behind the API cannot serve now; the same request may be sent again."""

    def __init__(self, code: str, message: str, retry_after_seconds: int) -> None:
        super().__init__(503, code, message, headers={"Retry-After": str(retry_after_seconds)})


def error_object(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """``{"code", "message", "field"?, "request_id"}``, the id being that of the request in hand."""
    error = {"code": code, "message": message}
    if field is not None:
        error["field"] = field
    return error | {"request_id": get_contextvars().get("request_id", "")}


def error_response(error: ApiError) -> JSONResponse:
    """The answer that an error becomes."""
    body = {"error": error_object(error.code, error.message, error.field)}
    return JSONResponse(body, error.status, headers=error.headers)


def install(app: FastAPI, retry_after_seconds: int) -> None:
    """Give every error of the application, and of the framework, the same shape."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return error_response(error)

    async def framework(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = _CODES.get(error.status_code, f"http_{error.status_code}")
        message = f"{error.detail}. /openapi.json lists the paths and their methods."
        return error_response(ApiError(error.status_code, code, message, headers=error.headers))

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or None
        message = f"{field or 'The request'}: {first['msg']}."
        return error_response(ApiError(422, "invalid_request", message, field=field))

    async def database(_: Request, error: Exception) -> JSONResponse:
        original = error.orig if isinstance(error, DBAPIError) else error
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if not lost and not isinstance(error, _AWAY) and not isinstance(original, _CANNOT_SERVE):
            raise error  # a bug: RequestIds answers for it
        log.warning("database unavailable", error=str(error).splitlines()[0])
        if isinstance(original, _IN_USE):
            message = "Others are busy with the same rows. Repeating the request is safe."
            return error_response(Unavailable("busy", message, retry_after_seconds))
        message = "The database cannot serve now. Repeating the request is safe."
        return error_response(Unavailable("database_unavailable", message, retry_after_seconds))

    app.add_exception_handler(ApiError, ours)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, invalid)
    for kind in (DBAPIError, psycopg.Error, PoolTimeout):
        app.add_exception_handler(kind, database)
