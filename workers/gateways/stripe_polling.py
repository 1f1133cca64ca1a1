"""Stripe's events, as it keeps them for thirty days: where missed webhooks are found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import stripe

from domain.payouts.gateway import EventsPage, SeenEvent

PAGE: Final = 100
"""The longest page that Stripe gives."""


class StripeEventLog:
    """See ``domain.payouts.gateway.Events``; by the client of the account's gateway."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    def page(
        self, *, types: Sequence[str], account: str | None, since: datetime, after: str | None
    ) -> EventsPage:
        """One page of ``GET /v1/events``, of a connected account with ``Stripe-Account``."""
        asked: dict[str, Any] = {
            "limit": PAGE,
            "types": list(types),
            "created": {"gte": int(since.timestamp())},
        }
        if after is not None:
            asked["starting_after"] = after
        try:
            found = self._client.v1.events.list(
                asked,  # type: ignore[arg-type]
                {} if account is None else {"stripe_account": account},
            )
            answer = found.last_response
            assert answer is not None, "an answer was read"
            listed = json.loads(answer.body)
            events = tuple(_event(one, account) for one in listed["data"])
            return EventsPage("told", events, bool(listed["has_more"]))
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            return EventsPage("refused", why=_said(error))
        except stripe.InvalidRequestError as error:
            gone = after is not None and error.param == "starting_after"
            return EventsPage("gone" if gone else "refused", why=_said(error))
        except (stripe.StripeError, TypeError, ValueError, AttributeError, KeyError) as error:
            return EventsPage("silent", why=_said(error))


def _event(told: Mapping[str, Any], account: str | None) -> SeenEvent:
    """Raises TypeError, ValueError or KeyError for what is no event."""
    return SeenEvent(
        event_id=_text(told["id"]),
        type=_text(told["type"]),
        account=told.get("account") or account,
        payload=json.dumps(told, separators=(",", ":"), ensure_ascii=False),
        live=told["livemode"] is True,
        created=datetime.fromtimestamp(told["created"], UTC),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise ValueError("the answer is no page of events")
    return value


def _said(error: Exception) -> str:
    told = getattr(error, "user_message", None) or str(error)
    return f"{type(error).__name__}: {told}"[:500]
