"""Three merchants of one installation, each with another gateway, and what was really paid at each.

The witnesses are independent of us: the sandbox's books of Stripe and Wise, and a bank of the test's own that
reads our files and writes its statements.
"""

from __future__ import annotations

import csv
import json
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import httpx

from domain.audit.service import Actor
from domain.db import transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.merchants import service as merchants
from domain.payouts import service as payouts
from domain.payouts.errors import NotReversible
from domain.payouts.rules.recipients import parse_recipient
from domain.payouts.service import PayeeUpdate, RunSpec, wise_recipients
from domain.secrets import SecretBox
from payspool import instance
from payspool.installing import polling_schedule
from payspool.sandbox_client import DEFAULT_KEY, SandboxClient
from sandbox.books import Books
from sandbox.wise.accounts import DEFAULT_TOKEN
from tests.e2e.installation import Installation

ACTOR = Actor("command", "campaign")
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
LEAST = 1_000
"""Smallest amount; every payout of a merchant is of its own amount, so that none passes for another."""
PAYEES = 200
"""Of each merchant at most: more payouts are more runs."""
PAIN = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.09}"

Paid = dict[int, list[int]]
"""By payout, what each payment that was made and not taken back brought: minor units."""


@dataclass
class Trade(ABC):
    """A merchant that pays by one method, and owes."""

    installation: Installation
    key: str
    payouts: int
    merchant_id: int = 0
    runs: list[int] = field(default_factory=list)

    method: ClassVar[str]
    currency: ClassVar[str]

    @property
    def payees(self) -> list[str]:
        return [f"{self.key}-{n}" for n in range(min(self.payouts, PAYEES))]

    @property
    def box(self) -> SecretBox:
        return SecretBox([instance.secret_key(self.installation.data / "up")])

    def open(self) -> None:
        with transaction(self.installation.engine()) as tx:
            made = merchants.add(tx, self.key, self.key, mode="test", actor=ACTOR)
        self.merchant_id = made.id
        self.set_up()

    @abstractmethod
    def set_up(self) -> None:
        """Give the merchant a gateway, and its payees a place there."""

    def owe_and_build(self) -> bool:
        """The next run, of one payout for each payee; False when there were enough."""
        first = len(self.runs) * len(self.payees)
        if first >= self.payouts:
            return False
        users = self.payees[: self.payouts - first]
        with transaction(self.installation.engine()) as tx:
            owed = [
                NewEarning(
                    self.merchant_id, user, self.currency, LEAST + first + n,
                    "reward", "campaign", self.merchant_id * 10**6 + first + n, JUNE, JUNE,
                )
                for n, user in enumerate(users)
            ]  # fmt: skip
            earnings.record(tx, owed)
        spec = RunSpec(self.merchant_id, f"run {len(self.runs)}", JUNE, methods=(self.method,))
        made = payouts.build_run(self.installation.engine(), spec)
        assert made.created == len(users), made
        self.runs.append(made.run_id)
        return True

    @abstractmethod
    def really_paid(self) -> Paid:
        """What the independent witness says."""


class StripeTrade(Trade):
    method, currency = "stripe", "usd"

    def set_up(self) -> None:
        stripe_url = self.installation.instance()["stripe_url"]
        with SandboxClient(stripe_url) as sandbox:
            accounts = {user: sandbox.new_account(self.key, user) for user in self.payees}
        with transaction(self.installation.engine()) as tx:
            polling_schedule(tx, merchants.get(tx, self.key))
            merchants.set_stripe_account(
                tx, merchants.get(tx, self.key), api_key=DEFAULT_KEY, base_url=stripe_url,
                webhook_secret=self._listen(stripe_url, connect=False), box=self.box, actor=ACTOR,
            )  # fmt: skip
            payouts.put_payees(
                tx,
                [
                    PayeeUpdate(self.merchant_id, user, "stripe", JUNE, account)
                    for user, account in accounts.items()
                ],
            )

    def _listen(self, stripe_url: str, *, connect: bool) -> str:
        address = f"{self.installation.instance()['api_url']}/v1/webhooks/stripe/{self.key}"
        made = httpx.post(
            f"{stripe_url}/v1/webhook_endpoints",
            headers={"Authorization": f"Bearer {DEFAULT_KEY}"},
            data={"url": address, "enabled_events[]": "*", "connect": str(connect).lower()},
            trust_env=False,
        )
        secret: str = made.raise_for_status().json()["secret"]
        return secret

    def take_back(self, draw: random.Random, share: float) -> None:
        """Transfers are reversed, in part and whole: by hand at Stripe, or by an operator here."""
        stripe_url = self.installation.instance()["stripe_url"]
        with Books(self.installation.data / "up" / "sandbox") as books:
            fresh = [t for t in books.transfers() if not t.amount_reversed]
        for transfer in sorted(fresh, key=lambda t: t.id):
            if draw.random() >= share:
                continue
            amount = transfer.amount if draw.random() < 0.5 else 1 + draw.randrange(LEAST - 1)
            if draw.random() < 0.5:
                self._ask_for(int(transfer.metadata["payout"]), amount)
                continue
            with suppress(httpx.TransportError):  # it meets faults too, or somebody was faster
                httpx.post(
                    f"{stripe_url}/v1/transfers/{transfer.id}/reversals",
                    headers={"Authorization": f"Bearer {DEFAULT_KEY}"},
                    data={"amount": str(amount)},
                    trust_env=False,
                )

    def _ask_for(self, payout_id: int, amount: int) -> None:
        with suppress(NotReversible), transaction(self.installation.engine()) as tx:
            payouts.request_reversal(
                tx, self.merchant_id, payout_id, amount=amount, reason="campaign", actor=ACTOR
            )

    def really_paid(self) -> Paid:
        told: Paid = defaultdict(list)
        with Books(self.installation.data / "up" / "sandbox") as books:
            assert books.check() == []
            for transfer in books.transfers():
                if transfer.net:
                    told[int(transfer.metadata["payout"])].append(transfer.net)
        return dict(told)


