"""Stripe's reversals of transfers: money back from the connected account, in full or in part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import sleep
from typing import Any, Final

import stripe

from domain.payouts.gateway import Deadline, FoundReversal, ReversalOrder
from domain.payouts.rules import GatewayOutcome
from workers.gateways.stripe_answers import ordered, outcome_of, read, success
from workers.gateways.tries import with_tries

FIND_PAGES: Final = 10
"""Pages of 100 reversals of one transfer that a look-up reads."""

_REFUSALS: Final = {
    "amount": "reversal_too_large",
    "id": "transfer_already_reversed",
    "transfer": "transfer_already_reversed",
}
"""Stripe names no code where it refuses a reversal of its own accord, only the parameter that is wrong."""


class StripeReversals:
    """See ``domain.payouts.gateway.Reversals``; by the client of the account's gateway."""

    def __init__(
        self, client: stripe.StripeClient, *, pause: Callable[[float], None] = sleep
    ) -> None:
        self._client, self._pause = client, pause

    def params(self, order: ReversalOrder) -> dict[str, Any]:
        """The parameters of ``POST /v1/transfers/{transfer}/reversals``, beside the transfer of its path."""
        return {
            "transfer": order.transfer,
            "amount": order.amount,
            "metadata": {
                "installation": order.installation,
                "payout": str(order.payout_id),
                "reversal": order.key,
                "merchant": str(order.merchant_id),
            },
        }

    def reverse(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """Reverse under ``key``, with at most MAX_TRIES tries that were turned away."""
        return with_tries(
            lambda: read(lambda: self._reverse(params, key, api_version)), deadline, self._pause
        )

    def _reverse(self, params: Mapping[str, Any], key: str, api_version: str) -> GatewayOutcome:
        form = {name: value for name, value in params.items() if name != "transfer"}
        try:
            made = self._client.v1.transfers.reversals.create(
                params["transfer"],
                ordered(form),
                {"idempotency_key": key, "stripe_version": api_version},
            )
        except stripe.StripeError as error:
            return _named(error)
        right = (made.object, str(made.transfer), made.amount) == (
            "transfer_reversal",
            params["transfer"],
            params["amount"],
        )
        return success(made, right=right, what="reversal")

    def find(self, params: Mapping[str, Any]) -> Sequence[FoundReversal] | None:
        """All reversals of the transfer; None if Stripe could not be asked."""
        found: list[FoundReversal] = []
        try:
            page = self._client.v1.transfers.reversals.list(params["transfer"], {"limit": 100})
            for _ in range(FIND_PAGES):
                found += [
                    FoundReversal(one.id, one.amount, getattr(one.metadata, "reversal", None))
                    for one in page.data
                ]
                if not page.has_more:
                    return found
                page = page.next_page()
        except (stripe.StripeError, TypeError, ValueError, AttributeError, KeyError):
            return None
        return None


def _named(error: stripe.StripeError) -> GatewayOutcome:
    """A refusal without a code, by the parameter that it is about; anything else as it is."""
    outcome = outcome_of(error)
    if (outcome.http_status, outcome.error_type, outcome.code) != (
        400,
        "invalid_request_error",
        None,
    ):
        return outcome
    body = error.json_body if isinstance(error.json_body, dict) else {}
    param = body.get("error", {}).get("param")
    return replace(outcome, code=_REFUSALS.get(param, "reversal_refused"))
