"""Programs, codes, what is held, and why an amount."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from domain.access.service import ApiKey, actor_of
from domain.db import Tx
from domain.referrals import admin, holds, validating
from domain.referrals import answers as asked
from domain.referrals.admin import NewCode, Terms
from payspool_client.events.fields import PROGRAM_KEY_MAX, USER_ID_MAX
from web.access import allowed_to
from web.api import referrals_docs as docs
from web.api import referrals_schemas as models
from web.api.asking import Body, answered, parsed
from web.api.event_status import NO_NUL
from web.api.people import UserId
from web.database import bounded
from web.services import services

router: Final = APIRouter(tags=["referrals"])

ID_MAX: Final = 2**63 - 1
Reader = Annotated[ApiKey, Depends(allowed_to("referrals:read"))]
Writer = Annotated[ApiKey, Depends(allowed_to("referrals:write"))]
Limit = Annotated[int, Query(ge=1, le=500, description="How many a page shows at most.")]
Cursor = Annotated[
    int | None, Query(ge=1, le=ID_MAX, description="`next` of the page before; absent: the first.")
]
ProgramKey = Annotated[
    str,
    Path(
        min_length=1,
        max_length=PROGRAM_KEY_MAX,
        pattern=NO_NUL,
        description="The program's key.",
        examples=["friends"],
    ),
]
Released = Annotated[int, Path(ge=1, le=ID_MAX, description="An open hold.", examples=[1])]
Rejected = Annotated[int, Path(ge=1, le=ID_MAX, description="An open hold.", examples=[2])]


@router.get(
    "/v1/programs",
    summary="The programs",
    response_model=models.Programs,
    responses=docs.PROGRAMS,
)
def programs(request: Request, key: Reader) -> dict[str, Any]:
    """The referral programs of the key's merchant with their present terms, by key."""
    with bounded(services(request).context) as tx:
        return {"programs": [row._mapping for row in admin.programs(tx, key.merchant_id)]}


@router.post(
    "/v1/programs",
    summary="Create a program",
    response_model=models.Program,
    responses=docs.CREATE,
    openapi_extra=docs.CREATE_BODY,
)
def create(request: Request, key: Writer, body: Body) -> Any:
    """Create a program at version 1. What cannot be meant is refused with the field and its rule."""
    said = parsed(models.ProgramRequest, body)
    with answered(), bounded(services(request).context) as tx:
        admin.create_program(
            tx, key.merchant_id, said.key, said.name or said.key, _terms(said), actor=actor_of(key)
        )
        return _program(tx, key, said.key)


@router.post(
    "/v1/programs/{program:path}/change",
    summary="Change a program",
    response_model=models.Program,
    responses=docs.CHANGE,
    openapi_extra=docs.CHANGE_BODY,
)
def change(request: Request, key: Writer, program: ProgramKey, body: Body) -> Any:
    """Give a program new terms as a new version. What was earned stays as it was computed."""
    said = parsed(models.TermsRequest, body)
    with answered(), bounded(services(request).context) as tx:
        admin.change_program(tx, key.merchant_id, program, _terms(said), actor=actor_of(key))
        return _program(tx, key, program)


@router.post(
    "/v1/programs/{program:path}/status",
    summary="Pause, resume or end a program",
    response_model=models.Program,
    responses=docs.STATUS,
    openapi_extra=docs.STATUS_BODY,
)
def status(request: Request, key: Writer, program: ProgramKey, body: Body) -> Any:
    """Pause a program, resume it, or end it for good. Conversions meanwhile are refused."""
    said = parsed(models.StatusRequest, body)
    with answered(), bounded(services(request).context) as tx:
        admin.set_program_status(tx, key.merchant_id, program, said.status, actor=actor_of(key))
        return _program(tx, key, program)


@router.post(
    "/v1/programs/{program:path}/copy",
    summary="Copy a program",
    response_model=models.Program,
    responses=docs.COPY,
    openapi_extra=docs.COPY_BODY,
)
def copy(request: Request, key: Writer, program: ProgramKey, body: Body) -> Any:
    """Create a program with the present terms of another. Codes, and what was counted, stay with that one."""
    said = parsed(models.CopyRequest, body)
    with answered(), bounded(services(request).context) as tx:
        admin.copy_program(tx, key.merchant_id, program, said.key, said.name, actor=actor_of(key))
        return _program(tx, key, said.key)


@router.get(
    "/v1/programs/{program:path}/statistics",
    summary="What a program did",
    response_model=models.Statistics,
    responses=docs.STATISTICS,
)
def statistics(
    request: Request,
    key: Reader,
    program: ProgramKey,
    since: Annotated[date | None, Query(description="The first day, of UTC.")] = None,
    until: Annotated[date | None, Query(description="The day after the last one.")] = None,
) -> dict[str, Any]:
    """Conversions, their volume, what they earned and what was taken back: in all, and by day."""
    with answered(), bounded(services(request).context) as tx:
        told = asked.statistics(tx, key.merchant_id, program, since=since, until=until)
    return {
        "program": told.program,
        "currency": told.currency,
        "total": told.total,
        "days": [row._mapping for row in told.days],
    }


