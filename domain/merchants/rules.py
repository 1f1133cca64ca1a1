"""What a merchant's key and a gateway account must look like.

>>> check_stripe_key("sk_live_abc", "http://127.0.0.1:12111", "live")
'a live Stripe key may not be used with the address http://127.0.0.1:12111; live keys go to https://api.stripe.com only'
>>> check_stripe_key("sk_test_abc", "http://127.0.0.1:12111", "test") is None
True
"""

import re
from typing import Final
from urllib.parse import urlsplit

STRIPE_URL: Final = "https://api.stripe.com"
MAX_KEY: Final = 100
"""Longest merchant key (as the column)."""

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]*")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1", "sandbox")


def is_key(key: str) -> bool:
    """Whether ``key`` may name a merchant: lower-case letters, digits, - and _, at most 100."""
    return len(key) <= MAX_KEY and _KEY.fullmatch(key) is not None


def is_sandbox(base_url: str) -> bool:
    """Whether an address is a local sandbox's and not a real gateway's."""
    return (urlsplit(base_url).hostname or "") in _LOOPBACK


def check_stripe_key(api_key: str, base_url: str, mode: str) -> str | None:
    """Why this key may not be used at this address for a merchant of this mode; None if it may.

    A live key reaches Stripe only, a sandbox only ever sees test keys, and a test merchant never
    holds a live key.
    """
    live = api_key.startswith(("sk_live_", "rk_live_"))
    if not live and not api_key.startswith(("sk_test_", "rk_test_")):
        return "a Stripe key starts with sk_test_, rk_test_, sk_live_ or rk_live_"
    if live and base_url.rstrip("/") != STRIPE_URL:
        return (
            f"a live Stripe key may not be used with the address {base_url};"
            f" live keys go to {STRIPE_URL} only"
        )
    if live != (mode == "live"):
        return (
            f"a {mode} merchant needs a {mode} key, this one is a {'live' if live else 'test'} key"
        )
    return None
