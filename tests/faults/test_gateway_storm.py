"""A storm in which the gateway also refuses: whole spells of 429, a dry balance, deauthorized accounts,
refused keys. Payees are paid by several runs, and sweeps run beside the senders.

Each payout is paid once, or failed with a reason. FAULTS_SEED makes another storm (the same one by default),
FAULTS_PAYOUTS makes a larger one. (``test_gateway_faults`` has the 500 that is remembered, and people.)
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import connect, snapshot, transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.payouts import service
from domain.payouts.gateway import Gateway
from domain.payouts.rules import GatewayOutcome
from domain.payouts.rules.breaker import Trip
from domain.payouts.service import PayeeUpdate, check_invariants
from sandbox.faults import Faults
from tests.workers.gateways.local_stripe import TRANSFERS, Platform
from tests.workers.payouts.office import age_everything
from workers import payouts, probing
from workers.health import GatewayHealth
from workers.pacing import UNLIMITED, Pace

pytestmark = [pytest.mark.xdist_group("gateway_storm"), pytest.mark.slow]

SEED = int(os.environ.get("FAULTS_SEED") or 20261121)
PAYOUTS = int(os.environ.get("FAULTS_PAYOUTS", "1000"))
PAYEES = 200
"""Each is paid by several runs."""
THREADS = 12
READ_SECONDS = 0.5
"""The client's time-out: short, so that many answers come too late."""
STORM_ROUNDS = 12
CALM_ROUNDS = 20
"""Rounds without faults, after which a payout that is still on its way counts as stuck."""
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
FUNDS = 90_000_000

RULES: list[dict[str, Any]] = [
    # Whole storms of refusals, in which every request is turned away.
    {"fault": "rate_limit", "nth": list(range(300, 361))},
    {"fault": "rate_limit", "retry_after": 1, "nth": list(range(700, 741))},
    {"fault": "balance_dry", "nth": [450, 1100]},
    {"fault": "drop_before", "probability": 0.05},
    {"fault": "drop_before", "how": "close", "probability": 0.02},
    {"fault": "drop_during", "probability": 0.05},
    {"fault": "drop_after", "probability": 0.05},
    {"fault": "drop_after", "how": "close", "probability": 0.02},
    {"fault": "error_500_done", "probability": 0.05},
    {"fault": "error_500_not_done", "stored": False, "probability": 0.05},
    {"fault": "rate_limit", "probability": 0.03},
    {"fault": "rate_limit", "retry_after": 30, "probability": 0.01},
    {"fault": "lock_timeout", "probability": 0.03},
    {"fault": "lock_timeout", "status": 400, "probability": 0.02},
    {"fault": "key_in_use", "probability": 0.02},
    {"fault": "slow", "ms": 900, "when": "before", "probability": 0.02},
    {"fault": "slow", "ms": 900, "when": "after", "probability": 0.02},
    {"fault": "garbage", "probability": 0.04},
    {"fault": "garbage", "body": "{}", "probability": 0.02},
    {"fault": "unauthorized", "probability": 0.01},
    {"fault": "forbidden", "probability": 0.01},
    {"fault": "account_deauthorized", "probability": 0.004},
]


def plan(seed: int) -> dict[str, Any]:
    return {"seed": seed, "rules": [{**TRANSFERS, **rule} for rule in RULES]}


class NeverDown(GatewayHealth):
    """Counts what would open a breaker, and opens none: trouble without a pause is the point here."""

    def __init__(self) -> None:
        super().__init__()
        self.trips: list[Trip] = []

    def saw(self, merchant_id: int, method: str, outcome: GatewayOutcome) -> None:
        opens = super().saw(merchant_id, method, outcome)
        if opens is not None:
            self.trips.append(opens)


