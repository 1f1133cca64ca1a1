"""A sandbox as a real process, and for each test a platform of its own in it."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import stripe

from sandbox.books import Books
from tests.sandbox.receiving import Receiver

START_SECONDS = 15.0
ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """`python -m sandbox` on a data directory; it can be killed and started again."""

    data: Path
    keys: tuple[str, ...] = ()
    port: int = 0
    running: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return (self.data.parent / "sandbox.log").read_text()

    def start(self) -> None:
        port_file = self.data.parent / f"port.{secrets.token_hex(4)}"
        command = [sys.executable, "-W", "error", "-m", "sandbox", "--data", str(self.data)]
        command += ["--port", str(self.port), "--port-file", str(port_file)]
        command += ["--webhook-pause", "0.05"]
        for key in self.keys:
            command += ["--key", key]
        log = (self.data.parent / "sandbox.log").open("ab")
        with log:
            self.running = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists():
            assert self.running.poll() is None, self.log()
            assert time.monotonic() < deadline, "the sandbox did not start in time"
            time.sleep(0.01)
        self.port = int(port_file.read_text())

    def stop(self, signum: int = signal.SIGTERM) -> int:
        assert self.running is not None
        os.kill(self.running.pid, signum)
        status = self.running.wait(timeout=10)
        self.running = None
        return status


@dataclass
class Platform:
    """One platform of a sandbox: its key, its SDK client and the admin API."""

    url: str
    data: Path
    key: str
    id: str = ""
    opened: list[stripe.HTTPClient] = field(default_factory=list)

    def connect(self, key: str | None = None, **options: Any) -> stripe.StripeClient:
        http_client = stripe.RequestsClient(timeout=(3, 10))
        self.opened.append(http_client)
        return stripe.StripeClient(
            key or self.key,
            base_addresses={"api": self.url},
            max_network_retries=0,
            http_client=http_client,
            **options,
        )

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Call the admin API; a refusal comes back as its body, with `status`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return {**json.load(refusal), "status": refusal.code}

    def fund(self, amount: int, currency: str = "usd") -> None:
        answer = self.admin(
            "POST", "/fund", {"key": self.key, "amount": amount, "currency": currency}
        )
        assert "topup" in answer, answer

    def plan(self, *rules: dict[str, Any], **rest: Any) -> Any:
        answer = self.admin("PUT", "/faults", {"rules": list(rules), **rest})
        assert "error" not in answer, answer
        return answer

    def wait_until_injected(self, number: int = 1) -> None:
        """Wait until the plan has put its first faults into effect."""
        deadline = time.monotonic() + 10
        while sum(self.admin("GET", "/faults")["injected"].values()) < number:
            assert time.monotonic() < deadline, "no request came that the plan matches"
            time.sleep(0.01)

    def account(self, client: stripe.StripeClient, **params: Any) -> str:
        """Create a connected account that can be paid; return its id."""
        created = client.v1.accounts.create(
            {"type": "express", "capabilities": {"transfers": {"requested": True}}, **params}
        )
        return created.id

    def books(self) -> Books:
        return Books(self.data)

    def close(self) -> None:
        for http_client in self.opened:
            http_client.close()
        self.opened.clear()


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The sandbox that most tests share."""
    shared = Process(tmp_path_factory.mktemp("sandbox") / "data")
    shared.start()
    yield shared
    assert shared.stop() == 0
    assert "ERROR" not in shared.log(), shared.log()
    with Books(shared.data) as books:
        assert books.check() == [], "some test left the books wrong"


@pytest.fixture
def platform(process: Process) -> Iterator[Platform]:
    """A platform of this test alone, in the shared sandbox; its fault plan ends with the test."""
    made = Platform(process.url, process.data, f"sk_test_{secrets.token_hex(8)}")
    made.id = made.admin("POST", "/keys", {"key": made.key})["platform"]
    yield made
    made.admin("DELETE", "/faults")
    made.close()


@pytest.fixture
def client(platform: Platform) -> stripe.StripeClient:
    """The SDK, talking to the test's platform over HTTP."""
    return platform.connect()


Sandbox = tuple[Process, Platform]


@pytest.fixture(scope="session")
def start_sandbox() -> Iterator[Callable[[Path], Sandbox]]:
    """Start a further sandbox in a directory; whoever does so may kill it and start it again."""
    started: list[Sandbox] = []

    def start(directory: Path) -> Sandbox:
        process = Process(directory / "data")
        process.start()
        platform = Platform(process.url, process.data, "sk_test_sandbox")
        platform.id = platform.admin("GET", "")["platforms"][0]["id"]
        started.append((process, platform))
        return process, platform

    yield start
    for process, platform in started:
        platform.close()
        if process.running is not None:
            process.stop()


