"""Which Stripe key may be used where: nothing of a test merchant reaches a live account, or the reverse."""

from typing import Final, Literal
from urllib.parse import urlsplit

from workers.gateways.errors import KeyRefused

STRIPE_HOST: Final = "api.stripe.com"

Mode = Literal["test", "live"]


def check_key(api_key: str, base_url: str, mode: Mode) -> None:
    """Refuse a key that does not belong to a merchant of this mode, or to this address.

    A live key goes to Stripe over TLS and nowhere else, least of all to a sandbox. Raises KeyRefused.
    """
    kind = key_mode(api_key)
    if kind is None:
        raise KeyRefused(
            "it is no secret or restricted key (sk_test_…, rk_test_…, sk_live_…, rk_live_…)."
        )
    if kind != mode:
        raise KeyRefused(f"it is a {kind} key, and the merchant is a {mode} merchant.")
    address = urlsplit(base_url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise KeyRefused(f"{base_url!r} is no address; give one as https://{STRIPE_HOST}.")
    at_stripe = address.hostname == STRIPE_HOST
    if at_stripe and (address.scheme != "https" or address.port not in (None, 443)):
        raise KeyRefused(f"Stripe is reached over TLS only: https://{STRIPE_HOST}.")
    if kind == "live" and not at_stripe:
        raise KeyRefused(
            f"a live key goes to https://{STRIPE_HOST} only, not to {address.hostname}."
        )


def key_mode(api_key: str) -> Mode | None:
    """Whether a key is a test or a live one; None if it is neither."""
    for mode in ("test", "live"):
        for kind in ("sk", "rk"):
            prefix = f"{kind}_{mode}_"
            if api_key.startswith(prefix) and len(api_key) > len(prefix):
                return mode
    return None
