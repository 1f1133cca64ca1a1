"""Take a customer's personal data out of what is kept of events, wherever it is kept.

What an event did stays, and its hash, so that a copy of it is still a duplicate. Of `data` only fields of
the contract stay: nobody knows what the others say of a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from sqlalchemy import text

from domain.audit import service as audit
from domain.db import Tx
from domain.dead_letters import service as dead_letters
from domain.loyalty.service import shops as loyalty
from domain.webhooks import deliveries as webhooks
from payspool_client import EVENT_TYPES

PERSONAL: Final = frozenset({"customer_id", "ip_address", "user_agent", "notes"})
"""Fields of the contract that tell of a person."""

_KEPT: Final = sorted(
    {
        name
        for type_, model in EVENT_TYPES.items()
        if type_.startswith("loyalty.")
        for name in model.model_fields
    }
    - PERSONAL
)


class Customer(Protocol):
    """Who is forgotten: see ``domain.loyalty.service.Forgotten``."""

    @property
    def merchant_id(self) -> int: ...
    @property
    def inbox_id(self) -> int: ...
    @property
    def customer_id(self) -> str: ...
    @property
    def card(self) -> str | None: ...
    @property
    def events(self) -> Sequence[int]: ...


# What made rows is named by these. What made none was refused, waits, is dead, or is kept under what it
# may yet reverse: indexed, and few.
_NAMED = text(
    """
    SELECT id FROM inbox_events
    WHERE merchant_id = :merchant_id AND (status <> 'applied' OR correlation IS NOT NULL)
      AND (data ->> 'customer_id' = :customer_id OR data ->> 'card' = :card
           OR position(:customer_id IN raw) > 0)
      AND (type IS NULL OR type LIKE 'loyalty.%')
    """
)

_LESS = """
    data = (SELECT jsonb_object_agg(key, value) FROM jsonb_each(data) WHERE key = ANY(:kept)),
    raw = NULL
"""
_EMPTY = (
    f"UPDATE inbox_events SET {_LESS}, detail = NULL WHERE id = ANY(:ids)",  # noqa: S608
    f"UPDATE inbox_revisions SET {_LESS} WHERE inbox_id = ANY(:ids)",  # noqa: S608
    f"UPDATE inbox_conflicts SET {_LESS} WHERE inbox_id = ANY(:ids)",  # noqa: S608
)


def forget(tx: Tx, customer: Customer) -> None:
    """Empty the payloads of a customer's events, their revisions and conflicts, dead letters, audit, and
    what receivers of webhooks answered."""
    named: list[Any] = list(
        tx.execute(
            _NAMED,
            {
                "merchant_id": customer.merchant_id,
                "customer_id": customer.customer_id,
                "card": customer.card,
            },
        ).scalars()
    )
    ids = sorted({*customer.events, *named, customer.inbox_id})
    for statement in _EMPTY:
        tx.execute(text(statement), {"ids": ids, "kept": _KEPT})
    loyalty.forget_acts(tx, ids)
    dead_letters.forget(tx, customer.customer_id, customer.card, frozenset(_KEPT))
    audit.forget(tx, customer.merchant_id, customer.customer_id, sorted(PERSONAL))
    webhooks.forget(tx, customer.merchant_id, customer.card)
