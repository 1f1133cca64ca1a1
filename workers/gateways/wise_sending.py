"""One payment through Wise: quote, transfer, funding. Killed or unanswered at any point, it is made again
with the same parameters and ends with one transfer that is paid for once.

- A quote moves no money, and one that is not used ends by itself: each sending asks for a new one.
- The transfer's name (`customerTransactionId`) comes from the attempt: under one name Wise makes one
  transfer. One that names another quote than ours was made by an earlier sending.
- Wise pays for a transfer once, and refuses a second time. Before an old transfer is paid for, its payments
  are looked at all the same.
- A transfer that cannot be paid for is canceled, so that it can never be paid for later: only then may
  another attempt begin.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from domain.payouts.gateway import Deadline
from domain.payouts.rules import GatewayOutcome
from domain.payouts.rules.shortfall import SHORT
from workers.gateways.tries import NO_ROOM, again_if_turned_away, has_room
from workers.gateways.wise_http import Reply, WiseHttp
from workers.gateways.wise_objects import (
    CANCELED,
    WAITING,
    NotATransfer,
    WiseTransfer,
    read_transfer,
    to_minor,
)

NO_FUNDS: Final = frozenset({"transfer.insufficient_funds", "balance.insufficient_funds"})
"""What Wise says of a balance that is too small for a transfer and its fee."""

TOO_SMALL: Final = frozenset({"error.amount.low", "error.greaterThanZero"})


class Sending:
    """One call of ``WiseGateway.send``."""

    def __init__(
        self,
        http: WiseHttp,
        params: Mapping[str, Any],
        deadline: Deadline,
        pause: Callable[[float], None],
    ) -> None:
        self._http, self._params = http, params
        self._deadline, self._pause = deadline, pause
        self._tries = 0
        self._began = False

    def run(self) -> GatewayOutcome:
        """Make the payment, or go on with one that was begun."""
        try:
            outcome = self._run()
        except NotATransfer as error:
            outcome = GatewayOutcome("unreadable", message=str(error))
        return replace(outcome, tries=self._tries, began=outcome.began or self._began)

    def _run(self) -> GatewayOutcome:
        quoted = self._ask("POST", f"/v3/profiles/{self._profile}/quotes", self._quote())
        if not quoted.ok:
            return _refusal(quoted, "quote_refused")
        quote = self._quote_id(quoted.body)
        made = self._ask("POST", "/v1/transfers", self._transfer(quote))
        if not made.ok:
            return _refusal(made, "transfer_refused")
        self._began = True
        transfer = read_transfer(made.body)
        differs = self._difference(transfer)
        if differs is not None:
            return differs
        again = transfer.quote != quote
        if again and transfer.status == WAITING:
            paid = self._was_paid_for(transfer)
            if not isinstance(paid, bool):
                return paid
            if paid:
                return self._paid(transfer, made, again=again)
        if transfer.status == WAITING:
            return self._fund(transfer, again=again)
        return self._standing(transfer, made, again=again)

    def _fund(self, transfer: WiseTransfer, *, again: bool) -> GatewayOutcome:
        path = f"/v3/profiles/{self._profile}/transfers/{transfer.id}/payments"
        funded = self._ask("POST", path, {"type": "BALANCE"})
        said = funded.body if funded.ok and isinstance(funded.body, dict) else {}
        if said.get("status") == "COMPLETED":
            return self._paid(transfer, funded, again=again)
        if not funded.ok and not funded.made_nothing:
            return funded.outcome
        # It was paid for already, or cannot be: only how it stands now tells.
        seen = self._ask("GET", f"/v1/transfers/{transfer.id}")
        if not seen.ok:
            return seen.outcome
        now = read_transfer(seen.body)
        if now.status == WAITING and said.get("status") == "REJECTED":
            return self._cancel(now, funded, str(said.get("errorCode")), again=again)
        if now.status == WAITING:
            message = f"transfer {now.id} was not paid for: {funded.outcome.message}"
            return replace(funded.outcome, message=message)
        return self._standing(now, seen, again=again)

    def _cancel(
        self, transfer: WiseTransfer, refused: Reply, why: str, *, again: bool
    ) -> GatewayOutcome:
        """Wise does not pay for it now. Canceled, it can never be paid for, by us or by hand."""
        canceled = self._ask("PUT", f"/v1/transfers/{transfer.id}/cancel")
        if not canceled.ok:
            return canceled.outcome
        if read_transfer(canceled.body).status != CANCELED:
            return replace(
                canceled.outcome, message=f"transfer {transfer.id} could not be canceled"
            )
        # Another sender of this attempt, or a person, may have paid for it after Wise refused us.
        paid = self._was_paid_for(transfer)
        if not isinstance(paid, bool):
            return paid
        if paid:
            return self._paid(transfer, canceled, again=again)
        code = SHORT if why in NO_FUNDS else "funding_refused"
        message = f"{why}; transfer {transfer.id} is canceled"
        return replace(refused.outcome, code=code, message=message, refused=True)

    def _standing(self, transfer: WiseTransfer, reply: Reply, *, again: bool) -> GatewayOutcome:
        """What follows from a transfer that is not waiting to be paid for."""
        if transfer.status == CANCELED:
            paid = self._was_paid_for(transfer)
            if not isinstance(paid, bool):
                return paid
            if not paid:
                message = f"transfer {transfer.id} was canceled before it was paid for"
                return replace(
                    reply.outcome, code="transfer_canceled", message=message, refused=True
                )
        elif transfer.stage is None:
            message = f"transfer {transfer.id} is {transfer.status[:50]}, which says nothing to us"
            return replace(reply.outcome, message=message)
        return self._paid(transfer, reply, again=again)

    def _paid(self, transfer: WiseTransfer, reply: Reply, *, again: bool) -> GatewayOutcome:
        return replace(
            reply.outcome, external_id=str(transfer.id), replayed=again, arrived=False, message=None
        )

    def _was_paid_for(self, transfer: WiseTransfer) -> bool | GatewayOutcome:
        listed = self._ask("GET", f"/v1/transfers/{transfer.id}/payments")
        if not listed.ok:
            return listed.outcome
        if not isinstance(listed.body, list):
            raise NotATransfer("the answer is no list of payments")
        return bool(listed.body)

    def _difference(self, transfer: WiseTransfer) -> GatewayOutcome | None:
        asked = (
            self._params["customerTransactionId"],
            self._params["targetAccount"],
            self._params["targetCurrency"].lower(),
            to_minor(self._params["targetAmount"], self._params["targetCurrency"].lower()),
        )
        theirs = (transfer.reference, transfer.recipient, transfer.currency, transfer.amount)
        if theirs == asked:
            return None
        if transfer.reference != asked[0]:
            return GatewayOutcome(
                "unreadable", message=f"transfer {transfer.id} is not the one that was asked for"
            )
        message = f"transfer {transfer.id} has the name of this attempt, and pays something else"
        return GatewayOutcome(
            "response", http_status=409, error_type="idempotency_error", message=message
        )

    @property
    def _profile(self) -> str:
        return str(self._params["profile"])

    def _quote(self) -> dict[str, Any]:
        return {
            "sourceCurrency": self._params["sourceCurrency"],
            "targetCurrency": self._params["targetCurrency"],
            "targetAmount": json.loads(self._params["targetAmount"]),
            "targetAccount": self._params["targetAccount"],
            "preferredPayIn": "BALANCE",
        }

    def _quote_id(self, body: Any) -> str:
        try:
            currency = str(body["targetCurrency"]).lower()
            told = (currency, to_minor(body["targetAmount"], currency))
            quote = body["id"]
        except (KeyError, TypeError):
            raise NotATransfer("the answer is no quote") from None
        wanted = self._params["targetCurrency"].lower()
        if not isinstance(quote, str) or told != (
            wanted,
            to_minor(self._params["targetAmount"], wanted),
        ):
            raise NotATransfer("the quote is for something else than was asked for")
        return quote

    def _transfer(self, quote: str) -> dict[str, Any]:
        return {
            "targetAccount": self._params["targetAccount"],
            "quoteUuid": quote,
            "customerTransactionId": self._params["customerTransactionId"],
            "details": {"reference": self._params["reference"]},
        }

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        if not has_room(self._deadline):
            return Reply(NO_ROOM)
        reply, made = again_if_turned_away(
            lambda: self._http.call(method, path, body=body),
            lambda answered: answered.outcome,
            self._deadline,
            self._pause,
        )
        self._tries = max(self._tries, made)
        return reply


def _refusal(reply: Reply, code: str) -> GatewayOutcome:
    """A quote or a transfer that Wise did not make, in the words of the outcome table."""
    if not reply.made_nothing:
        return reply.outcome
    if "targetAccount" in reply.fields:
        code = "account_invalid"
    elif TOO_SMALL & set(reply.said):
        code = "amount_too_small"
    return replace(reply.outcome, code=code)
