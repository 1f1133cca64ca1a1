"""Stripe's books of a platform: balance transactions, each with the transfer that it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import stripe

from domain.payouts.books import BooksPage, GatewayTransaction
from workers.gateways.errors import GatewaySilent

PAGE: Final = 100
"""The longest page that Stripe gives."""

MAX_PAYOUT_ID: Final = 2**63 - 1


def books_page(
    client: stripe.StripeClient,
    *,
    created_from: datetime,
    created_before: datetime,
    after: str | None,
) -> BooksPage:
    """One page of ``GET /v1/balance_transactions``, newest first. Raises GatewaySilent."""
    asked: dict[str, Any] = {
        "limit": PAGE,
        "created": {
            "gte": int(created_from.timestamp()),
            "lt": int(created_before.timestamp()),
        },
        "expand": ["data.source"],
    }
    if after is not None:
        asked["starting_after"] = after
    try:
        page = client.v1.balance_transactions.list(asked)  # type: ignore[arg-type]
        return BooksPage(tuple(_line(entry) for entry in page.data), bool(page.has_more))
    except stripe.StripeError as error:
        raise GatewaySilent("Stripe", str(error.user_message or error).rstrip(".")) from None
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise GatewaySilent("Stripe", f"the answer is no page of its books ({error})") from None


def _line(entry: Any) -> GatewayTransaction:
    source = entry.source
    made = None if source is None or isinstance(source, str) else source
    kind = getattr(made, "object", None)
    metadata = getattr(made, "metadata", None) if kind == "transfer" else None
    transfer = getattr(made, "id" if kind == "transfer" else "transfer", None)
    return GatewayTransaction(
        external_id=entry.id,
        type=entry.type,
        source_id=source if isinstance(source, str) else getattr(made, "id", None),
        transfer_id=transfer if kind in ("transfer", "transfer_reversal") else None,
        destination=_text(getattr(made, "destination", None)) if kind == "transfer" else None,
        installation=_text(getattr(metadata, "installation", None)),
        payout_id=_number(getattr(metadata, "payout", None)),
        attempt_key=_text(getattr(metadata, "attempt", None)),
        amount=entry.amount,
        fee=entry.fee,
        net=entry.net,
        currency=entry.currency,
        created=datetime.fromtimestamp(entry.created, UTC),
        available_on=datetime.fromtimestamp(entry.available_on, UTC),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    """A payout's number from metadata, which anybody may write: what is none counts as missing."""
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 19:
        return None
    return int(value) if int(value) <= MAX_PAYOUT_ID else None
