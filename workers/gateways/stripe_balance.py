"""What a Stripe account can pay out now: also the harmless question by which it is asked whether it is there."""

from __future__ import annotations

import stripe

from domain.payouts.rules.breaker import Balance


def ask_balance(client: stripe.StripeClient) -> Balance:
    """``GET /v1/balance``, once."""
    try:
        balance = client.v1.balance.retrieve()
        return Balance("told", {held.currency: held.amount for held in balance.available})
    except stripe.AuthenticationError as error:
        return Balance("refused", why=_said(error))
    except stripe.PermissionError as error:
        return Balance("forbidden", why=_said(error))
    except (stripe.StripeError, TypeError, ValueError, AttributeError, KeyError) as error:
        return Balance("silent", why=_said(error))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
