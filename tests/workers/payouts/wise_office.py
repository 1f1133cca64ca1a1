"""A merchant that pays by Wise at a real sandbox, and a worker for what its outbox asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text

from domain.db import transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.payouts import service
from domain.payouts.gateway import Gateway
from domain.payouts.service import PayeeUpdate, check_invariants
from tests.workers.gateways.local_wise import WiseAccount
from tests.workers.payouts.office import JUNE, Office
from workers import payouts, progress
from workers.health import GatewayHealth
from workers.pacing import UNLIMITED, Pace


@dataclass
class WiseOffice(Office):
    """An office whose payouts go through Wise."""

    engine: Engine
    platform: Any = None
    merchant_id: int = 0
    read_seconds: float = 5.0
    health: GatewayHealth = field(default_factory=GatewayHealth)
    pace: Pace = UNLIMITED
    wise: WiseAccount = field(kw_only=True)

    def gateways(self, merchant_id: int, method: str) -> Gateway:
        assert (merchant_id, method) == (self.merchant_id, "wise")
        return self.wise.gateway(read_seconds=self.read_seconds)

    def owe(self, *amounts: int) -> None:
        """Owe each amount, in euros, to a payee of its own whom Wise knows."""
        recipients = [self.wise.recipient() for _ in amounts]
        with transaction(self.engine) as tx:
            if not self.merchant_id:
                self.merchant_id = tx.execute(
                    text(
                        "INSERT INTO merchants (key, name, mode) VALUES ('acme', 'A', 'test') RETURNING id"
                    )
                ).scalar_one()
            last = tx.execute(text("SELECT coalesce(max(id), 0) FROM earnings")).scalar_one()
            for n, (amount, recipient) in enumerate(zip(amounts, recipients, strict=True)):
                user = f"w{last + n}"
                service.put_payees(
                    tx, [PayeeUpdate(self.merchant_id, user, "wise", JUNE, recipient)]
                )
                new = NewEarning(
                    self.merchant_id, user, "eur", amount, "reward", "test", last + n, JUNE, JUNE
                )
                earnings.record(tx, [new])

    def build(self, name: str = "run") -> list[int]:
        result = payouts.build(self, self.merchant_id, name, JUNE, methods=("wise",))
        with transaction(self.engine) as tx:
            return list(
                tx.execute(
                    text("SELECT id FROM payouts WHERE run_id = :run ORDER BY id"),
                    {"run": result.run_id},
                ).scalars()
            )

    def do(self, actor: str, args: dict[str, int]) -> Any:
        if actor == "payouts.progress":
            return progress.look(self, **args)
        return super().do(actor, args)

    def look(self) -> None:
        """Let the sweep ask how everything stands, as if its waits were over."""
        self.execute("UPDATE payouts SET look_at = now() WHERE look_at IS NOT NULL")
        payouts.sweep(self)
        self.work_off()

    def transfer_of(self, payout_id: int) -> str:
        """Wise's number of what a payout made."""
        with transaction(self.engine) as tx:
            named: str = tx.execute(
                text("SELECT external_transaction_id FROM payouts WHERE id = :id"),
                {"id": payout_id},
            ).scalar_one()
            return named

    def whole(self) -> None:
        """Every invariant holds."""
        with transaction(self.engine) as tx:
            assert check_invariants(tx) == []

    def assert_paid_once(self) -> None:
        """Our books say what Wise's say: whatever is paid or on its way there has one transfer that was
        paid for, of its amount and to its recipient; everything else has none."""
        self.whole()
        left = {str(one.id): one for one in self.wise.paid()}
        with transaction(self.engine) as tx:
            ours = tx.execute(text("SELECT * FROM payouts ORDER BY id")).all()
            attempts = tx.execute(
                text(
                    "SELECT payout_id, params ->> 'customerTransactionId' AS name FROM payout_attempts"
                )
            ).all()
        names: dict[int, set[str]] = {}
        for row in attempts:
            names.setdefault(row.payout_id, set()).add(row.name)
        for payout in ours:
            theirs = [
                one
                for one in list(left.values())
                if one.customer_transaction_id in names.get(payout.id, ())
            ]
            assert len(theirs) <= 1, f"payout {payout.id} was paid {len(theirs)} times"
            for one in theirs:
                left.pop(str(one.id))
                assert (one.target_amount, one.target_currency, str(one.recipient)) == (
                    payout.amount,
                    payout.currency.upper(),
                    payout.destination,
                )
            if payout.state in ("in_transit", "paid"):
                assert [str(one.id) for one in theirs] == [payout.external_transaction_id]
            elif payout.state != "unknown":
                assert theirs == [], f"payout {payout.id} is {payout.state}, yet was paid"
        assert left == {}, "nobody else was paid"