@pytest.fixture
def own(start_sandbox: Callable[[Path], Sandbox], tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of this test alone."""
    process, platform = start_sandbox(tmp_path)
    yield process, platform
    platform.close()
    if process.running is not None:
        process.stop()


@pytest.fixture
def own_process(own: Sandbox) -> Process:
    """The process of the test's own sandbox, to be killed and started again."""
    return own[0]


@pytest.fixture
def own_platform(own: Sandbox) -> Platform:
    """The only platform of the test's own sandbox."""
    return own[1]


@pytest.fixture
def raw(platform: Platform) -> Callable[..., tuple[int, dict[str, str], bytes]]:
    """Send one request as it is written: (method, path, body, headers) -> status, headers, body."""

    def send(
        method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        given = {"Authorization": f"Bearer {platform.key}"} if headers is None else headers
        request = urllib.request.Request(platform.url + path, body, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, dict(refusal.headers), refusal.read()

    return send


def _full_account() -> dict[str, Any]:
    address = {"city": "Bonn", "country": "DE", "line1": "Markt 1", "postal_code": "53111"}
    money = {"amount": 100_000, "currency": "eur"}
    return {
        "type": "express",
        "country": "DE",
        "email": "shop@example.com",
        "business_type": "company",
        "business_profile": {
            "annual_revenue": {**money, "fiscal_year_end": "2026-12-31"},
            "monthly_estimated_revenue": money,
            "estimated_worker_count": 3,
            "mcc": "5734",
            "minority_owned_business_designation": ["none_of_these_apply"],
            "name": "Shop",
            "support_address": address,
            "url": "https://example.com",
        },
        "capabilities": {
            "transfers": {"requested": True},
            "card_payments": {"requested": True},
        },
        "metadata": {"team": "north"},
        "settings": {
            "bacs_debit_payments": {"display_name": "Shop"},
            "card_payments": {"decline_on": {"avs_failure": True}},
            "payouts": {
                "schedule": {
                    "delay_days": "minimum",
                    "interval": "weekly",
                    "weekly_anchor": "monday",
                }
            },
            "sepa_debit_payments": {"creditor_id": "DE98ZZZ09999999999"},
        },
        "tos_acceptance": {"date": 1_700_000_000, "ip": "203.0.113.4"},
    }


def _move_on(platform: Platform, id: str, status: str) -> None:
    kind = "payouts" if id.startswith("po_") else "topups"
    answer = platform.admin("POST", f"/{kind}/{id}", {"status": status})
    assert answer.get("status") == status, answer


Samples = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="session")
def samples(process: Process) -> Iterator[Samples]:
    """Objects of every kind in their varieties, as the JSON that was sent, by `object`."""
    platform = Platform(process.url, process.data, f"sk_test_{secrets.token_hex(8)}")
    platform.id = platform.admin("POST", "/keys", {"key": platform.key})["platform"]
    client = platform.connect()
    found: Samples = {}

    def keep(answer: Any) -> Any:
        data = answer.last_response.data
        for item in data["data"] if data["object"] == "list" else [data]:
            found.setdefault(item["object"], []).append(item)
        return answer

    v1 = client.v1
    full = keep(v1.accounts.create(_full_account()))
    bare = keep(v1.accounts.create())
    keep(platform.connect().v1.accounts.create({"metadata": {"sandbox": "restricted"}}))
    keep(v1.accounts.retrieve(platform.id))
    keep(v1.accounts.capabilities.list(full.id))
    keep(v1.accounts.capabilities.retrieve(bare.id, "transfers"))
    link = {"type": "account_onboarding", "return_url": "https://example.com/back"}
    keep(v1.account_links.create({"account": full.id, **link}))
    keep(v1.topups.create({"amount": 50_000, "currency": "eur", "description": "June"}))
    _move_on(platform, v1.topups.list().data[0].id, "succeeded")
    keep(v1.topups.list())
    charge = {"amount": 900, "currency": "eur", "source": "tok_visa", "transfer_group": "o"}
    paid = keep(v1.charges.create(charge))
    platform.admin("POST", "/fees", {"key": platform.key, "basis_points": 290, "fixed": 30})
    keep(v1.charges.create(charge))
    move = {"currency": "eur", "destination": full.id, "metadata": {"payout": "1"}}
    made = keep(v1.transfers.create({**move, "amount": 500, "transfer_group": "june"}))
    keep(v1.transfers.create({**move, "source_transaction": paid.id}))
    back = keep(v1.transfers.reversals.create(made.id, {"amount": 200}))
    keep(v1.transfers.retrieve(made.id))
    keep(v1.balance.retrieve())
    theirs = {"stripe_account": full.id}
    keep(v1.balance.retrieve({}, theirs))
    keep(v1.balance_transactions.list())
    keep(v1.balance_transactions.list({}, theirs))
    keep(v1.charges.list({"expand": ["data.refunds"]}, theirs))
    keep(v1.accounts.external_accounts.list(full.id))
    for end in ("paid", "failed", "pending"):
        paid_out = keep(v1.payouts.create({"amount": 10, "currency": "eur"}, theirs))
        if end != "pending":
            _move_on(platform, paid_out.id, end)
    keep(v1.payouts.list({}, theirs))
    refund = v1.transfers.reversals.retrieve(
        made.id, back.id, {"expand": ["destination_payment_refund"]}
    )
    found["refund"] = [refund.last_response.data["destination_payment_refund"]]
    for options in ({"connect": True}, {"connect": False, "api_version": "2020-08-27"}):
        endpoint = {"url": "https://localhost:1/hook", "enabled_events": ["nothing.at.all"]}
        keep(v1.webhook_endpoints.create({**endpoint, **options}))
    keep(v1.webhook_endpoints.list())
    keep(v1.events.list({"limit": 100}))
    keep(v1.events.list({}, theirs))
    yield found
    platform.close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def listen(client, receiver):
    """Register the receiver; the endpoint is removed with the test."""
    ids = []

    def register(*events, **params):
        made = client.v1.webhook_endpoints.create(
            {"url": receiver.url, "enabled_events": list(events) or ["*"], **params}
        )
        ids.append(made.id)
        return made

    yield register
    for id in ids:
        client.v1.webhook_endpoints.delete(id)
