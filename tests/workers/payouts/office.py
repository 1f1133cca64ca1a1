"""A merchant with a platform of its own at a real sandbox, and a worker for what its outbox asks for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from domain.db import transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.payouts import service
from domain.payouts.gateway import Gateway
from domain.payouts.rules import Leave
from domain.payouts.service import PayeeUpdate, Recorded, TakenBack, check_invariants
from queues.marks import Marks
from tests.workers.gateways.local_stripe import Platform
from workers import payouts, probing, reversing
from workers.health import GatewayHealth
from workers.pacing import UNLIMITED, Pace

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
ROUNDS = 30
"""Rounds of messages after which a payout that is still on its way counts as stuck."""


@dataclass
class Office:
    """A merchant with its own platform, and a worker that runs what the outbox asks for."""

    engine: Engine
    platform: Platform
    merchant_id: int = 0
    read_seconds: float = 5.0
    health: GatewayHealth = field(default_factory=GatewayHealth)
    pace: Pace = UNLIMITED
    marks: Marks | None = None

    def gateways(self, merchant_id: int, method: str) -> Gateway:
        assert (merchant_id, method) == (self.merchant_id, "stripe")
        return self.platform.gateway(read_seconds=self.read_seconds)

    def owe(self, *amounts: int) -> None:
        """Owe each amount to a payee of its own, who has an account at the platform."""
        accounts = [self.platform.account() for _ in amounts]
        with transaction(self.engine) as tx:
            if not self.merchant_id:
                self.merchant_id = tx.execute(
                    text(
                        "INSERT INTO merchants (key, name, mode) VALUES ('acme', 'A', 'test') RETURNING id"
                    )
                ).scalar_one()
            last = tx.execute(text("SELECT coalesce(max(id), 0) FROM earnings")).scalar_one()
            users = [f"u{last + n}" for n in range(len(amounts))]
            service.put_payees(
                tx,
                [
                    PayeeUpdate(self.merchant_id, user, "stripe", JUNE, account)
                    for user, account in zip(users, accounts, strict=True)
                ],
            )
            earnings.record(
                tx,
                [
                    NewEarning(
                        self.merchant_id,
                        user,
                        "usd",
                        amount,
                        "reward",
                        "test",
                        last + n,
                        JUNE,
                        JUNE,
                    )
                    for n, (user, amount) in enumerate(zip(users, amounts, strict=True))
                ],
            )

    def build(self, name: str = "run") -> list[int]:
        """Build a run; returns the ids of its payouts."""
        result = payouts.build(self, self.merchant_id, name, JUNE)
        with transaction(self.engine) as tx:
            return list(
                tx.execute(
                    text("SELECT id FROM payouts WHERE run_id = :run ORDER BY id"),
                    {"run": result.run_id},
                ).scalars()
            )

    def messages(self) -> list[tuple[str, dict[str, int]]]:
        """Take every message out of the outbox, however long it was to wait, and let waits be over."""
        self.probe()
        with transaction(self.engine) as tx:
            taken = tx.execute(text("DELETE FROM outbox RETURNING actor, args")).all()
            tx.execute(text("UPDATE payouts SET next_try_at = now() WHERE next_try_at > now()"))
            tx.execute(
                text("UPDATE reversal_requests SET next_try_at = now() WHERE next_try_at > now()")
            )
        return [(actor, args) for actor, args in taken]

    def probe(self) -> None:
        """Probe what a breaker keeps from being sent, as if its wait were over."""
        self.execute("UPDATE payout_stops SET probe_at = now() WHERE kind = 'breaker'")
        if probing.probe(self)["closed"]:
            payouts.sweep(self)

    def look_for_money(self) -> int:
        """Ask for the balance, as if the wait for it were over; returns how many payouts it asks for."""
        self.execute("UPDATE payout_shortfalls SET probe_at = now() WHERE ended_at IS NULL")
        return probing.probe(self)["funded"]

    def do(self, actor: str, args: dict[str, int]) -> Recorded | TakenBack | Leave:
        """Run one message."""
        if actor == "payouts.reverse":
            return reversing.reverse(self, **args)
        if actor == "payouts.send":
            return payouts.send(self, **args)
        assert actor == "payouts.resolve"
        return payouts.resolve(self, **args)

    def work_off(self) -> None:
        """Run messages, and what they ask for, until nothing is asked for any more."""
        for turn in range(ROUNDS):
            messages = self.messages()
            if not messages:
                return
            if turn > 3:
                # What is slow on the other side needs some real time to end.
                time.sleep(0.05)
            for actor, args in messages:
                self.do(actor, args)
        raise AssertionError(f"still asking after {ROUNDS} rounds: {self.messages()}")

    def give_up_leases(self) -> None:
        """As if every lease had run out."""
        for table in ("payout_attempts", "reversal_requests"):
            self.execute(
                f"UPDATE {table} SET lease_until = now() - interval '1 s' WHERE lease_until > now()"
            )

    def execute(self, statement: str) -> None:
        with transaction(self.engine) as tx:
            tx.execute(text(statement))

    def states(self) -> dict[int, str]:
        with transaction(self.engine) as tx:
            return {row.id: row.state for row in tx.execute(text("SELECT id, state FROM payouts"))}

    def assert_paid_once(self) -> None:
        """Our books say what the sandbox's say: every paid payout has one transfer of its amount to its
        destination, every other one has none; and what is unknown has at most one."""
        by_payout: dict[str, list[Any]] = {}
        for transfer in self.platform.transfers():
            if transfer.net:
                by_payout.setdefault(transfer.metadata["payout"], []).append(transfer)
        with transaction(self.engine) as tx:
            ours = tx.execute(text("SELECT * FROM payouts ORDER BY id")).all()
            assert check_invariants(tx) == []
        for payout in ours:
            theirs = by_payout.pop(str(payout.id), [])
            assert len(theirs) <= 1, f"payout {payout.id} was paid {len(theirs)} times"
            for transfer in theirs:
                assert (transfer.amount, transfer.currency, transfer.destination) == (
                    payout.amount,
                    payout.currency,
                    payout.destination,
                )
            if payout.state == "paid":
                assert [t.id for t in theirs] == [payout.external_transaction_id]
            elif payout.state != "unknown":
                assert theirs == [], f"payout {payout.id} is {payout.state}, yet was paid"
        assert by_payout == {}, "nobody else was paid"

    def assert_paid_once_and_what_came_back(self) -> None:
        """Each payout has one transfer; what came back of that is what came back of the payout, and when
        it is all of it, the payout is reversed."""
        with transaction(self.engine) as tx:
            ours = {
                str(row.id): row for row in tx.execute(text("SELECT * FROM payouts ORDER BY id"))
            }
            assert check_invariants(tx) == []
        theirs = {transfer.metadata["payout"]: transfer for transfer in self.platform.transfers()}
        assert len(theirs) == len(self.platform.transfers()), "no payout was paid twice"
        assert theirs.keys() == ours.keys()
        for payout_id, transfer in theirs.items():
            payout = ours[payout_id]
            assert (payout.external_transaction_id, payout.amount) == (transfer.id, transfer.amount)
            assert payout.reversed_amount == transfer.amount - transfer.net, payout_id
            assert payout.state == ("paid" if transfer.net else "reversed"), payout_id


def age_everything(owner: Engine, hours: int) -> None:
    """As if every attempt had been sent so long ago."""
    with transaction(owner) as tx:
        tx.execute(text("ALTER TABLE payout_attempts DISABLE TRIGGER keep_frozen"))
        tx.execute(
            text("UPDATE payout_attempts SET sent_at = sent_at - make_interval(hours => :h)"),
            {"h": hours},
        )
        tx.execute(text("ALTER TABLE payout_attempts ENABLE TRIGGER keep_frozen"))
