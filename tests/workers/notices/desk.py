"""A merchant to whose API a real sandbox sends webhooks, and a worker that applies them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.secrets import SecretBox
from tests.workers.payouts.office import Office
from workers import notices, payouts

PATIENCE = 60.0
ACTOR = Actor("command", "tests")


@dataclass
class Desk(Office):
    """An office that Stripe tells what happens there."""

    url: str = ""
    box: SecretBox | None = None

    def listen(self, *, connect: bool) -> None:
        """Register an endpoint at the sandbox, and keep its secret."""
        assert self.box is not None
        made = self.platform.call(
            "POST",
            "/v1/webhook_endpoints",
            **{
                "url": f"{self.url}/v1/webhooks/stripe/acme",
                "enabled_events[]": "*",
                "connect": "true" if connect else "false",
            },
        )
        self.give_account()
        with transaction(self.engine) as tx:
            acme = merchants.get(tx, "acme")
            merchants.set_webhook_secret(
                tx, acme, made["secret"], box=self.box, actor=ACTOR, connect=connect
            )

    def give_account(self) -> None:
        """Let the merchant have its Stripe account, if it has none yet."""
        assert self.box is not None
        with transaction(self.engine) as tx:
            acme = merchants.get(tx, "acme")
            if merchants.gateway_account(tx, acme.id, "stripe", box=self.box) is None:
                merchants.set_stripe_account(
                    tx,
                    acme,
                    api_key=self.platform.key,
                    base_url=self.platform.stripe.url,
                    webhook_secret=None,
                    box=self.box,
                    actor=ACTOR,
                    platform_account=self.platform.account_id,
                )

    def spoil(self, **rule: Any) -> None:
        """Plan a fault of the webhooks that follow."""
        self.platform.stripe.admin("PUT", "faults", seed=1, webhooks=[rule])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with transaction(self.engine) as tx:
            return [tuple(row) for row in tx.execute(text(statement))]

    def told(self, type_: str, times: int = 1) -> None:
        """Wait until so many notices of a type are stored."""
        end = time.monotonic() + PATIENCE
        count = f"SELECT count(*) FROM gateway_events WHERE type = '{type_}'"
        while self.rows(count)[0][0] < times:
            assert time.monotonic() < end, (
                f"no {type_}: {self.rows('SELECT type, state FROM gateway_events')}"
                f" {self.platform.stripe.admin('GET', 'deliveries')}"
            )
            time.sleep(0.02)

    def do(self, actor: str, args: dict[str, int]) -> Any:
        if actor == "webhooks.apply":
            return notices.apply(self, **args)
        return super().do(actor, args)

    def notices(self, type_: str) -> list[tuple[Any, ...]]:
        return self.rows(
            f"SELECT state, error FROM gateway_events WHERE type = '{type_}' ORDER BY id"
        )

    def payee(self) -> tuple[Any, ...]:
        [one] = self.rows("SELECT blocked_reason, blocked_by FROM payees")
        return one

    def account(self) -> str:
        [(account,)] = self.rows("SELECT account FROM payees")
        return str(account)

    def sweep(self) -> None:
        """What the payout sweep does, and the messages that follow."""
        payouts.sweep(self)
        self.work_off()
