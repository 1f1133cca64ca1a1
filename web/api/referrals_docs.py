"""What the operations on programs, codes, holds and trackings take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from web.api import answers
from web.api import referrals_schemas as models
from web.api.answers import Responses, error, example

_TERMS: Final[dict[str, Any]] = {
    "rule": {"kind": "percentage", "basis_points": 1000, "cap": 5000},
    "referee_rule": {"amount": 500},
    "currency": "eur",
    "hold_days": 14,
    "window_days": 30,
    "max_rewards_per_referrer": None,
    "min_amount": 1000,
    "payout_method": None,
    "starts_at": None,
    "ends_at": "2030-01-01T00:00:00Z",
    "codes_per_user": None,
}
_PROGRAM: Final = {"key": "winter", "name": "Winter", "status": "active", "version": 1} | _TERMS
_COUNTS: Final = {
    "conversions": 1,
    "volume": 12900,
    "earned": 1290,
    "referee_earned": 500,
    "reversals": 0,
    "refunded": 0,
    "reversed": 0,
    "referee_reversed": 0,
}
_HOLD: Final[dict[str, Any]] = {
    "id": 1,
    "tracking_id": 17,
    "kind": "velocity",
    "ref": "code/hour",
    "evidence": {
        "per": "code",
        "span": "hour",
        "from": "2026-11-20T09:00:00+00:00",
        "limit": 20,
        "conversion": 21,
    },
    "held_at": "2026-11-20T09:30:00Z",
    "outcome": None,
    "closed_at": None,
    "closed_by": None,
    "close_reason": None,
    "program": "friends",
    "code": "REF-7K2M9Q",
    "transaction_id": "ord-1881",
    "referrer_user_id": "u-7",
    "referred_user_id": "u-42",
    "amount_earned": 1290,
    "referee_amount_earned": 500,
    "reversed_amount": 0,
    "currency": "eur",
}
_TRACKING: Final[dict[str, Any]] = {
    "id": 17,
    "program": "friends",
    "program_version": 1,
    "code": "REF-7K2M9Q",
    "referrer_user_id": "u-7",
    "referred_user_id": "u-42",
    "transaction_id": "ord-1881",
    "transaction_amount": 12900,
    "amount_earned": 1290,
    "referee_amount_earned": 500,
    "currency": "eur",
    "converted_at": "2026-11-20T09:30:00Z",
    "refunded_amount": 0,
    "dispute_lost": False,
    "reversed_amount": 0,
    "referee_reversed_amount": 0,
    "available_at": "2026-12-04T09:30:00Z",
    "payout_id": None,
    "payout_status": "pending",
    "explanation": {"rule": "percentage", "of": 12900, "basis_points": 1000, "version": 1},
}


def _reading(wrong: str, field: str) -> Responses:
    return answers.reading("referrals:read", wrong, field)


def writing(wrong: str, field: str) -> Responses:
    """The errors of an operation that changes something, with a body."""
    return answers.reading("referrals:write", wrong, field) | answers.WITH_BODY


def body(model: type[BaseModel], description: str, value: dict[str, Any]) -> dict[str, Any]:
    """A documented body."""
    return answers.json_body(description, model, value)


NO_PROGRAM: Final = error(
    "`program_not_found`.",
    "program_not_found",
    "There is no program 'nope'. `payspool programs list` shows them.",
    "program",
)
_NO_HOLD: Final = error(
    "`hold_not_found`: it is not there, or another merchant's.",
    "hold_not_found",
    "There is no hold '9'. `payspool holds list` shows them.",
    "hold",
)
_NOT_NOW: Final = error(
    "`not_allowed`: it is decided already, or is a dispute.",
    "not_allowed",
    "Hold 1 was released by ada already.",
)
_TAKEN: Final = error("`already_exists`.", "already_exists", "There is already a program 'winter'.")
LIMIT: Final = _reading("limit: Input should be less than or equal to 500.", "limit")
_TOLD: Final = _reading("user: String should have at most 100 characters.", "user")

PROGRAMS: Final[Responses] = LIMIT | {
    200: example("The programs.", models.Programs, {"programs": [_PROGRAM]})
}
CREATE: Final[Responses] = writing("rule.kind: is one of one_time, percentage.", "rule.kind") | {
    200: example("The program.", models.Program, _PROGRAM),
    409: _TAKEN,
}
CREATE_BODY: Final = body(
    models.ProgramRequest,
    "The program's key and terms; docs/reference/rules.md has the rules.",
    {"key": "winter", "name": "Winter"} | _TERMS,
)
CHANGE: Final[Responses] = writing("currency: is a lower-case ISO 4217 code.", "currency") | {
    200: example("The program at its new version.", models.Program, _PROGRAM | {"version": 2}),
    404: NO_PROGRAM,
    409: error(
        "`not_allowed`: the program has ended.",
        "not_allowed",
        "The program 'friends' has ended; create a new one.",
    ),
}
CHANGE_BODY: Final = body(models.TermsRequest, "The new terms: all of them.", _TERMS)
STATUS: Final[Responses] = writing("status: Input should be 'active'.", "status") | {
    200: example("The program.", models.Program, _PROGRAM | {"status": "paused"}),
    404: NO_PROGRAM,
    409: error(
        "`not_allowed`: an ended program stays ended.",
        "not_allowed",
        "The program 'friends' has ended and stays so; create a new one.",
    ),
}
STATUS_BODY: Final = body(
    models.StatusRequest, "What the program is from now on.", {"status": "paused"}
)
COPY: Final[Responses] = writing("key: String should have at least 1 character.", "key") | {
    200: example("The new program.", models.Program, _PROGRAM | {"key": "winter-2"}),
    404: NO_PROGRAM,
    409: _TAKEN,
}
COPY_BODY: Final = body(
    models.CopyRequest, "The new program's key.", {"key": "winter-2", "name": "Winter again"}
)
STATISTICS: Final[Responses] = _reading("since: Input should be a valid date.", "since") | {
    200: example(
        "What it did.",
        models.Statistics,
        {
            "program": "friends",
            "currency": "eur",
            "total": _COUNTS,
            "days": [{"day": "2026-11-20"} | _COUNTS],
        },
    ),
    404: NO_PROGRAM,
}
CODE: Final[Responses] = writing("max_uses: is from 1 to 2147483647.", "max_uses") | {
    200: example(
        "The code.",
        models.Code,
        {"code": "VANITY-26", "program": "friends", "user_id": "u-7"},
    ),
    404: NO_PROGRAM,
    409: error(
        "`already_exists`.",
        "already_exists",
        "There is already a code 'VANITY-26'. Choose another.",
    ),
}
CODE_BODY: Final = body(
    models.CodeRequest,
    "Whose code of which program; without `code`, one is made.",
    {"program": "friends", "user_id": "u-7", "code": "VANITY-26"},
)
VALIDATE: Final[Responses] = _reading(
    "referred_user_id: String should have at most 100 characters.", "referred_user_id"
) | {
    200: example(
        "Whether it could be used; a code that is not there is an answer too.",
        models.Validation,
        {
            "code": "FRIENDS-7",
            "valid": True,
            "reason": None,
            "message": None,
            "program": "friends",
            "user_id": "u-7",
            "uses_left": None,
            "expires_at": None,
            "referee_rule": {"amount": 500},
            "currency": "eur",
        },
    ),
    404: error(
        "`not_found`: the path holds what no code can have, as a line break.",
        "not_found",
        "Not Found. /openapi.json lists the paths and their methods.",
    ),
}
HOLDS: Final[Responses] = LIMIT | {
    200: example("A page of holds.", models.Holds, {"holds": [_HOLD], "next": None})
}
_ENDED: Final = {"closed_at": "2026-11-21T08:00:00Z", "close_reason": "a family, asked both"}
RELEASE: Final[Responses] = writing("reason: Field required.", "reason") | {
    200: example(
        "It is released.",
        models.Hold,
        _HOLD | _ENDED | {"outcome": "released", "closed_by": "acme/desk"},
    ),
    404: _NO_HOLD,
    409: _NOT_NOW,
}
REJECT: Final[Responses] = writing("reason: Field required.", "reason") | {
    200: example(
        "What was earned is void, or taken back where a payout has it.",
        models.RejectedHold,
        _HOLD | _ENDED | {"outcome": "rejected", "closed_by": "acme/desk", "payouts": []},
    ),
    404: _NO_HOLD,
    409: _NOT_NOW,
}
DECISION_BODY: Final = body(
    models.DecisionRequest, "Why, for the audit trail.", {"reason": "a family, asked both"}
)
TRACKINGS: Final[Responses] = _TOLD | {
    200: example(
        "A page of trackings.", models.Trackings, {"trackings": [_TRACKING], "next": None}
    ),
    404: error(
        "`not_found`: the path holds what no user id can have, as a line break.",
        "not_found",
        "Not Found. /openapi.json lists the paths and their methods.",
    ),
}
TRACKING: Final[Responses] = _reading(
    "tracking_id: Input should be a valid integer.", "tracking_id"
) | {
    200: example(
        "The tracking, and why.",
        models.TrackingExplained,
        {
            "tracking": _TRACKING,
            "terms": {
                "rule": {"kind": "percentage", "basis_points": 1000},
                "referee_rule": {"amount": 500},
                "hold_days": 14,
                "source": "shop-eu",
                "event_id": "ord-1881/paid",
                "received_at": "2026-11-20T09:30:01Z",
            },
            "reversals": [],
            "holds": [],
            "earnings": [],
            "why": [
                "The percentage rule of version 1 of the program friends gives 10 % of 129.00 EUR: 12.90 EUR."
            ],
        },
    ),
    404: error(
        "`tracking_not_found`: it is not there, or another merchant's.",
        "tracking_not_found",
        "There is no tracking '9'. `payspool earnings history` shows them.",
        "tracking",
    ),
}
