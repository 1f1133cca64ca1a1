"""What Stripe's notices are about, fetched again: an event tells what was, and may be late or doubled."""

from __future__ import annotations

import stripe


class StripeEvents:
    """The objects behind Stripe's events, by the client of the account's gateway."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    def currencies_available(self) -> frozenset[str] | None:
        """``GET /v1/balance``: currencies with something available; None if Stripe could not be asked."""
        try:
            balance = self._client.v1.balance.retrieve()
            return frozenset(held.currency for held in balance.available if held.amount > 0)
        except (stripe.StripeError, TypeError, ValueError, AttributeError, KeyError):
            return None
