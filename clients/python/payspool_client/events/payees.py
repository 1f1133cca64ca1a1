"""Who gets paid, and how."""

from __future__ import annotations

from typing import ClassVar

from payspool_client.events.fields import EventData, Name, PayoutMethod, UserId


class PayeeUpdated(EventData):
    """How a user is paid. Bank data never travels here: `account` is the gateway's name for it."""

    type: ClassVar[str] = "payee.updated"

    user_id: UserId
    method: PayoutMethod
    account: Name | None = None
    name: Name | None = None
