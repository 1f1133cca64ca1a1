"""Measures the calls of a gateway, from outside of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.payouts.books import BooksPage, KeepsBooks
from domain.payouts.errors import NoBooks
from domain.payouts.gateway import Deadline, Found, Gateway, News, Order, PayeeCheck, TellsBalance
from domain.payouts.rules import GatewayOutcome
from domain.payouts.rules.breaker import Balance
from workers.watching import Watch


@dataclass(frozen=True, slots=True)
class MeasuredGateway:
    """A gateway whose calls are told to ``watch``; it answers what the gateway answers."""

    gateway: Gateway
    watch: Watch

    @property
    def method(self) -> str:
        """See ``Gateway``."""
        return self.gateway.method

    @property
    def account(self) -> str:
        """See ``Gateway``."""
        return self.gateway.account

    @property
    def api_version(self) -> str:
        """See ``Gateway``."""
        return self.gateway.api_version

    def params(self, order: Order) -> dict[str, Any]:
        """See ``Gateway``."""
        return self.gateway.params(order)

    def send(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """See ``Gateway``."""
        began = time.monotonic()
        outcome = self.gateway.send(params, key=key, api_version=api_version, deadline=deadline)
        self._called("send", outcome_label(outcome), began)
        return outcome

    def find(self, params: Mapping[str, Any]) -> Sequence[Found] | None:
        """See ``Gateway``."""
        began = time.monotonic()
        found = self.gateway.find(params)
        self._called("find", "unknown" if found is None else "answered", began)
        return found

    def check_payee(self, destination: str) -> PayeeCheck | None:
        """See ``Gateway``."""
        began = time.monotonic()
        checked = self.gateway.check_payee(destination)
        self._called("check_payee", "unknown" if checked is None else "answered", began)
        return checked

    @property
    def news(self) -> News:
        """See ``TellsNews``; a gateway that sends no notices has no such attribute."""
        news: News = getattr(self.gateway, "news")  # noqa: B009 - not every gateway has it
        return news

    def books(
        self, *, created_from: datetime, created_before: datetime, after: str | None
    ) -> BooksPage:
        """See ``KeepsBooks``. Raises NoBooks for a gateway that keeps none."""
        if not isinstance(self.gateway, KeepsBooks):
            raise NoBooks(self.method)
        began = time.monotonic()
        page = self.gateway.books(
            created_from=created_from, created_before=created_before, after=after
        )
        self._called("books", "answered", began)
        return page

    def balance(self) -> Balance:
        """See ``TellsBalance``; a gateway that cannot be asked is one whose key may not ask."""
        if not isinstance(self.gateway, TellsBalance):
            return Balance("forbidden", why=f"{self.method} tells no balance")
        began = time.monotonic()
        balance = self.gateway.balance()
        self._called("balance", "answered" if balance.answer == "told" else "unknown", began)
        return balance

    def _called(self, call: str, outcome: str, began: float) -> None:
        self.watch.gateway_called(self.method, call, outcome, time.monotonic() - began)


def outcome_label(outcome: GatewayOutcome) -> str:
    """An outcome as one of a few words: a class of statuses, or how the call failed.

    >>> outcome_label(GatewayOutcome("response", http_status=402, code="balance_insufficient"))
    '4xx'
    >>> outcome_label(GatewayOutcome("timeout"))
    'timeout'
    """
    if outcome.kind != "response" or outcome.http_status is None:
        return outcome.kind
    return "429" if outcome.http_status == 429 else f"{outcome.http_status // 100}xx"
