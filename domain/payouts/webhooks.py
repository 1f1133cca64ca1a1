"""Use case: keep what a gateway told us, once.

Webhooks arrive at least once and in no order: they are stored at once and answered. Nothing is decided
by them here; what became of a payout is asked of the gateway itself.
"""

from dataclasses import dataclass

from sqlalchemy.exc import DataError

from domain.db import Tx
from domain.errors import Invalid
from domain.payouts import webhook_store


@dataclass(frozen=True, slots=True)
class GatewayNotice:
    """One event of a gateway, its sender verified.

    ``event_id`` names it at the gateway; ``account`` is the connected account that it is about, None
    for the merchant's own; ``payload`` is its JSON text as received.
    """

    event_id: str
    type: str
    account: str | None
    payload: str


def receive(tx: Tx, merchant_id: int, method: str, notice: GatewayNotice) -> int | None:
    """Store a notice; its id, or None if it was stored before.

    Raises Invalid for JSON that PostgreSQL cannot keep (NUL, half of a surrogate pair); the
    transaction then has to be rolled back.
    """
    try:
        return webhook_store.insert(
            tx,
            merchant_id=merchant_id,
            method=method,
            event_id=notice.event_id,
            type=notice.type,
            account=notice.account,
            payload=notice.payload,
        )
    except DataError:
        raise Invalid(
            "payload", "holds a NUL character or half of a surrogate pair, and cannot be stored"
        ) from None
