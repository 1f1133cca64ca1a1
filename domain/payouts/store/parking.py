"""SQL by which payouts that wait for money, or for their payee, are asked for again at once."""

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

_RESUME: Final = """
    UPDATE payouts SET look_at = clock_timestamp(), next_try_at = clock_timestamp()
    WHERE id IN (SELECT id FROM payouts
                 WHERE merchant_id = :merchant_id AND state = 'failed' AND frozen_reason IS NULL AND {waits}
                 ORDER BY id FOR NO KEY UPDATE)
"""
_FOR_MONEY: Final = text(
    _RESUME.format(waits="currency = :currency AND parked_reason = 'balance_insufficient'")
)
_FOR_PAYEE: Final = text(
    _RESUME.format(
        waits="""
    destination = :account AND error_code IN ('account_invalid', 'insufficient_capabilities_for_transfer',
                                              'payouts_not_allowed', 'transfers_not_allowed')"""
    )
)


def resume_currency(tx: Tx, merchant_id: int, currency: str) -> int:
    """Payouts that wait for money of a currency, due now; returns how many."""
    done: Any = tx.execute(_FOR_MONEY, {"merchant_id": merchant_id, "currency": currency})
    return int(done.rowcount)


def resume_destination(tx: Tx, merchant_id: int, account: str) -> int:
    """Payouts that the gateway refused because of this account, due now; returns how many."""
    done: Any = tx.execute(_FOR_PAYEE, {"merchant_id": merchant_id, "account": account})
    return int(done.rowcount)
