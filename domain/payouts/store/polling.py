"""SQL of polls: how far a gateway's events were read."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def lock(
    tx: Tx, merchant_id: int, method: str, platform_account: str, account: str, first: timedelta
) -> Any:
    """The poll of an account, locked, with the real clock as `real_now`; made if there is none: it looks
    ``first`` back."""
    wanted = {
        "merchant_id": merchant_id,
        "method": method,
        "platform_account": platform_account,
        "account": account,
    }
    tx.execute(
        text(
            """
            INSERT INTO event_polls (merchant_id, method, platform_account, account, read_until)
            VALUES (:merchant_id, :method, :platform_account, :account,
                    clock_timestamp() - CAST(:first AS interval))
            ON CONFLICT (merchant_id, method, platform_account, account) DO NOTHING
            """
        ),
        {**wanted, "first": first},
    )
    return tx.execute(
        text(
            """
            SELECT *, clock_timestamp() AS real_now FROM event_polls
            WHERE merchant_id = :merchant_id AND method = :method
                  AND platform_account = :platform_account AND account = :account
            FOR NO KEY UPDATE
            """
        ),
        wanted,
    ).one()


def relock(tx: Tx, poll_id: int) -> Any:
    """A poll, locked, with the real clock as `real_now`."""
    return tx.execute(
        text(
            "SELECT *, clock_timestamp() AS real_now FROM event_polls WHERE id = :id FOR NO KEY UPDATE"
        ),
        {"id": poll_id},
    ).one()


def begin(tx: Tx, poll_id: int, from_at: datetime) -> None:
    """Begin to read from a moment of the gateway's clock, the newest event first."""
    tx.execute(
        text(
            """
            UPDATE event_polls SET from_at = :from_at, newest_at = NULL, page_after = NULL,
                   began_at = clock_timestamp()
            WHERE id = :id
            """
        ),
        {"id": poll_id, "from_at": from_at},
    )


def go_on(
    tx: Tx, poll_id: int, *, newest_at: datetime | None, page_after: str, stored: int, missed: int
) -> None:
    """A page was kept, and more follow the event ``page_after``."""
    tx.execute(
        text(
            """
            UPDATE event_polls SET newest_at = coalesce(newest_at, :newest_at), page_after = :page_after,
                   stored = stored + :stored, missed = missed + :missed, asked_at = clock_timestamp(),
                   error = NULL
            WHERE id = :id
            """
        ),
        {
            "id": poll_id,
            "newest_at": newest_at,
            "page_after": page_after,
            "stored": stored,
            "missed": missed,
        },
    )


def end(tx: Tx, poll_id: int, *, newest_at: datetime | None, stored: int, missed: int) -> None:
    """The last page was kept: up to the newest event all is read."""
    tx.execute(
        text(
            """
            UPDATE event_polls
            SET read_until = greatest(read_until, newest_at, CAST(:newest_at AS timestamptz)),
                complete_at = began_at, from_at = NULL, began_at = NULL, newest_at = NULL,
                page_after = NULL, stored = stored + :stored, missed = missed + :missed,
                asked_at = clock_timestamp(), error = NULL
            WHERE id = :id
            """
        ),
        {"id": poll_id, "newest_at": newest_at, "stored": stored, "missed": missed},
    )


def gave_nothing(tx: Tx, poll_id: int, error: str) -> None:
    """The gateway gave no page: why. What was read stays read."""
    tx.execute(
        text(
            "UPDATE event_polls SET error = left(:error, 500), asked_at = clock_timestamp() WHERE id = :id"
        ),
        {"id": poll_id, "error": error},
    )


def mode_of(tx: Tx, merchant_id: int) -> str:
    """Whether a merchant is test or live."""
    mode: str = tx.execute(
        text("SELECT mode FROM merchants WHERE id = :id"), {"id": merchant_id}
    ).scalar_one()
    return mode


def accounts(tx: Tx, merchant_id: int, method: str, platform_account: str, limit: int) -> list[str]:
    """Connected accounts of a merchant's payees, those first that were not asked about for longest."""
    return list(
        tx.execute(
            text(
                """
                SELECT y.account FROM (SELECT DISTINCT account FROM payees
                                       WHERE merchant_id = :merchant_id AND method = :method
                                             AND account IS NOT NULL) y
                LEFT JOIN event_polls p ON p.merchant_id = :merchant_id AND p.method = :method
                     AND p.platform_account = :platform_account AND p.account = y.account
                ORDER BY p.asked_at NULLS FIRST, y.account LIMIT :limit
                """
            ),
            {
                "merchant_id": merchant_id,
                "method": method,
                "platform_account": platform_account,
                "limit": limit,
            },
        ).scalars()
    )
