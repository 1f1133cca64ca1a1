"""From the texts of a request to what became of each: checked, queued, told one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from domain.access.service import ApiKey
from payspool_client import InvalidEvent, parse_event
from web.errors import Unavailable, error_object
from web.queueing import BacklogFull, EventQueue, NotDurable, QueueAway, QueueRefused

#: A backlog takes longer to go down than a server takes to come back.
BACKLOG_RETRY_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one event of a request. A refusal has a reason, and a sentence."""

    source: str | None
    id: str | None
    reason: str | None = None
    field: str | None = None
    message: str | None = None


def check(text: bytes, key: ApiKey) -> Result:
    """Read one event for a caller who may publish for one merchant only.

    Whether its time lies in the future is not asked: business time is PostgreSQL's to tell, and the
    worker asks it.
    """
    try:
        event = parse_event(text)
    except InvalidEvent as error:
        identity = error.identity
        return Result(
            identity.source if identity else None,
            identity.id if identity else None,
            error.reason,
            error.field,
            error.message,
        )
    if event.merchant != key.merchant_key:
        message = (
            f"This is a {key.mode} key of the merchant {key.merchant_key!r};"
            " use a key of the event's merchant."
        )
        return Result(event.source, event.id, "forbidden_merchant", "merchant", message)
    return Result(event.source, event.id)


def put(queue: EventQueue, texts: Sequence[bytes], retry_after_seconds: int) -> None:
    """Put checked events on the queue in one transaction: all or none, and on the disk.

    Raises:
        Unavailable: The queue did not answer (they may be queued), refused them (they are not), or
            could not say that its disk has them.
    """
    try:
        queue.put([text.decode() for text in texts])
    except BacklogFull as error:
        message = f"The queue holds more than it may ({error}). Nothing was queued: repeat the request later."
        raise Unavailable("backlog_full", message, BACKLOG_RETRY_SECONDS) from error
    except QueueRefused as error:
        message = "The queue takes no events now. Nothing was queued: repeat the request later."
        raise Unavailable("queue_refused", message, retry_after_seconds) from error
    except NotDurable as error:
        message = (
            "The events may be queued, but the queue did not confirm that they are on its disk:"
            " repeat the request."
        )
        raise Unavailable("not_durable", message, retry_after_seconds) from error
    except QueueAway as error:
        outcome = "The events may be queued" if error.sent else "Nothing was queued"
        message = f"The queue did not answer. {outcome}: repeat the request."
        raise Unavailable("queue_unavailable", message, retry_after_seconds) from error


def answer(results: Sequence[Result]) -> tuple[int, dict[str, Any]]:
    """The status and the body that tell what became of every event."""
    refused = [result for result in results if result.reason is not None]
    body = {
        "accepted": len(results) - len(refused),
        "rejected": len(refused),
        "results": [_told(index, result) for index, result in enumerate(results)],
    }
    if not refused:
        return HTTPStatus.ACCEPTED, body
    if len(refused) < len(results):
        return HTTPStatus.MULTI_STATUS, body
    reasons = {result.reason for result in refused}
    if reasons == {"invalid_json"}:
        status = HTTPStatus.BAD_REQUEST
    elif reasons == {"forbidden_merchant"}:
        status = HTTPStatus.FORBIDDEN
    else:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    return status, {"error": _error(refused)} | body


def _told(index: int, result: Result) -> dict[str, Any]:
    return {
        "index": index,
        "source": result.source,
        "id": result.id,
        "status": "queued" if result.reason is None else "refused",
        "reason": result.reason,
        "field": result.field,
        "message": result.message,
    }


def _error(refused: Sequence[Result]) -> dict[str, Any]:
    first = refused[0]
    if len(refused) == 1:
        return error_object(str(first.reason), str(first.message), first.field)
    code = str(first.reason) if len({one.reason for one in refused}) == 1 else "all_refused"
    return error_object(code, f"All {len(refused)} events were refused; each result says why.")
