"""SQL of the second leg: what is on its way to a bank, what waits on an account, and a merchant's choice."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.bank_leg import ACCOUNT_CODES, FUNDS, RETURNED_BY_BANK
from domain.payouts.store.parking import NONE_GIVEN_UP


def followed(tx: Tx, attempt_id: int) -> Any:
    """A bank attempt with its payout, or None."""
    return tx.execute(
        text(
            """
            SELECT p.merchant_id, p.method, p.destination, p.state, a.state AS attempt_state, a.external_id
            FROM payout_attempts a JOIN payouts p ON p.id = a.payout_id
            WHERE a.id = :id AND a.leg = 'bank'
            """
        ),
        {"id": attempt_id},
    ).one_or_none()


def attempt_of(tx: Tx, merchant_id: int, platform: str, key: str | None, external_id: str) -> Any:
    """The bank attempt of a merchant that made a payout, by the gateway's name of it or by its key."""
    return tx.execute(
        text(
            """
            SELECT id, payout_id FROM payout_attempts
            WHERE merchant_id = :merchant_id AND leg = 'bank' AND platform_account = :platform
                  AND external_id = :external_id
            UNION
            SELECT id, payout_id FROM payout_attempts
            WHERE merchant_id = :merchant_id AND leg = 'bank' AND platform_account = :platform
                  AND idempotency_key = :key
            ORDER BY id LIMIT 1
            """
        ),
        {
            "merchant_id": merchant_id,
            "platform": platform,
            "external_id": external_id,
            "key": key,
        },
    ).one_or_none()


def look_again(tx: Tx, payout_id: int, wait: timedelta | None, waits_for: str | None) -> None:
    """Let the sweep look at a payout after ``wait``, or not any more."""
    tx.execute(
        text(
            """
            UPDATE payouts SET look_at = clock_timestamp() + CAST(:wait AS interval), emit_count = 0,
                   parked_reason = :waits_for
            WHERE id = :id
            """
        ),
        {"id": payout_id, "wait": wait, "waits_for": waits_for},
    )


def freeze(tx: Tx, payout_id: int, reason: str) -> None:
    """Stop a payout, which is locked, until two people have looked at it."""
    tx.execute(
        text(
            """
            UPDATE payouts SET frozen_reason = :reason, look_at = NULL, updated_at = clock_timestamp()
            WHERE id = :id AND frozen_reason IS NULL
            """
        ),
        {"id": payout_id, "reason": reason},
    )


def waits_for_account(tx: Tx, merchant_id: int, account: str) -> bool:
    """Whether money of a payout waits on a connected account for its way to the bank."""
    waits: bool = tx.execute(
        text("SELECT EXISTS (SELECT FROM payouts p WHERE $waits)".replace("$waits", _WAITS)),
        {"merchant_id": merchant_id, "account": account},
    ).scalar_one()
    return waits


def resume_funds(tx: Tx, merchant_id: int, account: str, currencies: list[str]) -> int:
    """Payouts on an account that wait for money of these currencies to be available there, due now."""
    return tx.execute(
        text(
            """
            UPDATE payouts SET look_at = clock_timestamp(), next_try_at = clock_timestamp(), emit_count = 0
            WHERE id IN (SELECT id FROM payouts p WHERE $waits AND p.parked_reason = :funds
                         AND p.currency = ANY(:currencies) ORDER BY id FOR NO KEY UPDATE)
            """.replace("$waits", _WAITS)
        ),
        {
            "merchant_id": merchant_id,
            "account": account,
            "funds": FUNDS,
            "currencies": currencies,
        },
    ).rowcount


def resume_account(tx: Tx, merchant_id: int, account: str, banks: Mapping[str, str]) -> int:
    """Payouts on an account that may go on since it was mended, due now; returns how many.

    Those that the account's state kept back; and those that a bank returned, where payouts in their
    currency now go to another bank account than the one that returned them. Those of which an attempt was given
    up are left to people. ``banks``: by currency.
    """
    return tx.execute(
        text(
            """
            UPDATE payouts SET look_at = clock_timestamp(), emit_count = 0,
                   next_try_at = CASE WHEN state = 'returned' THEN clock_timestamp() ELSE next_try_at END
            WHERE id IN (
                SELECT p.id FROM payouts p
                LEFT JOIN LATERAL (SELECT a.history -> -1 ->> 'bank' AS bank FROM payout_attempts a
                                   WHERE a.payout_id = p.id AND a.leg = 'bank'
                                   ORDER BY a.n DESC LIMIT 1) last ON true
                LEFT JOIN unnest(CAST(:currencies AS text[]), CAST(:banks AS text[])) AS b (currency, bank)
                     ON b.currency = p.currency
                WHERE $waits AND $none_given_up
                      AND (p.state = 'in_transit' AND p.parked_reason IS DISTINCT FROM :funds
                           OR p.state = 'returned' AND p.error_code = ANY(:codes)
                           OR p.state = 'returned' AND p.error_code = :returned
                              AND last.bank IS NOT NULL AND b.bank <> last.bank)
                ORDER BY p.id FOR NO KEY UPDATE OF p)
            """.replace("$waits", _WAITS).replace("$none_given_up", NONE_GIVEN_UP)
        ),
        {
            "merchant_id": merchant_id,
            "account": account,
            "funds": FUNDS,
            "codes": sorted(ACCOUNT_CODES),
            "returned": RETURNED_BY_BANK,
            "currencies": list(banks),
            "banks": list(banks.values()),
        },
    ).rowcount


_WAITS = """
    p.merchant_id = :merchant_id AND p.destination = :account AND p.bank_leg
    AND p.state IN ('in_transit', 'returned') AND p.frozen_reason IS NULL
    AND NOT EXISTS (SELECT FROM payout_attempts l WHERE l.payout_id = p.id AND l.leg = 'bank'
                    AND l.state NOT IN ('failed', 'abandoned', 'reversed'))
"""
