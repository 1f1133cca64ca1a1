"""Which Stripe key may be used where: nothing of a test merchant reaches a live account, or the reverse."""

from domain.merchants.rules import Mode, check_stripe_key
from workers.gateways.errors import KeyRefused


def check_key(api_key: str, base_url: str, mode: Mode) -> None:
    """Refuse a key that does not belong to a merchant of this mode, or to this address: once more,
    just before it is used. Raises KeyRefused."""
    problem = check_stripe_key(api_key, base_url, mode)
    if problem is not None:
        raise KeyRefused(f"{problem}.")
