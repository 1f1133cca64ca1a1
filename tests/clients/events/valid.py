"""A valid event of every type."""

from __future__ import annotations

from typing import Any

VALID: dict[str, dict[str, Any]] = {
    "conversion.attributed": {"code": "REF-7K2M9Q", "referred_user_id": "u-42"},
    "conversion.recorded": {"referred_user_id": "u-42"},
    "conversion.refunded": {"transaction_id": "t", "refund_id": "r", "full": True},
    "conversion.disputed": {"transaction_id": "t", "dispute_id": "d", "outcome": "won"},
    "loyalty.card_created": {"card": "c", "customer_id": "k"},
    "loyalty.card_deactivated": {"card": "c"},
    "loyalty.card_reactivated": {"card": "c"},
    "loyalty.points_earned": {"card": "c", "purchase_amount": 900, "purchase_currency": "EUR"},
    "loyalty.points_redeemed": {"card": "c", "points": 100, "reward_id": "coffee"},
    "loyalty.points_held": {"card": "c", "points": 100},
    "loyalty.hold_captured": {"card": "c", "related_event": "e-1", "points": 90},
    "loyalty.hold_released": {"card": "c", "related_event": "e-1"},
    "loyalty.points_voided": {"card": "c", "related_event": "e-1"},
    "loyalty.points_adjusted": {"card": "c", "points": -5, "reason": "till error"},
    "loyalty.stamp_earned": {"card": "c"},
    "loyalty.stamp_redeemed": {"card": "c"},
    "loyalty.stamp_voided": {"card": "c", "related_event": {"id": "e-1", "source": "till"}},
    "loyalty.stamp_adjusted": {"card": "c", "stamps": 1, "reason": "forgotten"},
    "loyalty.purchase_refunded": {"order_reference": "o", "refund_id": "r", "amount": 10},
    "loyalty.customer_anonymized": {"customer_id": "k"},
    "payee.updated": {"user_id": "u", "method": "stripe", "account": "acct_1", "name": "Ann"},
}


def document(event_type: str = "conversion.recorded", **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "ord-1881/paid",
        "source": "shop-eu",
        "merchant": "acme",
        "type": event_type,
        "time": "2026-11-20T09:30:00Z",
        "data": VALID[event_type] | data,
    }
