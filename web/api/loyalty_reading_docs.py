"""What the operations that read about cards answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Final

from web.api import answers, loyalty_schemas, schemas
from web.api.answers import Responses, error, example

_CARD: Final = "4006381333931"

CARD: Final[Responses] = answers.reading(
    "loyalty:read", "card: String should match pattern '^[!-.0-~]{1,50}$'.", "card"
) | {
    200: example(
        "The card.",
        schemas.Card,
        {
            "card": _CARD,
            "customer_id": "u-42",
            "program": "points",
            "status": "active",
            "merged": [],
            "points": {
                "balance": 79,
                "spendable": 79,
                "pending": 0,
                "held": 0,
                "debt": 0,
                "next_expiry": "2027-11-21T00:00:00Z",
                "by_deadline": [{"at": "2027-11-21T00:00:00Z", "points": 79}],
            },
            "stamps": 0,
            "tier": {"key": "silver", "points": 179, "until": "2027-11-21T00:00:00Z"},
            "last_activity_at": "2026-11-20T09:35:00Z",
            "created_at": "2026-11-20T09:30:00.412Z",
        },
    ),
    404: error(
        "`card_not_found`.",
        "card_not_found",
        answers.no_card("acme", _CARD),
        "card",
    ),
}
HISTORY: Final[Responses] = answers.reading(
    "loyalty:read", "limit: Input should be less than or equal to 200.", "limit"
) | {
    200: example(
        "A page of its history.",
        loyalty_schemas.CardHistory,
        {
            "transactions": [
                {
                    "id": 92,
                    "seq": 3,
                    "type": "points_redeemed",
                    "points": -100,
                    "balance": 79,
                    "stamps": 0,
                    "stamps_balance": 0,
                    "at": "2026-11-20T09:35:00Z",
                    "explanation": {"rule": "given", "points": 100, "reward_id": "coffee"},
                    "related": None,
                    "corrected_by": [],
                    "reason": None,
                    "order_reference": None,
                    "reward_id": "coffee",
                    "reward_description": None,
                    "store_id": "berlin-1",
                    "store_name": None,
                    "staff_pin_id": None,
                    "staff_name": None,
                    "terminal_device_id": None,
                    "principal_kind": "api_key",
                    "principal_id": "till",
                    "category_ids": None,
                    "purchase_amount": None,
                    "purchase_currency": None,
                    "reward_cost": 100,
                    "points_not_taken": None,
                    "ip_address": "203.0.113.7",
                    "user_agent": None,
                    "notes": None,
                    "program_version": 1,
                }
            ],
            "next": 3,
        },
    ),
    404: error("`card_not_found`.", "card_not_found", answers.no_card("acme", _CARD), "card"),
}
TIER_CHANGES: Final[Responses] = answers.reading(
    "loyalty:read", "limit: Input should be less than or equal to 500.", "limit"
) | {
    200: example(
        "Who rose and who fell.",
        loyalty_schemas.TierChanges,
        {
            "changes": [
                {
                    "id": 1,
                    "card": _CARD,
                    "customer_id": "u-42",
                    "program": "points",
                    "from_tier": None,
                    "to_tier": "silver",
                    "reason": "earned",
                    "points": 179,
                    "program_version": 1,
                    "transaction_id": 91,
                    "changed_at": "2026-11-20T09:35:00Z",
                }
            ],
            "next": 1,
        },
    )
}
NOTICES: Final[Responses] = answers.reading(
    "loyalty:read", "limit: Input should be less than or equal to 500.", "limit"
) | {
    200: example(
        "What is about to expire.",
        loyalty_schemas.ExpiryNotices,
        {
            "notices": [
                {
                    "id": 1,
                    "card": _CARD,
                    "customer_id": "u-42",
                    "program": "points",
                    "points": 79,
                    "expires_at": "2027-11-21T00:00:00Z",
                    "noticed_at": "2027-11-07T03:00:00Z",
                }
            ],
            "next": 1,
        },
    )
}
TIER_NOTICES: Final[Responses] = answers.reading(
    "loyalty:read", "limit: Input should be less than or equal to 500.", "limit"
) | {
    200: example(
        "Whose tier is about to fall.",
        loyalty_schemas.TierNotices,
        {
            "notices": [
                {
                    "id": 1,
                    "card": _CARD,
                    "customer_id": "u-42",
                    "program": "points",
                    "from_tier": "silver",
                    "to_tier": None,
                    "falls_at": "2027-11-21T00:00:00Z",
                    "points": 179,
                    "missing": 100,
                    "noticed_at": "2027-11-07T03:00:00Z",
                }
            ],
            "next": 1,
        },
    )
}
