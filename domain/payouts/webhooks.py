"""Use case: keep what a gateway told us, once, and ask for it to be applied.

Webhooks arrive at least once and in no order. They are stored at once and answered; applying is a
worker's, which asks the gateway for the object again before it changes a state.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import DataError

from domain.db import Tx
from domain.errors import Invalid
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts import webhook_store

WEBHOOK_QUEUE: Final = "webhooks"
WEBHOOK_ACTOR: Final = "webhooks.apply"


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
    """Store a notice and ask for ``webhooks.apply``; its id, or None if it was stored before.

    Raises Invalid for JSON that PostgreSQL cannot keep (NUL, half of a surrogate pair); the
    transaction then has to be rolled back.
    """
    try:
        made = webhook_store.insert(
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
    if made is not None:
        args = {"gateway_event_id": made}
        message = OutboxMessage(WEBHOOK_QUEUE, WEBHOOK_ACTOR, args, merchant_id)
        outbox.emit(tx, [message])
    return made