@dataclass
class Payer:
    """What the payout functions need of a process, for one merchant and its platform."""

    engine: Engine
    platform: Platform
    merchant_id: int = 0
    health: NeverDown = field(default_factory=NeverDown)
    pace: Pace = UNLIMITED
    marks: None = None

    def gateways(self, merchant_id: int, method: str) -> Gateway:
        assert (merchant_id, method) == (self.merchant_id, "stripe")
        return self.platform.gateway(read_seconds=READ_SECONDS)

    def owe_and_build(self) -> None:
        """Runs with a payout for every payee each, every one of its own amount."""
        accounts = [self.platform.account() for _ in range(PAYEES)]
        with transaction(self.engine) as tx:
            self.merchant_id = tx.execute(
                text(
                    "INSERT INTO merchants (key, name, mode) VALUES ('acme', 'A', 'test') RETURNING id"
                )
            ).scalar_one()
            updates = [
                PayeeUpdate(self.merchant_id, f"u{n}", "stripe", JUNE, account)
                for n, account in enumerate(accounts)
            ]
            service.put_payees(tx, updates)
        for start in range(0, PAYOUTS, PAYEES):
            with transaction(self.engine) as tx:
                new = [self._earning(start + n, f"u{n}") for n in range(PAYEES)]
                earnings.record(tx, new)
            payouts.build(self, self.merchant_id, f"run {start}", JUNE)

    def _earning(self, source_id: int, user: str) -> NewEarning:
        amount = 1_000 + source_id
        return NewEarning(
            self.merchant_id, user, "usd", amount, "reward", "test", source_id, JUNE, JUNE
        )

    def messages(self) -> list[tuple[str, dict[str, int]]]:
        """Take every message out of the outbox, as if the wait that was asked for were over.

        Waits are 10 s to minutes, to spare a gateway that is in trouble; here trouble is the point.
        """
        with transaction(self.engine) as tx:
            tx.execute(text("UPDATE payout_shortfalls SET probe_at = now()"))
        probing.probe(self)
        with transaction(self.engine) as tx:
            taken = tx.execute(text("DELETE FROM outbox RETURNING actor, args")).all()
            tx.execute(text("UPDATE payouts SET next_try_at = now() WHERE next_try_at > now()"))
        return [(actor, args) for actor, args in taken]

    def do(self, actor: str, args: dict[str, int]) -> None:
        if actor == "payouts.send":
            payouts.send(self, **args)
        elif actor == "payouts.resolve":
            payouts.resolve(self, **args)
        else:
            assert actor == "sweep"
            payouts.sweep(self)

    def let_the_sweep_look(self) -> int:
        """Ask again for what nothing happened to; its waits (minutes to hours) are over too."""
        with transaction(self.engine) as tx:
            tx.execute(
                text(
                    "UPDATE payouts SET look_at = now(), next_try_at = now() WHERE look_at > now()"
                )
            )
        return payouts.sweep(self)


@pytest.fixture
def payer(database_url: str, platform: Platform) -> Iterator[Payer]:
    engine = connect(database_url, pool_size=THREADS)
    platform.fund(FUNDS)
    made = Payer(engine, platform)
    made.owe_and_build()
    yield made
    engine.dispose()


def test_in_a_storm_of_faults_each_payout_is_paid_once_or_fails_with_a_reason(
    payer: Payer, owner: Engine
) -> None:
    print(f"FAULTS_SEED={SEED}")  # noqa: T201
    admin = payer.platform.stripe.admin
    admin("PUT", "faults", **plan(SEED))
    work(payer, STORM_ROUNDS)
    report = admin("GET", "faults")
    admin("DELETE", "faults")
    told = dict(sorted(report["injected"].items()))
    print(f"{sum(told.values())} faults in {report['rules'][0]['seen']} requests: {told}")  # noqa: T201
    work(payer, CALM_ROUNDS)
    remembered = left_to_people(payer)
    people_give_up(payer, owner, remembered)
    work(payer, CALM_ROUNDS)
    states = assert_paid_once(payer)
    print(  # noqa: T201
        f"{dict(states)}; {len(remembered)} were left to people,"
        f" a breaker would have opened {len(payer.health.trips)} times"
    )
    assert sum(told.values()) > PAYOUTS / 4
    assert set(told) == {rule["fault"] for rule in RULES}
    assert any(trip.key_refused for trip in payer.health.trips)
    assert_drawn_by_the_seed(report)


