"""What users earned, and how they are paid."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from domain import clock
from domain.access.service import ApiKey
from domain.earnings import service as earnings
from domain.payouts.rules.explaining import masked
from domain.payouts.store import looking
from payspool_client.events.fields import USER_ID_MAX
from web.access import allowed_to
from web.api import answers, schemas
from web.api.answers import Responses, error, example
from web.api.event_status import NO_NUL
from web.database import bounded
from web.errors import ApiError
from web.services import services

router: Final = APIRouter(tags=["people"])

UserId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=USER_ID_MAX,
        pattern=NO_NUL,
        description="The user as events name them.",
        examples=["u-7"],
    ),
]
Reader = Annotated[ApiKey, Depends(allowed_to("earnings:read"))]
PayoutsReader = Annotated[ApiKey, Depends(allowed_to("payouts:read"))]

_ERRORS: Final = answers.reading(
    "earnings:read", "user: String should have at most 100 characters.", "user"
)
_EARNINGS: Final[Responses] = _ERRORS | {
    200: example(
        "Per currency; none where nothing was earned.",
        schemas.UserEarnings,
        {
            "user_id": "u-7",
            "as_of": "2026-11-20T09:40:00Z",
            "currencies": [
                {
                    "currency": "eur",
                    "earnings": 4,
                    "owed": 2580,
                    "due": 1290,
                    "pending": 1290,
                    "held": 0,
                    "voided": 0,
                    "in_payouts": {"paid": 2580},
                }
            ],
        },
    ),
    404: error(
        "`not_found`: the path holds what no user id can have, as a line break.",
        "not_found",
        "Not Found. /openapi.json lists the paths and their methods.",
    ),
}


def _no_payee(merchant_key: str, user: str) -> str:
    return (
        f"The merchant {merchant_key!r} has no payee {user!r}. It appears with its first payee.updated"
        " event."
    )


_PAYEE_ROW: Final = {
    "user_id": "u-7",
    "method": "stripe",
    "ready": False,
    "reason": "payee_not_ready",
    "message": "No payout account is known: send payee.updated with one.",
    "owed": {"eur": 2580},
}
_PAYEES: Final[Responses] = answers.reading(
    "payouts:read", "limit: Input should be less than or equal to 500.", "limit"
) | {200: example("A page of payees.", schemas.Payees, {"payees": [_PAYEE_ROW], "next": None})}
_PAYEE: Final[Responses] = _ERRORS | {
    200: example(
        "The payee.",
        schemas.Payee,
        {
            **_PAYEE_ROW,
            "last_exclusion": {
                "run_id": 1,
                "currency": "eur",
                "amount": 2580,
                "reason": "payee_not_ready",
                "detail": "no payout account is known for this payee",
                "created_at": "2026-12-01T06:00:01.880Z",
            },
        },
    ),
    404: error("`payee_not_found`.", "payee_not_found", _no_payee("acme", "u-7"), "user"),
}


# A user id may have slashes: it is the producer's, as auth0|7 or shop/7.
@router.get(
    "/v1/users/{user:path}/earnings",
    summary="What a user earned",
    response_model=schemas.UserEarnings,
    responses=_EARNINGS,
)
def user_earnings(request: Request, key: Reader, user: UserId) -> dict[str, Any]:
    """What a user of the key's merchant earned, per currency and state, as of now in business time."""
    with bounded(services(request).context) as tx:
        now = clock.business_now(tx)
        found = earnings.summary(tx, key.merchant_id, user, now)
    return {
        "user_id": user,
        "as_of": now,
        "currencies": [
            {
                "currency": one.currency,
                "earnings": one.earnings,
                "owed": one.owed,
                "due": one.due,
                "pending": one.pending,
                "held": one.held,
                "voided": one.voided,
                "in_payouts": one.in_payouts,
            }
            for one in found
        ],
    }


@router.get(
    "/v1/payees",
    summary="The payees",
    response_model=schemas.Payees,
    responses=_PAYEES,
)
def payees(
    request: Request,
    key: PayoutsReader,
    cursor: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=USER_ID_MAX,
            pattern=NO_NUL,
            description="`next` of the page before; absent: the first.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="How many a page shows at most.")] = 100,
) -> dict[str, Any]:
    """The payees of the key's merchant, by user, with what each is owed and whether they could be paid now."""
    with bounded(services(request).context) as tx:
        found = looking.payees(tx, key.merchant_id, after=cursor, limit=limit + 1)
    page = found[:limit]
    return {
        "payees": [_payee(row) for row in page],
        "next": page[-1].user_id if len(found) > limit else None,
    }


@router.get(
    "/v1/payees/{user:path}",
    summary="How a user is paid",
    response_model=schemas.Payee,
    responses=_PAYEE,
)
def payee(request: Request, key: Reader, user: UserId) -> dict[str, Any]:
    """Whether a user of the key's merchant could be paid now, and if not, why; what they are owed, and why
    the last run that left them out did so."""
    with bounded(services(request).context) as tx:
        found = looking.payee(tx, key.merchant_id, user)
        if found is None:
            raise ApiError(404, "payee_not_found", _no_payee(key.merchant_key, user), field="user")
        left_out = looking.last_exclusion(tx, key.merchant_id, user)
    last = None
    if left_out is not None:
        last = dict(left_out._mapping) | {"detail": masked(left_out.detail)}
    return _payee(found) | {"last_exclusion": last}


def _payee(row: Any) -> dict[str, Any]:
    reason, message = None, None
    if not row.account:
        reason = "payee_not_ready"
        message = "No payout account is known: send payee.updated with one."
    elif row.blocked_reason:
        reason, message = "blocked", masked(row.blocked_reason)
    return {
        "user_id": row.user_id,
        "method": row.method,
        "ready": reason is None,
        "reason": reason,
        "message": message,
        "owed": row.owed,
    }
