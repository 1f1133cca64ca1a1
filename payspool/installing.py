"""What comes with a merchant's programs: their schedules, under names that include the merchant."""

from collections.abc import Sequence

from domain.db import Tx
from domain.merchants.service import Merchant
from domain.payouts.rules.returns import EVERY_SECONDS, LOOK_BACK_DAYS
from domain.schedules import service as schedules
from domain.schedules.rules import Cron, Every
from domain.schedules.service import Schedule


def expiry_schedule(tx: Tx, merchant: Merchant, cron: str = "0 3 * * *", zone: str = "UTC") -> None:
    """Book the expiry of a merchant's points, nightly by default."""
    schedules.register(
        tx,
        Schedule(
            name=f"loyalty.expire_points/{merchant.key}",
            queue="sweeps",
            actor="loyalty.expire_points",
            timing=Cron(cron, zone),
            args={"merchant_id": merchant.id},
            merchant_id=merchant.id,
        ),
    )


def payout_schedule(
    tx: Tx,
    merchant: Merchant,
    minimums: dict[str, int],
    cron: str,
    zone: str = "UTC",
    *,
    name: str | None = None,
    methods: Sequence[str] = ("stripe",),
) -> str:
    """Build and send payout runs; ``minimums`` by currency, in minor units. Returns the schedule's name.

    A merchant may have several: ``name`` tells them apart.
    """
    scheduled = f"payouts.run/{merchant.key}" + (f"/{name}" if name else "")
    schedules.register(
        tx,
        Schedule(
            name=scheduled,
            queue="sweeps",
            actor="payouts.run",
            timing=Cron(cron, zone),
            args={"merchant_id": merchant.id, "minimums": minimums, "methods": list(methods)},
            merchant_id=merchant.id,
        ),
    )
    return scheduled


def reconciliation_schedule(tx: Tx, merchant: Merchant, cron: str = "30 4 * * *") -> None:
    """Compare a merchant's payouts with Stripe's books, daily by default (UTC)."""
    schedules.register(
        tx,
        Schedule(
            name=f"payouts.reconcile/{merchant.key}",
            queue="sweeps",
            actor="payouts.reconcile",
            timing=Cron(cron, "UTC"),
            args={"merchant_id": merchant.id},
            merchant_id=merchant.id,
        ),
    )


def polling_schedule(tx: Tx, merchant: Merchant, every_seconds: int = 600) -> None:
    """Look for webhooks of a merchant that never came, every ten minutes of real time by default."""
    schedules.register(
        tx,
        Schedule(
            name=f"webhooks.poll/{merchant.key}",
            queue="sweeps",
            actor="webhooks.poll",
            timing=Every(every_seconds),
            args={"merchant_id": merchant.id},
            merchant_id=merchant.id,
        ),
    )


def returns_schedule(
    tx: Tx, merchant: Merchant, every_seconds: int = EVERY_SECONDS, days: int = LOOK_BACK_DAYS
) -> None:
    """Look for transfers of a merchant that came back and told nobody, hourly by default, among those of so
    many ``days``."""
    schedules.register(
        tx,
        Schedule(
            name=f"payouts.returns/{merchant.key}",
            queue="sweeps",
            actor="payouts.returns",
            timing=Every(every_seconds),
            args={"merchant_id": merchant.id, "days": days},
            merchant_id=merchant.id,
        ),
    )
