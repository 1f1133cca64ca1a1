"""What a merchant's key and a gateway account must look like.

>>> check_stripe_key("sk_live_abc", "http://127.0.0.1:12111", "live")
'a live key goes to https://api.stripe.com only, not to 127.0.0.1'
>>> check_stripe_key("sk_test_abc", "http://127.0.0.1:12111", "test") is None
True
"""

import re
from typing import Final, Literal
from urllib.parse import urlsplit

Mode = Literal["test", "live"]

STRIPE_HOST: Final = "api.stripe.com"
STRIPE_URL: Final = f"https://{STRIPE_HOST}"
SANDBOX_KEY: Final = "sk_test_sandbox"
"""The key that every sandbox knows; it is no key of Stripe's."""
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


def key_mode(api_key: str) -> Mode | None:
    """Whether a Stripe key is a test or a live one; None if it is neither."""
    for mode in ("test", "live"):
        for kind in ("sk", "rk"):
            prefix = f"{kind}_{mode}_"
            if api_key.startswith(prefix) and len(api_key) > len(prefix):
                return mode
    return None


def check_stripe_key(api_key: str, base_url: str, mode: str) -> str | None:
    """Why this key may not be used at this address for a merchant of this mode; None if it may.

    A live key goes to Stripe over TLS and nowhere else, least of all to a sandbox; the sandbox's key
    goes to a sandbox only; a test merchant never holds a live key. The sentence never shows the key.
    """
    kind = key_mode(api_key)
    if kind is None:
        return "it is no secret or restricted key (sk_test_…, rk_test_…, sk_live_…, rk_live_…)"
    if kind != mode:
        return f"it is a {kind} key, and the merchant is a {mode} merchant"
    address = urlsplit(base_url)
    if address.scheme not in ("http", "https") or not address.hostname:
        return f"{base_url!r} is no address; give one as {STRIPE_URL}"
    at_stripe = address.hostname == STRIPE_HOST
    if at_stripe and (address.scheme != "https" or address.port not in (None, 443)):
        return f"Stripe is reached over TLS only: {STRIPE_URL}"
    if at_stripe and api_key == SANDBOX_KEY:
        return "it is the sandbox's key, which Stripe does not know"
    if kind == "live" and not at_stripe:
        return f"a live key goes to {STRIPE_URL} only, not to {address.hostname}"
    return None


WISE_HOST: Final = "api.wise.com"
WISE_URL: Final = f"https://{WISE_HOST}"
WISE_HOSTS: Final = frozenset({WISE_HOST, "api.transferwise.com"})
WISE_TEST_HOSTS: Final = frozenset({"api.sandbox.transferwise.tech", "api.wise-sandbox.com"})
WISE_SANDBOX_TOKEN: Final = "wise-sandbox-token"  # noqa: S105 - every local sandbox knows it
_TOKEN = re.compile(r"[!-~]{8,500}")


def check_wise_token(token: str, base_url: str, mode: str) -> str | None:
    """Why this token may not be used at this address for a merchant of this mode; None if it may.

    Wise's tokens do not say whether they are live: the address does. The sentence never shows the token.

    >>> check_wise_token("a-token-of-ours", "https://api.wise.com", "test")
    'https://api.wise.com moves real money, and the merchant is a test merchant'
    """
    if not _TOKEN.fullmatch(token):
        return "it is no token of Wise's (8 to 500 characters, without spaces)"
    address = urlsplit(base_url)
    host = address.hostname or ""
    if address.scheme not in ("http", "https") or not host:
        return f"{base_url!r} is no address; give one as {WISE_URL}"
    known = host in WISE_HOSTS or host in WISE_TEST_HOSTS
    if not known and not is_sandbox(base_url):
        return f"{host} is no address of Wise's; it is {WISE_HOST}, or a sandbox"
    if known and (address.scheme != "https" or address.port not in (None, 443)):
        return "Wise is reached over TLS only"
    if known and token == WISE_SANDBOX_TOKEN:
        return "it is the sandbox's token, which Wise does not know"
    if host in WISE_HOSTS and mode != "live":
        return f"{base_url} moves real money, and the merchant is a {mode} merchant"
    if mode == "live" and host not in WISE_HOSTS:
        return f"a live merchant pays through {WISE_URL} only, not through {host}"
    return None
