"""What payouts ask of a gateway; ``workers/gateways`` has one module for each."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from domain.payouts.rules import LEASE, GatewayOutcome
from domain.payouts.rules.breaker import Balance


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a lease by this process's clocks.

    Begun before the lease is taken, it ends before the lease does, whatever the database's clock says.
    Both clocks count: one stands still while the machine sleeps, the other one may be set.
    """

    monotonic: float
    wall: float

    @classmethod
    def begin(cls, seconds: float = LEASE.total_seconds()) -> "Deadline":
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


@dataclass(frozen=True, slots=True)
class PayeeCheck:
    """Whether a destination can be paid now, and if not, why (the gateway's word)."""

    ready: bool
    reason: str = ""


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


@runtime_checkable
class TellsBalance(Protocol):
    """A gateway that can be asked what it could pay out now. It moves nothing, so it is also how a
    gateway is asked whether it is there."""

    def balance(self) -> Balance:
        """What the account has available. Asked once, without retries; never raises."""
