"""The Wise of a running sandbox, with a token and a profile of its own for each test."""

from __future__ import annotations

import secrets
from typing import Any

import httpx

from domain.payouts.gateway import Order
from domain.payouts.rules import attempt_key
from sandbox.books import Books, WiseTransfer
from tests.workers.gateways.local_stripe import INSTALLATION, LocalStripe
from workers.gateways.wise import WiseGateway, close_wise_gateways, wise_gateway

QUOTE = {"method": "POST", "path": "/wise/v3/profiles/*/quotes"}
TRANSFER = {"method": "POST", "path": "/wise/v1/transfers"}
FUNDING = {"method": "POST", "path": "/wise/v3/profiles/*/transfers/*/payments"}
CANCEL = {"method": "PUT", "path": "/wise/v1/transfers/*/cancel"}
LOOK = {"method": "GET", "path": "/wise/v1/transfers/*"}
IBANS = ("DE89370400440532013000", "FR1420041010050500013M02606", "NL91ABNA0417164300")


class WiseAccount:
    """A token, and the business profile behind it."""

    def __init__(self, sandbox: LocalStripe) -> None:
        self.sandbox = sandbox
        self.token = f"wise-{secrets.token_hex(8)}"
        told = sandbox.admin("POST", "wise/tokens", token=self.token)
        self.profile = next(str(p["id"]) for p in told["profiles"] if p["type"] == "BUSINESS")
        self.account = f"{self.profile}/{told['user']}"
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            trust_env=False,
            timeout=10,
        )

    @property
    def url(self) -> str:
        return f"{self.sandbox.url}/wise"

    def close(self) -> None:
        self.sandbox.admin("DELETE", "faults")
        self._http.close()
        close_wise_gateways()

    def gateway(self, *, read_seconds: float = 5.0) -> WiseGateway:
        return wise_gateway(
            self.token, self.url, mode="test", account=self.account, read_seconds=read_seconds
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def fund(self, amount: int, currency: str = "eur") -> None:
        self.sandbox.admin(
            "POST",
            "wise/fund",
            profile=int(self.profile),
            amount=amount,
            currency=currency.upper(),
        )

    def recipient(self, currency: str = "eur") -> str:
        made = self.call(
            "POST",
            "/v1/accounts",
            {
                "currency": currency.upper(),
                "type": "iban",
                "profile": int(self.profile),
                "accountHolderName": "Ada Example",
                "details": {"iban": IBANS[0]},
            },
        )
        return str(made["id"])

    def delete(self, recipient: str) -> None:
        self.call("DELETE", f"/v1/accounts/{recipient}")

    def plan(self, *rules: dict[str, Any], webhooks: tuple[dict[str, Any], ...] = ()) -> None:
        """Faults of the calls that rules name, by one of the constants above. Each call is counted."""
        counters = [
            {**one, "fault": "slow", "times": 0} for one in (QUOTE, TRANSFER, FUNDING, CANCEL)
        ]
        self.sandbox.admin("PUT", "faults", seed=0, rules=[*rules, *counters], webhooks=[*webhooks])

    def called(self) -> tuple[int, int, int, int]:
        """Quotes, transfers, fundings and cancellations that were asked for since the last plan."""
        rules = self.sandbox.admin("GET", "faults")["rules"][-4:]
        quotes, transfers, fundings, cancels = (int(rule["seen"]) for rule in rules)
        return quotes, transfers, fundings, cancels

    def move(self, transfer: str, *statuses: str) -> None:
        """Let a funded transfer go on."""
        for status in statuses:
            self.sandbox.admin("POST", f"wise/transfers/{transfer}", status=status)

    def transfers(self) -> list[WiseTransfer]:
        """Every transfer of the profile, from the books on disk."""
        with Books(self.sandbox.data) as books:
            assert books.check() == []
            return [t for t in books.wise_transfers() if str(t.profile) == self.profile]

    def paid(self) -> list[WiseTransfer]:
        """Those that were paid for, and are with the recipient or on their way."""
        gone = ("cancelled", "funds_refunded", "bounced_back")
        return [t for t in self.transfers() if t.funded and t.status not in gone]

    def held(self, currency: str = "eur") -> int:
        """The profile's balance in minor units of a currency with two decimals."""
        listed = self.call("GET", f"/v4/profiles/{self.profile}/balances?types=STANDARD")
        return sum(
            round(one["amount"]["value"] * 100)
            for one in listed
            if one["currency"] == currency.upper()
        )


def wise_order(recipient: str, *, payout_id: int = 1, n: int = 1, amount: int = 1_000) -> Order:
    """An order to pay a recipient in euros."""
    key = attempt_key(INSTALLATION, payout_id=payout_id, leg="transfer", n=n)
    return Order(INSTALLATION, payout_id, 7, key, amount, "eur", recipient)
