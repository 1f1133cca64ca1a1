"""Runs and payouts: why somebody was paid this amount, or was not; a retry, and a cancellation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from domain.access.service import ApiKey, actor_of
from domain.audit import service as audit
from domain.db import Tx
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout, NotCancelable, NotRetryable, NotReversible
from domain.payouts.rules.explaining import masked
from domain.payouts.store import looking
from payspool_client.events.fields import USER_ID_MAX
from web.access import allowed_to
from web.api import payouts_docs, payouts_schemas
from web.api.asking import Body, parsed
from web.api.event_status import NO_NUL
from web.api.payouts_schemas import Method, PayoutState, RunState
from web.database import bounded
from web.errors import ApiError
from web.services import services

router: Final = APIRouter(tags=["payouts"])

PAGE: Final = 100
PAGE_MAX: Final = 500
ID_MAX: Final = 2**63 - 1


Reader = Annotated[ApiKey, Depends(allowed_to("payouts:read"))]
Writer = Annotated[ApiKey, Depends(allowed_to("payouts:write"))]
RunId = Annotated[
    int, Path(ge=1, le=ID_MAX, description="As `GET /v1/runs` numbers it.", examples=[1])
]
PayoutId = Annotated[
    int, Path(ge=1, le=ID_MAX, description="As `GET /v1/payouts` numbers it.", examples=[1])
]
FailedPayoutId = Annotated[
    int, Path(ge=1, le=ID_MAX, description="A payout that failed.", examples=[2])
]
UnsentPayoutId = Annotated[
    int, Path(ge=1, le=ID_MAX, description="A payout that was not paid.", examples=[3])
]
PaidPayoutId = Annotated[
    int, Path(ge=1, le=ID_MAX, description="A payout that was paid.", examples=[6])
]
Cursor = Annotated[
    int | None, Query(ge=1, le=ID_MAX, description="`next` of the page before; absent: the first.")
]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="How many a page shows at most.")]


@router.get(
    "/v1/runs",
    summary="The runs",
    response_model=payouts_schemas.Runs,
    responses=payouts_docs.RUNS,
)
def runs(
    request: Request,
    key: Reader,
    state: Annotated[RunState | None, Query(description="Only those in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> dict[str, Any]:
    """The runs of the key's merchant, newest first, each with what it made and whom it left out, by reason."""
    with bounded(services(request).context) as tx:
        found = looking.runs(tx, key.merchant_id, state=state, before=cursor, limit=limit + 1)
    page, after = _cut(found, limit, "id")
    return {"runs": [payouts_schemas.run(row) for row in page], "next": after}


@router.get(
    "/v1/runs/{run_id}",
    summary="A run",
    response_model=payouts_schemas.Run,
    responses=payouts_docs.RUN,
)
def run(request: Request, key: Reader, run_id: RunId) -> dict[str, Any]:
    """A run: its time, minimums and methods, what it made, its hash, and who approved it."""
    with bounded(services(request).context) as tx:
        return payouts_schemas.run(find_run(tx, key, run_id))


@router.get(
    "/v1/runs/{run_id}/exclusions",
    summary="Whom a run left out",
    response_model=payouts_schemas.Exclusions,
    responses=payouts_docs.EXCLUSIONS,
)
def exclusions(
    request: Request, key: Reader, run_id: RunId, cursor: Cursor = None, limit: Limit = PAGE
) -> dict[str, Any]:
    """Each payee and currency that a run did not pay, and why: whoever was due something is in a payout, or here."""
    with bounded(services(request).context) as tx:
        find_run(tx, key, run_id)
        found = looking.exclusions(tx, run_id, after=cursor, limit=limit + 1)
    page, after = _cut(found, limit, "account_id")
    return {"exclusions": [_told(row) for row in page], "next": after}


