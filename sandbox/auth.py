"""Whose request it is: API keys, `Stripe-Account`, and the API version that was asked for.

Each key belongs to a platform, which has a balance and connected accounts of its own. Keys are kept
as digests. Live keys are refused, so that nothing meant for a real account is tried here.
"""

import base64
import binascii
import re
from collections.abc import Mapping

from sandbox.errors import AccountInvalid, ApiError, SandboxError, Unauthorized
from sandbox.notify import API_VERSION
from sandbox.resources import accounts
from sandbox.store import Store, digest

DEFAULT_KEY = "sk_test_sandbox"
_KEY = re.compile(r"sk_test_[A-Za-z0-9_]{4,200}")
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")


class KeyMalformed(SandboxError):
    """An API key was offered that is not a test key."""

    def __init__(self) -> None:
        super().__init__(
            "The sandbox takes keys of the form sk_test_ and 4 to 200 word characters."
        )


def add_key(store: Store, key: str, now: int, platform: str | None = None) -> str:
    """Admit an API key and return its platform: a new one, unless one is given.

    Raises:
        KeyMalformed: it is not a test key.
    """
    if not _KEY.fullmatch(key):
        raise KeyMalformed
    held = store.one("SELECT platform FROM api_keys WHERE digest = ?", digest(key))
    if held is not None:
        return str(held["platform"])
    owner = platform or accounts.insert(store, platform=None, now=now, params={})
    store.insert("api_keys", digest=digest(key), platform=owner)
    return owner


def remove_key(store: Store, key: str) -> bool:
    """Revoke an API key; its platform stays, and may have others."""
    return bool(store.run("DELETE FROM api_keys WHERE digest = ?", digest(key)))


def _offered(headers: Mapping[str, str]) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    given = given.strip()
    if scheme.lower() == "bearer" and given:
        return given
    if scheme.lower() == "basic" and given:
        try:
            return base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthorized("The Authorization header is not valid Basic credentials.") from None
    raise Unauthorized(
        "You did not provide an API key; send it as a Bearer token, or as the user of Basic."
    )


def platform_of(store: Store, headers: Mapping[str, str]) -> str:
    """Return the platform whose key the request carries.

    Raises:
        Unauthorized: no key, a live key, or one that the sandbox does not know.
    """
    key = _offered(headers)
    if key.startswith(("sk_live_", "rk_live_")):
        raise Unauthorized(
            "This is a sandbox and refuses live keys: no money is moved here. Use a test key.",
            "livemode_mismatch",
        )
    row = store.one("SELECT platform FROM api_keys WHERE digest = ?", digest(key))
    if row is None:
        shown = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * len(key)
        raise Unauthorized(f"Invalid API Key provided: {shown}")
    return str(row["platform"])


def acting_as(store: Store, platform: str, headers: Mapping[str, str]) -> str:
    """Return the account that the request acts upon: the platform, or `Stripe-Account`.

    Raises:
        AccountInvalid: the key has no access to that account.
    """
    account = headers.get("stripe-account") or headers.get("stripe-context")
    if not account or account == platform:
        return platform
    row = store.one("SELECT * FROM accounts WHERE id = ?", account)
    if row is None or row["platform"] != platform or row["deleted"]:
        raise AccountInvalid(account)
    if row["state"] in ("deauthorized", "closed"):
        raise AccountInvalid(account)
    return account


def version(headers: Mapping[str, str]) -> str:
    """Return the API version that the answer carries.

    Raises:
        ApiError: the version is malformed.
    """
    asked = headers.get("stripe-version")
    if not asked:
        return API_VERSION
    if not _VERSION.fullmatch(asked):
        raise ApiError(400, f"Invalid Stripe API version: {asked}")
    return asked
