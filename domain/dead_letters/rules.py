"""What is taken out of a dead message when a customer is anonymized.

>>> without_customer('[{"data": {"card": "C1", "customer_id": "ada", "points": 5}}]', "ada", "C1", {"card", "points"})
'[{"data": {"card": "C1", "points": 5}}]'

Events travel as texts in texts:

>>> without_customer('{"args": ["{\\\\"card\\\\": \\\\"C1\\\\", \\\\"notes\\\\": \\\\"tall\\\\"}"]}', "ada", "C1", {"card"})
'{"args": ["{\\\\"card\\\\": \\\\"C1\\\\"}"]}'
"""

import json
from collections.abc import Set
from typing import Any


def without_customer(
    message: str, customer_id: str, card: str | None, kept: Set[str]
) -> str | None:
    """``message`` with only the ``kept`` fields of every object in it that names the customer or their card;
    None if it cannot be read as JSON, so that nothing of it can be kept."""
    try:
        read = json.loads(message)
    except ValueError:
        return None
    return json.dumps(_emptied(read, customer_id, card, kept), ensure_ascii=False)


def _emptied(value: Any, customer_id: str, card: str | None, kept: Set[str]) -> Any:
    if isinstance(value, list):
        return [_emptied(one, customer_id, card, kept) for one in value]
    if isinstance(value, dict):
        theirs = value.get("customer_id") == customer_id or (
            card is not None and value.get("card") == card
        )
        return {
            key: _emptied(one, customer_id, card, kept)
            for key, one in value.items()
            if not theirs or key in kept
        }
    if isinstance(value, str) and value[:1] in ("{", "["):
        inner = without_customer(value, customer_id, card, kept)
        return value if inner is None else inner
    return value
