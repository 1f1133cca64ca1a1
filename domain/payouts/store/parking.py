"""SQL by which payouts that wait for their payee are asked for again at once."""

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

_RESUME: Final = text(
    """
    UPDATE payouts SET look_at = clock_timestamp(), next_try_at = clock_timestamp()
    WHERE id IN (SELECT id FROM payouts
                 WHERE merchant_id = :merchant_id AND state = 'failed' AND frozen_reason IS NULL
                       AND destination = :account
                       AND error_code IN ('account_invalid', 'insufficient_capabilities_for_transfer',
                                          'payouts_not_allowed', 'transfers_not_allowed')
                 ORDER BY id FOR NO KEY UPDATE)
    """
)


def resume_destination(tx: Tx, merchant_id: int, account: str) -> int:
    """Payouts that the gateway refused because of this account, due now; returns how many."""
    done: Any = tx.execute(_RESUME, {"merchant_id": merchant_id, "account": account})
    return int(done.rowcount)
