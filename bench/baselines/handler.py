"""The same handler for every peer: one event, one transaction, all rules."""

from sqlalchemy import Engine

from domain.db import transaction
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse


def apply_one(engine: Engine, message_id: str, text: str) -> None:
    """Parse and apply one event in a transaction of its own."""
    with transaction(engine) as tx:
        inbox.apply(tx, parse([Delivery(message_id, 0, text)]))
