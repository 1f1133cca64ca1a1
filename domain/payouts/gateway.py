"""What payouts ask of a gateway; ``workers/gateways`` has one module for each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Protocol, runtime_checkable

from domain.payouts.rules import LEASE, GatewayOutcome
from domain.payouts.rules.bank_leg import SeenBankPayout
from domain.payouts.rules.breaker import Balance
from domain.payouts.rules.progress import Stage
from domain.payouts.rules.told import keepable


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a lease by this process's clocks.

    Begun before the lease is taken, it ends before the lease does, whatever the database's clock says.
    Both clocks count: one stands still while the machine sleeps, the other one may be set.
    """

    monotonic: float
    wall: float

    @classmethod
    def begin(cls, seconds: float = LEASE.total_seconds()) -> Deadline:
        """A deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds, time.time() + seconds)

    def has_room_for(self, seconds: float) -> bool:
        """Whether ``seconds`` more still end before it."""
        left = min(self.monotonic - time.monotonic(), self.wall - time.time())
        return left >= seconds


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent: ``amount`` in minor units of ``currency``, under the attempt's ``key``.

    ``installation`` names the database that the payout's id is of.
    """

    installation: str
    payout_id: int
    merchant_id: int
    key: str
    amount: int
    currency: str
    destination: str


@dataclass(frozen=True, slots=True)
class Found:
    """A transfer that a gateway knows of; ``key`` is the attempt that made it, if it says so."""

    external_id: str
    amount: int
    reversed_amount: int
    currency: str
    destination: str
    key: str | None
    paid: bool = True
    """False: it exists, and no money has moved for it."""
    arrived: bool = True
    """False: the gateway has the money, and will say when it was sent to the payee."""
    standing: str = ""
    """The gateway's word for how it stands."""


@dataclass(frozen=True, slots=True)
class PayeeCheck:
    """Whether a destination can be paid now, and if not, why (the gateway's word)."""

    ready: bool
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", keepable(self.reason))


