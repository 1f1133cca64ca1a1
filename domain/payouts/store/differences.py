"""SQL of differences: one statement compares both sides, and raises, keeps and resolves rows."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

NO_LONGER_SHOWS: Final = "no longer shows"
"""The note of a difference that resolved itself; if it comes back, it is open again."""


def compare_from(tx: Tx, run: Any) -> datetime:
    """From when both sides are compared: the run's time, or the oldest open difference's day, so that
    each of them is looked at again."""
    found: datetime = tx.execute(
        text(
            """
            SELECT least(date_trunc('day', CAST(:from_at AS timestamptz)),
                         min(CAST(CAST(day AS timestamp) AT TIME ZONE 'UTC' AS timestamptz)))
            FROM payout_differences
            WHERE merchant_id = :merchant_id AND method = :method AND platform_account = :account
              AND state = 'open' AND last_run_id IS NOT NULL
            """
        ),
        {
            "merchant_id": run.merchant_id,
            "method": run.method,
            "account": run.platform_account,
            "from_at": run.from_at,
        },
    ).scalar_one()
    return found


_FIND: Final = """
    WITH made AS MATERIALIZED (
        -- Transfers in the gateway's books, with what was reversed of each.
        SELECT t.*, coalesce((SELECT sum(r.amount) FROM gateway_transactions r
                              WHERE r.merchant_id = t.merchant_id AND r.transfer_id = t.transfer_id
                                AND r.method = t.method AND r.platform_account = t.platform_account
                                AND r.type <> 'transfer'), 0) AS back
        FROM gateway_transactions t
        WHERE t.merchant_id = :merchant_id AND t.method = :method AND t.platform_account = :account
          AND t.type = 'transfer' AND t.created >= :since AND t.created < :to_at
    ), matched AS MATERIALIZED (
        SELECT m.*, a.id AS attempt_id, a.payout_id AS our_payout, a.state AS attempt_state,
               p.amount AS our_amount, p.currency AS our_currency, p.destination AS our_destination,
               p.bank_leg AS goes_on,
               CASE WHEN a.state = 'reversed' THEN 0
                    ELSE p.amount - greatest(p.reversed_amount - p.amount * (
                        SELECT count(*) FROM payout_attempts b WHERE b.payout_id = p.id
                        AND b.leg = 'transfer' AND b.state = 'reversed'), 0) END AS our_net
        FROM made m
        JOIN payout_attempts a ON a.platform_account = m.platform_account AND a.external_id = m.transfer_id
             AND a.leg = 'transfer' AND a.merchant_id = m.merchant_id
             AND a.state IN ('succeeded', 'reversed')
        JOIN payouts p ON p.id = a.payout_id AND p.method = m.method
    ), unmatched AS MATERIALIZED (
        -- Not booked here for anybody. What another installation says it made is its own to explain, and
        -- the transfer of an attempt that is still in flight will be booked.
        SELECT m.*, a.id AS attempt_id, a.state AS attempt_state, a.payout_id AS our_payout
        FROM made m
        LEFT JOIN payout_attempts a ON a.idempotency_key = m.attempt_key AND a.merchant_id = m.merchant_id
             AND a.platform_account = m.platform_account
        WHERE NOT EXISTS (SELECT FROM payout_attempts b WHERE b.platform_account = m.platform_account
                          AND b.external_id = m.transfer_id)
          AND coalesce(m.installation, :installation) = :installation
          AND coalesce(a.state, '') NOT IN ('created', 'sending', 'unknown')
          AND m.amount + m.back <> 0
    ), unreversed AS (
        SELECT payout_id, transfer_id, min(currency) AS currency, sum(amount) AS amount,
               max(created) AS created
        FROM (
            SELECT t.payout_id, t.transfer_id, t.currency, t.created,
                   t.amount + coalesce((SELECT sum(r.amount) FROM gateway_transactions r
                                        WHERE r.merchant_id = t.merchant_id AND r.transfer_id = t.transfer_id
                                          AND r.method = t.method
                                          AND r.platform_account = t.platform_account
                                          AND r.type <> 'transfer'), 0) AS amount
            FROM gateway_transactions t
            WHERE t.merchant_id = :merchant_id AND t.method = :method AND t.platform_account = :account
              AND t.type = 'transfer' AND t.installation = :installation
              AND t.payout_id IN (SELECT payout_id FROM made WHERE payout_id IS NOT NULL)
        ) one GROUP BY 1, 2 HAVING sum(amount) < 0
    ), posted AS (
        SELECT l.currency, (m.created AT TIME ZONE 'UTC')::date AS day, sum(l.amount) AS amount
        FROM matched m
        JOIN ledger_transfers l ON l.source_kind = 'payout_attempt' AND l.source_id = m.attempt_id
             -- What goes on to a bank has left with its transfer, and stays in flight until it is there.
             AND l.kind = CASE WHEN m.goes_on THEN 'payout_sent' ELSE 'payout_paid' END
        JOIN ledger_accounts c ON c.id = l.credit_account_id
             AND c.kind = CASE WHEN m.goes_on THEN 'payouts_in_flight' ELSE 'gateway_clearing' END
        GROUP BY 1, 2
    ), moved AS (
        SELECT our_currency AS currency, (created AT TIME ZONE 'UTC')::date AS day,
               sum(our_amount) AS amount
        FROM matched GROUP BY 1, 2
    )
    SELECT 'missing_there' AS kind, 'attempt ' || a.id AS subject, p.currency,
           (a.sent_at AT TIME ZONE 'UTC')::date AS day, p.id AS payout_id, a.id AS attempt_id,
           a.external_id, p.amount::text AS ours, CAST(NULL AS text) AS theirs
    FROM payout_attempts a JOIN payouts p ON p.id = a.payout_id
    WHERE a.merchant_id = :merchant_id AND p.method = :method AND a.platform_account = :account
      AND a.leg = 'transfer' AND a.state IN ('succeeded', 'reversed')
      AND a.sent_at >= :since AND a.resolved_at < :settled_before
      AND NOT EXISTS (SELECT FROM gateway_transactions t
                      WHERE t.merchant_id = a.merchant_id AND t.transfer_id = a.external_id
                        AND t.method = p.method AND t.platform_account = a.platform_account
                        AND t.type = 'transfer')
    UNION ALL
    SELECT CASE WHEN attempt_id IS NULL OR attempt_state IN ('succeeded', 'reversed')
                THEN 'missing_here' ELSE 'paid_after_all' END,
           coalesce(transfer_id, external_id), currency, (created AT TIME ZONE 'UTC')::date, our_payout,
           attempt_id, coalesce(transfer_id, external_id), NULL, (-(amount + back))::text
    FROM unmatched
    UNION ALL
    SELECT 'currency', 'attempt ' || attempt_id, our_currency, (created AT TIME ZONE 'UTC')::date,
           our_payout, attempt_id, transfer_id, our_currency, currency
    FROM matched WHERE our_currency <> currency
    UNION ALL
    SELECT 'amount', 'attempt ' || attempt_id, our_currency, (created AT TIME ZONE 'UTC')::date,
           our_payout, attempt_id, transfer_id, our_net::text, (-(amount + back))::text
    FROM matched
    WHERE our_currency = currency AND (our_amount <> -amount OR our_net <> -(amount + back))
    UNION ALL
    SELECT 'destination', 'attempt ' || attempt_id, our_currency, (created AT TIME ZONE 'UTC')::date,
           our_payout, attempt_id, transfer_id, our_destination, destination
    FROM matched WHERE our_destination IS DISTINCT FROM destination
    UNION ALL
    SELECT 'fee', 'attempt ' || attempt_id, currency, (created AT TIME ZONE 'UTC')::date, our_payout,
           attempt_id, transfer_id, '0', fee::text
    FROM matched WHERE fee <> 0
    UNION ALL
    SELECT 'paid_twice', 'payout ' || payout_id, min(currency),
           (max(created) AT TIME ZONE 'UTC')::date,
           (SELECT p.id FROM payouts p WHERE p.id = payout_id AND p.merchant_id = :merchant_id), NULL, NULL,
           '1 transfer', string_agg(transfer_id, ' ' ORDER BY transfer_id)
    FROM unreversed GROUP BY payout_id HAVING count(*) > 1
    UNION ALL
    SELECT 'day_sum', currency || ' ' || day, currency, day, NULL, NULL, NULL,
           coalesce(posted.amount, 0)::text, moved.amount::text
    FROM moved LEFT JOIN posted USING (currency, day)
    WHERE coalesce(posted.amount, 0) <> moved.amount
