"""Documented answers: what each looks like, for `/openapi.json`. Errors that many operations share."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from web.api.schemas import ErrorBody

#: As an answer's X-Request-Id.
REQUEST_ID: Final = "8f14e45fceea4c7b9d2a63c1d0b5e9aa"

Responses = dict[int | str, dict[str, Any]]

RETRY_AFTER: Final[dict[str, Any]] = {
    "Retry-After": {
        "description": "Seconds to wait before the same request is sent again.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"},
    }
}


def example(description: str, model: type[BaseModel], value: Any) -> dict[str, Any]:
    """A documented response: its model, and what it looks like."""
    content = {"application/json": {"example": value}}
    return {"description": description, "model": model, "content": content}


def error_value(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """An error as it is answered."""
    value = {"code": code, "message": message} | ({} if field is None else {"field": field})
    return value | {"request_id": REQUEST_ID}


def error(description: str, code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """A documented error. The description names the codes that the example does not show."""
    return example(description, ErrorBody, {"error": error_value(code, message, field)})


def retried(described: dict[str, Any]) -> dict[str, Any]:
    """A documented answer that says when to come back."""
    return described | {"headers": RETRY_AFTER}


BAD_HTTP: Final = error(
    "`invalid_http`: it is no HTTP request.",
    "invalid_http",
    "This is no HTTP/1.1 request: check its first line, its headers and their lengths, above all"
    " Content-Length. Nothing was done.",
)
NO_KEY: Final = error(
    "No good API key: `missing_key`, `invalid_key`.",
    "missing_key",
    "Send an API key: Authorization: Bearer psk_….",
    "Authorization",
)
TOO_SLOW: Final = error(
    "`body_too_slow`: the body did not arrive in time.",
    "body_too_slow",
    "The body did not arrive within 30 seconds. Send it again.",
)
TOO_MANY: Final = retried(
    error(
        "`too_many_requests`: the key made more requests than it may.",
        "too_many_requests",
        "The API key 'till' may make 500 requests a second. Repeat this one after Retry-After"
        " seconds; send events in batches to need fewer.",
    )
)
BUG: Final = error(
    "`internal_error`: a bug of ours. It is logged under the request id.",
    "internal_error",
    "This should not happen, and was logged. Repeating the request is safe; if it fails again,"
    f" report the request id {REQUEST_ID}.",
)
DATABASE_AWAY: Final = retried(
    error(
        "`database_unavailable`, `busy` (others held the same rows too long), `crowded` (too many"
        " requests are in hand), `stopping`.",
        "database_unavailable",
        "The database cannot serve now. Repeating the request is safe.",
    )
)


WITH_BODY: Final[Responses] = {
    408: TOO_SLOW,
    413: error(
        "`body_too_large`.",
        "body_too_large",
        "The body may have at most 16 KiB (16384 bytes). Send what is asked for only.",
    ),
    415: error(
        "`unsupported_media_type`, `unsupported_charset`, `unsupported_encoding`.",
        "unsupported_media_type",
        "Send the body as application/json or text/json.",
        "Content-Type",
    ),
}
"""The errors of an operation that takes a small JSON body (web.api.asking.Body)."""


def json_body(about: str, model: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """A documented JSON body: what it is for, its model, and an example."""
    content = {"application/json": {"schema": model.model_json_schema(), "example": value}}
    return {"requestBody": {"required": True, "description": about, "content": content}}


def no_scope(scope: str) -> dict[str, Any]:
    """The refusal of a key that may not do this."""
    return error(
        "`missing_scope`: the key may not do this.",
        "missing_scope",
        f"The API key 'till' has no scope {scope}; make one that has it.",
        "Authorization",
    )


def reading(scope: str, wrong_parameter: str, field: str) -> Responses:
    """The errors of an operation that reads from the database, and takes parameters."""
    return {
        400: BAD_HTTP,
        401: NO_KEY,
        403: no_scope(scope),
        422: error(
            "`invalid_request`: a parameter is wrong.", "invalid_request", wrong_parameter, field
        ),
        429: TOO_MANY,
        500: BUG,
        503: DATABASE_AWAY,
    }


def no_card(merchant_key: str, card: str) -> str:
    """The sentence about a card that is not there."""
    return (
        f"The merchant {merchant_key!r} has no card {card!r}. It appears with its enrolment, which may"
        " still be queued."
    )
