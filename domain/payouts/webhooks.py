"""Use case: keep what a gateway told us, once.

Webhooks arrive at least once and in no order: they are stored at once and answered. Nothing is decided
by them here: a worker asks the gateway how things are now, and applies that (`service/notices.py`).
"""

from dataclasses import dataclass

from sqlalchemy.exc import DataError

from domain.db import Tx
from domain.errors import Invalid
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts import webhook_store
from domain.payouts.rules.notices import look_wait, wrong_mode


@dataclass(frozen=True, slots=True)
class GatewayNotice:
    """One event of a gateway, its sender verified.

    ``event_id`` names it at the gateway; ``account`` is the connected account that it is about, None
    for the merchant's own; ``payload`` is its JSON text as received; ``live``: about real money.
    """

    event_id: str
    type: str
    account: str | None
    payload: str
    live: bool


def receive(
    tx: Tx,
    merchant_id: int,
    method: str,
    notice: GatewayNotice,
    *,
    mode: str,
    brought_by: str = "webhook",
) -> int | None:
    """Store a notice and ask for it to be applied; its id, or None if it was stored before, by either road.

    One of another ``mode`` than the merchant's is stored as ignored, with the reason, and answered well:
    Stripe sends a live Connect endpoint test events too, and would disable one that refuses them. It is a notice of its
    own: one of the merchant's mode with the same id is taken. Raises Invalid for JSON that PostgreSQL cannot keep (NUL, half of a surrogate pair); the
    transaction then has to be rolled back.
    """
    ignored = wrong_mode(mode, live=notice.live)
    try:
        stored = webhook_store.insert(
            tx,
            merchant_id=merchant_id,
            method=method,
            event_id=notice.event_id,
            type=notice.type,
            account=notice.account,
            payload=notice.payload,
            live=notice.live,
            ignored=ignored,
            look=look_wait(0),
            brought_by=brought_by,
        )
    except DataError:
        raise Invalid(
            "payload", "holds a NUL character or half of a surrogate pair, and cannot be stored"
        ) from None
    if stored is not None and ignored is None:
        outbox.emit(tx, [apply_message(stored, merchant_id)])
    return stored


def apply_message(notice_id: int, merchant_id: int) -> OutboxMessage:
    """What asks for a notice to be applied."""
    return OutboxMessage("webhooks", "webhooks.apply", {"notice_id": notice_id}, merchant_id)
