"""Whose key it is: the platform account, as Stripe says it."""

from typing import Final

import stripe

from domain.merchants.rules import Mode
from workers.gateways.errors import GatewaySilent, KeyRefused
from workers.gateways.stripe import open_client
from workers.gateways.stripe_keys import check_key

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 10.0
"""Longest wait for a connection and for the answer: a person, or a first payout, waits for it."""


def platform_account(
    api_key: str, base_url: str, *, mode: Mode, read_seconds: float = READ_SECONDS
) -> str:
    """The id (``acct_…``) of the account that owns a key: ``GET /v1/account``, once, without retries.

    Raises KeyRefused if Stripe does not take the key, or it is not for this merchant or address, and
    GatewaySilent if nobody answered in time.
    """
    check_key(api_key, base_url, mode)
    client, transport = open_client(api_key, base_url, CONNECT_SECONDS, read_seconds)
    try:
        account = client.v1.accounts.retrieve_current()
        if account.object != "account" or not account.id.startswith("acct_"):
            raise GatewaySilent(base_url, "the answer is no account")
        return account.id
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        why = str(error.user_message or error.code or "it was not accepted")
        raise KeyRefused(f"{base_url} does not accept it to tell its account ({why}).") from None
    except stripe.StripeError as error:
        raise GatewaySilent(base_url, str(error.user_message or error).rstrip(".")) from None
    except (TypeError, ValueError, AttributeError, KeyError):
        raise GatewaySilent(base_url, "the answer is no account") from None
    finally:
        transport.close()
