"""SQL of recipients and bank files."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.outside import SAID


def lock_payee(tx: Tx, merchant_id: int, user_id: str) -> int | None:
    """The payee's id, locked, or None."""
    found: int | None = tx.execute(
        text(
            """
            SELECT id FROM payees WHERE merchant_id = :merchant_id AND user_id = :user_id
            FOR NO KEY UPDATE
            """
        ),
        {"merchant_id": merchant_id, "user_id": user_id},
    ).scalar()
    return found


def insert_recipient(
    tx: Tx,
    *,
    merchant_id: int,
    payee_id: int,
    method: str,
    data: bytes,
    hint: str,
    fingerprint: bytes,
    by: str,
) -> int:
    """Keep a recipient, encrypted; returns its id."""
    made: int = tx.execute(
        text(
            """
            INSERT INTO payee_recipients (merchant_id, payee_id, method, data_encrypted, hint,
                                          fingerprint, created_by)
            VALUES (:merchant_id, :payee_id, :method, :data, :hint, :fingerprint, :by) RETURNING id
            """
        ),
        {
            "merchant_id": merchant_id,
            "payee_id": payee_id,
            "method": method,
            "data": data,
            "hint": hint,
            "fingerprint": fingerprint,
            "by": by,
        },
    ).scalar_one()
    return made


def newest_recipient(tx: Tx, payee_id: int) -> Any:
    """The recipient of bank files that a payee was given last, or None."""
    return tx.execute(
        text(
            """
            SELECT * FROM payee_recipients WHERE payee_id = :id AND method = 'manual'
            ORDER BY id DESC LIMIT 1
            """
        ),
        {"id": payee_id},
    ).one_or_none()


def recipient(tx: Tx, merchant_id: int, payee_id: int, recipient_id: int) -> Any:
    """A recipient of this payee, or None."""
    return tx.execute(
        text(
            """
            SELECT id, data_encrypted, hint FROM payee_recipients
            WHERE id = :id AND merchant_id = :merchant_id AND payee_id = :payee_id AND method = 'manual'
            """
        ),
        {"id": recipient_id, "merchant_id": merchant_id, "payee_id": payee_id},
    ).one_or_none()


def lock_recipients(tx: Tx) -> list[Any]:
    """Every recipient, locked in id order."""
    return list(
        tx.execute(
            text("SELECT id, method, data_encrypted FROM payee_recipients ORDER BY id FOR UPDATE")
        )
    )


def set_recipient(tx: Tx, recipient_id: int, data: bytes, fingerprint: bytes) -> None:
    """Write a recipient's data, encrypted again."""
    tx.execute(
        text(
            "UPDATE payee_recipients SET data_encrypted = :data, fingerprint = :print WHERE id = :id"
        ),
        {"id": recipient_id, "data": data, "print": fingerprint},
    )


def lock_files(tx: Tx) -> list[Any]:
    """Every bank file, locked in id order."""
    return list(
        tx.execute(text("SELECT id, content_encrypted FROM bank_files ORDER BY id FOR UPDATE"))
    )


def set_content(tx: Tx, file_id: int, content: bytes) -> None:
    """Write a file's content, encrypted again."""
    tx.execute(
        text("UPDATE bank_files SET content_encrypted = :content WHERE id = :id"),
        {"id": file_id, "content": content},
    )


def exportable(tx: Tx, run_id: int) -> list[Any]:
    """Manual payouts of a run that wait for a bank file, in id order, with what is locked before them.

    Approved, or failed and to be tried again.
    """
    return list(
        tx.execute(
            text(
                """
                SELECT id, account_id, payee_id FROM payouts
                WHERE run_id = :run_id AND method = 'manual' AND frozen_reason IS NULL
                      AND parked_reason IS DISTINCT FROM :said
                      AND (state = 'approved' OR (state = 'failed' AND next_try_at IS NOT NULL))
                ORDER BY id
                """
            ),
            {"run_id": run_id, "said": SAID},
        )
    )


def lock_payees_shared(tx: Tx, payee_ids: Sequence[int]) -> None:
    """Lock payees by ascending id: a block or a new destination that is committed is seen."""
    tx.execute(
        text("SELECT id FROM payees WHERE id = ANY(:ids) ORDER BY id FOR SHARE"),
        {"ids": list(payee_ids)},
    )


