"""What Stripe answers, as values: an object that it made, or what an exception of the SDK means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import stripe

from domain.payouts.rules import GatewayOutcome
from workers.gateways.tries import kind_of_loss, seconds_to_wait

MESSAGE_KEPT: Final = 500
"""Characters of an error message that are kept (EVENTS)."""


def read(made: Callable[[], GatewayOutcome]) -> GatewayOutcome:
    """The outcome of one call that ``made`` makes and reads, whatever is raised on the way."""
    try:
        return made()
    except stripe.StripeError as error:
        return outcome_of(error)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        # A success whose body is not what was asked for: the SDK or the reader could not read it.
        return GatewayOutcome(
            "unreadable", message=f"{type(error).__name__}: {error}"[:MESSAGE_KEPT]
        )


def success(made: Any, *, right: bool, what: str) -> GatewayOutcome:
    """A success that was parsed; one that is not the object that was asked for (``right``) proves nothing."""
    response = made.last_response
    assert response is not None, "an answer was read"
    headers = {name.lower(): value for name, value in response.headers.items()}
    if not right:
        return GatewayOutcome(
            "unreadable",
            http_status=response.code,
            message=f"answered with something else than the {what} that was asked for",
            request_id=headers.get("request-id"),
        )
    return GatewayOutcome(
        "response",
        http_status=response.code,
        external_id=made.id,
        replayed=headers.get("idempotent-replayed", "").lower() == "true",
        request_id=headers.get("request-id"),
    )


def outcome_of(error: stripe.StripeError) -> GatewayOutcome:
    """An SDK exception as a value. What is not surely Stripe's own error body proves nothing."""
    if isinstance(error, stripe.APIConnectionError):
        return GatewayOutcome(kind_of_loss(error.__cause__), message=_kept(error))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    body = error.json_body.get("error") if isinstance(error.json_body, dict) else None
    if not isinstance(body, dict) or 200 <= (error.http_status or 0) < 300:
        return GatewayOutcome("unreadable", http_status=error.http_status, message=_kept(error))
    return GatewayOutcome(
        "response",
        http_status=error.http_status,
        error_type=body.get("type"),
        code=body.get("code"),
        message=_kept(error),
        replayed=headers.get("idempotent-replayed", "").lower() == "true",
        request_id=headers.get("request-id"),
        retry_after=seconds_to_wait(headers.get("retry-after")),
    )


def is_about_our_key(error: stripe.StripeError) -> bool:
    """Whether a refusal is of our API key (it lacks a permission), and says nothing of what was asked for."""
    return outcome_of(error).key_refused


def ordered(value: Any) -> Any:
    """Parameters in one order, so that a replay from the database is the same request byte for byte."""
    if isinstance(value, Mapping):
        return {name: ordered(value[name]) for name in sorted(value)}
    return value


def _kept(error: stripe.StripeError) -> str:
    return str(error.user_message or error)[:MESSAGE_KEPT]
