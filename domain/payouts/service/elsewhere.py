"""Attempts of another account of the gateway than the one whose key is at hand."""

from datetime import timedelta
from typing import Any, Final

from domain.db import Tx
from domain.payouts.rules import Leave
from domain.payouts.store import sending as store
from domain.payouts.store.sending import PayoutMove

OTHER_ACCOUNT: Final = timedelta(minutes=10)
"""How long an attempt of another account waits before it is looked at again: a key may come back."""


def hold_elsewhere(tx: Tx, payout: Any, row: Any, account: str) -> Leave | None:
    """Hold an attempt of another account of the gateway than ``account``; None if it is of this one.

    Another account knows nothing of its key: it would pay again, and would find nothing. The payout says
    what it waits for, and the sweep comes back to it.
    """
    if row.platform_account == account:
        return None
    waits = (
        f"attempt {row.n} went through {row.platform_account}, the key is now of {account}:"
        f" give the merchant a key of {row.platform_account} until it is settled"
    )
    held = PayoutMove(
        payout.state,
        payout.state,
        look=OTHER_ACCOUNT,
        parked=waits,
        error_code=payout.error_code,
        error_message=payout.error_message,
    )
    store.move_payout(tx, payout.id, held)
    return Leave("other_account")
