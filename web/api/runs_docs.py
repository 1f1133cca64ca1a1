"""What the operations that prepare, foresee, approve and reject runs take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Final

from web.api import answers, payouts_schemas, runs_schemas
from web.api.answers import Responses, error, example, json_body
from web.api.payouts_docs import NO_RUN, RUN_SHOWN

_OPENED: Final = RUN_SHOWN | {
    "id": 4,
    "name": "api/2026-12-friday",
    "state": "building",
    "methods": ["stripe"],
    "created": 0,
    "skipped": 0,
    "reasons": {},
    "by_currency": {},
    "prepared_by": "acme/desk",
    "frozen_at": None,
    "approved_at": None,
    "approved_by": None,
}
_HASH: Final = "0383ae1ad4b88376fe9f48692ba5c47983982eb3a4cdecdc364f667f30c80c0c"
_WAITED: Final = RUN_SHOWN | {
    "id": 2,
    "needs_approval": True,
    "approval_expires_at": "2026-12-04T06:00:02.118Z",
    "members_hash": _HASH,
}


def _writing(scope: str, wrong: str, field: str) -> Responses:
    return answers.reading(scope, wrong, field) | answers.WITH_BODY


_NOT_APPROVABLE: Final = error(
    "`not_approvable`: it does not wait, its time is over, its hash is another one, or who asks prepared it.",
    "not_approvable",
    "Run 2 cannot be approved: acme/desk prepared it; another person has to approve it.",
)

PREPARE_BODY: Final = json_body(
    "Which run; a name, or `Idempotency-Key`, is needed.",
    runs_schemas.PrepareRequest,
    {"name": "2026-12-friday", "methods": ["stripe"], "minimums": {"eur": 1000}},
)
PREPARE: Final[Responses] = _writing(
    "payouts:prepare", "as_of: lies in the future; it is 2026-12-01 06:00:00 UTC.", "as_of"
) | {
    202: example(
        "It is opened, or was before; a worker builds it.",
        runs_schemas.PreparedRun,
        {"run": _OPENED, "repeated": False},
    ),
    409: error(
        "`run_differs`: its name was given to a run with another time, other methods or other minimums.",
        "run_differs",
        "Run 4 is named 'api/2026-12-friday' and has another time, other methods or other minimums; what"
        " was asked for stays. Give another name.",
        "name",
    ),
}

PREVIEW_BODY: Final = json_body(
    "What the run would be asked to pay, of what is due now.",
    runs_schemas.PreviewRequest,
    {"methods": ["stripe"], "minimums": {"eur": 1000}, "shown": 5},
)
PREVIEW: Final[Responses] = _writing(
    "payouts:read", "shown: Input should be less than or equal to 100.", "shown"
) | {
    200: example(
        "What it would do.",
        runs_schemas.RunPreview,
        {
            "created": 1,
            "skipped": 1,
            "reasons": {"below_minimum": 1},
            "by_currency": {"eur": {"payouts": 1, "amount": 1290}},
            "payees": [
                {
                    "user_id": "u-7",
                    "currency": "eur",
                    "amount": 1290,
                    "carried": 0,
                    "reason": "pay",
                    "detail": "",
                },
                {
                    "user_id": "u-8",
                    "currency": "eur",
                    "amount": 490,
                    "carried": 0,
                    "reason": "below_minimum",
                    "detail": "490 of at least 1000",
                },
            ],
            "complete": True,
            "funds": [
                {
                    "method": "stripe",
                    "currency": "eur",
                    "needed": 1290,
                    "waiting": 0,
                    "available": 1000,
                    "shortfall": 290,
                    "why": None,
                }
            ],
        },
    )
}

APPROVE_BODY: Final = json_body(
    "What is approved: the hash of the run as it was looked at.",
    runs_schemas.ApproveRequest,
    {"hash": _HASH},
)
APPROVE: Final[Responses] = _writing(
    "payouts:approve", "hash: String should match pattern '^[0-9a-f]{64}$'.", "hash"
) | {
    200: example(
        "It is approved; a worker hands its payouts over.",
        payouts_schemas.Run,
        _WAITED | {"state": "approved", "approved_by": "acme/treasury"},
    ),
    404: NO_RUN,
    409: _NOT_APPROVABLE,
}

REJECT_BODY: Final = json_body(
    "Why, in 1 to 500 characters: it is kept with the run and in the audit trail.",
    runs_schemas.RejectRequest,
    {"reason": "May was paid by hand"},
)
REJECT: Final[Responses] = _writing(
    "payouts:approve", "reason: String should have at least 1 character.", "reason"
) | {
    200: example(
        "It is rejected; a worker cancels its payouts.",
        payouts_schemas.Run,
        _WAITED
        | {
            "id": 3,
            "state": "rejected",
            "approved_at": None,
            "approved_by": None,
            "rejected_at": "2026-12-01T09:14:00Z",
            "rejected_by": "acme/treasury",
            "reject_reason": "May was paid by hand",
        },
    ),
    404: NO_RUN,
    409: _NOT_APPROVABLE,
}
