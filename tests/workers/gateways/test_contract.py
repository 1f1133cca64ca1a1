"""Each gateway module keeps the contract."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from domain.payouts.gateway import Gateway
from tests.workers.gateways.contract import GatewayContract, OtherSide
from tests.workers.gateways.local_stripe import TRANSFERS, Platform
from tests.workers.gateways.local_wise import FUNDING, WiseAccount
from workers.gateways.stripe import stripe_gateway
from workers.gateways.wise import wise_gateway


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


class Stripe:
    """Stripe, as the sandbox plays it."""

    currency = "usd"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def gateway(self, *, read_seconds: float = 5.0) -> Gateway:
        return self._platform.gateway(read_seconds=read_seconds)

    def nowhere(self) -> Gateway:
        return stripe_gateway("sk_test_x", nobody(), mode="test", account="acct_x")

    def fund(self, amount: int) -> None:
        self._platform.fund(amount)

    def payee(self) -> str:
        return self._platform.account()

    def closed(self) -> str:
        account = self._platform.account()
        self._platform.set_state(account, "restricted")
        return account

    def fault(self, name: str, **options: Any) -> None:
        self._platform.plan({**TRANSFERS, "fault": name, **options})

    def silence(self) -> None:
        self._platform.stripe.admin(
            "PUT", "faults", seed=0, rules=[{"path": "/v1/*", "fault": "drop_before"}]
        )

    def calm(self) -> None:
        self._platform.stripe.admin("DELETE", "faults")

    def paid(self) -> list[tuple[int, str, str]]:
        return [(t.amount, t.currency, t.destination) for t in self._platform.transfers() if t.net]


class Wise:
    """Wise, as the sandbox plays it; the call that pays is the funding."""

    currency = "eur"

    def __init__(self, account: WiseAccount) -> None:
        self._account = account

    def gateway(self, *, read_seconds: float = 5.0) -> Gateway:
        return self._account.gateway(read_seconds=read_seconds)

    def nowhere(self) -> Gateway:
        return wise_gateway("wise-token-x", f"{nobody()}/wise", mode="test", account="1/2")

    def fund(self, amount: int) -> None:
        self._account.fund(amount)

    def payee(self) -> str:
        return self._account.recipient()

    def closed(self) -> str:
        recipient = self._account.recipient()
        self._account.delete(recipient)
        return recipient

    def fault(self, name: str, **options: Any) -> None:
        self._account.plan({**FUNDING, "fault": name, **options})

    def silence(self) -> None:
        self._account.plan({"path": "/wise/*", "fault": "drop_before"})

    def calm(self) -> None:
        self._account.plan()

    def paid(self) -> list[tuple[int, str, str]]:
        return [
            (t.target_amount, t.target_currency.lower(), str(t.recipient))
            for t in self._account.paid()
        ]


class TestStripe(GatewayContract):
    """Stripe Connect."""

    @pytest.fixture
    def there(self, platform: Platform) -> OtherSide:
        return Stripe(platform)


class TestWise(GatewayContract):
    """Wise."""

    @pytest.fixture
    def there(self, wise: WiseAccount) -> OtherSide:
        return Wise(wise)
