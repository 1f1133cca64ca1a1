"""SQL of reconciliation: its progress, and the gateway's books as they were read."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.books import GatewayTransaction


def running(tx: Tx, merchant_id: int, method: str, account: str) -> Any:
    """The reconciliation of these books that is not done yet, or None."""
    return tx.execute(
        text(
            """
            SELECT * FROM reconciliations
            WHERE merchant_id = :merchant_id AND method = :method AND platform_account = :account
              AND state = 'running'
            """
        ),
        {"merchant_id": merchant_id, "method": method, "account": account},
    ).one_or_none()


def read_until(tx: Tx, merchant_id: int, method: str, account: str) -> datetime | None:
    """Up to when these books were read without a gap (the gateway's clock); None: never."""
    until: datetime | None = tx.execute(
        text(
            """
            SELECT max(to_at) FROM reconciliations
            WHERE merchant_id = :merchant_id AND method = :method AND platform_account = :account
              AND state = 'done' AND continues
            """
        ),
        {"merchant_id": merchant_id, "method": method, "account": account},
    ).scalar_one()
    return until


def begin(
    tx: Tx,
    books: tuple[int, str, str],
    window: tuple[datetime, datetime],
    *,
    settled_before: datetime,
    continues: bool,
) -> bool:
    """Begin one; False if somebody else has begun one in the meantime."""
    merchant_id, method, account = books
    made = tx.execute(
        text(
            """
            INSERT INTO reconciliations (merchant_id, method, platform_account, from_at, to_at, settled_before,
                                         continues)
            VALUES (:merchant_id, :method, :account, :from_at, :to_at,
                    least(:settled_before, clock_timestamp()), :continues)
            ON CONFLICT (merchant_id, method, platform_account) WHERE state = 'running' DO NOTHING
            """
        ),
        {
            "merchant_id": merchant_id,
            "method": method,
            "account": account,
            "from_at": window[0],
            "to_at": window[1],
            "settled_before": settled_before,
            "continues": continues,
        },
    )
    return made.rowcount == 1


def find(tx: Tx, run_id: int) -> Any:
    """A reconciliation."""
    return tx.execute(
        text("SELECT * FROM reconciliations WHERE id = :id"), {"id": run_id}
    ).one_or_none()


def lock(tx: Tx, run_id: int) -> Any:
    """A reconciliation, locked."""
    return tx.execute(
        text("SELECT * FROM reconciliations WHERE id = :id FOR NO KEY UPDATE"), {"id": run_id}
    ).one()


def advance(
    tx: Tx, run_id: int, old: str | None, new: str | None, lines: int, *, end: bool
) -> bool:
    """Move on by a page, from the line that it was read after; False if somebody else did."""
    moved = tx.execute(
        text(
            """
            UPDATE reconciliations
            SET cursor = coalesce(:new, cursor), transactions = transactions + :lines, read_all = :end
            WHERE id = :id AND state = 'running' AND NOT read_all
              AND cursor IS NOT DISTINCT FROM CAST(:old AS text)
            """
        ),
        {"id": run_id, "old": old, "new": new, "lines": lines, "end": end},
    )
    return moved.rowcount == 1


def finish(tx: Tx, run_id: int, result: Mapping[str, Any]) -> None:
    """Done, with what it found."""
    tx.execute(
        text(
            """
            UPDATE reconciliations
            SET state = 'done', finished_at = clock_timestamp(), result = CAST(:result AS jsonb)
            WHERE id = :id AND state = 'running'
            """
        ),
        {"id": run_id, "result": json.dumps(result)},
    )


_TYPES: Final = {
    "amount": "bigint",
    "fee": "bigint",
    "net": "bigint",
    "payout_id": "bigint",
    "created": "timestamptz",
    "available_on": "timestamptz",
}
_ARRAYS: Final = ", ".join(
    f"CAST(:{name} AS {_TYPES.get(name, 'text')}[])" for name in GatewayTransaction._fields
)
_FIELDS: Final = ", ".join(GatewayTransaction._fields)


def mirror(
    tx: Tx, merchant_id: int, method: str, account: str, lines: Sequence[GatewayTransaction]
) -> None:
    """Keep lines of the books, in one statement; one that is kept already is brought up to date."""
    if not lines:
        return
    columns = dict(
        zip(GatewayTransaction._fields, map(list, zip(*lines, strict=True)), strict=True)
    )
    tx.execute(
        _MIRROR, {**columns, "merchant_id": merchant_id, "method": method, "account": account}
    )


_MIRROR: Final = text(
    f"""
    INSERT INTO gateway_transactions AS t (merchant_id, method, platform_account, {_FIELDS})
    SELECT :merchant_id, :method, :account, line.* FROM unnest({_ARRAYS}) AS line ({_FIELDS})
    ORDER BY line.external_id
    ON CONFLICT (merchant_id, method, platform_account, external_id) DO UPDATE
    SET type = excluded.type, source_id = excluded.source_id, transfer_id = excluded.transfer_id,
        destination = excluded.destination, installation = excluded.installation,
        payout_id = excluded.payout_id, attempt_key = excluded.attempt_key, amount = excluded.amount,
        fee = excluded.fee, net = excluded.net, currency = excluded.currency, created = excluded.created,
        available_on = excluded.available_on
    WHERE t IS DISTINCT FROM excluded
    """  # noqa: S608 - the names are a tuple's of this package
)


def sums(tx: Tx, run: Any) -> list[Any]:
    """What the books show in the run's time, by currency and type: lines, amount, fees (minor units)."""
    return list(
        tx.execute(
            text(
                """
                SELECT currency, type, count(*) AS lines, sum(amount) AS amount, sum(fee) AS fee
                FROM gateway_transactions
                WHERE merchant_id = :merchant_id AND method = :method AND platform_account = :account
                  AND created >= :from_at AND created < :to_at
                GROUP BY 1, 2 ORDER BY 1, 2
                """
            ),
            _books(run),
        )
    )


def in_flight(tx: Tx, run: Any) -> list[Any]:
    """Attempts before the cut-off whose outcome is not known, by currency: how many, and how much."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.currency, count(*) AS attempts, sum(p.amount) AS amount
                FROM payout_attempts a JOIN payouts p ON p.id = a.payout_id
                WHERE a.merchant_id = :merchant_id AND p.method = :method AND a.platform_account = :account
                  AND a.leg = 'transfer' AND a.state IN ('created', 'sending', 'unknown')
                  AND a.created_at < :settled_before
                GROUP BY 1 ORDER BY 1
                """
            ),
            {**_books(run), "settled_before": run.settled_before},
        )
    )


def _books(run: Any) -> dict[str, Any]:
    return {
        "merchant_id": run.merchant_id,
        "method": run.method,
        "account": run.platform_account,
        "from_at": run.from_at,
        "to_at": run.to_at,
    }
