"""`POST /v1/events`: events in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from domain.access.service import ApiKey
from web import event_texts
from web.access import allowed_to
from web.api import answers, publishing, schemas
from web.api.answers import Responses, error, example
from web.body import media_type, read_body
from web.errors import ApiError
from web.services import services

NDJSON: Final = "application/x-ndjson"
JSON_TYPES: Final = (
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)

router: Final = APIRouter(tags=["events"])


@dataclass(frozen=True, slots=True)
class EventsBody:
    """The body of a request, and whether each line of it is an event."""

    content: bytes
    by_line: bool


async def _events_body(request: Request) -> EventsBody:
    by_line = media_type(request, (*JSON_TYPES, NDJSON), "events") == NDJSON
    limits = services(request).context.limits
    content = await read_body(
        request,
        limit=limits.events_body_bytes,
        seconds=limits.body_seconds,
        advice="Send the events in several requests.",
    )
    return EventsBody(content, by_line)


def _texts(body: EventsBody, most: int) -> list[bytes]:
    """The exact text of each event. Raises ApiError: 400 if there is none, 413 if there are too many."""
    try:
        if body.by_line:
            texts = event_texts.lines(body.content, most)
        elif event_texts.is_array(body.content):
            return event_texts.elements(body.content, most)
        else:
            texts = event_texts.single(body.content)
    except event_texts.TooManyEvents:
        message = f"A request may have at most {most} events. Send them in several requests."
        raise ApiError(413, "too_many_events", message) from None
    except event_texts.TooTangled:
        message = "The array is nested too much to be taken apart. Send one event a line instead."
        raise ApiError(413, "too_complex", message) from None
    except event_texts.BrokenArray as broken:
        message = f"The body is not JSON: {broken}. Nothing was queued."
        raise ApiError(400, "invalid_json", message) from None
    if texts in ([], [b""]):
        raise ApiError(400, "empty_body", "Send one event, an array of events, or a line for each.")
    return texts


def _as_lines(*documents: Any) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


_ONE: Final = {"one": {"summary": "One event", "value": schemas.EVENT}}
_BATCH: Final = {"batch": {"summary": "Several events", "value": [schemas.EVENT, schemas.PAYEE]}}
_BATCH_SCHEMA: Final = {"type": "array", "maxItems": 1000, "items": schemas.EVENT_SCHEMA}
_REQUEST: Final = {
    "requestBody": {
        "required": True,
        "description": "At most 1,000 events and 8 MiB, in UTF-8.",
        "content": {
            "application/json": {
                "schema": {"oneOf": [schemas.EVENT_SCHEMA, _BATCH_SCHEMA]},
                "examples": _ONE | _BATCH,
            },
            "application/cloudevents+json": {"schema": schemas.EVENT_SCHEMA, "examples": _ONE},
            "application/cloudevents-batch+json": {"schema": _BATCH_SCHEMA, "examples": _BATCH},
            NDJSON: {
                "schema": {"type": "string", "description": "One event a line."},
                "examples": {
                    "lines": {
                        "summary": "One event a line",
                        "value": _as_lines(schemas.EVENT, schemas.PAYEE),
                    }
                },
            },
        },
    }
}
_ONE_REFUSED: Final = schemas.REFUSED | {"index": 0}
_PUBLISH_RESPONSES: Final[Responses] = {
    202: example(
        "Every event is queued, and on the queue's disk.",
        schemas.PublishResult,
        {"accepted": 1, "rejected": 0, "results": [schemas.QUEUED]},
    ),
    207: example(
        "Some are queued, some were refused: each result says which, and why.",
        schemas.PublishResult,
        {"accepted": 1, "rejected": 1, "results": [schemas.QUEUED, schemas.REFUSED]},
    ),
    400: error(
        "The body is no JSON at all (`empty_body`, `invalid_json`), or the request no HTTP"
        " (`invalid_http`).",
        "empty_body",
        "Send one event, an array of events, or a line for each.",
    ),
    401: answers.NO_KEY,
    403: error(
        "The key may not do this (`missing_scope`), or every event is of another merchant"
        " (`forbidden_merchant`, with `results`).",
        "missing_scope",
        "The API key 'till' has no scope events:write; make one that has it.",
        "Authorization",
    ),
    408: answers.TOO_SLOW,
    413: error(
        "Too large: `body_too_large`, `too_many_events`, `too_complex`.",
        "too_many_events",
        "A request may have at most 1000 events. Send them in several requests.",
    ),
    415: error(
        "Not JSON, or compressed: `unsupported_media_type`, `unsupported_charset`,"
        " `unsupported_encoding`.",
        "unsupported_charset",
        "Send UTF-8.",
        "Content-Type",
    ),
    422: example(
        "Every event was refused.",
        schemas.RefusedBody,
        {
            "error": answers.error_value(
                _ONE_REFUSED["reason"], _ONE_REFUSED["message"], _ONE_REFUSED["field"]
            ),
            "accepted": 0,
            "rejected": 1,
            "results": [_ONE_REFUSED],
        },
    ),
    429: answers.TOO_MANY,
    500: answers.BUG,
    503: answers.retried(
        error(
            "`queue_unavailable`, `queue_refused`, `not_durable`, `backlog_full`, `crowded`,"
            " `stopping`, `database_unavailable`. The message tells whether anything may be queued; repeating the"
            " request is safe.",
            "queue_unavailable",
            "The queue did not answer. The events may be queued: repeat the request.",
        )
    ),
}


@router.post(
    "/v1/events",
    status_code=202,
    summary="Publish events",
    responses=_PUBLISH_RESPONSES,
    openapi_extra=_REQUEST,
)
def publish(
    request: Request,
    key: Annotated[ApiKey, Depends(allowed_to("events:write"))],
    body: Annotated[EventsBody, Depends(_events_body)],
) -> JSONResponse:
    """Check events and put the good ones on the queue, in their order, exactly as they were sent.

    An event that is wrong is refused alone; its neighbours are queued. Repeating a request is always
    safe: an event counts once by its (merchant, source, id). What the rules made of a queued event is
    told by `GET /v1/events`.
    """
    held = services(request)
    limits = held.context.limits
    texts = _texts(body, limits.events)
    results = [publishing.check(text, key) for text in texts]
    good = [text for text, result in zip(texts, results, strict=True) if result.reason is None]
    if good:
        publishing.put(held.queue, good, limits.retry_after_seconds)
    status, told = publishing.answer(results)
    return JSONResponse(told, status)
