"""Reading a request's body within a size and a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email.message import Message

from fastapi import Request

from web.errors import ApiError, BodyTooLarge


def media_type(request: Request, taken: Sequence[str], what: str) -> str:
    """The media type of the body, one of those that are `taken`.

    Raises ApiError: 415, it is another one, or not in UTF-8.
    """
    header = request.headers.get("Content-Type", "")
    parsed = Message()
    parsed["Content-Type"] = header
    kind = parsed.get_content_type() if header else ""
    charset = str(parsed.get_param("charset", "utf-8")).lower()
    if kind not in taken:
        message = f"Send {what} as {', '.join(taken[:-1])} or {taken[-1]}."
        raise ApiError(415, "unsupported_media_type", message, field="Content-Type")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise ApiError(415, "unsupported_charset", "Send UTF-8.", field="Content-Type")
    return kind


async def read_body(request: Request, *, limit: int, seconds: float, advice: str) -> bytes:
    """The body as received.

    Parameters:
        limit: The most bytes it may have.
        seconds: How long the client may take to send it.
        advice: What the client can do about a body that is too large.

    Raises:
        BodyTooLarge: It has more bytes than `limit`.
        ApiError: 408, it did not arrive in time; 415, it is compressed.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        message = f"Send the body without Content-Encoding: {encoding} is not supported."
        raise ApiError(415, "unsupported_encoding", message, field="Content-Encoding")
    # uvicorn refuses a Content-Length that is not a number.
    if int(request.headers.get("Content-Length", "0")) > 2 * limit:
        raise BodyTooLarge(limit, advice)
    try:
        async with asyncio.timeout(seconds):
            body = await _received(request, limit)
    except TimeoutError:
        message = f"The body did not arrive within {seconds:g} seconds. Send it again."
        raise ApiError(408, "body_too_slow", message, headers={"Connection": "close"}) from None
    if body is None:
        raise BodyTooLarge(limit, advice)
    return body


async def _received(request: Request, limit: int) -> bytes | None:
    """The body, or None if it is over the limit. Up to twice the limit is read and thrown away:
    a client that is still sending when we close the connection might never see the answer."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > 2 * limit:
            return None
        if size > limit:
            parts.clear()
        else:
            parts.append(part)
    return None if size > limit else b"".join(parts)