class Gateway(Protocol):
    """One way to send money. Calls never raise for what the other side does: an outcome says it."""

    @property
    def method(self) -> str:
        """Its name, as payees and payouts carry it."""

    @property
    def account(self) -> str:
        """The gateway's name of the account that pays, as the gateway said it when the key was set.

        An attempt is sent, replayed and looked up through this account only.
        """

    @property
    def api_version(self) -> str:
        """The version under which new attempts are sent; a replay uses the attempt's own."""

    def params(self, order: Order) -> dict[str, Any]:
        """The parameters of a send, as they are stored and sent. Pure: no call is made."""

    def send(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """Send once under ``key``; on answers that prove that nothing was executed, a few more times.

        No try begins that could outlast ``deadline``.
        """

    def find(self, params: Mapping[str, Any]) -> Sequence[Found] | None:
        """What the gateway holds for the payout that was sent with ``params``, as they are stored; None
        if it could not be asked."""

    def check_payee(self, destination: str) -> PayeeCheck | None:
        """Whether a destination can be paid; None if the gateway could not be asked."""


@dataclass(frozen=True, slots=True)
class SeenTransfer:
    """A transfer as it is at the gateway now: which attempt made it, and each reversal (id, amount)."""

    external_id: str
    key: str | None
    reversals: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How a transfer that takes days stands at the gateway now. ``reference`` is what we named it by (a
    parameter of the attempt);
    ``account`` the gateway's account that pays; ``standing`` the gateway's own word."""

    external_id: str
    reference: str
    account: str
    stage: Stage
    standing: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "standing", keepable(self.standing))


@runtime_checkable
class TellsProgress(Protocol):
    """A gateway whose transfers take days, and can be asked how they stand."""

    def progress(self, external_id: str) -> Progress | None:
        """A transfer as it is now; None if the gateway could not be asked, or knows none."""


@dataclass(frozen=True, slots=True)
class ReturnsPage:
    """A page of the transfers that a gateway lists as come back, or given up, or why there is none.

    ``listed``: how many entries it has; ``seen``: those of them that are named as ours are. ``more``: others
    follow. ``answer``: `told`, or `silent` (it could not be asked).
    """

    answer: Literal["told", "silent"]
    seen: tuple[Progress, ...] = ()
    listed: int = 0
    more: bool = False
    why: str = ""


class Returns(Protocol):
    """What came back of what a gateway's account has paid."""

    def page(self, *, made_from: date, passed: int) -> ReturnsPage:
        """What came back of what was made since a day, newest first, behind ``passed`` entries. Asked once;
        never raises."""


@runtime_checkable
class TellsReturns(Protocol):
    """A gateway that lists what came back."""

    @property
    def returns(self) -> Returns:
        """What came back to the same account."""


class News(Protocol):
    """The objects that a gateway's notices are about, as they are now. None: it could not be asked."""

    def transfer(self, external_id: str) -> SeenTransfer | None:
        """A transfer with its reversals, oldest first."""

    def currencies_available(self) -> frozenset[str] | None:
        """The currencies of which the merchant's own account has something to send."""


@runtime_checkable
class TellsNews(Protocol):
    """A gateway that sends notices, and can be asked what they are about."""

    @property
    def news(self) -> News:
        """The objects of the same account."""


class BankLeg(Protocol):
    """The second leg: from a destination that is an account at the gateway to the bank of that account."""

    def params(self, order: Order) -> dict[str, Any]:
        """The parameters of a payout to the bank, as they are stored and sent. Pure: no call is made."""

    def send(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """As ``Gateway.send``, for a payout to the bank."""

    def find(self, params: Mapping[str, Any]) -> Sequence[Found] | None:
        """As ``Gateway.find``: every payout of the account, those of others included."""

    def payout(self, account: str, external_id: str) -> SeenBankPayout | Hidden | None:
        """A payout to a bank as it is now; None if the gateway could not be asked."""

    def account(self, account: str) -> BankAccount | None:
        """Whether an account pays out, and where to; None if the gateway could not be asked."""

    def available(self, account: str) -> frozenset[str] | None:
        """The currencies of which an account has something to pay out; None if it could not be asked."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """The gateway answered that it does not show this any more (the account left), and why."""

    why: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "why", keepable(self.why))


@dataclass(frozen=True, slots=True)
class BankAccount:
    """How a connected account pays out. ``banks``: the bank account of each currency, by currency.

    ``hindrance``: why it does not, whatever the currency; None if it does.
    """

    hindrance: str | None
    banks: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "hindrance", keepable(self.hindrance))

    def hindrance_in(self, currency: str) -> str | None:
        """Why a payout in ``currency`` cannot reach a bank; None if it can.

        >>> BankAccount(None, {"usd": "ba_1"}).hindrance_in("eur")
        'the account has no bank account for EUR: the payee adds one'
        """
        if self.hindrance is not None:
            return self.hindrance
        if currency in self.banks:
            return None
        return f"the account has no bank account for {currency.upper()}: the payee adds one"


@runtime_checkable
class PaysBanks(Protocol):
    """A gateway whose destinations are accounts of its own, from which a second leg goes to a bank."""

    @property
    def bank(self) -> BankLeg:
        """The second leg, by the same key."""


@runtime_checkable
class TellsBalance(Protocol):
    """A gateway that can be asked what it could pay out now. It moves nothing, so it is also how a
    gateway is asked whether it is there."""

    def balance(self) -> Balance:
        """What the account has available. Asked once, without retries; never raises."""


@dataclass(frozen=True, slots=True)
class ReversalOrder:
    """What is to be taken back: ``amount`` in minor units of ``currency``, of ``transfer`` (as the gateway
    calls it), under the request's ``key``."""

    installation: str
    payout_id: int
    merchant_id: int
    key: str
    transfer: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class FoundReversal:
    """A reversal that a gateway knows of; ``key`` is the request that made it, if it says so."""

    external_id: str
    amount: int
    key: str | None


class Reversals(Protocol):
    """How a gateway takes back what it paid. Calls never raise for what the other side does."""

    def params(self, order: ReversalOrder) -> dict[str, Any]:
        """The parameters of a reversal, as they are stored and sent. Pure: no call is made."""

    def reverse(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """Ask once under ``key``; on answers that prove that nothing was executed, a few more times.

        No try begins that could outlast ``deadline``.
        """

    def find(self, params: Mapping[str, Any]) -> Sequence[FoundReversal] | None:
        """All reversals of the transfer that ``params`` name; None if the gateway could not be asked."""


@runtime_checkable
class TakesBack(Protocol):
    """A gateway that can take back what it paid."""

    @property
    def reversals(self) -> Reversals:
        """The reversals of the same account."""


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event that a gateway shows: what a webhook would have told. ``payload`` is its JSON text."""

    event_id: str
    type: str
    account: str | None
    payload: str
    live: bool
    created: datetime


@dataclass(frozen=True, slots=True)
class EventsPage:
    """A page of events, newest first, or why there is none.

    ``more``: older ones follow. ``answer``: `told`; `silent` (it could not be asked); `refused` (the account
    is not ours any more, or our key may not ask); `gone` (the event after which to go on is not kept any more).
    """

    answer: Literal["told", "silent", "refused", "gone"]
    events: tuple[SeenEvent, ...] = ()
    more: bool = False
    why: str = ""


class Events(Protocol):
    """The events that a gateway keeps."""

    def page(
        self, *, types: Sequence[str], account: str | None, since: datetime, after: str | None
    ) -> EventsPage:
        """Events of these types since a moment of the gateway's clock, newest first, those older than the
        event ``after``; of a connected ``account``, or of the one that pays. Asked once; never raises."""


@runtime_checkable
class TellsEvents(Protocol):
    """A gateway that keeps what it told, so that missed webhooks can be found."""

    @property
    def events(self) -> Events:
        """The events of the same account."""
