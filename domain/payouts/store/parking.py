"""SQL by which payouts that wait for their payee are asked for again at once."""

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

NONE_GIVEN_UP: Final = (
    "NOT EXISTS (SELECT FROM payout_attempts g WHERE g.payout_id = p.id AND g.state = 'abandoned')"
)
"""Condition under which payout ``p`` may be resumed by itself: an attempt that was given up may have paid, so that
only a person asks for another one."""

_RESUME: Final = text(
    """
    UPDATE payouts SET look_at = clock_timestamp(), next_try_at = clock_timestamp()
    WHERE id IN (SELECT id FROM payouts p
                 WHERE merchant_id = :merchant_id AND state = 'failed' AND frozen_reason IS NULL
                       AND destination = :account AND $none_given_up
                       AND error_code IN ('account_invalid', 'insufficient_capabilities_for_transfer',
                                          'payouts_not_allowed', 'transfers_not_allowed')
                 ORDER BY id FOR NO KEY UPDATE)
    """.replace("$none_given_up", NONE_GIVEN_UP)
)


def resume_destination(tx: Tx, merchant_id: int, account: str) -> int:
    """Payouts that the gateway refused because of this account, due now; returns how many. Those of which an
    attempt was given up are left to people."""
    done: Any = tx.execute(_RESUME, {"merchant_id": merchant_id, "account": account})
    return int(done.rowcount)
