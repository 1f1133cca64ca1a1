"""Runs as they are asked for: foreseen, prepared, and approved or rejected by somebody else."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Request

from domain.access.service import ApiKey, actor_of
from domain.clock import business_now
from domain.db import Tx
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NotApprovable, RunDiffers
from domain.payouts.rules import Pay
from domain.payouts.rules.breaker import Balance
from domain.payouts.service import PreviewLine, RunSpec, approving, building, foreseeing
from web.access import allowed_to
from web.api import payouts_schemas, runs_docs, runs_schemas
from web.api.asking import Body, parsed
from web.api.payouts import ID_MAX, find_run
from web.context import ApiContext
from web.database import bounded
from web.errors import ApiError
from web.services import services

router: Final = APIRouter(tags=["payouts"])

NAMESPACE: Final = "api/"
"""What the names of runs begin with that were asked for here: none of them is a schedule's."""

Reader = Annotated[ApiKey, Depends(allowed_to("payouts:read"))]
Preparer = Annotated[ApiKey, Depends(allowed_to("payouts:prepare"))]
Approver = Annotated[ApiKey, Depends(allowed_to("payouts:approve"))]
ToApprove = Annotated[
    int, Path(ge=1, le=ID_MAX, description="A run that waits for approval.", examples=[2])
]
ToReject = Annotated[
    int, Path(ge=1, le=ID_MAX, description="A run that waits for approval.", examples=[3])
]


@router.post(
    "/v1/runs",
    status_code=202,
    summary="Prepare a run",
    response_model=runs_schemas.PreparedRun,
    responses=runs_docs.PREPARE,
    openapi_extra=runs_docs.PREPARE_BODY,
)
def prepare(
    request: Request,
    key: Preparer,
    body: Body,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=runs_schemas.NAME_MAX,
            pattern=r"^[A-Za-z0-9._:/-]+$",
            description="The run's name, if the body gives none.",
        ),
    ] = None,
) -> dict[str, Any]:
    """Ask for a run of what is due: a worker builds and freezes it, and sends it if no person has to approve.

    Its name, or `Idempotency-Key`, is its key: repeated, nothing more is made, and the run is told as it is.
    """
    wanted = parsed(runs_schemas.PrepareRequest, body)
    name = wanted.name or idempotency_key
    if name is None or idempotency_key not in (None, name):
        message = "name: give the run a name, or send Idempotency-Key; both are the same if both are sent."
        raise ApiError(422, "invalid_request", message, field="name")
    with bounded(services(request).context) as tx:
        try:
            made = service.prepare(
                tx,
                key.merchant_id,
                name=NAMESPACE + name,
                as_of=wanted.as_of,
                minimums=wanted.minimums,
                methods=_methods(wanted),
                actor=actor_of(key),
            )
        except RunDiffers as error:
            raise ApiError(409, "run_differs", str(error), field="name") from None
        except Invalid as error:
            raise ApiError(422, "invalid_request", f"{error}.", field=error.field) from None
        return {"run": _told(tx, key, made.run_id), "repeated": not made.opened}


@router.post(
    "/v1/runs/preview",
    summary="Foresee a run",
    response_model=runs_schemas.RunPreview,
    responses=runs_docs.PREVIEW,
    openapi_extra=runs_docs.PREVIEW_BODY,
)
def preview(request: Request, key: Reader, body: Body) -> dict[str, Any]:
    """Whom a run would pay now, whom not and why, in sums and examples; and what the gateways lack for it."""
    wanted = parsed(runs_schemas.PreviewRequest, body)
    context = services(request).context
    with bounded(context) as tx:
        spec = RunSpec(
            key.merchant_id, "preview", business_now(tx), wanted.minimums, _methods(wanted)
        )
        foreseen = service.foresee(tx, spec, shown=wanted.shown)
        unsent = service.unsent(tx, key.merchant_id)
    # A call over the network: after the transaction.
    funds = service.funds(
        foreseen.needed, unsent, lambda method: _balance(context, key.merchant_id, method)
    )
    return {
        "created": foreseen.totals.created,
        "skipped": foreseen.totals.skipped,
        "reasons": foreseen.totals.reasons,
        "by_currency": foreseen.totals.by_currency,
        "payees": [_line(line) for lines in foreseen.lines.values() for line in lines],
        "complete": foreseen.complete,
        "funds": [asdict(one) for one in funds],
    }


@router.post(
    "/v1/runs/{run_id}/approve",
    summary="Approve a run",
    response_model=payouts_schemas.Run,
    responses=runs_docs.APPROVE,
    openapi_extra=runs_docs.APPROVE_BODY,
)
def approve(request: Request, key: Approver, run_id: ToApprove, body: Body) -> dict[str, Any]:
    """Let a run be sent that another key, person or schedule prepared: what `hash` says, and nothing else."""
    seen = bytes.fromhex(parsed(runs_schemas.ApproveRequest, body).hash)
    with bounded(services(request).context) as tx:
        find_run(tx, key, run_id)
        try:
            approving.approve(tx, run_id, actor=actor_of(key), seen_hash=seen)
        except NotApprovable as error:
            raise ApiError(409, "not_approvable", str(error)) from None
        building.ask_to_finish(tx, key.merchant_id, run_id)
        return _told(tx, key, run_id)


@router.post(
    "/v1/runs/{run_id}/reject",
    summary="Reject a run",
    response_model=payouts_schemas.Run,
    responses=runs_docs.REJECT,
    openapi_extra=runs_docs.REJECT_BODY,
)
def reject(request: Request, key: Approver, run_id: ToReject, body: Body) -> dict[str, Any]:
    """Have a run that waits for approval canceled: its earnings are free for the next one, which may pay them."""
    reason = parsed(runs_schemas.RejectRequest, body).reason
    with bounded(services(request).context) as tx:
        find_run(tx, key, run_id)
        try:
            approving.reject(tx, run_id, actor=actor_of(key), reason=reason)
        except NotApprovable as error:
            raise ApiError(409, "not_approvable", str(error)) from None
        building.ask_to_finish(tx, key.merchant_id, run_id)
        return _told(tx, key, run_id)


def _methods(wanted: runs_schemas.Terms) -> tuple[str, ...]:
    return tuple(dict.fromkeys(wanted.methods))


def _told(tx: Tx, key: ApiKey, run_id: int) -> dict[str, Any]:
    return payouts_schemas.run(find_run(tx, key, run_id))


def _balance(context: ApiContext, merchant_id: int, method: str) -> Balance:
    if context.balance is None:
        return Balance("silent", why="this API process does not ask gateways")
    return context.balance(merchant_id, method)


def _line(line: PreviewLine) -> dict[str, Any]:
    decision = line.decision
    told: dict[str, Any] = {"user_id": line.user_id, "currency": line.currency}
    if isinstance(decision, Pay):
        paid = {"amount": decision.amount, "carried": decision.carried}
        return told | paid | {"reason": foreseeing.PAY, "detail": ""}
    return told | {
        "amount": line.amount,
        "carried": 0,
        "reason": decision.reason,
        "detail": decision.detail,
    }
