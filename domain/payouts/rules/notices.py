"""What a gateway's notices mean for us.

>>> topic_of("capability.updated"), topic_of("charge.succeeded")
(<Topic.ACCOUNT: 'account'>, None)
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from domain.payouts.rules.attempts import backoff


class Topic(Enum):
    """What is asked of the gateway before anything changes."""

    ACCOUNT = "account"
    MONEY = "money"
    TRANSFER = "transfer"
    BANK = "bank"
    PROGRESS = "progress"


_STRIPE: Final = {
    "account.updated": Topic.ACCOUNT,
    "account.application.deauthorized": Topic.ACCOUNT,
    "capability.updated": Topic.ACCOUNT,
    "balance.available": Topic.MONEY,
    "topup.succeeded": Topic.MONEY,
    "transfer.reversed": Topic.TRANSFER,
    "transfer.updated": Topic.TRANSFER,
    "account.external_account.created": Topic.ACCOUNT,
    "account.external_account.updated": Topic.ACCOUNT,
    "payout.created": Topic.BANK,
    "payout.updated": Topic.BANK,
    "payout.paid": Topic.BANK,
    "payout.failed": Topic.BANK,
    "payout.canceled": Topic.BANK,
}
_WISE: Final = {
    "balances#credit": Topic.MONEY,
    "transfers#state-change": Topic.PROGRESS,
}
STRIPE_TYPES: Final = tuple(sorted(_STRIPE))
"""The types that mean something to us of the gateway that keeps its events; it refuses the names of others."""


def topic_of(type_: str) -> Topic | None:
    """What a type of notice is about; None if it means nothing to us."""
    return _STRIPE.get(type_) or _WISE.get(type_)


def wrong_mode(mode: str, *, live: bool) -> str | None:
    """Why a notice is not for a merchant of this mode; None if it is."""
    told = "live" if live else "test"
    if told == mode:
        return None
    return f"it is a {told} event, and the merchant is in {mode} mode"


def currencies_of(payload: Mapping[str, Any]) -> frozenset[str]:
    """The currencies that a balance or a top-up tells of; empty if it tells none.

    >>> currencies_of({"data": {"resource": {"type": "balance-account"}, "currency": "EUR"}})
    frozenset({'eur'})
    """
    data = payload.get("data")
    if isinstance(data, dict) and "resource" in data:
        # Wise's: one balance, of one currency.
        named = data.get("currency")
        return frozenset({named.lower()} if isinstance(named, str) else ())
    told = _object(payload)
    available = told.get("available")
    listed = available if isinstance(available, list) else [told]
    found = [one.get("currency") for one in listed if isinstance(one, dict)]
    return frozenset(currency for currency in found if isinstance(currency, str))


def id_of(payload: Mapping[str, Any]) -> str | None:
    """The id of the object that a notice is about."""
    named = _object(payload).get("id")
    return named if isinstance(named, str) else None


def resource_of(payload: Mapping[str, Any]) -> str | None:
    """The number of the transfer that a notice of Wise is about, as text.

    >>> resource_of({"data": {"resource": {"type": "transfer", "id": 50000001}}})
    '50000001'
    """
    data = payload.get("data")
    resource = data.get("resource") if isinstance(data, dict) else None
    named = resource.get("id") if isinstance(resource, dict) else None
    return str(named) if isinstance(named, int) and not isinstance(named, bool) else None


def account_of(payload: Mapping[str, Any], account: str | None) -> str | None:
    """The connected account that a notice is about."""
    told = _object(payload)
    named = told.get("account") or (told.get("id") if told.get("object") == "account" else None)
    return account or (named if isinstance(named, str) else None)


def _object(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    data = payload.get("data")
    told = data.get("object") if isinstance(data, dict) else None
    return told if isinstance(told, dict) else {}


def look_wait(emit_count: int) -> timedelta:
    """How long after a notice was asked for the sweep asks again: 1 minute, doubled, up to 1 hour."""
    return backoff(emit_count, first=timedelta(minutes=1), longest=timedelta(hours=1))
