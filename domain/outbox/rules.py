"""What an outbox message is.

>>> OutboxMessage("payouts", "payouts.send", {"payout_id": 7}).queue
'payouts'
"""

from dataclasses import dataclass
from typing import Any, Final

OUTBOX_CHANNEL: Final = "payspool_outbox"
"""NOTIFY channel that wakes the relay."""


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A request for work: ``actor`` on ``queue`` with keyword ``args``, not before ``delay_seconds``."""

    queue: str
    actor: str
    args: dict[str, Any]
    merchant_id: int | None = None
    delay_seconds: float = 0.0
