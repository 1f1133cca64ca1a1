"""What the operations on runs and payouts take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from web.api import answers, payouts_schemas
from web.api.answers import Responses, error, example

RUN_SHOWN: Final[dict[str, Any]] = {
    "id": 1,
    "name": "payouts.run/acme",
    "state": "sending",
    "as_of": "2026-12-01T06:00:00Z",
    "minimums": {"eur": 1000},
    "methods": ["stripe"],
    "created": 1,
    "skipped": 1,
    "errors": [],
    "reasons": {"below_minimum": 1},
    "by_currency": {"eur": {"payouts": 1, "amount": 1290}},
    "members_hash": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "created_at": "2026-12-01T06:00:01.204Z",
    "prepared_by": "payouts.run/acme",
    "needs_approval": False,
    "approval_expires_at": None,
    "frozen_at": "2026-12-01T06:00:02.118Z",
    "approved_at": "2026-12-01T06:00:02.131Z",
    "approved_by": "automatic",
    "rejected_at": None,
    "rejected_by": None,
    "reject_reason": None,
    "settled_at": None,
}
_PAYOUT: Final[dict[str, Any]] = {
    "id": 1,
    "run_id": 1,
    "user_id": "u-7",
    "amount": 1290,
    "currency": "eur",
    "status": "unknown",
    "method": "stripe",
    "members": 1,
    "trackings": [17],
    "external_transaction_id": None,
    "processed_at": None,
    "failed_at": None,
    "error_code": None,
    "error_message": "ReadTimeout",
    "waits_for": None,
    "next_try_at": None,
    "reversed_amount": 0,
    "created_at": "2026-12-01T06:00:01.880Z",
}
_WHY: Final = [
    "It pays 12.90 EUR: the sum of 1 earning that run 1 found due as of 2026-12-01 06:00:00 UTC.",
    "Attempt 1 was sent at 2026-12-01 06:00:04 UTC, and no answer proves what became of it: it may have"
    " been paid.",
    "Wait: the gateway is asked again with the same key until 2026-12-02 05:00:04 UTC, and looked through."
    " Do not pay it by hand, and do not send it in any other way: it could be paid twice.",
]
_FAILED: Final = [
    "It pays 12.90 EUR: the sum of 1 earning that run 1 found due as of 2026-12-01 06:00:00 UTC.",
    "The gateway refused attempt 1 (account_invalid); no money moved, and its earnings stay in it.",
    "Wait: it is tried again under a new key at 2026-12-01 09:12:40 UTC; mend the cause until then.",
]
_CANCELED: Final = [
    "It pays 12.90 EUR: the sum of 1 earning that run 1 found due as of 2026-12-01 06:00:00 UTC.",
    "It was given up before it was paid: her account is closed. It can never be sent again.",
    "Nothing is to be done: the next run looks at its earnings. Do not pay it by hand: they would be paid"
    " twice.",
]
_REVERSING: Final = [
    "It pays 12.90 EUR: the sum of 1 earning that run 1 found due as of 2026-12-01 06:00:00 UTC.",
    "It was paid on 2026-12-01 06:00:04 UTC; the gateway calls it tr_1Example.",
    "acme/desk asked for 3.00 EUR of it to be taken back (paid by mistake); the gateway is being asked.",
    "Wait for the outcome of what is taken back. Do not pay it by hand, and do not send it in any other way:"
    " it could be paid twice.",
]

_BAD_ID: Final = "run_id: Input should be a valid integer."
NO_RUN: Final = error(
    "`run_not_found`: it is not there, or another merchant's.",
    "run_not_found",
    "The merchant 'acme' has no run 9. GET /v1/runs lists them.",
    "run_id",
)
_NO_PAYOUT: Final = error(
    "`payout_not_found`: it is not there, or another merchant's.",
    "payout_not_found",
    "There is no payout 9. GET /v1/payouts lists those of the key's merchant.",
    "payout_id",
)


def _reading(wrong: str, field: str) -> Responses:
    return answers.reading("payouts:read", wrong, field)


_PAGING: Final = _reading("limit: Input should be less than or equal to 500.", "limit")

RUNS: Final[Responses] = _PAGING | {
    200: example("A page of runs.", payouts_schemas.Runs, {"runs": [RUN_SHOWN], "next": None})
}
RUN: Final[Responses] = _reading(_BAD_ID, "run_id") | {
    200: example("The run.", payouts_schemas.Run, RUN_SHOWN),
    404: NO_RUN,
}
EXCLUSIONS: Final[Responses] = _reading(_BAD_ID, "run_id") | {
    200: example(
        "A page of those left out.",
        payouts_schemas.Exclusions,
        {
            "exclusions": [
                {
                    "user_id": "u-8",
                    "currency": "eur",
                    "amount": 490,
                    "reason": "below_minimum",
                    "detail": "490 of at least 1000",
                    "created_at": "2026-12-01T06:00:01.880Z",
                }
            ],
            "next": None,
        },
    ),
    404: NO_RUN,
}
PAYOUTS: Final[Responses] = _PAGING | {
    200: example(
        "A page of payouts.", payouts_schemas.Payouts, {"payouts": [_PAYOUT], "next": None}
    )
}
PAYOUT: Final[Responses] = _reading("payout_id: Input should be a valid integer.", "payout_id") | {
    200: example(
        "The payout.",
        payouts_schemas.PayoutExplained,
        {
            "payout": _PAYOUT,
            "run": RUN_SHOWN,
            "why": _WHY,
            "members": [
                {
                    "id": 31,
                    "amount": 1290,
                    "kind": "reward",
                    "source_kind": "tracking",
                    "source_id": 17,
                    "available_at": "2026-11-27T09:30:00Z",
                }
            ],
            "next": None,
            "attempts": [
                {
                    "n": 1,
                    "leg": "transfer",
                    "state": "unknown",
                    "key": "payspool/3f2a91c04be7/1/transfer/1",
                    "outcome": "timeout",
                    "http_status": None,
                    "error_code": None,
                    "error_message": "ReadTimeout",
                    "history": [{"at": "2026-12-01T06:00:24Z", "kind": "timeout", "tries": 1}],
                    "external_id": None,
                    "tries": 1,
                    "sent_at": "2026-12-01T06:00:04Z",
                    "lease_until": None,
                    "resolved_at": None,
                }
            ],
            "reversals": [],
        },
    ),
    404: _NO_PAYOUT,
}
_WRITING: Final = answers.reading(
    "payouts:write", "payout_id: Input should be a valid integer.", "payout_id"
) | {404: _NO_PAYOUT}
_WRITING_WITH_BODY: Final = _WRITING | answers.WITH_BODY
RETRY: Final[Responses] = _WRITING | {
    200: example(
        "It is sent again.",
        payouts_schemas.PayoutAsked,
        {"id": 2, "status": "failed", "why": _FAILED},
    ),
    409: error(
        "`not_retryable`: it has not failed, or is stopped.",
        "not_retryable",
        "Payout 2 cannot be tried again: it is unknown, not failed.",
    ),
}
CANCEL_BODY: Final = answers.json_body(
    "Why, in 1 to 500 characters: it is kept with the payout and in the audit trail.",
    payouts_schemas.CancelRequest,
    {"reason": "her account is closed"},
)
CANCEL: Final[Responses] = _WRITING_WITH_BODY | {
    200: example(
        "It is canceled.",
        payouts_schemas.PayoutAsked,
        {"id": 3, "status": "canceled", "why": _CANCELED},
    ),
    409: error(
        "`not_cancelable`: it has been paid or may have been, or is stopped.",
        "not_cancelable",
        "Payout 3 cannot be canceled: it is unknown.",
    ),
}
REVERSE_BODY: Final = answers.json_body(
    "Why, in 1 to 500 characters, and how much: without `amount` all that is left.",
    payouts_schemas.ReverseRequest,
    {"reason": "paid by mistake", "amount": 300, "reversed_amount": 0},
)
REVERSE: Final[Responses] = _WRITING_WITH_BODY | {
    200: example(
        "The gateway is asked.",
        payouts_schemas.PayoutAsked,
        {"id": 4, "status": "paid", "why": _REVERSING},
    ),
    409: error(
        "`reversal_in_progress`: one of it is on its way. `not_reversible`: it was not paid, is stopped, its"
        " method cannot, less than that is left, or `reversed_amount` is not what came back.",
        "not_reversible",
        "Nothing was asked for about payout 4: of 1290 only 290 is left to take back.",
    ),
}