@router.get(
    "/v1/payouts",
    summary="The payouts",
    response_model=payouts_schemas.Payouts,
    responses=payouts_docs.PAYOUTS,
)
def payouts(
    request: Request,
    key: Reader,
    user: Annotated[
        str | None,
        Query(
            min_length=1, max_length=USER_ID_MAX, pattern=NO_NUL, description="Only this user's."
        ),
    ] = None,
    state: Annotated[PayoutState | None, Query(description="Only those in this state.")] = None,
    run: Annotated[int | None, Query(ge=1, le=ID_MAX, description="Only this run's.")] = None,
    method: Annotated[Method | None, Query(description="Only those of this method.")] = None,
    currency: Annotated[
        str | None, Query(pattern="^[a-z]{3}$", description="Only those in this currency.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> dict[str, Any]:
    """The payouts of the key's merchant, newest first, with the trackings inside and what each waits for."""
    with bounded(services(request).context) as tx:
        found = looking.payouts(
            tx,
            key.merchant_id,
            user_id=user,
            state=state,
            run_id=run,
            method=method,
            currency=currency,
            before=cursor,
            limit=limit + 1,
        )
    page, after = _cut(found, limit, "id")
    return {"payouts": [_told(row) for row in page], "next": after}


@router.get(
    "/v1/payouts/{payout_id}",
    summary="A payout, and why",
    response_model=payouts_schemas.PayoutExplained,
    responses=payouts_docs.PAYOUT,
)
def payout(
    request: Request, key: Reader, payout_id: PayoutId, cursor: Cursor = None, limit: Limit = PAGE
) -> dict[str, Any]:
    """A payout with the earnings in it, every attempt to send it, its run, and why it is where it is."""
    with _known(), bounded(services(request).context) as tx:
        found = service.explain_payout(
            tx,
            key.merchant_id,
            key.merchant_key,
            payout_id,
            after_member=cursor,
            members=limit,
        )
    return {
        "payout": _told(found.payout),
        "run": payouts_schemas.run(found.run),
        "why": [masked(sentence) for sentence in found.why],
        "members": [row._mapping for row in found.members],
        "next": found.next_member,
        "attempts": [_told(row) for row in found.attempts],
        "reversals": [_told(row) for row in found.reversals],
    }


@router.post(
    "/v1/payouts/{payout_id}/retry",
    summary="Retry a payout",
    response_model=payouts_schemas.PayoutAsked,
    responses=payouts_docs.RETRY,
)
def retry(request: Request, key: Writer, payout_id: FailedPayoutId) -> dict[str, Any]:
    """Have a failed payout sent again under a new attempt. An unknown one is resolved by itself, never retried."""
    with _known(), bounded(services(request).context) as tx:
        _of_merchant(tx, key, payout_id)
        try:
            service.retry(tx, payout_id)
        except NotRetryable as error:
            raise ApiError(409, "not_retryable", masked(str(error))) from None
        _record(tx, key, "payout.retried", payout_id, None)
        return _asked(tx, key, payout_id)


@router.post(
    "/v1/payouts/{payout_id}/cancel",
    summary="Cancel a payout",
    response_model=payouts_schemas.PayoutAsked,
    responses=payouts_docs.CANCEL,
    openapi_extra=payouts_docs.CANCEL_BODY,
)
def cancel(
    request: Request,
    key: Writer,
    payout_id: UnsentPayoutId,
    body: Body,
) -> dict[str, Any]:
    """Give a payout up that has not been paid, and cannot have been: the next run pays its earnings."""
    reason = parsed(payouts_schemas.CancelRequest, body).reason
    with _known(), bounded(services(request).context) as tx:
        _of_merchant(tx, key, payout_id)
        try:
            service.cancel(tx, payout_id, reason=reason)
        except NotCancelable as error:
            raise ApiError(409, "not_cancelable", masked(str(error))) from None
        _record(tx, key, "payout.canceled", payout_id, reason)
        return _asked(tx, key, payout_id)


@router.post(
    "/v1/payouts/{payout_id}/reverse",
    summary="Take a payout back",
    response_model=payouts_schemas.PayoutAsked,
    responses=payouts_docs.REVERSE,
    openapi_extra=payouts_docs.REVERSE_BODY,
)
def reverse(
    request: Request,
    key: Writer,
    payout_id: PaidPayoutId,
    body: Body,
) -> dict[str, Any]:
    """Have the gateway take back a paid payout, or a part of it. A worker asks it; the payout shows the outcome."""
    asked = parsed(payouts_schemas.ReverseRequest, body)
    with _known(), bounded(services(request).context) as tx:
        try:
            service.request_reversal(
                tx,
                key.merchant_id,
                payout_id,
                amount=asked.amount,
                reason=asked.reason,
                actor=actor_of(key),
                came_back=asked.reversed_amount,
            )
        except NotReversible as error:
            code = "reversal_in_progress" if error.code == "in_progress" else "not_reversible"
            raise ApiError(409, code, masked(str(error))) from None
        return _asked(tx, key, payout_id)


def find_run(tx: Tx, key: ApiKey, run_id: int) -> Any:
    """A run of the key's merchant. Raises ApiError: 404."""
    found = looking.run(tx, key.merchant_id, run_id)
    if found is None:
        message = f"The merchant {key.merchant_key!r} has no run {run_id}. GET /v1/runs lists them."
        raise ApiError(404, "run_not_found", message, field="run_id")
    return found


@contextmanager
def _known() -> Iterator[None]:
    """What is not there, or is another merchant's, is a 404."""
    try:
        yield
    except NoSuchPayout as error:
        message = f"{error} GET /v1/payouts lists those of the key's merchant."
        raise ApiError(404, "payout_not_found", message, field="payout_id") from None


def _of_merchant(tx: Tx, key: ApiKey, payout_id: int) -> None:
    if service.route(tx, payout_id).merchant_id != key.merchant_id:
        raise NoSuchPayout("payout", payout_id)


def _record(tx: Tx, key: ApiKey, action: str, payout_id: int, reason: str | None) -> None:
    audit.record(
        tx,
        actor_of(key),
        action,
        merchant_id=key.merchant_id,
        subject_kind="payout",
        subject_id=payout_id,
        reason=reason,
    )


def _asked(tx: Tx, key: ApiKey, payout_id: int) -> dict[str, Any]:
    now = service.explain_payout(tx, key.merchant_id, key.merchant_key, payout_id, members=1)
    why = [masked(sentence) for sentence in now.why]
    return {"id": payout_id, "status": now.payout.status, "why": why}


def _told(row: Any) -> Mapping[str, Any]:
    """A row as it is answered: its sentences without the accounts in them."""
    told = dict(row._mapping)
    for name in ("error_message", "waits_for", "detail"):
        if told.get(name) is not None:
            told[name] = masked(told[name])
    return told


def _cut(rows: Sequence[Any], limit: int, key: str) -> tuple[Sequence[Any], int | None]:
    """A page of rows of which one more was asked for, and the cursor of the next one."""
    page = rows[:limit]
    return page, getattr(page[-1], key) if len(rows) > limit else None