class WiseTrade(Trade):
    method, currency = "wise", "eur"

    def set_up(self) -> None:
        self.installation.ok("merchants", "wise", self.key)
        with transaction(self.installation.engine()) as tx:
            account = merchants.gateway_account(tx, self.merchant_id, "wise", box=self.box)
        assert account is not None
        assert account.platform_account is not None
        self.profile = int(account.platform_account.split("/")[0])
        with httpx.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {DEFAULT_TOKEN}"},
            trust_env=False,
        ) as wise:
            numbers = {user: self._recipient(wise, user) for user in self.payees}
        with transaction(self.installation.engine()) as tx:
            for user, number in numbers.items():
                wise_recipients.set_account(
                    tx, self.merchant_id, user, number,
                    name=user, hint=number, at=JUNE, actor=ACTOR,
                )  # fmt: skip

    @property
    def _url(self) -> str:
        return f"{self.installation.instance()['stripe_url']}/wise"

    def _recipient(self, wise: httpx.Client, user: str) -> str:
        body = {
            "currency": "EUR",
            "type": "iban",
            "profile": self.profile,
            "accountHolderName": "Ada Example",
            "details": {"iban": iban(self.payees.index(user))},
        }
        return str(wise.post("/v1/accounts", json=body).raise_for_status().json()["id"])

    ROAD = ("processing", "funds_converted", "outgoing_payment_sent")

    def deliver(self, draw: random.Random, bounces: float) -> None:
        """What Wise was asked for goes on to the payees' banks, or comes back."""
        url = self.installation.instance()["stripe_url"]
        # One connection for all of them: making one takes longer than a move.
        with httpx.Client(base_url=url, trust_env=False) as admin:
            for transfer, at in sorted(self._under_way().items()):
                back = draw.random() < bounces
                left = self.ROAD[self.ROAD.index(at) + 1 :]
                road = [at, *left, *(["bounced_back", "funds_refunded"] if back else [])]
                for before, after in pairwise(road):
                    if not self._moves(admin, transfer, before, after):
                        break

    def bounce_unheard(self, draw: random.Random, share: float) -> int:
        """Banks send back what they had: at least one payout, and nobody is told. Returns how many."""
        with Books(self.installation.data / "up" / "sandbox") as books:
            sent = [t.id for t in books.wise_transfers() if t.status == self.ROAD[-1]]
        bounced = draw.sample(sorted(sent), max(1, round(share * len(sent))))
        with httpx.Client(
            base_url=f"{self.installation.instance()['stripe_url']}/_sandbox", trust_env=False
        ) as admin:
            admin.put("/faults", json={"webhooks": [{"fault": "lose"}]}).raise_for_status()
            for transfer in bounced:
                for status in ("bounced_back", "funds_refunded"):
                    told = admin.post(f"/wise/transfers/{transfer}", json={"status": status})
                    told.raise_for_status()
            admin.delete("/faults").raise_for_status()
        return len(bounced)

    def _under_way(self) -> dict[int, str]:
        with Books(self.installation.data / "up" / "sandbox") as books:
            return {t.id: t.status for t in books.wise_transfers() if t.status in self.ROAD[:-1]}

    def _moves(self, admin: httpx.Client, transfer: int, before: str, status: str) -> bool:
        """Whether it could be moved on; Wise's own clock may have done so first."""
        answer = admin.post(f"/_sandbox/wise/transfers/{transfer}", json={"status": status})
        if answer.is_client_error and self._under_way().get(transfer) != before:
            return False
        answer.raise_for_status()
        return True

    def really_paid(self) -> Paid:
        told: Paid = defaultdict(list)
        with Books(self.installation.data / "up" / "sandbox") as books:
            for transfer in books.wise_transfers():
                gone = transfer.status in ("cancelled", "funds_refunded", "bounced_back")
                if transfer.funded and not gone:
                    assert transfer.reference is not None
                    told[int(transfer.reference.removeprefix("PO"))].append(transfer.target_amount)
        return dict(told)


