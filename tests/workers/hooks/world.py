"""What tests of webhooks do with a merchant: add endpoints, let things happen, look at the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.secrets import SecretBox
from domain.webhooks import service
from domain.webhooks.addresses import Reach
from workers.context import Runtime
from workers.courier import Manner, deliver_next
from workers.posting import Poster, resolve

MIA = Actor("person", "mia")
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
PATIENCE = 20.0


@dataclass
class World:
    """A merchant and its endpoints."""

    rt: Runtime
    box: SecretBox
    merchant_id: int
    reach: Reach = field(default_factory=lambda: Reach(loopback=True))
    sources: Any = field(default_factory=lambda: count(1))

    @property
    def engine(self) -> Engine:
        return self.rt.engine

    def endpoint(self, url: str, *types: str) -> tuple[int, str]:
        """Add an endpoint; its id and secret."""
        address = service.look_up(url, "test", self.reach, resolve)
        with transaction(self.engine) as tx:
            return service.add(
                tx,
                self.merchant_id,
                address,
                types=types or ("earning.created",),
                box=self.box,
                actor=MIA,
            )

    def earn(self, *amounts: int) -> None:
        """Let each amount be earned, in one transaction."""
        with transaction(self.engine) as tx:
            earn(tx, self.merchant_id, [(next(self.sources), amount) for amount in amounts])

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with transaction(self.engine) as tx:
            return list(tx.execute(text(statement), values))

    def deliveries(self) -> list[Any]:
        return self.rows("SELECT * FROM webhook_deliveries ORDER BY id")

    def attempts(self) -> list[Any]:
        return self.rows("SELECT * FROM webhook_attempts ORDER BY id")

    def states(self) -> list[str]:
        return [one.state for one in self.deliveries()]

    def run(self, statement: str, **values: Any) -> None:
        with transaction(self.engine) as tx:
            tx.execute(text(statement), values)

    def manner(self, **more: Any) -> Manner:
        poster = more.pop("poster", None) or Poster(self.reach, seconds=2.0)
        return Manner(poster, self.box, **more)

    def deliver(self, endpoint_id: int, **more: Any) -> str | None:
        """Deliver what is due first, here and now."""
        return deliver_next(self.rt, self.manner(**more), endpoint_id)


def earn(tx: Any, merchant_id: int, wanted: list[tuple[int, int]]) -> None:
    earnings.record(
        tx,
        [
            NewEarning(merchant_id, "ada", "usd", amount, "reward", "test", source, JUNE, JUNE)
            for source, amount in wanted
        ],
    )


def wait_until(holds: Callable[[], Any], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
