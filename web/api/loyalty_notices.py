"""`/v1/loyalty/notices`, `/tier-notices` and `/tier-changes`: what happens to cards by itself, told once, in order."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request

from domain.access.service import ApiKey
from domain.loyalty import service as loyalty
from web.access import allowed_to
from web.api import loyalty_reading_docs as docs
from web.api import loyalty_schemas as models
from web.api.loyalty import CARD
from web.database import bounded
from web.services import services

router: Final = APIRouter(tags=["loyalty"])

Reader = Annotated[ApiKey, Depends(allowed_to("loyalty:read"))]
After = Annotated[
    int, Query(ge=0, le=2**53, description="`next` of the answer before; absent: the first.")
]
Limit = Annotated[int, Query(ge=1, le=500, description="How many are told at most.")]


@router.get(
    "/v1/loyalty/tier-changes",
    summary="Cards whose tier changed",
    response_model=models.TierChanges,
    responses=docs.TIER_CHANGES,
)
def tier_changes(
    request: Request,
    key: Reader,
    card: Annotated[str | None, Query(pattern=CARD, description="Of this card alone.")] = None,
    after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Who reached a tier or lost one, when and why, each change once, oldest first."""
    with bounded(services(request).context) as tx:
        found = loyalty.tier_changes(tx, key.merchant_id, card=card, after=after, limit=limit)
    return {
        "changes": [dict(row._mapping) for row in found],
        "next": found[-1].id if found else after,
    }


@router.get(
    "/v1/loyalty/notices",
    summary="Points that are about to expire",
    response_model=models.ExpiryNotices,
    responses=docs.NOTICES,
)
def notices(
    request: Request,
    key: Reader,
    after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What expires within the programs' `notice_days`, told once for each card and deadline, oldest first."""
    with bounded(services(request).context) as tx:
        found = loyalty.notices(tx, key.merchant_id, after=after, limit=limit)
    return {
        "notices": [dict(row._mapping) for row in found],
        "next": found[-1].id if found else after,
    }


@router.get(
    "/v1/loyalty/tier-notices",
    summary="Tiers that are about to fall",
    response_model=models.TierNotices,
    responses=docs.TIER_NOTICES,
)
def tier_notices(
    request: Request,
    key: Reader,
    after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Whose tier falls within the programs' `notice_days`, told once for each card, tier and end, oldest first."""
    with bounded(services(request).context) as tx:
        found = loyalty.tier_notices(tx, key.merchant_id, after=after, limit=limit)
    return {
        "notices": [dict(row._mapping) for row in found],
        "next": found[-1].id if found else after,
    }
