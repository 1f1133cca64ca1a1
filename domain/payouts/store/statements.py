"""SQL of bank statements: what they settle, and the entries that did."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx


def insert_statement(tx: Tx, *, merchant_id: int, format: str, sha256: bytes, by: str) -> int:
    """Keep that a statement is read; returns the reading's id."""
    made: int = tx.execute(
        text(
            """
            INSERT INTO bank_statements (merchant_id, format, sha256, created_by)
            VALUES (:merchant_id, :format, :sha256, :by) RETURNING id
            """
        ),
        {"merchant_id": merchant_id, "format": format, "sha256": sha256, "by": by},
    ).scalar_one()
    return made


_KNOWN = """
    SELECT p.id AS payout_id, a.id AS attempt_id, a.n, a.params ->> 'end_to_end_id' AS end_to_end_id,
           p.amount, p.currency, p.state AS payout_state, a.state AS attempt_state, p.frozen_reason,
           EXISTS (SELECT FROM bank_statement_entries e
                   WHERE e.attempt_id = a.id AND e.kind IN ('refused', 'returned')) AS came_back
    FROM bank_file_payouts b
    JOIN bank_files f ON f.id = b.bank_file_id
    JOIN payout_attempts a ON a.id = b.attempt_id
    JOIN payouts p ON p.id = a.payout_id
"""


def lock_payouts(tx: Tx, merchant_id: int, payout_ids: Sequence[int]) -> None:
    """Lock a merchant's payouts, ids ascending."""
    tx.execute(
        text(
            """
            SELECT id FROM payouts WHERE merchant_id = :merchant_id AND id = ANY(:ids)
            ORDER BY id FOR NO KEY UPDATE
            """
        ),
        {"merchant_id": merchant_id, "ids": sorted(set(payout_ids))},
    )


def named(tx: Tx, merchant_id: int, pairs: Sequence[tuple[int, int]]) -> list[Any]:
    """Attempts of a merchant's bank files by (payout, n), with their payouts, which are locked."""
    return list(
        tx.execute(
            text(
                """
                $known
                WHERE f.merchant_id = :merchant_id
                      AND (a.payout_id, a.n) IN (
                          SELECT payout, n FROM unnest(CAST(:payouts AS bigint[]), CAST(:ns AS bigint[]))
                                                AS asked (payout, n))
                """.replace("$known", _KNOWN)
            ),
            {
                "merchant_id": merchant_id,
                "payouts": [payout for payout, _ in pairs],
                "ns": [n for _, n in pairs],
            },
        )
    )


def of_file(tx: Tx, merchant_id: int, file_id: int, batch: int | None) -> list[Any]:
    """The attempts of a merchant's bank file, or of one batch of it, with their payouts, by payout."""
    return list(
        tx.execute(
            text(
                """
                $known
                WHERE f.merchant_id = :merchant_id AND f.id = :file_id
                      AND (CAST(:batch AS bigint) IS NULL OR b.batch = :batch)
                ORDER BY p.id
                """.replace("$known", _KNOWN)
            ),
            {"merchant_id": merchant_id, "file_id": file_id, "batch": batch},
        )
    )


def payouts_of_file(tx: Tx, merchant_id: int, file_id: int) -> list[int]:
    """The payouts of a merchant's bank file: they are locked before anything is read of them."""
    return list(
        tx.execute(
            text(
                """
                SELECT a.payout_id FROM bank_files f
                JOIN bank_file_payouts b ON b.bank_file_id = f.id
                JOIN payout_attempts a ON a.id = b.attempt_id
                WHERE f.id = :file_id AND f.merchant_id = :merchant_id
                """
            ),
            {"merchant_id": merchant_id, "file_id": file_id},
        ).scalars()
    )


def kept(tx: Tx, merchant_id: int, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Which entries were kept before, and by which reading first."""
    rows = tx.execute(
        text(
            """
            SELECT entry_key, min(statement_id) AS statement_id FROM bank_statement_entries
            WHERE merchant_id = :merchant_id AND entry_key = ANY(:keys) GROUP BY 1
            """
        ),
        {"merchant_id": merchant_id, "keys": list(keys)},
    )
    return {bytes(row.entry_key): row.statement_id for row in rows}


def insert_entry(
    tx: Tx,
    *,
    merchant_id: int,
    statement_id: int,
    key: bytes,
    attempt_id: int,
    kind: str,
    amount: int,
    currency: str,
    booked_on: date,
    bank_reference: str,
    reason: str | None,
) -> None:
    """Keep an entry that settles an attempt; the database refuses it a second time."""
    tx.execute(
        text(
            """
            INSERT INTO bank_statement_entries (merchant_id, statement_id, entry_key, attempt_id, kind,
                                                amount, currency, booked_on, bank_reference, reason)
            VALUES (:merchant_id, :statement_id, :key, :attempt_id, :kind, :amount, :currency, :booked_on,
                    :bank_reference, left(:reason, 500))
            """
        ),
        {
            "merchant_id": merchant_id,
            "statement_id": statement_id,
            "key": key,
            "attempt_id": attempt_id,
            "kind": kind,
            "amount": amount,
            "currency": currency,
            "booked_on": booked_on,
            "bank_reference": bank_reference,
            "reason": reason,
        },
    )


SHOWN_PAID: Final = "a bank statement shows it paid"
"""What the history of a failed attempt says that the bank has paid."""


def note_paid(tx: Tx, attempt_id: int, statement_id: int) -> None:
    """Note once, in the history of an attempt that is failed here, that the bank has paid it."""
    tx.execute(
        text(
            """
            UPDATE payout_attempts
            SET history = history || jsonb_build_array(jsonb_build_object(
                    'at', clock_timestamp(), 'outcome', CAST(:shown AS text), 'statement', CAST(:statement AS bigint)))
            WHERE id = :id AND state = 'failed'
                  AND NOT history @> jsonb_build_array(jsonb_build_object('outcome', CAST(:shown AS text)))
            """
        ),
        {"id": attempt_id, "statement": statement_id, "shown": SHOWN_PAID},
    )


def shown_paid(tx: Tx, payout_id: int) -> int | None:
    """The number of a payout's attempt that is failed here and that the bank has paid, or None."""
    n: int | None = tx.execute(
        text(
            """
            SELECT min(n) FROM payout_attempts
            WHERE payout_id = :payout_id AND state = 'failed'
                  AND history @> jsonb_build_array(jsonb_build_object('outcome', CAST(:shown AS text)))
            """
        ),
        {"payout_id": payout_id, "shown": SHOWN_PAID},
    ).scalar_one()
    return n


def readings(tx: Tx, merchant_id: int, limit: int) -> list[Any]:
    """Statements that were read, newest first, each with how many entries did something, by what."""
    return list(
        tx.execute(
            text(
                """
                SELECT s.id, s.format, encode(s.sha256, 'hex') AS sha256, s.created_by, s.created_at,
                       coalesce(d.paid, 0) AS paid, coalesce(d.refused, 0) AS refused,
                       coalesce(d.returned, 0) AS returned
                FROM bank_statements s
                LEFT JOIN LATERAL (
                    SELECT count(*) FILTER (WHERE e.kind = 'paid') AS paid,
                           count(*) FILTER (WHERE e.kind = 'refused') AS refused,
                           count(*) FILTER (WHERE e.kind = 'returned') AS returned
                    FROM bank_statement_entries e WHERE e.statement_id = s.id
                ) d ON true
                WHERE s.merchant_id = :merchant_id ORDER BY s.id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "limit": limit},
        )
    )