def wait_for_file(tx: Tx, payout_id: int, reason: str) -> None:
    """Let no sweep ask for an approved or failed payout: only a bank file sends it."""
    tx.execute(
        text(
            """
            UPDATE payouts SET look_at = NULL, parked_reason = :reason
            WHERE id = :id AND method = 'manual' AND state IN ('approved', 'failed')
                  AND frozen_reason IS NULL AND parked_reason IS DISTINCT FROM :said
            """
        ),
        {"id": payout_id, "reason": reason, "said": SAID},
    )


def insert_file(
    tx: Tx,
    file_id: int,
    *,
    merchant_id: int,
    run_id: int,
    format: str,
    totals: Mapping[str, Any],
    sha256: bytes,
    content: bytes,
    by: str,
    attempts: Sequence[tuple[int, int]],
) -> None:
    """Keep a file, under an id that was reserved, with the attempts that it carries: (batch, attempt)."""
    tx.execute(
        text(
            """
            INSERT INTO bank_files (id, merchant_id, run_id, format, totals, sha256, content_encrypted, created_by)
            VALUES (:id, :merchant_id, :run_id, :format, CAST(:totals AS jsonb), :sha256, :content, :by)
            """
        ),
        {
            "id": file_id,
            "merchant_id": merchant_id,
            "run_id": run_id,
            "format": format,
            "totals": json.dumps(dict(totals)),
            "sha256": sha256,
            "content": content,
            "by": by,
        },
    )
    tx.execute(
        text(
            """
            INSERT INTO bank_file_payouts (bank_file_id, batch, attempt_id)
            SELECT :file, batch, attempt
            FROM unnest(CAST(:batches AS bigint[]), CAST(:attempts AS bigint[])) AS made (batch, attempt)
            """
        ),
        {
            "file": file_id,
            "batches": [batch for batch, _ in attempts],
            "attempts": [attempt for _, attempt in attempts],
        },
    )


def settled_in_file(tx: Tx, file_id: int) -> int:
    """How many payments of a file do not wait for the bank's word any more."""
    return int(
        tx.execute(
            text(
                """
                SELECT count(*) FROM bank_file_payouts b JOIN payout_attempts a ON a.id = b.attempt_id
                WHERE b.bank_file_id = :id AND a.state <> 'sending'
                """
            ),
            {"id": file_id},
        ).scalar_one()
    )


def newest_file(tx: Tx, run_id: int, format: str) -> Any:
    """The last file of a run in this format, or None."""
    return tx.execute(
        text(
            """
            SELECT * FROM bank_files WHERE run_id = :run_id AND format = :format
            ORDER BY id DESC LIMIT 1
            """
        ),
        {"run_id": run_id, "format": format},
    ).one_or_none()


def formats(tx: Tx, run_id: int) -> list[str]:
    """The formats in which files of a run were made."""
    return list(
        tx.execute(
            text("SELECT DISTINCT format FROM bank_files WHERE run_id = :run_id ORDER BY 1"),
            {"run_id": run_id},
        ).scalars()
    )


def waiting(tx: Tx, run_id: int) -> list[Any]:
    """By currency, how many manual payouts of a run wait for a bank file, and their amount in minor units."""
    return list(
        tx.execute(
            text(
                """
                SELECT currency, count(*) AS payouts, sum(amount)::bigint AS amount FROM payouts
                WHERE run_id = :run_id AND method = 'manual' AND frozen_reason IS NULL
                      AND parked_reason IS DISTINCT FROM :said
                      AND (state = 'approved' OR (state = 'failed' AND next_try_at IS NOT NULL))
                GROUP BY 1 ORDER BY 1
                """
            ),
            {"run_id": run_id, "said": SAID},
        )
    )


def files(tx: Tx, merchant_id: int, run_id: int | None, limit: int) -> list[Any]:
    """A merchant's bank files, or a run's, newest first, each with how many of its payments wait for the bank."""
    return list(
        tx.execute(
            text(
                """
                SELECT f.id, f.run_id, f.format, f.totals, f.created_by, f.created_at,
                       (SELECT count(*) FROM bank_file_payouts b JOIN payout_attempts a ON a.id = b.attempt_id
                        WHERE b.bank_file_id = f.id AND a.state = 'sending') AS waiting
                FROM bank_files f
                WHERE f.merchant_id = :merchant_id
                      AND (CAST(:run_id AS bigint) IS NULL OR f.run_id = :run_id)
                ORDER BY f.id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "run_id": run_id, "limit": limit},
        )
    )
