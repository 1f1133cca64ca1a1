"""Who calls: an API key, good for one merchant and some actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from domain.access.service import ApiKey
from web.errors import ApiError
from web.services import services

bearer: Final = HTTPBearer(
    scheme_name="apiKey",
    bearerFormat="psk_…",
    description="An API key of a merchant, made with `payspool keys create`. It is shown once."
    " At a till also the token of a paired device (`pdt_…`).",
    auto_error=False,
)


def allowed_to(scope: str) -> Callable[..., ApiKey]:
    """A dependency: the caller's key, if it may do `scope`.

    It is declared before the body, which is then not read for strangers. Raises ApiError: 401
    without a good key, 429 if it made too many requests, 403 without the scope.
    """

    def check(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> ApiKey:
        if credentials is None:
            raise _unauthorized("missing_key", "Send an API key: Authorization: Bearer psk_….")
        held = services(request)
        key = held.keys.find(credentials.credentials)
        if key is None:
            raise _unauthorized(
                "invalid_key",
                "The API key is unknown, expired or revoked, or its merchant is retired."
                " `payspool keys list` shows the good ones.",
            )
        held.rate.take(key)
        if scope not in key.scopes:
            message = f"The API key {key.name!r} has no scope {scope}; make one that has it."
            raise ApiError(403, "missing_scope", message, field="Authorization")
        return key

    return check


def _unauthorized(code: str, message: str) -> ApiError:
    headers = {"WWW-Authenticate": "Bearer"}
    return ApiError(401, code, message, field="Authorization", headers=headers)
