"""`/v1/loyalty/cards`: a till that needs its answer now. The same events, the same apply, at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse

from domain import clock
from domain.access.service import ApiKey
from domain.loyalty import service as loyalty
from web.access import allowed_to
from web.api import answers, at_once, loyalty_docs, schemas
from web.body import media_type, read_body
from web.database import bounded
from web.errors import ApiError
from web.request_id import current
from web.services import services

router: Final = APIRouter(tags=["loyalty"])

JSON_TYPES: Final = ("application/json", "application/cloudevents+json")
#: As `domain.loyalty.rules.is_card_number`, without the slash, which a path cannot hold.
CARD: Final = r"^[!-.0-~]{1,50}$"
CardNumber = Annotated[
    str,
    Path(pattern=CARD, description="The number of the card.", examples=["4006381333931"]),
]
Writer = Annotated[ApiKey, Depends(allowed_to("loyalty:write"))]


async def _body(request: Request) -> bytes:
    media_type(request, JSON_TYPES, "the event")
    limits = services(request).context.limits
    return await read_body(
        request,
        limit=limits.loyalty_body_bytes,
        seconds=limits.body_seconds,
        advice="Send one event.",
    )


Body = Annotated[bytes, Depends(_body)]


@router.post(
    "/v1/loyalty/cards",
    summary="Enrol a customer at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.ENROL,
    openapi_extra=loyalty_docs.ENROL_BODY,
)
def enrol(request: Request, key: Writer, body: Body) -> JSONResponse:
    """Give a customer a card, with the program's welcome bonus, and answer with it.

    The body is a `loyalty.card_created` event; `specversion`, `type` and `merchant` may be left out.
    Sent again, over here or over the queue, it counts once and gets the same reply.
    """
    return _at_once(request, key, body, ("loyalty.card_created",), None)


@router.post(
    "/v1/loyalty/cards/{card}/earn",
    summary="Earn points or stamps at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.EARN,
    openapi_extra=loyalty_docs.EARN_BODY,
)
def earn(request: Request, key: Writer, card: CardNumber, body: Body) -> JSONResponse:
    """Put points on a card, as many as are given or as the purchase is worth, and answer with them.

    The body is a `loyalty.points_earned` event, or a `loyalty.stamp_earned` one if its `type` says so;
    `specversion`, `merchant` and `data.card` may be left out. Sent again, over here or over the queue,
    it counts once and gets the same reply.
    """
    return _at_once(request, key, body, ("loyalty.points_earned", "loyalty.stamp_earned"), card)


@router.post(
    "/v1/loyalty/cards/{card}/redeem",
    summary="Redeem points or stamps at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.REDEEM,
    openapi_extra=loyalty_docs.REDEEM_BODY,
)
def redeem(request: Request, key: Writer, card: CardNumber, body: Body) -> JSONResponse:
    """Spend points of a card, soonest to expire first, and answer with what is left.

    The body is a `loyalty.points_redeemed` event, or a `loyalty.stamp_redeemed` one if its `type` says
    so; the rest as for earning.
    """
    return _at_once(request, key, body, ("loyalty.points_redeemed", "loyalty.stamp_redeemed"), card)


@router.post(
    "/v1/loyalty/cards/{card}/void",
    summary="Take back an earn or a redemption at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.VOID,
    openapi_extra=loyalty_docs.VOID_BODY,
)
def void(request: Request, key: Writer, card: CardNumber, body: Body) -> JSONResponse:
    """Take back what another event did, in part or all that is left of it.

    The body is a `loyalty.points_voided` event, or a `loyalty.stamp_voided` one if its `type` says so,
    with the other event's id in `data.related_event`. If that has not come yet, the answer is 202 and
    this one waits for it.
    """
    return _at_once(request, key, body, ("loyalty.points_voided", "loyalty.stamp_voided"), card)


@router.post(
    "/v1/loyalty/cards/{card}/adjust",
    summary="Correct a card at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.ADJUST,
    openapi_extra=loyalty_docs.ADJUST_BODY,
)
def adjust(request: Request, key: Writer, card: CardNumber, body: Body) -> JSONResponse:
    """Put points on a card or take them off it, as a person decided, with the reason.

    The body is a `loyalty.points_adjusted` event, or a `loyalty.stamp_adjusted` one if its `type` says so.
    """
    return _at_once(request, key, body, ("loyalty.points_adjusted", "loyalty.stamp_adjusted"), card)


@router.post(
    "/v1/loyalty/cards/{card}/deactivate",
    summary="Deactivate a card at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.DEACTIVATE,
    openapi_extra=loyalty_docs.DEACTIVATE_BODY,
)
def deactivate(request: Request, key: Writer, card: CardNumber, body: Body) -> JSONResponse:
    """Let a card neither earn nor redeem any more; its balance stays.

    The body is a `loyalty.card_deactivated` event.
    """
    return _at_once(request, key, body, ("loyalty.card_deactivated",), card)


@router.post(
    "/v1/loyalty/cards/{card}/reactivate",
    summary="Reactivate a card at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.REACTIVATE,
    openapi_extra=loyalty_docs.REACTIVATE_BODY,
)
def reactivate(request: Request, key: Writer, card: CardNumber, body: Body) -> JSONResponse:
    """Let a deactivated card earn and redeem again. The body is a `loyalty.card_reactivated` event."""
    return _at_once(request, key, body, ("loyalty.card_reactivated",), card)


def _at_once(
    request: Request, key: ApiKey, body: bytes, types: Sequence[str], card: str | None
) -> JSONResponse:
    event = at_once.read_event(body, key, types, card=card)
    with bounded(services(request).context) as tx:
        result = at_once.apply(tx, key, event, current())
    return at_once.answer(result)


@router.get(
    "/v1/loyalty/cards/{card}",
    summary="A card now",
    response_model=schemas.Card,
    responses=loyalty_docs.CARD,
)
def card(
    request: Request,
    key: Annotated[ApiKey, Depends(allowed_to("loyalty:read"))],
    card: CardNumber,
) -> dict[str, Any]:
    """A card of the key's merchant with its points at this moment of business time.

    Points that have expired by then are not counted, whether or not the sweep has booked it.
    """
    with bounded(services(request).context) as tx:
        found = loyalty.card(tx, key.merchant_id, card, clock.business_now(tx))
    if found is None:
        message = answers.no_card(key.merchant_key, card)
        raise ApiError(404, "card_not_found", message, field="card")
    points = found.points
    return {
        "card": found.card,
        "customer_id": found.customer_id,
        "program": found.program,
        "status": found.status,
        "points": {
            "balance": points.balance,
            "spendable": points.spendable,
            "pending": points.pending,
            "held": points.held,
            "debt": found.debt,
            "next_expiry": points.next_expiry,
        },
        "stamps": found.stamps,
        "last_activity_at": found.last_activity_at,
        "created_at": found.created_at,
    }
