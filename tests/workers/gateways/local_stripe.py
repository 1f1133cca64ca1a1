"""A sandbox as a real process, with a platform of its own for each test."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from domain.payouts.gateway import Deadline, Order
from domain.payouts.rules import attempt_key
from sandbox.books import Books, Transfer
from workers.gateways.stripe import StripeGateway, close_gateways, stripe_gateway

ROOT = Path(__file__).parents[3]
START_SECONDS = 20.0
INSTALLATION = "0123456789ab"
TRANSFERS = {"method": "POST", "path": "/v1/transfers"}


class LocalStripe:
    """One running sandbox."""

    def __init__(self, url: str, data: Path) -> None:
        self.url, self.data = url, data
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=10)

    def admin(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = self._http.request(method, f"/_sandbox/{path}", json=body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def platform(self) -> Platform:
        key = f"sk_test_{secrets.token_hex(8)}"
        self.admin("POST", "keys", key=key)
        return Platform(self, key)

    def close(self) -> None:
        self._http.close()


class Platform:
    """A platform with its own key, balance and connected accounts."""

    def __init__(self, stripe: LocalStripe, key: str) -> None:
        self.stripe, self.key = stripe, key
        self._http = httpx.Client(
            base_url=stripe.url,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=10,
        )

    def close(self) -> None:
        self.stripe.admin("DELETE", "faults")
        self._http.close()
        close_gateways()

    def gateway(self, *, read_seconds: float = 5.0) -> StripeGateway:
        return stripe_gateway(
            self.key,
            self.stripe.url,
            mode="test",
            account=self.account_id,
            read_seconds=read_seconds,
        )

    @cached_property
    def account_id(self) -> str:
        """The platform's own account."""
        mine: str = self.call("GET", "/v1/account")["id"]
        return mine

    def call(self, method: str, path: str, **form: str) -> dict[str, Any]:
        answer = self._http.request(method, path, data=form or None)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def fund(self, amount: int, currency: str = "usd") -> None:
        self.stripe.admin("POST", "fund", key=self.key, amount=amount, currency=currency)

    def account(self) -> str:
        made: str = self.call(
            "POST",
            "/v1/accounts",
            type="express",
            country="US",
            **{"capabilities[transfers][requested]": "true"},
        )["id"]
        return made

    def set_state(self, account: str, state: str) -> None:
        self.stripe.admin("POST", f"accounts/{account}", state=state)

    def plan(self, *rules: dict[str, Any], seed: int = 0) -> None:
        """Faults of requests that make transfers; a rule of this test's own counts those requests."""
        listed = [{**TRANSFERS, **rule} for rule in rules]
        self.stripe.admin(
            "PUT", "faults", seed=seed, rules=[*listed, {**TRANSFERS, "fault": "slow", "times": 0}]
        )

    def posted(self) -> int:
        """Requests to make a transfer since the last plan."""
        seen: int = self.stripe.admin("GET", "faults")["rules"][-1]["seen"]
        return seen

    def transfers(self) -> list[Transfer]:
        """What was really paid, from the books on disk."""
        with Books(self.stripe.data) as books:
            assert books.check() == []
            return books.transfers(self.account_id)


@contextmanager
def running(directory: Path) -> Iterator[LocalStripe]:
    """Start a sandbox on ``directory`` and stop it in the end."""
    port_file, log = directory / "port", directory / "log"
    data = directory / "data"
    command = [sys.executable, "-m", "sandbox", "--data", str(data)]
    command += ["--port", "0", "--port-file", str(port_file)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (port_file.exists() and port_file.read_text().strip()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the sandbox did not start in time"
            time.sleep(0.02)
        stripe = LocalStripe(f"http://127.0.0.1:{port_file.read_text().strip()}", data)
        yield stripe
        stripe.close()
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)


def order(account: str, *, payout_id: int = 1, n: int = 1, amount: int = 1_000) -> Order:
    """An order to pay an account in dollars."""
    key = attempt_key(INSTALLATION, payout_id=payout_id, leg="transfer", n=n)
    return Order(INSTALLATION, payout_id, 7, key, amount, "usd", account)


def ample() -> Deadline:
    """A deadline that no test reaches."""
    return Deadline.begin(600)
