"""SQL of looks for what came back."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.progress import ON_ITS_WAY


def lock(tx: Tx, merchant_id: int, method: str, platform_account: str) -> Any:
    """The look of an account, made if there is none, locked, with the real clock as `real_now`."""
    wanted = {"merchant_id": merchant_id, "method": method, "account": platform_account}
    tx.execute(
        text(
            """
            INSERT INTO return_looks (merchant_id, method, platform_account)
            VALUES (:merchant_id, :method, :account)
            ON CONFLICT (merchant_id, method, platform_account) DO NOTHING
            """
        ),
        wanted,
    )
    return tx.execute(
        text(
            """
            SELECT *, clock_timestamp() AS real_now FROM return_looks
            WHERE merchant_id = :merchant_id AND method = :method AND platform_account = :account
            FOR NO KEY UPDATE
            """
        ),
        wanted,
    ).one()


def relock(tx: Tx, look_id: int) -> Any:
    """A look, locked."""
    return tx.execute(
        text("SELECT * FROM return_looks WHERE id = :id FOR NO KEY UPDATE"), {"id": look_id}
    ).one()


def begin(tx: Tx, look_id: int, made_from: date) -> None:
    """Begin to look at what was made since a day."""
    tx.execute(
        text(
            """
            UPDATE return_looks SET made_from = :made_from, passed = 0, began_at = clock_timestamp()
            WHERE id = :id
            """
        ),
        {"id": look_id, "made_from": made_from},
    )


def go_on(tx: Tx, look_id: int, *, passed: int, found: int) -> None:
    """A page was worked through, and more follows."""
    tx.execute(
        text(
            """
            UPDATE return_looks SET passed = :passed, found = found + :found,
                   looked_at = clock_timestamp(), error = NULL
            WHERE id = :id
            """
        ),
        {"id": look_id, "passed": passed, "found": found},
    )


def end(tx: Tx, look_id: int, *, found: int) -> None:
    """The last page was worked through."""
    tx.execute(
        text(
            """
            UPDATE return_looks SET complete_at = began_at, made_from = NULL, began_at = NULL, passed = 0,
                   found = found + :found, looked_at = clock_timestamp(), error = NULL
            WHERE id = :id
            """
        ),
        {"id": look_id, "found": found},
    )


def gave_nothing(tx: Tx, look_id: int, error: str) -> None:
    """The gateway gave no page: why. The look goes on from where it is."""
    tx.execute(
        text(
            "UPDATE return_looks SET error = left(:error, 500), looked_at = clock_timestamp() WHERE id = :id"
        ),
        {"id": look_id, "error": error},
    )


def named(
    tx: Tx, merchant_id: int, account: str, references: Sequence[str], answers_within: timedelta
) -> list[Any]:
    """The attempts of a merchant by the names that they have at the gateway's account, each beside its
    payout, which is locked, if its money is on its way or was handed over; `asked`: it was asked about lately,
    and the answer is not there yet. By payout."""
    return list(
        tx.execute(
            text(
                """
                SELECT a.params ->> 'customerTransactionId' AS reference, a.state AS attempt, a.external_id,
                       p.id AS payout_id, p.state, p.frozen_reason IS NOT NULL AS stopped, p.emit_count,
                       coalesce(p.emitted_at > greatest(
                           a.resolved_at, p.progress_asked_at,
                           clock_timestamp() - CAST(:answers_within AS interval)), false) AS asked
                FROM payout_attempts a JOIN payouts p ON p.id = a.payout_id
                WHERE a.params ->> 'customerTransactionId' = ANY(:references)
                      AND a.merchant_id = :merchant_id AND a.platform_account = :account
                      AND p.state = ANY(:states)
                ORDER BY p.id FOR NO KEY UPDATE OF p
                """
            ),
            {
                "references": list(references),
                "merchant_id": merchant_id,
                "account": account,
                "answers_within": answers_within,
                "states": list(ON_ITS_WAY),
            },
        )
    )
