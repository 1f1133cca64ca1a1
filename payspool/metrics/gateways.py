"""Measures the calls of a gateway, from outside of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from domain.payouts.books import BooksPage, KeepsBooks
from domain.payouts.errors import NoBooks
from domain.payouts.gateway import (
    BankAccount,
    BankLeg,
    Deadline,
    Events,
    EventsPage,
    Found,
    FoundReversal,
    Gateway,
    Hidden,
    News,
    Order,
    PayeeCheck,
    Progress,
    Returns,
    ReturnsPage,
    ReversalOrder,
    Reversals,
    TellsBalance,
    TellsProgress,
)
from domain.payouts.rules import GatewayOutcome
from domain.payouts.rules.bank_leg import SeenBankPayout
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

    @property
    def reversals(self) -> Reversals:
        """See ``TakesBack``; a gateway that takes nothing back has no such attribute."""
        reversals: Reversals = getattr(self.gateway, "reversals")  # noqa: B009 - not every gateway has it
        return _MeasuredReversals(reversals, self.method, self.watch)

    @property
    def events(self) -> Events:
        """See ``TellsEvents``; a gateway that keeps no events has no such attribute."""
        events: Events = getattr(self.gateway, "events")  # noqa: B009 - not every gateway has it
        return _MeasuredEvents(events, self.method, self.watch)

    @property
    def returns(self) -> Returns:
        """See ``TellsReturns``; a gateway that has no list of them has no such attribute."""
        returns: Returns = getattr(self.gateway, "returns")  # noqa: B009 - not every gateway has it
        return _MeasuredReturns(returns, self.method, self.watch)

    @property
    def bank(self) -> BankLeg:
        """See ``PaysBanks``; a gateway without a second leg has no such attribute."""
        bank: BankLeg = getattr(self.gateway, "bank")  # noqa: B009 - not every gateway has it
        return _MeasuredBankLeg(bank, self.method, self.watch)

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

    def progress(self, external_id: str) -> Progress | None:
        """See ``TellsProgress``; a gateway whose transfers do not take days tells nothing."""
        if not isinstance(self.gateway, TellsProgress):
            return None
        began = time.monotonic()
        progress = self.gateway.progress(external_id)
        self._called("progress", "unknown" if progress is None else "answered", began)
        return progress

    def _called(self, call: str, outcome: str, began: float) -> None:
        self.watch.gateway_called(self.method, call, outcome, time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class _MeasuredReversals:
    """Reversals whose calls are told to ``watch``."""

    reversals: Reversals
    method: str
    watch: Watch

    def params(self, order: ReversalOrder) -> dict[str, Any]:
        """See ``Reversals``."""
        return self.reversals.params(order)

    def reverse(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """See ``Reversals``."""
        began = time.monotonic()
        outcome = self.reversals.reverse(
            params, key=key, api_version=api_version, deadline=deadline
        )
        seconds = time.monotonic() - began
        self.watch.gateway_called(self.method, "reverse", outcome_label(outcome), seconds)
        return outcome

    def find(self, params: Mapping[str, Any]) -> Sequence[FoundReversal] | None:
        """See ``Reversals``."""
        began = time.monotonic()
        found = self.reversals.find(params)
        label = "unknown" if found is None else "answered"
        seconds = time.monotonic() - began
        self.watch.gateway_called(self.method, "find_reversal", label, seconds)
        return found


@dataclass(frozen=True, slots=True)
class _MeasuredEvents:
    """Events whose calls are told to ``watch``."""

    events: Events
    method: str
    watch: Watch

    def page(
        self, *, types: Sequence[str], account: str | None, since: datetime, after: str | None
    ) -> EventsPage:
        """See ``Events``."""
        began = time.monotonic()
        page = self.events.page(types=types, account=account, since=since, after=after)
        label = "answered" if page.answer == "told" else "unknown"
        self.watch.gateway_called(self.method, "events", label, time.monotonic() - began)
        return page


@dataclass(frozen=True, slots=True)
class _MeasuredReturns:
    """What came back, by calls that are told to ``watch``."""

    returns: Returns
    method: str
    watch: Watch

    def page(self, *, made_from: date, passed: int) -> ReturnsPage:
        """See ``Returns``."""
        began = time.monotonic()
        page = self.returns.page(made_from=made_from, passed=passed)
        label = "answered" if page.answer == "told" else "unknown"
        self.watch.gateway_called(self.method, "returns", label, time.monotonic() - began)
        return page


@dataclass(frozen=True, slots=True)
class _MeasuredBankLeg:
    """A second leg whose calls are told to ``watch``."""

    bank: BankLeg
    method: str
    watch: Watch

    def params(self, order: Order) -> dict[str, Any]:
        """See ``BankLeg``."""
        return self.bank.params(order)

    def send(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """See ``BankLeg``."""
        began = time.monotonic()
        outcome = self.bank.send(params, key=key, api_version=api_version, deadline=deadline)
        self.watch.gateway_called(
            self.method, "bank_send", outcome_label(outcome), time.monotonic() - began
        )
        return outcome

    def find(self, params: Mapping[str, Any]) -> Sequence[Found] | None:
        """See ``BankLeg``."""
        began = time.monotonic()
        found = self.bank.find(params)
        self._told("bank_find", found, began)
        return found

    def payout(self, account: str, external_id: str) -> SeenBankPayout | Hidden | None:
        """See ``BankLeg``."""
        began = time.monotonic()
        seen = self.bank.payout(account, external_id)
        self._told("bank_payout", seen, began)
        return seen

    def account(self, account: str) -> BankAccount | None:
        """See ``BankLeg``."""
        began = time.monotonic()
        seen = self.bank.account(account)
        self._told("bank_account", seen, began)
        return seen

    def available(self, account: str) -> frozenset[str] | None:
        """See ``BankLeg``."""
        began = time.monotonic()
        available = self.bank.available(account)
        self._told("bank_balance", available, began)
        return available

    def _told(self, call: str, answer: object, began: float) -> None:
        outcome = "unknown" if answer is None else "answered"
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
