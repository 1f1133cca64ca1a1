"""Stripe's webhook signature, verified without its SDK (whose import would slow every start).

``Stripe-Signature: t=<Unix seconds>,v1=<hex>,…``, where v1 is HMAC-SHA256 under the endpoint's secret
over ``<t>.<body>``. While a secret is rolled there are several v1 values; other schemes are ignored.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

#: How old a signature may be, and how far in the future, in seconds: Stripe's default for its age,
#: and as much for clocks that differ. Without the second, a signature would be good until its time.
TOLERANCE_SECONDS: Final = 300
_SIGNATURES_MAX: Final = 16
_TIME_DIGITS_MAX: Final = 12


def sign(body: bytes, secret: str, at: int) -> str:
    """The v1 signature of a body at a time (Unix seconds), in hex."""
    return hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()


def flaw(header: str, body: bytes, secret: str, now: float) -> tuple[str, str] | None:
    """What is wrong with a signature: a code and a sentence; None if it is good.

    Parameters:
        now: Real time, Unix seconds.
    """
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"][:_SIGNATURES_MAX]
    if len(times) != 1 or not _is_time(times[0]) or not signatures:
        return "malformed_signature", "Stripe-Signature must be t=<seconds>,v1=<signature>."
    at = int(times[0])
    expected = sign(body, secret, at).encode()
    # No early end: how long this takes tells nothing about which value, or how much of it, is right.
    matches = [hmac.compare_digest(expected, given.encode()) for given in signatures]
    if not any(matches):
        return (
            "wrong_signature",
            "No signature matches. Set the merchant's webhook secret to the endpoint's own"
            " (whsec_…), and let nothing between rewrite the body.",
        )
    if now - at > TOLERANCE_SECONDS:
        return "stale_signature", f"It was signed more than {TOLERANCE_SECONDS} seconds ago."
    if at - now > TOLERANCE_SECONDS:
        return (
            "future_signature",
            f"It was signed more than {TOLERANCE_SECONDS} seconds in the future; check the clocks.",
        )
    return None


def _is_time(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _TIME_DIGITS_MAX
