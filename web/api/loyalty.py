"""`/v1/loyalty/cards`: a till that needs its answer now. The same events, the same apply, at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse

from domain import clock
from domain.access.service import ApiKey
from domain.errors import Invalid, NotFound
from domain.loyalty import service as loyalty
from domain.loyalty.rules.reporting import chosen
from domain.loyalty.service import reporting
from web.access import allowed_to
from web.api import answers, at_once, loyalty_docs, loyalty_reading_docs, loyalty_schemas, schemas
from web.body import media_type, read_body
from web.database import bounded
from web.errors import ApiError
from web.request_id import current
from web.services import services
from web.till_access import Caller, act_of, acting, prove, till

router: Final = APIRouter(tags=["loyalty"])

JSON_TYPES: Final = ("application/json", "application/cloudevents+json")
#: As `domain.loyalty.rules.is_card_number`, without the slash, which a path cannot hold.
CARD: Final = r"^[!-.0-~]{1,50}$"
CardNumber = Annotated[
    str,
    Path(pattern=CARD, description="The number of the card.", examples=["4006381333931"]),
]
TillWriter = Annotated[Caller, Depends(acting("loyalty:write"))]


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
def enrol(request: Request, caller: TillWriter, body: Body) -> JSONResponse:
    """Give a customer a card, with the program's welcome bonus, and answer with it.

    The body is a `loyalty.card_created` event; `specversion`, `type` and `merchant` may be left out.
    Sent again, over here or over the queue, it counts once and gets the same reply.
    """
    return _at_once(request, caller, body, ("loyalty.card_created",), None)


@router.post(
    "/v1/loyalty/cards/{card}/earn",
    summary="Earn points or stamps at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.EARN,
    openapi_extra=loyalty_docs.EARN_BODY,
)
def earn(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Put points on a card, as many as are given or as the purchase is worth, and answer with them.

    The body is a `loyalty.points_earned` event, or a `loyalty.stamp_earned` one if its `type` says so;
    `specversion`, `merchant` and `data.card` may be left out. Sent again, over here or over the queue,
    it counts once and gets the same reply.
    """
    return _at_once(request, caller, body, ("loyalty.points_earned", "loyalty.stamp_earned"), card)


