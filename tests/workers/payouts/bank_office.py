"""An office whose payouts go on to a bank, and the books of the connected accounts beside ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import text

from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.payouts.rules import Leave
from domain.payouts.service import Recorded, check_invariants
from sandbox.books import Books, Payout
from tests.workers.payouts.office import Office
from workers import payouts

BANKS = {"method": "POST", "path": "/v1/payouts"}
ACTOR = Actor("command", "tests")
LIVE = ("pending", "in_transit", "paid")


@dataclass
class BankOffice(Office):
    """An office of a merchant with the second leg."""

    scheduled: set[str] = field(default_factory=set)

    def owe(self, *amounts: int) -> None:
        super().owe(*amounts)
        self.give_account()
        self.choose(on=True)
        with transaction(self.engine) as tx:
            accounts = list(tx.execute(text("SELECT account FROM payees")).scalars())
        for account in set(accounts) - self.scheduled:
            self.schedule(account, "manual")
            self.scheduled.add(account)

    def give_account(self) -> None:
        """Let the merchant have a Stripe account, whose settings are read; its key is the platform's."""
        with transaction(self.engine) as tx:
            tx.execute(
                text(
                    "INSERT INTO gateway_accounts (merchant_id, mode, method, base_url, api_key_encrypted,"
                    " api_key_hint) VALUES (:id, 'test', 'stripe', 'x', 'x', 'x')"
                    " ON CONFLICT (merchant_id, method) DO NOTHING"
                ),
                {"id": self.merchant_id},
            )

    def choose(self, *, on: bool) -> None:
        """Choose whether runs that are opened from now on have the second leg."""
        with transaction(self.engine) as tx:
            merchants.set_bank_leg(tx, merchants.get(tx, "acme"), on=on, actor=ACTOR)

    def schedule(self, account: str, interval: str) -> None:
        """Set when Stripe pays a connected account's balance out by itself."""
        self.platform.call(
            "POST",
            f"/v1/accounts/{account}",
            **{"settings[payouts][schedule][interval]": interval},
        )

    def account(self) -> str:
        """The one payee's account."""
        with transaction(self.engine) as tx:
            return str(tx.execute(text("SELECT account FROM payees")).scalar_one())

    def plan(self, *rules: dict[str, Any], seed: int = 0) -> None:
        """Faults of requests that pay banks; a rule of this test's own counts those requests."""
        listed = [{**BANKS, **rule} for rule in rules]
        counts = {**BANKS, "fault": "slow", "times": 0}
        self.platform.stripe.admin("PUT", "faults", seed=seed, rules=[*listed, counts])

    def do(self, actor: str, args: dict[str, int]) -> Recorded | Leave | str:  # type: ignore[override]
        if actor == "payouts.follow":
            return payouts.follow(self, **args)
        return super().do(actor, args)

    def transfer_only(self) -> int:
        """Owe one payee, build, and send the transfer; returns the payout, whose second leg is asked for."""
        self.owe(1_000)
        [payout_id] = self.build()
        payouts.send(self, payout_id)
        assert self.states() == {payout_id: "in_transit"}
        return payout_id

    def sweep(self) -> None:
        """As if every wait of the sweep were over; then what follows from it."""
        self.execute("UPDATE payouts SET look_at = now() WHERE look_at IS NOT NULL")
        payouts.sweep(self)
        self.work_off()

    def pass_days(self, days: int) -> None:
        """Let the sandbox's banks work; nobody is told."""
        self.platform.stripe.admin("POST", "clock", advance_seconds=days * 86_400)

    def move(self, bank_payout: str, status: str, **more: str) -> None:
        """Move a payout at the sandbox's bank."""
        self.platform.stripe.admin("POST", f"payouts/{bank_payout}", status=status, **more)

    def platform_acting(self, method: str, path: str, **form: str) -> dict[str, Any]:
        """Call Stripe by hand for the one payee's account."""
        answer = httpx.request(
            method,
            f"{self.platform.stripe.url}{path}",
            headers={
                "Authorization": f"Bearer {self.platform.key}",
                "Stripe-Account": self.account(),
            },
            data=form or None,
            trust_env=False,
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with transaction(self.engine) as tx:
            return [tuple(row) for row in tx.execute(text(statement))]

    def attempts(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT leg, n, state FROM payout_attempts ORDER BY id")

    def bank_payouts(self) -> list[Payout]:
        """Every payout to a bank that was really made of this test's accounts, from the books on disk."""
        with transaction(self.engine) as tx:
            accounts = list(tx.execute(text("SELECT account FROM payees")).scalars())
        with Books(self.platform.stripe.data) as books:
            assert books.check() == []
            return [made for account in accounts for made in books.payouts(account)]

    def left_on_accounts(self) -> set[int]:
        """What is left on the payees' accounts at the sandbox, by its books; each amount once."""
        with transaction(self.engine) as tx:
            accounts = list(tx.execute(text("SELECT account FROM payees")).scalars())
        with Books(self.platform.stripe.data) as books:
            held = [books.balance(account).get("usd") for account in accounts]
        return {0 if each is None else each.available + each.pending for each in held}

    def assert_paid_once(self) -> None:
        """Both legs of every payout happened at most once, and where our books say; nobody else was paid."""
        transfers: dict[str, list[Any]] = {}
        for transfer in self.platform.transfers():
            if transfer.net:
                transfers.setdefault(transfer.metadata["payout"], []).append(transfer)
        made = self.bank_payouts()
        with transaction(self.engine) as tx:
            ours = tx.execute(text("SELECT * FROM payouts ORDER BY id")).all()
            named = dict(
                tx.execute(
                    text(
                        "SELECT payout_id, external_id FROM payout_attempts"
                        " WHERE leg = 'bank' AND state = 'succeeded'"
                    )
                ).all()
            )
            assert check_invariants(tx) == []
        for payout in ours:
            brought = transfers.pop(str(payout.id), [])
            banked = [
                each
                for each in made
                if each.metadata.get("payout") == str(payout.id) and each.status in LIVE
            ]
            assert len(brought) <= 1, f"payout {payout.id} was transferred {len(brought)} times"
            assert len(banked) <= 1, f"payout {payout.id} was banked {len(banked)} times"
            if payout.state in ("in_transit", "paid", "returned"):
                assert [t.id for t in brought] == [payout.external_transaction_id]
                assert (brought[0].amount, brought[0].destination) == (
                    payout.amount,
                    payout.destination,
                )
            for each in banked:
                assert (each.account, each.currency) == (payout.destination, payout.currency)
                assert each.amount == payout.amount - payout.reversed_amount
            if payout.state == "paid":
                assert [each.id for each in banked] == [named[payout.id]]
                assert banked[0].status == "paid"
            elif payout.state == "in_transit" and payout.id in named:
                assert named[payout.id] in [each.id for each in made]
            elif payout.state not in ("unknown", "sending"):
                assert banked == [], f"payout {payout.id} is {payout.state}, yet was banked"
        assert transfers == {}, "nobody else was paid"