class BankTrade(Trade):
    method, currency = "manual", "eur"

    def set_up(self) -> None:
        self.bank = Bank()
        with transaction(self.installation.engine()) as tx:
            for n, user in enumerate(self.payees):
                told = json.dumps({"type": "iban", "name": "Ada Example", "iban": iban(n)})
                payouts.set_recipient(
                    tx, self.merchant_id, user, parse_recipient(told),
                    at=JUNE, box=self.box, actor=ACTOR,
                )  # fmt: skip
        debtor = self.installation.folder / "debtor.json"
        debtor.write_text(json.dumps({"type": "iban", "name": "Acme", "iban": iban(10_000)}))
        self.installation.ok(
            "merchants", "bank", "set", self.key, "--currency", self.currency, "--file", str(debtor)
        )

    def really_paid(self) -> Paid:
        told: Paid = defaultdict(list)
        for reference, amount in self.bank.paid.items():
            told[int(reference.split("-")[-2])].append(amount)
        return dict(told)


@dataclass
class Bank:
    """Pays what files ask for, each reference once, as banks do that check for duplicates; refuses some."""

    paid: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    told: list[dict[str, str]] = field(default_factory=list)

    def take(self, file: bytes, draw: random.Random, refuses: float) -> None:
        for reference, amount in read_file(file).items():
            if reference in self.paid or reference in self.refused:
                continue
            line = {"reference": reference, "booked_on": "2026-06-05", "currency": "EUR"}
            if draw.random() < refuses:
                self.refused[reference] = "AC04"
                # Debited, and given back.
                self.told.append({**line, "amount": f"-{amount / 100:.2f}"})
                self.told.append({**line, "amount": f"{amount / 100:.2f}", "reason": "AC04"})
            else:
                self.paid[reference] = amount
                self.told.append({**line, "amount": f"-{amount / 100:.2f}"})

    def statement(self, path: Path, draw: random.Random) -> None:
        """All that was booked so far, once more and in another order; beside it what is none of ours."""
        lines = [*self.told, *draw.sample(self.told, len(self.told) // 10)]
        draw.shuffle(lines)
        strange = {"reference": "rent", "amount": "-900.00", "booked_on": "2026-06-02"}
        with path.open("w", newline="") as file:
            columns = ["reference", "amount", "currency", "booked_on", "reason"]
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows([{**strange, "currency": "EUR"}, *lines])


def read_file(content: bytes) -> dict[str, int]:
    """What a bank file asks for, as a bank reads it: reference to minor units."""
    if content.lstrip().startswith(b"<"):
        found = {}
        for one in ElementTree.fromstring(content).iter(f"{PAIN}CdtTrfTxInf"):
            reference = one.findtext(f"{PAIN}PmtId/{PAIN}EndToEndId")
            amount = one.findtext(f"{PAIN}Amt/{PAIN}InstdAmt")
            assert reference is not None
            assert amount is not None
            found[reference] = round(float(amount) * 100)
        return found
    rows = csv.DictReader(content.decode().splitlines())
    return {row["end_to_end_id"]: round(float(row["amount"]) * 100) for row in rows}


def iban(n: int) -> str:
    """A German IBAN with right check digits, of a made-up account."""
    bban = f"37040044{n:010}"
    digits = int(bban + "131400")  # D, E, 00
    return f"DE{98 - digits % 97:02}{bban}"


def whole(paid: Paid) -> dict[int, int]:
    """What each payout brought, if nobody was paid twice."""
    twice = {payout: amounts for payout, amounts in paid.items() if len(amounts) > 1}
    assert twice == {}
    return {payout: amounts[0] for payout, amounts in paid.items()}


def facts(installation: Installation) -> dict[int, Any]:
    """Our payouts by id."""
    rows = installation.rows(
        "SELECT p.id, p.merchant_id, p.method, p.state, p.amount, p.reversed_amount, p.frozen_reason,"
        " p.parked_reason, p.error_code FROM payouts p"
    )
    return {row.id: row for row in rows}
