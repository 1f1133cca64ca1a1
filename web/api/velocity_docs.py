"""What the operations on velocity answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from web.api import answers
from web.api import velocity_schemas as models
from web.api.answers import Responses, error, example
from web.api.referrals_docs import body, writing

_LIMIT: Final[dict[str, Any]] = {
    "per": "pin",
    "what": "earn",
    "minutes": 60,
    "count": 30,
    "points": None,
    "then": "hold",
}
_POLICY: Final[dict[str, Any]] = {"program": None, "limits": [_LIMIT]}
_CASE: Final[dict[str, Any]] = {
    "id": 2,
    "action": "hold",
    "program": "points",
    "card": "4006381333931",
    "points": 129,
    "evidence": [
        {
            "per": "pin",
            "what": "earn",
            "minutes": 60,
            "from": "2026-11-20T09:00:00+00:00",
            "then": "hold",
            "count": 30,
            "reached": 31,
        }
    ],
    "found_at": "2026-11-20T09:30:00Z",
    "source": "till-7",
    "event_id": "till-7/sale/4711",
    "type": "loyalty.points_earned",
    "occurred_at": "2026-11-20T09:30:00Z",
    "status": "rejected",
    "reason": "velocity_held",
    "store": "berlin-1",
    "pin": "ann",
    "device": "tablet-1",
    "address": None,
    "outcome": None,
    "closed_at": None,
    "closed_by": None,
    "close_reason": None,
}
_SETTLED: Final[dict[str, Any]] = {
    "case": 1,
    "outcome": "released",
    "status": "applied",
    "reason": None,
    "detail": None,
    "undone_by": None,
}


def _admin(responses: Responses) -> Responses:
    return responses | {403: answers.no_scope("loyalty:admin")}


_READING: Final = answers.reading(
    "loyalty:admin", "limit: Input should be less than or equal to 500.", "limit"
)
_NO_CASE: Final = error(
    "`velocity_case_not_found`: it is not there, or another merchant's.",
    "velocity_case_not_found",
    "There is no velocity case '9'. `payspool loyalty velocity list` shows them.",
    "velocity_case",
)
_ENDED: Final = error(
    "`not_allowed`: it has ended.", "not_allowed", "Velocity case 1 was released by ada already."
)
CASES: Final[Responses] = _READING | {
    200: example("A page of cases.", models.VelocityCases, {"cases": [_CASE], "next": None})
}
_DECIDING: Final[Responses] = _admin(writing("reason: Field required.", "reason")) | {
    404: _NO_CASE,
    409: _ENDED,
}
RELEASE: Final[Responses] = _DECIDING | {
    200: example("What became of it.", models.VelocitySettled, _SETTLED)
}
REJECT: Final[Responses] = _DECIDING | {
    200: example(
        "What became of it.",
        models.VelocitySettled,
        _SETTLED
        | {
            "outcome": "rejected",
            "status": "rejected",
            "reason": "velocity_rejected",
            "detail": "a person rejected it: velocity case 1",
        },
    )
}
DECISION_BODY: Final = body(
    models.VelocityDecision, "Why, for the audit trail.", {"reason": "a bus tour"}
)
POLICIES: Final[Responses] = _READING | {
    200: example("The policies.", models.VelocityPolicies, {"policies": [_POLICY]})
}
POLICY: Final[Responses] = _admin(writing("limits.0: needs a `count`.", "limits.0")) | {
    200: example("The policy.", models.VelocityPolicy, _POLICY),
    404: error("`program_not_found`.", "program_not_found", "There is no program 'no'.", "program"),
}
POLICY_BODY: Final = body(
    models.VelocityPolicy, "All limits of a policy; none at all limits nothing.", _POLICY
)