@router.post(
    "/v1/loyalty/cards/{card}/redeem",
    summary="Redeem points or stamps at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.REDEEM,
    openapi_extra=loyalty_docs.REDEEM_BODY,
)
def redeem(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Spend points of a card, soonest to expire first, and answer with what is left.

    The body is a `loyalty.points_redeemed` event, or a `loyalty.stamp_redeemed` one if its `type` says
    so; the rest as for earning.
    """
    return _at_once(
        request, caller, body, ("loyalty.points_redeemed", "loyalty.stamp_redeemed"), card
    )


@router.post(
    "/v1/loyalty/cards/{card}/hold",
    summary="Hold points at once",
    response_model=loyalty_schemas.HoldReply,
    responses=loyalty_docs.HOLD,
    openapi_extra=loyalty_docs.HOLD_BODY,
)
def hold(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Reserve points for a redemption that is not certain yet, and answer until when.

    The body is a `loyalty.points_held` event. Until it is captured, released, or its time is over (the
    program's `hold_minutes`), nobody else can spend the points and they do not expire.
    """
    return _at_once(request, caller, body, ("loyalty.points_held",), card)


@router.post(
    "/v1/loyalty/cards/{card}/capture",
    summary="Redeem held points at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.CAPTURE,
    openapi_extra=loyalty_docs.CAPTURE_BODY,
)
def capture(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Redeem what was held, or `points` of it: the rest is free again. Answers with what is left.

    The body is a `loyalty.hold_captured` event with the id of the `loyalty.points_held` one in
    `data.related_event`. If that has not come yet, the answer is 202 and this one waits for it.
    """
    return _at_once(request, caller, body, ("loyalty.hold_captured",), card)


@router.post(
    "/v1/loyalty/cards/{card}/release",
    summary="Release held points at once",
    response_model=loyalty_schemas.HoldReply,
    responses=loyalty_docs.RELEASE,
    openapi_extra=loyalty_docs.RELEASE_BODY,
)
def release(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Give up what was held; the points can be spent again.

    The body is a `loyalty.hold_released` event with the id of the `loyalty.points_held` one in
    `data.related_event`. If that has not come yet, the answer is 202 and this one waits for it.
    """
    return _at_once(request, caller, body, ("loyalty.hold_released",), card)


@router.post(
    "/v1/loyalty/cards/{card}/void",
    summary="Take back an earn or a redemption at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.VOID,
    openapi_extra=loyalty_docs.VOID_BODY,
)
def void(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Take back what another event did, in part or all that is left of it.

    The body is a `loyalty.points_voided` event, or a `loyalty.stamp_voided` one if its `type` says so,
    with the other event's id in `data.related_event`. If that has not come yet, the answer is 202 and
    this one waits for it.
    """
    return _at_once(request, caller, body, ("loyalty.points_voided", "loyalty.stamp_voided"), card)


@router.post(
    "/v1/loyalty/cards/{card}/adjust",
    summary="Correct a card at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.ADJUST,
    openapi_extra=loyalty_docs.ADJUST_BODY,
)
def adjust(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Put points on a card or take them off it, as a person decided, with the reason.

    The body is a `loyalty.points_adjusted` event, or a `loyalty.stamp_adjusted` one if its `type` says so.
    """
    return _at_once(
        request, caller, body, ("loyalty.points_adjusted", "loyalty.stamp_adjusted"), card
    )


@router.post(
    "/v1/loyalty/cards/{card}/deactivate",
    summary="Deactivate a card at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.DEACTIVATE,
    openapi_extra=loyalty_docs.DEACTIVATE_BODY,
)
def deactivate(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Let a card neither earn nor redeem any more; its balance stays.

    The body is a `loyalty.card_deactivated` event.
    """
    return _at_once(request, caller, body, ("loyalty.card_deactivated",), card)


@router.post(
    "/v1/loyalty/cards/{card}/reactivate",
    summary="Reactivate a card at once",
    response_model=schemas.CardReply,
    responses=loyalty_docs.REACTIVATE,
    openapi_extra=loyalty_docs.REACTIVATE_BODY,
)
def reactivate(request: Request, caller: TillWriter, card: CardNumber, body: Body) -> JSONResponse:
    """Let a deactivated card earn and redeem again. The body is a `loyalty.card_reactivated` event."""
    return _at_once(request, caller, body, ("loyalty.card_reactivated",), card)


def _at_once(
    request: Request, caller: Caller, body: bytes, types: Sequence[str], card: str | None
) -> JSONResponse:
    event = at_once.read_event(body, caller.key, types, card=card)
    act = act_of(request, caller, event)
    prove(request, caller, event)
    with bounded(services(request).context) as tx:
        result = at_once.apply(tx, caller.key, event, current(), act)
    return at_once.answer(result)


@router.get(
    "/v1/loyalty/cards/{card}",
    summary="A card now",
    response_model=schemas.Card,
    responses=loyalty_reading_docs.CARD,
)
def card(
    request: Request,
    caller: Annotated[Caller, Depends(till("loyalty:read"))],
    card: CardNumber,
) -> dict[str, Any]:
    """A card of the key's merchant with its points at this moment of business time.

    Points that have expired by then are not counted, whether or not the sweep has booked it.
    """
    key = caller.key
    with bounded(services(request).context) as tx:
        now = clock.business_now(tx)
        found = loyalty.card(tx, key.merchant_id, card, now)
        tier = loyalty.tier(tx, key.merchant_id, card, now)
    if found is None:
        message = answers.no_card(key.merchant_key, card)
        raise ApiError(404, "card_not_found", message, field="card")
    points = found.points
    return {
        "card": found.card,
        "customer_id": found.customer_id,
        "program": found.program,
        "status": found.status,
        "merged": list(found.merged),
        "points": {
            "balance": points.balance,
            "spendable": points.spendable,
            "pending": points.pending,
            "held": points.held,
            "debt": found.debt,
            "next_expiry": points.next_expiry,
            "by_deadline": [{"at": at, "points": due} for at, due in points.by_deadline],
        },
        "stamps": found.stamps,
        "tier": asdict(tier) if tier else None,
        "last_activity_at": found.last_activity_at,
        "created_at": found.created_at,
    }


@router.get(
    "/v1/loyalty/cards/{card}/transactions",
    summary="The history of a card",
    response_model=loyalty_schemas.CardHistory,
    responses=loyalty_reading_docs.HISTORY,
)
def history(
    request: Request,
    key: Annotated[ApiKey, Depends(allowed_to("loyalty:read"))],
    card: CardNumber,
    before: Annotated[
        int | None,
        Query(ge=1, le=2**53, description="`next` of the page before; absent: the newest."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="How many a page shows at most.")] = 50,
    types: Annotated[
        list[str], Query(alias="type", max_length=13, description="Of these types.")
    ] = [],  # noqa: B006 — FastAPI copies it
    store: Annotated[str | None, Query(max_length=100, description="Of this store.")] = None,
    staff: Annotated[str | None, Query(max_length=100, description="Of this staff PIN.")] = None,
    device: Annotated[str | None, Query(max_length=100, description="Of this device.")] = None,
    order_reference: Annotated[
        str | None, Query(max_length=100, description="Of this order.")
    ] = None,
    first: Annotated[
        str | None,
        Query(
            alias="from", max_length=40, description="From this day of the program, or time, on."
        ),
    ] = None,
    last: Annotated[
        str | None,
        Query(
            alias="to", max_length=40, description="To the end of this day, or before this time."
        ),
    ] = None,
) -> dict[str, Any]:
    """What happened to a card of the key's merchant, newest first, and why each row is as it is."""
    found = None
    try:
        with bounded(services(request).context) as tx:
            only = chosen(
                zone=reporting.zone_of_card(tx, key.merchant_id, card),
                types=types,
                since=first,
                until=last,
                store=store,
                staff=staff,
                device=device,
                order_reference=order_reference,
            )
            found = loyalty.history(
                tx, key.merchant_id, card, before=before, limit=limit + 1, only=only
            )
    except Invalid as error:
        raise ApiError(422, "invalid_request", str(error), field=error.field) from error
    except NotFound:
        pass  # as a card without a history is told
    if found is None:
        message = answers.no_card(key.merchant_key, card)
        raise ApiError(404, "card_not_found", message, field="card")
    page = found[:limit]
    return {
        "transactions": [dict(row._mapping) | {"at": row.transaction_at} for row in page],
        "next": page[-1].seq if len(found) > limit else None,
    }
