"""`/v1/loyalty/velocity-cases` and `-policies`: what was too fast, what a person says of it, and what is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from domain.access.service import ApiKey, actor_of
from domain.inbox import service as inbox
from domain.loyalty.service import velocity_desk as desk
from web.access import allowed_to
from web.api import velocity_docs as docs
from web.api import velocity_schemas as models
from web.api.asking import answered, body_of, parsed
from web.database import bounded
from web.services import services

router: Final = APIRouter(tags=["loyalty"])

ID_MAX: Final = 2**63 - 1
Admin = Annotated[ApiKey, Depends(allowed_to("loyalty:admin"))]
Reader = Annotated[ApiKey, Depends(allowed_to("loyalty:read"))]
Body = Annotated[bytes, Depends(body_of(16 * 1024))]
Released = Annotated[int, Path(ge=1, le=ID_MAX, description="An open case.", examples=[1])]
Rejected = Annotated[int, Path(ge=1, le=ID_MAX, description="An open case.", examples=[2])]


@router.get(
    "/v1/loyalty/velocity-cases",
    summary="What was too fast",
    response_model=models.VelocityCases,
    responses=docs.CASES,
)
def cases(
    request: Request,
    key: Reader,
    closed: Annotated[bool, Query(description="Those that ended, not the open ones.")] = False,
    cursor: Annotated[
        int | None,
        Query(ge=1, le=ID_MAX, description="`next` of the page before; absent: the newest."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="How many a page shows at most.")] = 100,
) -> dict[str, Any]:
    """Events that were held or flagged, newest first, with the evidence and who stood behind each."""
    with bounded(services(request).context) as tx:
        found = desk.cases(tx, key.merchant_id, closed=closed, before=cursor, limit=limit + 1)
    page = found[:limit]
    return {
        "cases": [row._mapping for row in page],
        "next": page[-1].id if len(found) > limit else None,
    }


@router.post(
    "/v1/loyalty/velocity-cases/{case_id}/release",
    summary="Release an event that was too fast",
    response_model=models.VelocitySettled,
    responses=docs.RELEASE,
    openapi_extra=docs.DECISION_BODY,
)
def release(request: Request, key: Admin, case_id: Released, body: Body) -> dict[str, Any]:
    """Apply an event that was held, now; or find a flagged one all right. The reason is kept and audited.

    The rules may still refuse it: `status` says so.
    """
    reason = parsed(models.VelocityDecision, body).reason
    with answered(), bounded(services(request).context) as tx:
        return asdict(
            inbox.release_case(tx, key.merchant_id, case_id, actor=actor_of(key), reason=reason)
        )


@router.post(
    "/v1/loyalty/velocity-cases/{case_id}/reject",
    summary="Reject an event that was too fast",
    response_model=models.VelocitySettled,
    responses=docs.REJECT,
    openapi_extra=docs.DECISION_BODY,
)
def reject(request: Request, key: Admin, case_id: Rejected, body: Body) -> dict[str, Any]:
    """Refuse an event that was held, for good; or undo a flagged one by an event that voids it."""
    reason = parsed(models.VelocityDecision, body).reason
    with answered(), bounded(services(request).context) as tx:
        return asdict(
            inbox.reject_case(tx, key.merchant_id, case_id, actor=actor_of(key), reason=reason)
        )


@router.get(
    "/v1/loyalty/velocity-policies",
    summary="What is too fast",
    response_model=models.VelocityPolicies,
    responses=docs.POLICIES,
)
def policies(request: Request, key: Reader) -> dict[str, Any]:
    """The merchant's policy (its program is null), for all programs that have none of their own, and theirs."""
    with bounded(services(request).context) as tx:
        return {"policies": [row._mapping for row in desk.policies(tx, key.merchant_id)]}


@router.post(
    "/v1/loyalty/velocity-policies",
    summary="Say what is too fast",
    response_model=models.VelocityPolicy,
    responses=docs.POLICY,
    openapi_extra=docs.POLICY_BODY,
)
def set_policy(request: Request, key: Admin, body: Body) -> dict[str, Any]:
    """Say what is too fast from now on, all of it as given, in a program, or in all without a policy of their own."""
    said = parsed(models.VelocityPolicy, body).model_dump()
    with answered(), bounded(services(request).context) as tx:
        desk.set_policy(tx, key.merchant_id, said["program"], said["limits"], actor=actor_of(key))
    return said