"""

_RAISE: Final = text(
    f"""
    INSERT INTO payout_differences AS d (merchant_id, method, platform_account, kind, subject, currency, day,
        payout_id, attempt_id, external_id, ours, theirs, first_seen, last_seen, last_run_id)
    SELECT :merchant_id, :method, :account, f.kind, f.subject, f.currency, f.day, f.payout_id, f.attempt_id,
           f.external_id, f.ours, left(f.theirs, 1000), clock_timestamp(), clock_timestamp(), :run_id
    FROM ({_FIND}) f ORDER BY f.kind, f.subject
    ON CONFLICT (merchant_id, method, platform_account, kind, subject) DO UPDATE
    SET last_seen = excluded.last_seen, last_run_id = excluded.last_run_id, day = excluded.day,
        ours = excluded.ours, theirs = excluded.theirs,
        state = CASE WHEN d.state = 'resolved' AND d.resolved_by <> 'reconciliation'
                          AND (d.ours, d.theirs) IS NOT DISTINCT FROM (excluded.ours, excluded.theirs)
                     THEN 'resolved' ELSE 'open' END,
        resolved_by = CASE WHEN d.resolved_by <> 'reconciliation'
                                AND (d.ours, d.theirs) IS NOT DISTINCT FROM (excluded.ours, excluded.theirs)
                           THEN d.resolved_by END,
        resolved_at = CASE WHEN d.resolved_by <> 'reconciliation'
                                AND (d.ours, d.theirs) IS NOT DISTINCT FROM (excluded.ours, excluded.theirs)
                           THEN d.resolved_at END,
        resolved_note = CASE WHEN d.resolved_by <> 'reconciliation'
                                  AND (d.ours, d.theirs) IS NOT DISTINCT FROM (excluded.ours, excluded.theirs)
                             THEN d.resolved_note END
    """  # noqa: S608 - composed of this module's own text
)


def raise_found(tx: Tx, run: Any, *, since: datetime, installation: str) -> None:
    """Compare both sides; what differs is a row, once, however often it is found.

    What a person has resolved stays so while it looks the same.
    """
    tx.execute(
        _RAISE,
        {
            "merchant_id": run.merchant_id,
            "method": run.method,
            "account": run.platform_account,
            "run_id": run.id,
            "since": since,
            "to_at": run.to_at,
            "settled_before": run.settled_before,
            "installation": installation,
        },
    )


def resolve_gone(tx: Tx, run: Any, *, since: datetime) -> int:
    """Resolve what the run looked for and did not find again; returns how many."""
    return tx.execute(
        text(
            """
            UPDATE payout_differences
            SET state = 'resolved', resolved_by = 'reconciliation', resolved_at = clock_timestamp(),
                resolved_note = :note
            WHERE merchant_id = :merchant_id AND method = :method AND platform_account = :account
              AND state = 'open' AND last_run_id <> :run_id
              AND day >= (CAST(:since AS timestamptz) AT TIME ZONE 'UTC')::date
              AND day < (CAST(:to_at AS timestamptz) AT TIME ZONE 'UTC')::date + 1
              -- What it did not look for, it did not miss.
              AND NOT (kind = 'missing_there' AND EXISTS (
                  SELECT FROM payout_attempts a
                  WHERE a.id = attempt_id AND a.resolved_at >= :settled_before))
            """
        ),
        {
            "merchant_id": run.merchant_id,
            "method": run.method,
            "account": run.platform_account,
            "run_id": run.id,
            "since": since,
            "to_at": run.to_at,
            "settled_before": run.settled_before,
            "note": NO_LONGER_SHOWS,
        },
    ).rowcount


def raise_bank(
    tx: Tx, payout_id: int, *, platform: str, external_id: str, amount: int, attempt_id: int | None
) -> bool:
    """Raise that a connected account shows a payout to a bank which no bank attempt of a payout made; once,
    however often it is seen. ``amount`` in minor units of its currency.

    False if a person has explained it already.
    """
    state = tx.execute(
        text(
            """
            INSERT INTO payout_differences AS d (merchant_id, method, platform_account, kind, subject, currency,
                day, payout_id, attempt_id, external_id, theirs, first_seen, last_seen)
            SELECT merchant_id, method, :platform, 'bank_missing_here', :external_id, currency,
                   (clock_timestamp() AT TIME ZONE 'UTC')::date, id, CAST(:attempt_id AS bigint), :external_id,
                   CAST(:amount AS text), clock_timestamp(), clock_timestamp()
            FROM payouts WHERE id = :payout_id
            ON CONFLICT (merchant_id, method, platform_account, kind, subject) DO UPDATE
            SET last_seen = excluded.last_seen
            RETURNING d.state
            """
        ),
        {
            "payout_id": payout_id,
            "platform": platform,
            "external_id": external_id,
            "amount": str(amount),
            "attempt_id": attempt_id,
        },
    ).scalar_one()
    return bool(state == "open")


def freeze_doubtful(tx: Tx, run: Any) -> list[Any]:
    """Stop every payout that was paid twice, or by an attempt that was given up; returns those stopped."""
    return list(
        tx.execute(
            text(
                """
                WITH doubtful AS (
                    SELECT p.id, min(d.kind) AS kind FROM payouts p JOIN payout_differences d ON d.payout_id = p.id
                    WHERE d.last_run_id = :run_id AND d.state = 'open'
                      AND d.kind IN ('paid_twice', 'paid_after_all')
                    GROUP BY p.id
                ), locked AS (
                    SELECT id FROM payouts WHERE id IN (SELECT id FROM doubtful)
                      AND frozen_reason IS NULL ORDER BY id FOR NO KEY UPDATE
                )
                UPDATE payouts p
                SET frozen_reason = CASE doubtful.kind WHEN 'paid_twice' THEN
                        'the gateway''s books show more than one transfer for it'
                        ELSE 'the gateway''s books show that an attempt that was given up has paid' END,
                    updated_at = clock_timestamp()
                FROM doubtful, locked WHERE p.id = locked.id AND doubtful.id = p.id
                RETURNING p.id, p.frozen_reason
                """
            ),
            {"run_id": run.id},
        )
    )


def open_by_kind(tx: Tx, merchant_id: int) -> dict[str, int]:
    """How many of a merchant's differences are open, by kind."""
    rows = tx.execute(
        text(
            """
            SELECT kind, count(*) AS number FROM payout_differences
            WHERE merchant_id = :merchant_id AND state = 'open' GROUP BY 1 ORDER BY 1
            """
        ),
        {"merchant_id": merchant_id},
    )
    return {row.kind: row.number for row in rows}


def listing(tx: Tx, merchant_id: int, *, resolved: bool, limit: int) -> list[Any]:
    """A merchant's differences, newest first; only open ones unless ``resolved``."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, kind, day, currency, subject, payout_id, external_id, ours, theirs, state,
                       first_seen, last_seen, resolved_by, resolved_at, resolved_note
                FROM payout_differences
                WHERE merchant_id = :merchant_id AND (:resolved OR state = 'open')
                ORDER BY id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "resolved": resolved, "limit": limit},
        )
    )


def resolve(tx: Tx, merchant_id: int, difference_id: int, *, by: str, note: str) -> Any:
    """Resolve an open one; the row, or None if there is none."""
    return tx.execute(
        text(
            """
            UPDATE payout_differences
            SET state = 'resolved', resolved_by = :by, resolved_at = clock_timestamp(), resolved_note = :note
            WHERE id = :id AND merchant_id = :merchant_id AND state = 'open'
            RETURNING id, kind, subject, ours, theirs
            """
        ),
        {"id": difference_id, "merchant_id": merchant_id, "by": by, "note": note},
    ).one_or_none()