def work(payer: Payer, rounds: int) -> None:
    """Rounds of every message, until nothing asks for anything any more."""
    choice = random.Random(SEED)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(rounds):
            payer.platform.fund(FUNDS)  # a dry balance is filled again
            messages = payer.messages()
            if not messages and payer.let_the_sweep_look() == 0:
                return
            # Messages come at least once; sweeps run beside the senders.
            messages += choice.sample(messages, len(messages) // 5)
            choice.shuffle(messages)
            messages.append(("sweep", {}))
            for done in [pool.submit(payer.do, *message) for message in messages]:
                done.result(60)


def left_to_people(payer: Payer) -> list[int]:
    """Payouts that stay unknown: the gateway remembers a 500, and holds no transfer for them.

    It answered 500 while it refused them in truth (the balance was dry, the account gone), and now
    answers every replay so.
    """
    with transaction(payer.engine) as tx:
        rows = tx.execute(
            text(
                "SELECT p.id, p.state, a.http_status, a.replayed FROM payouts p"
                " JOIN payout_attempts a ON a.payout_id = p.id"
                " WHERE p.state NOT IN ('paid', 'failed')"
                " AND a.state NOT IN ('failed', 'abandoned', 'reversed')"
            )
        ).all()
    assert all((r.state, r.http_status, r.replayed) == ("unknown", 500, True) for r in rows), rows
    paid = {transfer.metadata["payout"] for transfer in payer.platform.transfers()}
    assert not paid & {str(row.id) for row in rows}
    return [row.id for row in rows]


def people_give_up(payer: Payer, owner: Engine, remembered: list[int]) -> None:
    """A day later two people look at the gateway's books, and let a new attempt be made."""
    age_everything(owner, hours=24)
    for payout_id in remembered:
        with transaction(payer.engine) as tx:
            service.propose_abandon(
                tx, payout_id, evidence="no transfer at Stripe", actor=Actor("person", "ann")
            )
        with transaction(payer.engine) as tx:
            service.agree_abandon(tx, payout_id, actor=Actor("person", "bob"))
            service.retry(tx, payout_id)


def assert_paid_once(payer: Payer) -> Counter[str]:
    """By the sandbox's books: one unreversed transfer for each paid payout, none for any other."""
    theirs: dict[int, list[tuple[str, int, str]]] = {}
    for transfer in payer.platform.transfers():
        if transfer.net:
            theirs.setdefault(int(transfer.metadata["payout"]), []).append(
                (transfer.id, transfer.net, transfer.destination)
            )
    with snapshot(payer.engine) as tx:
        ours = tx.execute(text("SELECT * FROM payouts")).all()
        assert check_invariants(tx) == []
    assert len(ours) == PAYOUTS
    assert theirs == {
        p.id: [(p.external_transaction_id, p.amount, p.destination)]
        for p in ours
        if p.state == "paid"
    }
    for payout in ours:
        if payout.state != "paid":
            assert payout.state == "failed", f"payout {payout.id} is {payout.state}"
            assert payout.error_code, f"payout {payout.id} failed without a reason"
            assert payout.frozen_reason is None
    assert sum(p.amount for p in ours) == sum(1_000 + n for n in range(PAYOUTS))
    return Counter(f"{p.state} {p.error_code or ''}".strip() for p in ours)


def assert_drawn_by_the_seed(report: dict[str, Any]) -> None:
    """What was injected depends on the seed and on how many requests came, on nothing else.

    Threads send in another order each time; the nth request meets the same fault all the same.
    """
    requests = report["rules"][0]["seen"]
    assert {rule["seen"] for rule in report["rules"]} == {requests}
    assert [rule["injected"] for rule in report["rules"]] == draws(SEED, requests)
    assert draws(SEED + 1, requests) != draws(SEED, requests)


def draws(seed: int, requests: int) -> list[int]:
    """How often each rule fires for so many requests."""
    faults = Faults()
    faults.replace(plan(seed))
    for _ in range(requests):
        faults.draw("POST", "/v1/transfers")
    return [rule.injected for rule in faults.rules]
