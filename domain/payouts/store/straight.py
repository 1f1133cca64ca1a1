"""SQL of the straight road: one statement where the careful one reads, decides and writes.

Each statement changes a payout by compare-and-set, with everything that it depends on in its condition;
it changes nothing where the careful road has to decide. A new reason not to send belongs on both roads:
in the condition here, and in ``begin_attempt``, which names it (test_straight.py compares them).
"""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.outside import SAID
from domain.payouts.rules.watermark import Mark
from domain.payouts.store import shortfalls, watermark
from domain.payouts.store.stops import IN_FORCE


def frozen(tx: Tx, payout_id: int) -> Any:
    """What of a payout never changes, beside this installation's code; or None."""
    return tx.execute(_FROZEN, {"id": payout_id}).one_or_none()


def take(
    tx: Tx, payout_id: int, payee_id: int, look: timedelta, mark: Mark | None
) -> datetime | None:
    """From approved to sending, unless anything stands in the way; the business time, or None.

    The payee is locked before the payout, as everywhere: a block that is committed stops every later
    send. An approved payout has no attempt yet, or the insert that follows is refused.
    """
    values = {"id": payout_id, "payee_id": payee_id, "look": look}
    return tx.execute(_TAKE, values | watermark.of_mark(mark)).scalar()


def settle(tx: Tx, payout_id: int, attempt_id: int, lease_until: datetime, external_id: str) -> Any:
    """From sending to paid, for the holder of the attempt's lease alone; the payout with the business
    time as `now`, or None. What goes on to a bank is not paid yet: never here."""
    return tx.execute(
        _SETTLE,
        {
            "id": payout_id,
            "attempt_id": attempt_id,
            "lease_until": lease_until,
            "external_id": external_id,
        },
    ).one_or_none()


_NOW: Final = "coalesce((SELECT simulated_at FROM business_clock WHERE id = 1), clock_timestamp())"

_FROZEN: Final = text(
    """
    SELECT id, merchant_id, payee_id, method, amount, currency, destination,
           (SELECT code FROM installation) AS installation, bank_leg,
           bank_leg AND EXISTS (SELECT FROM payout_attempts a WHERE a.payout_id = payouts.id
                                AND a.leg = 'transfer' AND a.state = 'succeeded') AS transferred
    FROM payouts WHERE id = :id
    """
)
# Locks are taken in the order of all: payee, payout, its earnings. What is locked is read as it is then, not
# as it was when the statement began: a hold that was committed while it waited for the payee is seen, and
# one that comes later waits until the send is committed. (Where anything is known to stand in the way the
# payout is not locked: the careful road may have to lock its account before it.)
_TAKE: Final = text(
    """
    WITH y AS MATERIALIZED (
        SELECT id, method, account, blocked_reason FROM payees WHERE id = :payee_id FOR SHARE
    ), taken AS MATERIALIZED (
        SELECT p.id FROM payouts p, y
        WHERE p.id = :id AND p.payee_id = y.id AND p.state = 'approved' AND p.frozen_reason IS NULL
              AND p.method <> 'manual' AND p.parked_reason IS DISTINCT FROM '$said'
              AND y.blocked_reason IS NULL AND y.method = p.method AND y.account = p.destination
              AND NOT EXISTS (SELECT FROM earnings e
                              WHERE e.payout_id = p.id AND e.held_at IS NOT NULL AND e.reverses_id IS NULL)
              AND NOT EXISTS (SELECT FROM payout_stops s WHERE $in_force FOR KEY SHARE)
              AND NOT EXISTS (SELECT FROM payout_shortfalls f WHERE $short)
              AND $agrees
        FOR NO KEY UPDATE OF p
    ), members AS MATERIALIZED (
        SELECT held_at FROM earnings
        WHERE payout_id = (SELECT id FROM taken) AND reverses_id IS NULL ORDER BY id FOR SHARE
    )
    UPDATE payouts p
    SET state = 'sending', updated_at = clock_timestamp(), emit_count = 0, tries = tries + 1,
        next_try_at = NULL, look_at = clock_timestamp() + CAST(:look AS interval), parked_reason = NULL,
        error_code = NULL, error_message = NULL
    WHERE p.id = (SELECT id FROM taken) AND p.state = 'approved' AND (SELECT count(held_at) FROM members) = 0
    RETURNING $now
    """.replace("$now", _NOW)
    .replace("$said", SAID)
    .replace("$in_force", IN_FORCE)
    .replace("$short", shortfalls.IN_FORCE)
    .replace("$agrees", watermark.AGREES)
)
# The attempt is read beside the payout, not locked: whoever changes it holds the payout, and moves it on.
_SETTLE: Final = text(
    """
    UPDATE payouts p
    SET state = 'paid', updated_at = clock_timestamp(), emit_count = 0, next_try_at = NULL, look_at = NULL,
        parked_reason = NULL, error_code = NULL, error_message = NULL,
        external_transaction_id = coalesce(p.external_transaction_id, :external_id), processed_at = $now
    FROM payout_attempts a
    WHERE p.id = :id AND p.state = 'sending' AND NOT p.bank_leg AND a.id = :attempt_id AND a.payout_id = p.id
          AND a.state = 'sending' AND a.lease_until = :lease_until
    RETURNING p.id, p.merchant_id, p.method, p.currency, p.amount, p.processed_at AS now
    """.replace("$now", _NOW)
)
