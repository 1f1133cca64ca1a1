"""What the operations on codes and hold policies take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from web.api import codes_schemas as models
from web.api.answers import Responses, error, example
from web.api.referrals_docs import LIMIT, NO_PROGRAM, body, writing

_LISTED: Final[dict[str, Any]] = {
    "code": "FRIENDS-7",
    "user_id": "u-7",
    "program": "friends",
    "status": "active",
    "uses": 0,
    "max_uses": None,
    "expires_at": None,
}
_POLICY: Final[dict[str, Any]] = {
    "program": "friends",
    "same_email": True,
    "shared_destination": True,
    "code_per_hour": 20,
    "code_per_day": None,
    "referrer_per_hour": None,
    "referrer_per_day": 50,
}

CODES: Final[Responses] = LIMIT | {
    200: example("A page of codes.", models.Codes, {"codes": [_LISTED], "next": None})
}
BULK: Final[Responses] = writing("users: they are at most 5,000 codes.", "users") | {
    200: example(
        "The codes; the same ones when it is repeated.",
        models.Batch,
        {
            "batch": "spring-1",
            "program": "friends",
            "repeated": False,
            "codes": [
                {"user_id": "u-10", "code": "REF-7K2M9QXAB"},
                {"user_id": "u-11", "code": "REF-3F8TW2NCJ"},
            ],
        },
    ),
    404: NO_PROGRAM,
    409: error(
        "`batch_differs`: its key was used for other codes.",
        "batch_differs",
        "Other codes were asked for by the key 'spring-1'. Ask for these by another key.",
        "batch",
    ),
    413: error(
        "`body_too_large`.",
        "body_too_large",
        "The body may have at most 1 MiB (1048576 bytes). Send what is asked for only.",
    ),
}
BULK_BODY: Final = body(
    models.BulkRequest,
    "Whose codes of which program, with the key of the batch.",
    {"batch": "spring-1", "program": "friends", "users": ["u-10", "u-11"]},
)
CODE_STATUS: Final[Responses] = writing("status: Input should be 'active'.", "status") | {
    200: example("The code.", models.ListedCode, _LISTED | {"status": "suspended"}),
    404: error(
        "`code_not_found`: it is not there, or another merchant's.",
        "code_not_found",
        "There is no code 'NOPE-1'. `payspool codes list` shows them.",
        "code",
    ),
}
CODE_STATUS_BODY: Final = body(
    models.CodeStatusRequest,
    "What the code is from now on, and why.",
    {"status": "suspended", "reason": "posted in a forum"},
)
POLICIES: Final[Responses] = LIMIT | {
    200: example("The policies.", models.HoldPolicies, {"policies": [_POLICY]})
}
POLICY: Final[Responses] = writing("code_per_hour: is from 1.", "code_per_hour") | {
    200: example("The policy.", models.HoldPolicy, _POLICY),
    404: NO_PROGRAM,
}
POLICY_BODY: Final = body(
    models.HoldPolicyRequest,
    "The policy: all of it. What is left out has its default.",
    {"program": "friends", "code_per_hour": 20, "referrer_per_day": 50},
)
