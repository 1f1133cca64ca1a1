"""`/v1/loyalty/reports`: what was issued, redeemed, voided and expired, and what is owed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

import psycopg
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.exc import DBAPIError

from domain.access.service import ApiKey
from domain.errors import Invalid, NotFound
from domain.loyalty.rules.reporting import wanted
from domain.loyalty.service import reporting
from domain.loyalty.service.reporting import Report
from web.access import allowed_to
from web.api import loyalty_reports_docs as docs
from web.database import bounded
from web.errors import ApiError
from web.services import services

router: Final = APIRouter(tags=["loyalty"])


def _only(what: str) -> Any:
    return Query(max_length=100, description=f"Count what is of this {what} alone.")


@router.get(
    "/v1/loyalty/reports",
    summary="What was issued, redeemed, voided and expired",
    response_model=docs.LoyaltyReport,
    response_model_exclude_unset=True,
    responses=docs.REPORT,
)
def report(
    request: Request,
    key: Annotated[ApiKey, Depends(allowed_to("loyalty:read"))],
    first: Annotated[
        str, Query(alias="from", max_length=10, description="First day.", examples=["2026-06-01"])
    ],
    last: Annotated[
        str, Query(alias="to", max_length=10, description="Last day.", examples=["2026-06-30"])
    ],
    by: Annotated[
        list[str],
        Query(
            max_length=5,
            description="Divide by `program`, `store`, `type`, `staff`, `device`; several times.",
        ),
    ] = [],  # noqa: B006 — FastAPI copies it
    per: Annotated[str | None, Query(description="Divide by `day`, `week`, `month`.")] = None,
    zone: Annotated[
        str | None,
        Query(
            max_length=50,
            description="IANA zone of the days; absent: the programs' if they share one, else UTC.",
        ),
    ] = None,
    program: Annotated[str | None, _only("program")] = None,
    store: Annotated[str | None, _only("store")] = None,
    type: Annotated[str | None, _only("type")] = None,
    staff: Annotated[str | None, _only("staff PIN")] = None,
    device: Annotated[str | None, _only("device")] = None,
) -> dict[str, Any]:
    """Sum the history of the cards of the key's merchant, by when things happened; late and backdated rows are
    in it. Of at most 10,000 rows.

    Points: `issued + imported + adjusted − taken_back − redeemed + given_back − expired + restored = net`.
    """
    only = {"program": program, "store": store, "type": type, "staff": staff, "device": device}
    try:
        with bounded(services(request).context) as tx:
            asked = wanted(
                first,
                last,
                zone=zone or reporting.zone_of(tx, key.merchant_id, program),
                by=by,
                per=per,
                **only,
            )
            return _answer(reporting.report(tx, key.merchant_id, asked))
    except NotFound as error:
        raise ApiError(404, "program_not_found", str(error), field="program") from error
    except Invalid as error:
        raise ApiError(422, "invalid_request", str(error), field=error.field) from error
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise
        raise ApiError(422, "report_too_large", docs.TOO_LARGE, field="to") from error


def _answer(told: Report) -> dict[str, Any]:
    return {
        "from": told.wanted.since,
        "until": told.wanted.until,
        "zone": told.wanted.zone,
        "rows": told.rows,
        "programs": [asdict(one) for one in told.owed],
    }
