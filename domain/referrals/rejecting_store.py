"""SQL of rejected conversions: what they counted for is taken off, each row in the lock order of a batch."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def tracking(tx: Tx, tracking_id: int) -> Any:
    """A tracking as it stands, with its program's present version. The caller holds its transaction's lock."""
    return tx.execute(
        text(
            """
            SELECT t.id, t.merchant_id, t.inbox_id, t.program_id, t.code_id, t.referrer_user_id,
                   t.referred_user_id, t.converted_at, t.currency, p.version,
                   t.amount_earned - t.reversed_amount AS kept,
                   t.referee_amount_earned - t.referee_reversed_amount AS referee_kept,
                   NOT (t.fully_refunded OR t.dispute_lost) AS counts,
                   NOT (t.fully_refunded OR t.dispute_lost) AND t.amount_earned > 0 AS is_reward,
                   CASE WHEN t.dispute_lost THEN 0
                        ELSE coalesce(t.transaction_amount, 0) - t.refunded_amount END AS volume
            FROM trackings t JOIN programs p ON p.id = t.program_id WHERE t.id = :id
            """
        ),
        {"id": tracking_id},
    ).one()


def give_use_back(tx: Tx, code_id: int) -> None:
    """One more may use a code that has a limit."""
    tx.execute(
        text(
            "UPDATE codes SET uses = uses - 1 WHERE id = :id AND max_uses IS NOT NULL AND uses > 0"
        ),
        {"id": code_id},
    )


def uncount(tx: Tx, row: Any) -> None:
    """Take a tracking off its referrer's counts, and off those of its period. Counts that no version keeps
    any more are left: who needs them counts the trackings anew."""
    values = {
        "merchant_id": row.merchant_id,
        "program_id": row.program_id,
        "user_id": row.referrer_user_id,
        "version": row.version,
        "conversions": int(row.counts),
        "volume": row.volume,
        "rewards": int(row.is_reward),
        "at": row.converted_at,
    }
    _lock_counts(tx, values)
    locked = tx.execute(
        text(
            """
            UPDATE referrer_states
            SET conversions = conversions - :conversions, volume = volume - :volume,
                rewards = rewards - :rewards
            WHERE (merchant_id, program_id, user_id) = (:merchant_id, :program_id, :user_id)
                  AND counted_version >= :version
            RETURNING id
            """
        ),
        {name: value for name, value in values.items() if name != "at"},
    ).scalar()
    if locked is not None:
        tx.execute(
            text(
                """
                UPDATE referrer_periods
                SET conversions = conversions - :conversions, volume = volume - :volume
                WHERE state_id = :state_id AND counted_version >= :version
                      AND starts_at = date_trunc(period, :at, 'UTC')
                """
            ),
            {name: values[name] for name in ("conversions", "volume", "version", "at")}
            | {"state_id": locked},
        )


def _lock_counts(tx: Tx, values: dict[str, Any]) -> None:
    """Keep batches from counting the trackings of a referrer, for the first time too, before this one is marked.

    An UPDATE alone would pass over a row that was not counted for the present version, and over one that is
    just being made.
    """
    key = {name: values[name] for name in ("merchant_id", "program_id", "user_id")}
    tx.execute(
        text(
            """
            INSERT INTO referrer_states (merchant_id, program_id, user_id)
            VALUES (:merchant_id, :program_id, :user_id) ON CONFLICT DO NOTHING
            """
        ),
        key,
    )
    tx.execute(
        text(
            """
            SELECT FROM referrer_states
            WHERE (merchant_id, program_id, user_id) = (:merchant_id, :program_id, :user_id)
            FOR NO KEY UPDATE
            """
        ),
        key,
    )


def forget_rewards(tx: Tx, row: Any) -> None:
    """Have the rewards of a referred user counted anew, from their trackings, when they are needed next."""
    tx.execute(
        text(
            """
            UPDATE attributions SET counted_version = 0
            WHERE (merchant_id, program_id, referred_user_id) = (:merchant_id, :program_id, :user_id)
            """
        ),
        {
            "merchant_id": row.merchant_id,
            "program_id": row.program_id,
            "user_id": row.referred_user_id,
        },
    )


def mark(tx: Tx, tracking_id: int) -> None:
    """Keep that a tracking was rejected, and with it all that it earned taken back."""
    tx.execute(
        text(
            """
            UPDATE trackings
            SET rejected = true, reversed_amount = amount_earned,
                referee_reversed_amount = referee_amount_earned, updated_at = clock_timestamp()
            WHERE id = :id
            """
        ),
        {"id": tracking_id},
    )
