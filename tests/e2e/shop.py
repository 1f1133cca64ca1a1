"""A merchant with one referrer, made at once: for tests of what comes after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.access import service as access
from domain.audit.service import Actor
from domain.db import transaction
from domain.loyalty import service as loyalty
from domain.merchants import service as merchants
from domain.payouts import service as payouts
from domain.payouts.service import PayeeUpdate
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from domain.secrets import SecretBox
from payspool import instance
from payspool.sandbox_client import DEFAULT_KEY, SandboxClient
from payspool_client import ConversionRecorded, Event
from tests.e2e.installation import Installation

ACTOR = Actor("command", "test")
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
RATE = 1_000
"""Basis points that the shop's program pays for a conversion."""
RULE = '{"kind": "percentage", "basis_points": 1000}'
"""The same, as the command line takes it."""
SETTLED_SECONDS = 60.0
"""From the queue to a row, or from a run to the gateway's word: milliseconds, on a machine that is free."""


@dataclass
class Shop:
    """A merchant of an installation; ``accounts`` are those of its referrers in the sandbox."""

    key: str
    merchant_id: int
    api_key: str
    accounts: dict[str, str]

    def code(self, user: str) -> str:
        return f"CODE-{user.upper()}"

    def purchase(
        self, order: str, amount: int = 12_900, referrer: str = "ada", user: str = "ben"
    ) -> Event:
        """A conversion of ``amount`` cents, of which the referrer gets a tenth."""
        data = ConversionRecorded(
            code=self.code(referrer),
            referred_user_id=user,
            transaction_id=order,
            amount=amount,
            currency="usd",
        )
        return Event.of(data, merchant=self.key, source="shop", id=f"{order}/paid", time=NOW)


def open_shop(installation: Installation, key: str, *referrers: str) -> Shop:
    """Add a merchant that pays a tenth without a hold, with a points program and an API key."""
    referrers = referrers or ("ada",)
    stripe_url = installation.instance()["stripe_url"]
    with SandboxClient(stripe_url) as sandbox:
        accounts = {user: sandbox.new_account(key, user) for user in referrers}
    box = SecretBox([instance.secret_key(installation.data / "up")])
    terms = Terms({"kind": "percentage", "basis_points": RATE}, "usd")
    with transaction(installation.engine()) as tx:
        merchant = merchants.add(tx, key, key, mode="test", actor=ACTOR)
        merchants.set_stripe_account(
            tx,
            merchant,
            api_key=DEFAULT_KEY,
            base_url=stripe_url,
            webhook_secret=None,
            box=box,
            actor=ACTOR,
        )
        admin.create_program(tx, merchant.id, "friends", "Friends", terms, actor=ACTOR)
        shop = Shop(key, merchant.id, "", accounts)
        codes = [NewCode(user, shop.code(user)) for user in referrers]
        admin.create_codes(tx, merchant.id, "friends", codes, actor=ACTOR)
        loyalty.create_program(tx, merchant.id, "points", name="Points", currency="usd")
        updates = [
            PayeeUpdate(merchant.id, user, "stripe", NOW, account)
            for user, account in accounts.items()
        ]
        payouts.put_payees(tx, updates)
        shop.api_key = access.create(
            tx, merchant, "till", ["events:write", "events:read"], actor=ACTOR
        )
    return shop
