"""`/v1/loyalty/cards/{card}/merge`, `/restore` and `/rewards`: what a desk does for one customer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request

from domain import clock
from domain.access.service import ApiKey, actor_of
from domain.errors import Invalid, NotFound
from domain.loyalty import service as loyalty
from domain.loyalty.service import Grace
from web.access import allowed_to
from web.api import answers, card_desk_docs, card_desk_schemas
from web.api.asking import Body, parsed
from web.api.loyalty import CARD, CardNumber
from web.database import bounded
from web.errors import ApiError
from web.services import services

router: Final = APIRouter(tags=["loyalty"])

Admin = Annotated[ApiKey, Depends(allowed_to("loyalty:admin"))]
ExpiredCard = Annotated[
    str,
    Path(pattern=CARD, description="A card on which points expired.", examples=["4006381333955"]),
]


@router.post(
    "/v1/loyalty/cards/{card}/merge",
    summary="Merge a card into another",
    response_model=card_desk_schemas.MergeReply,
    responses=card_desk_docs.MERGE,
    openapi_extra=card_desk_docs.MERGE_BODY,
)
def merge(request: Request, key: Admin, card: CardNumber, body: Body) -> dict[str, Any]:
    """Have the card `into` take over points, stamps, debt and holds; the number of this one leads there, for good.

    Sent again it answers `already`, and moves nothing. `dry_run` tells what would move.
    """
    asked = parsed(card_desk_schemas.MergeRequest, body)
    with _answered(key, card), bounded(services(request).context) as tx:
        done = loyalty.merge_cards(
            tx,
            key.merchant_id,
            card,
            asked.into,
            actor=actor_of(key),
            reason=asked.reason,
            now=clock.business_now(tx),
            dry_run=asked.dry_run,
        )
    return {name: getattr(done, name) for name in card_desk_schemas.MergeReply.model_fields}


@router.post(
    "/v1/loyalty/cards/{card}/restore",
    summary="Restore expired points",
    response_model=card_desk_schemas.RestoreReply,
    responses=card_desk_docs.RESTORE,
    openapi_extra=card_desk_docs.RESTORE_BODY,
)
def restore(request: Request, key: Admin, card: ExpiredCard, body: Body) -> dict[str, Any]:
    """Give back points that expired, the latest expiry first, never more than it took.

    Once for each `id`: sent again it answers `already`. `dry_run` tells what would come back.
    """
    asked = parsed(card_desk_schemas.RestoreRequest, body)
    with _answered(key, card), bounded(services(request).context) as tx:
        done = loyalty.restore_points(
            tx,
            key.merchant_id,
            card,
            asked.id,
            points=asked.points,
            grace=Grace(until=asked.until, days=asked.days),
            actor=actor_of(key),
            reason=asked.reason,
            now=clock.business_now(tx),
            dry_run=asked.dry_run,
        )
    return {name: getattr(done, name) for name in card_desk_schemas.RestoreReply.model_fields}


@router.get(
    "/v1/loyalty/cards/{card}/rewards",
    summary="What a card can redeem",
    response_model=card_desk_schemas.CardRewards,
    responses=card_desk_docs.REWARDS,
)
def rewards(
    request: Request,
    key: Annotated[ApiKey, Depends(allowed_to("loyalty:read"))],
    card: CardNumber,
) -> dict[str, Any]:
    """The catalogue for a card at this moment of business time: what it can redeem, and what is missing.

    It reserves nothing: hold the points where the sale takes longer.
    """
    with bounded(services(request).context) as tx:
        found = loyalty.rewards_of(tx, key.merchant_id, card, clock.business_now(tx))
    if found is None:
        message = answers.no_card(key.merchant_key, card)
        raise ApiError(404, "card_not_found", message, field="card")
    fields = card_desk_schemas.CardReward.model_fields
    return {
        "card": found.card.card,
        "spendable": found.card.points.spendable,
        "stamps": found.card.stamps,
        "rewards": [{name: getattr(one, name) for name in fields} for one in found.offers],
    }


@contextmanager
def _answered(key: ApiKey, card: str) -> Iterator[None]:
    """What the domain refuses, as HTTP says it."""
    try:
        yield
    except NotFound as error:
        message = answers.no_card(key.merchant_key, str(error.key))
        field = "card" if error.key == card else "into"
        raise ApiError(404, "card_not_found", message, field=field) from None
    except Invalid as error:
        raise ApiError(422, "invalid_request", str(error), field=error.field) from None
