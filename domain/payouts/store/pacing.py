"""SQL by which a payout that cannot be sent at once comes back."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.progress import ON_ITS_WAY

_COME_BACK: Final = text(
    """
    UPDATE payouts SET look_at = clock_timestamp() + CAST(:look AS interval)
    WHERE id = :id AND look_at IS NOT NULL AND frozen_reason IS NULL
          AND state IN ('approved', 'sending', 'unknown', 'failed', 'in_transit', 'returned')
    RETURNING merchant_id
    """
)

_LOOK_LATER: Final = text(
    """
    UPDATE payouts SET look_at = clock_timestamp() + CAST(:look AS interval)
    WHERE id = :id AND state = ANY(:states)
    RETURNING merchant_id
    """
)


def look_later(tx: Tx, payout_id: int, look: timedelta) -> int | None:
    """Let the sweep ask only after ``look`` how a payout stands; its merchant, or None if nothing is to come
    of it any more."""
    wanted = {"id": payout_id, "look": look, "states": list(ON_ITS_WAY)}
    merchant_id: int | None = tx.execute(_LOOK_LATER, wanted).scalar()
    return merchant_id


def come_back(tx: Tx, payout_id: int, look: timedelta) -> int | None:
    """Let the sweep take a payout for lost only after ``look``; its merchant, or None if nothing is to
    come of it any more."""
    merchant_id: int | None = tx.execute(_COME_BACK, {"id": payout_id, "look": look}).scalar()
    return merchant_id
