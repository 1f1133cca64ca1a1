"""Identifiers shaped like Stripe's: a prefix that names the kind, then base 62."""

import secrets

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_LENGTH = 24
_REQUEST_LENGTH = 14


def _base62(length: int) -> str:
    number = secrets.randbits(length * 6)
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def new(prefix: str) -> str:
    """Return a fresh id such as `tr_…`; nothing that a caller sends ever becomes one."""
    if prefix == "acct":
        return f"acct_1{_base62(15)}"
    return f"{prefix}_1{_base62(_BODY_LENGTH - 1)}"


def new_request() -> str:
    """Return the id of one HTTP request, sent back as `Request-Id`."""
    return f"req_{_base62(_REQUEST_LENGTH)}"


def new_secret() -> str:
    """Return the signing secret of a webhook endpoint."""
    return f"whsec_{_base62(32)}"


def new_token() -> str:
    """Return the unguessable part of an onboarding link."""
    return _base62(32)
