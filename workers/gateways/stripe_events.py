"""What Stripe's notices are about, fetched again: an event tells what was, and may be late or doubled."""

from __future__ import annotations

from typing import Final

import stripe

from domain.payouts.gateway import SeenTransfer

REVERSAL_PAGES: Final = 10
"""Pages of 100 reversals of one transfer that are read."""


class StripeEvents:
    """The objects behind Stripe's events, by the client of the account's gateway."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    def transfer(self, external_id: str) -> SeenTransfer | None:
        """``GET /v1/transfers/{id}`` and all of its reversals; None if Stripe could not be asked."""
        try:
            transfer = self._client.v1.transfers.retrieve(external_id)
            listed: list[tuple[str, int]] = []
            page = self._client.v1.transfers.reversals.list(external_id, {"limit": 100})
            for _ in range(REVERSAL_PAGES):
                listed += [(reversal.id, reversal.amount) for reversal in page.data]
                if not page.has_more:
                    key = getattr(transfer.metadata, "attempt", None)
                    return SeenTransfer(transfer.id, key, tuple(reversed(listed)))
                page = page.next_page()
        except (stripe.StripeError, TypeError, ValueError, AttributeError, KeyError):
            return None
        return None

    def currencies_available(self) -> frozenset[str] | None:
        """``GET /v1/balance``: currencies with something available; None if Stripe could not be asked."""
        try:
            balance = self._client.v1.balance.retrieve()
            return frozenset(held.currency for held in balance.available if held.amount > 0)
        except (stripe.StripeError, TypeError, ValueError, AttributeError, KeyError):
            return None
