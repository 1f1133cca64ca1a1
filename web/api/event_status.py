"""`GET /v1/events`: what became of an event, and which of them need somebody."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request

from domain.access.service import ApiKey
from domain.inbox import listing
from domain.inbox import service as inbox
from payspool_client.events.fields import EVENT_ID_MAX, SOURCE_MAX
from web.access import allowed_to
from web.api import answers, schemas
from web.api.answers import Responses, error, example
from web.database import bounded
from web.errors import ApiError
from web.services import services

PAGE_MAX: Final = 200
REASON_MAX: Final = 100
#: PostgreSQL cannot hold NUL, and no event with it was ever stored.
NO_NUL: Final = r"^[^\x00]*$"

router: Final = APIRouter(tags=["events"])


def _not_found(merchant_key: str, source: str, event_id: str) -> str:
    return (
        f"The merchant {merchant_key!r} has no event ({source!r}, {event_id!r}) yet: it never arrived,"
        " or it is still queued. Ask again in a few seconds; publishing it again is safe."
    )


_RESPONSES: Final[Responses] = answers.reading(
    "events:read", "source: Needed with id, or give status.", "source"
) | {
    200: example(
        "With `source` and `id`: that event, which was taken from the queue. With `status`: a page.",
        schemas.EventStatusOrPage,
        schemas.STATUS,
    ),
    404: error(
        "`event_not_found`: it never arrived, or is still queued.",
        "event_not_found",
        _not_found("acme", "shop-eu", "ord-1881/paid"),
    ),
}


@router.get(
    "/v1/events",
    summary="What became of events",
    response_model=schemas.EventStatusOrPage,
    responses=_RESPONSES,
)
def status(
    request: Request,
    key: Annotated[ApiKey, Depends(allowed_to("events:read"))],
    source: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=SOURCE_MAX,
            pattern=NO_NUL,
            description="Source of the event that is asked for.",
            examples=["shop-eu"],
        ),
    ] = None,
    event_id: Annotated[
        str | None,
        Query(
            alias="id",
            min_length=1,
            max_length=EVENT_ID_MAX,
            pattern=NO_NUL,
            description="Id of the event that is asked for.",
            examples=["ord-1881/paid"],
        ),
    ] = None,
    state: Annotated[
        Literal["rejected", "waiting", "dead"] | None,
        Query(
            alias="status", description="Instead of source and id: list the events of this state."
        ),
    ] = None,
    reason: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=REASON_MAX,
            pattern=NO_NUL,
            description="Of the list, only those with this reason code.",
        ),
    ] = None,
    after: Annotated[
        int | None,
        Query(ge=1, le=2**53 - 1, description="`next` of the page before."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX, description="Events of a page.")] = 50,
) -> dict[str, Any]:
    """One event of the key's merchant with the rows that it made; or those that need attention.

    `source` and `id` name one event, whatever became of it. `status` (rejected, waiting or dead) lists
    instead, newest first, in pages: pass `next` of a page as `after` to get the one behind it, until
    `next` is null.
    """
    context = services(request).context
    if state is not None:
        _only(source=source, id=event_id, beside="status")
        with bounded(context) as tx:
            found = listing.page(
                tx, key.merchant_id, state, reason=reason, before=after, limit=limit + 1
            )
        return _page(found, limit)
    _only(reason=reason, after=after, beside="source and id")
    if source is None or event_id is None:
        missing, given = ("source", "id") if source is None else ("id", "source")
        both = source is None and event_id is None
        message = f"{missing}: Needed {'with id, or give status' if both else f'beside {given}'}."
        raise ApiError(422, "invalid_request", message, field=missing)
    with bounded(context) as tx:
        one = inbox.status(tx, key.merchant_id, source, event_id)
    if one is None:
        message = _not_found(key.merchant_key, source, event_id)
        raise ApiError(404, "event_not_found", message)
    return one


def _only(*, beside: str, **others: object) -> None:
    for name, value in others.items():
        if value is not None:
            message = f"{name}: Has no meaning beside {beside}."
            raise ApiError(422, "invalid_request", message, field=name)


def _page(found: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    shown = found[:limit]
    return {
        "events": shown,
        "next": shown[-1]["inbox_id"] if len(found) > limit else None,
    }
