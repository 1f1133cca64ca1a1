"""Sending approved payouts with no limit, beside a bare loop that POSTs the same transfers.

Both go to one Stripe sandbox in a process of its own, with the same number of connections, payees and
amounts. Ours commits the intent before each call and the outcome after it.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
from sqlalchemy import Engine, text

from bench.events import MERCHANT
from bench.figures import Figure, figure
from bench.options import Options
from bench.runs import AS_OF
from bench.site import CHECKOUT, BenchFailed, Site
from domain.db import connect, snapshot, transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.merchants import service as merchants
from domain.payouts import service
from domain.payouts.gateway import Gateway
from domain.payouts.service import PayeeUpdate, RunSpec
from queues.marks import Marks
from sandbox.books import Books
from workers import payouts
from workers.gateways.stripe import close_gateways, stripe_gateway
from workers.health import GatewayHealth
from workers.pacing import UNLIMITED, Pace

CONNECTIONS: Final = 8
KEY: Final = "sk_test_sandbox"
FUNDS: Final = 10**9
START_SECONDS: Final = 20.0
ACCOUNTS: Final = 50
"""Connected accounts that the payees' transfers go to."""


@dataclass(frozen=True, slots=True)
class Stripe:
    """A running sandbox."""

    url: str
    data: Path
    accounts: Sequence[str]
    platform: str


@dataclass(frozen=True, slots=True)
class _Office:
    """What a sender needs of the composition root."""

    engine: Engine
    gateway: Gateway
    health: GatewayHealth = field(default_factory=GatewayHealth)
    pace: Pace = UNLIMITED
    marks: Marks | None = None

    def gateways(self, _merchant_id: int, _method: str) -> Gateway:
        """The one gateway."""
        return self.gateway


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """Payouts a second."""
    ours, posted, exactly = [], [], True
    for number in range(options.rounds):
        options.say(f"sending, round {number + 1} of {options.rounds}")
        with stripe_sandbox() as stripe:
            posted.append(options.payouts / _bare(stripe, options.payouts))
        with stripe_sandbox() as stripe, site.database() as database:
            engine = connect(database.url, pool_size=CONNECTIONS)
            ids = _approved(engine, stripe, options.payouts)
            seconds = _ours(engine, stripe, ids)
            faults = faults_of(engine, stripe)
            engine.dispose()
        ours.append(options.payouts / seconds)
        for fault in faults:
            options.say(f"sending: {fault}")
        exactly = exactly and not faults
    yield figure(
        "sending.unlimited",
        "payouts/s",
        ours,
        exact=exactly,
        against=f"a bare POST loop over {CONNECTIONS} connections",
        peers=posted,
    )


def _bare(stripe: Stripe, count: int) -> float:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    with httpx.Client(
        base_url=stripe.url,
        headers={"Authorization": f"Bearer {KEY}"},
        limits=limits,
        timeout=30,
        trust_env=False,
    ) as client:

        def post(n: int) -> None:
            answer = client.post(
                "/v1/transfers",
                headers={"Idempotency-Key": f"bare/{n}"},
                data={
                    "amount": str(1_000 + n),
                    "currency": "usd",
                    "destination": stripe.accounts[n % len(stripe.accounts)],
                },
            )
            answer.raise_for_status()

        return _timed(post, range(count))


def _ours(engine: Engine, stripe: Stripe, ids: Sequence[int]) -> float:
    gateway = stripe_gateway(KEY, stripe.url, mode="test", account=stripe.platform)
    office = _Office(engine, gateway)
    try:
        return _timed(lambda payout_id: payouts.send(office, payout_id), ids)
    finally:
        close_gateways()


def _timed(work: Callable[[int], object], things: Sequence[int]) -> float:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        started = time.monotonic()
        list(pool.map(work, things))
        return time.monotonic() - started


def _approved(engine: Engine, stripe: Stripe, count: int) -> list[int]:
    """Payouts that are ready to be sent, one for each of ``count`` payees."""
    merchant_id = owe(engine, stripe, count)
    service.build_run(engine, RunSpec(merchant_id, "bench", AS_OF))
    with transaction(engine) as tx:
        return list(tx.execute(text("SELECT id FROM payouts ORDER BY id")).scalars())


def owe(engine: Engine, stripe: Stripe, count: int) -> int:
    """Owe ``count`` payees something, each another amount; returns the merchant's id."""
    with transaction(engine) as tx:
        merchant_id = merchants.get(tx, MERCHANT).id
        service.put_payees(
            tx,
            [
                PayeeUpdate(
                    merchant_id,
                    f"user-{n}",
                    "stripe",
                    AS_OF,
                    stripe.accounts[n % len(stripe.accounts)],
                )
                for n in range(count)
            ],
        )
        earnings.record(
            tx,
            [
                NewEarning(
                    merchant_id,
                    f"user-{n}",
                    "usd",
                    1_000 + n,
                    "reward",
                    "bench",
                    n + 1,
                    AS_OF,
                    AS_OF,
                )
                for n in range(count)
            ],
        )
    return merchant_id


def faults_of(engine: Engine, stripe: Stripe) -> list[str]:
    """What is not exact: a payout that is not paid, or books that say something else than ours."""
    with snapshot(engine) as tx:
        broken = service.check_invariants(tx)
        ours = {
            row.external_transaction_id: row.amount
            for row in tx.execute(
                text("SELECT external_transaction_id, amount, state FROM payouts")
            )
            if row.state == "paid"
        }
        unpaid = tx.execute(text("SELECT count(*) FROM payouts WHERE state <> 'paid'")).scalar_one()
    with Books(stripe.data) as books:
        broken += books.check()
        theirs = {transfer.id: transfer.net for transfer in books.transfers(stripe.platform)}
    if unpaid:
        broken.append(f"{unpaid} payouts are not paid")
    if ours != theirs:
        broken.append("the sandbox's books are not ours")
    return broken


@contextmanager
def stripe_sandbox() -> Iterator[Stripe]:
    """A sandbox with books of its own, funded, with connected accounts."""
    with TemporaryDirectory(prefix="payspool-bench-") as folder:
        data, port_file = Path(folder) / "data", Path(folder) / "port"
        command = [sys.executable, "-m", "sandbox", "--data", str(data), "--port", "0"]
        command += ["--port-file", str(port_file), "--fund", f"usd:{FUNDS}"]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (port_file.exists() and port_file.read_text().strip()):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchFailed("the sandbox did not start")
                time.sleep(0.02)
            url = f"http://127.0.0.1:{port_file.read_text().strip()}"
            with httpx.Client(
                base_url=url,
                headers={"Authorization": f"Bearer {KEY}"},
                trust_env=False,
                timeout=30,
            ) as client:
                accounts = [_account(client) for _ in range(ACCOUNTS)]
                platform: str = client.get("/v1/account").raise_for_status().json()["id"]
            yield Stripe(url, data, accounts, platform)
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _account(client: httpx.Client) -> str:
    made = client.post(
        "/v1/accounts",
        data={"type": "express", "country": "US", "capabilities[transfers][requested]": "true"},
    )
    account: str = made.raise_for_status().json()["id"]
    return account