@router.post(
    "/v1/codes",
    summary="Create a code",
    response_model=models.Code,
    responses=docs.CODE,
    openapi_extra=docs.CODE_BODY,
)
def create_code(request: Request, key: Writer, body: Body) -> dict[str, Any]:
    """Create a code of a user, of one's own choice or drawn, with a check character."""
    said = parsed(models.CodeRequest, body)
    new = NewCode(said.user_id, said.code, said.max_uses, said.expires_at, said.email_hash)
    with answered(), bounded(services(request).context) as tx:
        [made] = admin.create_codes(tx, key.merchant_id, said.program, [new], actor=actor_of(key))
    return {"code": made, "program": said.program, "user_id": said.user_id}


@router.get(
    "/v1/codes/{code:path}/validate",
    summary="Whether a code is good",
    response_model=models.Validation,
    responses=docs.VALIDATE,
)
def validate(
    request: Request,
    key: Reader,
    code: Annotated[
        str,
        Path(
            min_length=1,
            max_length=100,
            pattern=NO_NUL,
            description="As it was typed.",
            examples=["FRIENDS-7"],
        ),
    ],
    referred_user_id: Annotated[
        str | None,
        Query(
            min_length=1, max_length=USER_ID_MAX, pattern=NO_NUL, description="Who would use it."
        ),
    ] = None,
) -> dict[str, Any]:
    """Whether a code could be used now, for the checkout. It decides nothing: the conversion does, when it comes."""
    with bounded(services(request).context) as tx:
        said = validating.validate(tx, key.merchant_id, code, referred_user_id=referred_user_id)
    told = {field.name: getattr(said, field.name) for field in fields(said)}
    refusal = told.pop("refusal")
    return told | {
        "valid": refusal is None,
        "reason": refusal and refusal.reason,
        "message": refusal and refusal.detail,
    }


@router.get("/v1/holds", summary="What is held", response_model=models.Holds, responses=docs.HOLDS)
def list_holds(
    request: Request,
    key: Reader,
    kind: Annotated[models.HoldKind | None, Query(description="Only of this kind.")] = None,
    closed: Annotated[bool, Query(description="Those that ended, not the open ones.")] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Disputes and what may be fraud, newest first, with the evidence and what is at stake."""
    with bounded(services(request).context) as tx:
        found = holds.listing(
            tx, key.merchant_id, closed=closed, kind=kind, before=cursor, limit=limit + 1
        )
    page = found[:limit]
    return {
        "holds": [row._mapping for row in page],
        "next": page[-1].id if len(found) > limit else None,
    }


@router.post(
    "/v1/holds/{hold_id}/release",
    summary="Release a hold",
    response_model=models.Hold,
    responses=docs.RELEASE,
    openapi_extra=docs.DECISION_BODY,
)
def release(request: Request, key: Writer, hold_id: Released, body: Body) -> Any:
    """End a hold: what was earned may be paid, unless something else holds it. The reason is audited."""
    reason = parsed(models.DecisionRequest, body).reason
    with answered(), bounded(services(request).context) as tx:
        done = holds.release(tx, key.merchant_id, hold_id, actor=actor_of(key), reason=reason)
        return done._mapping


@router.post(
    "/v1/holds/{hold_id}/reject",
    summary="Reject a hold",
    response_model=models.RejectedHold,
    responses=docs.REJECT,
    openapi_extra=docs.DECISION_BODY,
)
def reject(request: Request, key: Writer, hold_id: Rejected, body: Body) -> Any:
    """Void what the held conversion earned, on both sides, for good, or take back what a payout has of it.
    The reason is audited."""
    reason = parsed(models.DecisionRequest, body).reason
    with answered(), bounded(services(request).context) as tx:
        done = holds.reject(tx, key.merchant_id, hold_id, actor=actor_of(key), reason=reason)
        return {**done.hold._mapping, "payouts": done.payouts}


@router.get(
    "/v1/users/{user:path}/trackings",
    summary="What a user referred",
    response_model=models.Trackings,
    responses=docs.TRACKINGS,
)
def trackings(
    request: Request, key: Reader, user: UserId, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """The conversions that a user is credited with, newest first, and where their money is."""
    with bounded(services(request).context) as tx:
        found = asked.history(tx, key.merchant_id, user, before=cursor, limit=limit + 1)
    page = found[:limit]
    return {
        "trackings": [row._mapping for row in page],
        "next": page[-1].id if len(found) > limit else None,
    }


@router.get(
    "/v1/trackings/{tracking_id}",
    summary="Why an amount",
    response_model=models.TrackingExplained,
    responses=docs.TRACKING,
)
def tracking(
    request: Request,
    key: Reader,
    tracking_id: Annotated[
        int, Path(ge=1, le=ID_MAX, description="As a history numbers it.", examples=[17])
    ],
) -> dict[str, Any]:
    """A tracking with the rule, tier and version that gave it, what was taken back, held and paid, in sentences too."""
    with answered(), bounded(services(request).context) as tx:
        told = asked.explain_tracking(tx, key.merchant_id, tracking_id)
    return {
        "tracking": told.tracking._mapping,
        "terms": dict(told.terms._mapping),
        "reversals": [dict(row._mapping) for row in told.reversals],
        "holds": [dict(row._mapping) for row in told.holds],
        "earnings": [dict(row._mapping) for row in told.earnings],
        "why": told.why,
    }


def _terms(said: models.TermsRequest) -> Terms:
    return Terms(**{field.name: getattr(said, field.name) for field in fields(Terms)})


def _program(tx: Tx, key: ApiKey, program: str) -> Any:
    return next(row for row in admin.programs(tx, key.merchant_id) if row.key == program)._mapping
