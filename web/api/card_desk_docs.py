"""What the operations of a desk on cards answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Final

from web.api import answers, card_desk_schemas
from web.api.answers import Responses, error, example, json_body

_CARD: Final = "4006381333931"
_NO_CARD: Final = error(
    "`card_not_found`.", "card_not_found", answers.no_card("acme", _CARD), "card"
)


def _writing(wrong: str, field: str) -> Responses:
    return answers.reading("loyalty:admin", wrong, field) | answers.WITH_BODY | {404: _NO_CARD}


MERGE_BODY: Final = json_body(
    "The card that takes over, and why, in 1 to 500 characters.",
    card_desk_schemas.MergeRequest,
    {"into": "4006381333948", "reason": "one customer, enrolled twice", "dry_run": True},
)
MERGE: Final[Responses] = _writing(
    "into: 4006381333948 is deactivated: reactivate it first", "into"
) | {
    200: example(
        "What would move.",
        card_desk_schemas.MergeReply,
        {
            "card": _CARD,
            "into": "4006381333948",
            "result": "would_merge",
            "points": 79,
            "debt": 0,
            "stamps": 3,
            "holds": 0,
            "balance": 179,
        },
    )
}
RESTORE_BODY: Final = json_body(
    "Which points come back, for how long, and why.",
    card_desk_schemas.RestoreRequest,
    {"id": "ticket-4711", "reason": "was in hospital", "points": 50, "days": 60},
)
RESTORE: Final[Responses] = _writing("points: 40 expired points are left to restore", "points") | {
    200: example(
        "They are back.",
        card_desk_schemas.RestoreReply,
        {
            "card": "4006381333955",
            "result": "restored",
            "points": 50,
            "expires_at": "2027-02-01T00:00:00Z",
            "balance": 129,
        },
    )
}
REWARDS: Final[Responses] = answers.reading(
    "loyalty:read", "card: String should match pattern '^[!-.0-~]{1,50}$'.", "card"
) | {
    200: example(
        "The catalogue for this card.",
        card_desk_schemas.CardRewards,
        {
            "card": _CARD,
            "spendable": 79,
            "stamps": 0,
            "rewards": [
                {
                    "reward_id": "mug",
                    "description": "A mug",
                    "points": 100,
                    "stamps": None,
                    "cash": None,
                    "currency": None,
                    "available": False,
                    "missing_points": 21,
                    "missing_stamps": 0,
                    "why": "insufficient_points",
                }
            ],
        },
    ),
    404: _NO_CARD,
}
