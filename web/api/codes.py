"""Codes by the thousand, and what a code is from now on; and what is looked at for fraud."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request

from domain.access.service import actor_of
from domain.referrals import admin, bulk, holds
from domain.referrals.bulk import BatchDiffers
from domain.referrals.rules.holds import HoldPolicy
from payspool_client.events.fields import USER_ID_MAX
from web.api import codes_docs as docs
from web.api import codes_schemas as models
from web.api.asking import Body, answered, body_of, parsed
from web.api.event_status import NO_NUL
from web.api.referrals import Limit, Reader, Writer
from web.database import bounded
from web.errors import ApiError
from web.services import services

router: Final = APIRouter(tags=["referrals"])

BULK_BYTES: Final = 1024 * 1024
"""Room for MAX_BATCH users with names of the longest kind."""
BulkBody = Annotated[bytes, Depends(body_of(BULK_BYTES))]


@router.get("/v1/codes", summary="The codes", response_model=models.Codes, responses=docs.CODES)
def codes(
    request: Request,
    key: Reader,
    user_id: Annotated[
        str | None,
        Query(
            min_length=1, max_length=USER_ID_MAX, pattern=NO_NUL, description="Only this user's."
        ),
    ] = None,
    cursor: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=20,
            pattern=NO_NUL,
            description="`next` of the page before; absent: the first.",
        ),
    ] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """The codes of the key's merchant with their status and uses, in the order of the codes."""
    with bounded(services(request).context) as tx:
        found = admin.code_page(tx, key.merchant_id, user_id=user_id, after=cursor, limit=limit + 1)
    page = found[:limit]
    return {
        "codes": [row._mapping for row in page],
        "next": page[-1].code if len(found) > limit else None,
    }


@router.post(
    "/v1/codes/bulk",
    summary="Create codes for many users",
    response_model=models.Batch,
    responses=docs.BULK,
    openapi_extra=docs.BULK_BODY,
)
def create_bulk(
    request: Request,
    key: Writer,
    body: BulkBody,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=bulk.MAX_BATCH_KEY,
            pattern=r"^[A-Za-z0-9._:/-]+$",
            description="The batch's key, if the body gives none.",
        ),
    ] = None,
) -> dict[str, Any]:
    """Make codes for up to 5,000 users, or so many of one: all of them, or none.

    `batch`, or `Idempotency-Key`, is its key: repeated, no more are made, and the same codes are told.
    """
    said = parsed(models.BulkRequest, body)
    batch = said.batch or idempotency_key
    if batch is None or idempotency_key not in (None, batch):
        message = "batch: give the codes a key, or send Idempotency-Key; both are the same if both are sent."
        raise ApiError(422, "invalid_request", message, field="batch")
    if len(said.users) * said.count > bulk.MAX_BATCH:
        message = f"users: they are at most {bulk.MAX_BATCH:,} codes together in one request."
        raise ApiError(422, "invalid_request", message, field="users")
    owners = [user for user in said.users for _ in range(said.count)]
    with answered(), bounded(services(request).context) as tx:
        try:
            made = bulk.create_batch(
                tx,
                key.merchant_id,
                batch,
                said.program,
                owners,
                actor=actor_of(key),
                max_uses=said.max_uses,
                expires_at=said.expires_at,
            )
        except BatchDiffers as error:
            raise ApiError(409, "batch_differs", str(error), field="batch") from None
    return {
        "batch": batch,
        "program": said.program,
        "repeated": made.repeated,
        "codes": [{"user_id": user, "code": code} for user, code in made.codes],
    }


@router.post(
    "/v1/codes/{code:path}/status",
    summary="Suspend a code, or bring it back",
    response_model=models.ListedCode,
    responses=docs.CODE_STATUS,
    openapi_extra=docs.CODE_STATUS_BODY,
)
def set_code_status(
    request: Request,
    key: Writer,
    code: Annotated[
        str,
        Path(
            min_length=1,
            max_length=100,
            pattern=NO_NUL,
            description="As it is stored.",
            examples=["FRIENDS-7"],
        ),
    ],
    body: Body,
) -> Any:
    """Suspend a code, take it out of use, or bring it back. What it earned stays. The reason is audited."""
    said = parsed(models.CodeStatusRequest, body)
    with answered(), bounded(services(request).context) as tx:
        admin.set_code_status(
            tx, key.merchant_id, code, said.status, actor=actor_of(key), reason=said.reason
        )
        return admin.code(tx, key.merchant_id, code)._mapping


@router.get(
    "/v1/hold-policies",
    summary="What is looked at for fraud",
    response_model=models.HoldPolicies,
    responses=docs.POLICIES,
)
def policies(request: Request, key: Reader) -> dict[str, Any]:
    """The merchant's policy (its program is null), for all programs that have none of their own, and theirs."""
    with bounded(services(request).context) as tx:
        return {"policies": [row._mapping for row in holds.policies(tx, key.merchant_id)]}


@router.post(
    "/v1/hold-policies",
    summary="Say what is looked at for fraud",
    response_model=models.HoldPolicy,
    responses=docs.POLICY,
    openapi_extra=docs.POLICY_BODY,
)
def set_policy(request: Request, key: Writer, body: Body) -> dict[str, Any]:
    """Say what is held from now on, all of it as given, for a program, or for all without a policy of their own."""
    said = parsed(models.HoldPolicyRequest, body)
    policy = HoldPolicy(**said.model_dump(exclude={"program"}))
    with answered(), bounded(services(request).context) as tx:
        holds.set_policy(tx, key.merchant_id, said.program, policy, actor=actor_of(key))
    return {"program": said.program} | asdict(policy)
