"""Who a person at the command line is, for the audit trail and for what takes two people.

There are no users of Payspool's own yet. A person is the account that they logged in with, or the API key
that they hold. Neither keeps anybody out who may use the database or is root there: it keeps people from
being taken for one another by accident, and what it says is in the audit trail.
"""

import os
import pwd
from pathlib import Path
from typing import Final

from domain.access import service as access
from domain.access.service import actor_of
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Forbidden
from domain.merchants.service import Merchant

LOGIN_UID: Final = Path("/proc/self/loginuid")
"""Linux's audit uid: set at login, and kept through `su` and `sudo`."""
NO_LOGIN: Final = 2**32 - 1
"""What it is where nobody logged in, as in a container."""

PREPARE: Final = "payouts:prepare"
APPROVE: Final = "payouts:approve"


def account() -> str:
    """The name of the account that logged in here; where the system keeps none, that of the process, or
    the one that `sudo` was called from. What the environment calls itself (USER) is not asked."""
    uid = _login_uid()
    if uid is None:
        uid = os.getuid()
        called_from = os.environ.get("SUDO_UID", "")
        if uid == 0 and called_from.isdigit():
            uid = int(called_from)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _login_uid() -> int | None:
    try:
        uid = int(LOGIN_UID.read_text())
    except (OSError, ValueError):
        return None
    return None if uid == NO_LOGIN else uid


def operator(tx: Tx, merchant: Merchant, scope: str, key: str | None) -> Actor:
    """Who prepares or approves a merchant's runs: the holder of ``key``, if one is set, else the account.

    Raises Forbidden for a key that is not good, is another merchant's, or has not the scope.
    """
    if key is None:
        return Actor("command", account())
    held = access.check(tx, key)
    if held is None or held.merchant_id != merchant.id:
        raise Forbidden(
            f"PAYSPOOL_OPERATOR_KEY is no good key of {merchant.key!r}; `payspool keys list"
            f" {merchant.key}` shows them."
        )
    if scope not in held.scopes:
        raise Forbidden(
            f"The key {held.name!r} in PAYSPOOL_OPERATOR_KEY has no scope {scope}; make one that has it."
        )
    return actor_of(held)
