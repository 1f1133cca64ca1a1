"""What operations that change something share: their bodies, and what the domain refuses, as HTTP says it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound
from web.body import media_type, read_body
from web.errors import ApiError
from web.services import services

Model = TypeVar("Model", bound=BaseModel)


def body_of(limit: int) -> Callable[[Request], Awaitable[bytes]]:
    """What reads a JSON body of at most ``limit`` bytes."""

    async def body(request: Request) -> bytes:
        media_type(request, ("application/json", "text/json"), "the body")
        seconds = services(request).context.limits.body_seconds
        advice = "Send what is asked for only."
        return await read_body(request, limit=limit, seconds=seconds, advice=advice)

    return body


SMALL: Final = 16 * 1024
"""Bytes that the body of most operations may have."""
Body = Annotated[bytes, Depends(body_of(SMALL))]


@contextmanager
def answered() -> Iterator[None]:
    """What the domain refuses, as HTTP says it."""
    try:
        yield
    except NotFound as error:
        what = error.what.lower().replace(" ", "_")
        raise ApiError(404, f"{what}_not_found", str(error), field=what) from None
    except AlreadyExists as error:
        raise ApiError(409, "already_exists", str(error)) from None
    except Invalid as error:
        raise ApiError(422, "invalid_request", str(error), field=error.field) from None
    except Forbidden as error:
        raise ApiError(409, "not_allowed", str(error)) from None


def parsed(model: type[Model], body: bytes) -> Model:
    """The body as a model. Raises ApiError: 422, naming the first field that is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        message = f"{field or 'The body'}: {first['msg']}."
        raise ApiError(422, "invalid_request", message, field=field) from None
