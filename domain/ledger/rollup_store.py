"""All SQL of the sums that are kept of the ledger."""

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

SOURCES: Final = ("ledger_transfers", "ledger_accounts", "cards")


def newest(tx: Tx, source: str) -> int | None:
    """The newest id that is there; None without rows."""
    assert source in SOURCES, "only these are summed up"
    found: int | None = tx.execute(text(f"SELECT max(id) FROM {source}")).scalar()  # noqa: S608
    return found


def drawing(tx: Tx, source: str) -> set[str]:
    """The transactions that have drawn an id of a table and are not over."""
    return set(
        tx.execute(
            text(
                """
                SELECT virtualtransaction FROM pg_locks
                WHERE locktype = 'relation' AND granted
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND relation = CAST(pg_get_serial_sequence(:source, 'id') AS regclass)
                """
            ),
            {"source": source},
        ).scalars()
    )


def step(tx: Tx, source: str, after: int, newest: int, rows: int) -> int:
    """The id up to which there are at most ``rows`` rows behind ``after``; ``newest`` if there are no more."""
    assert source in SOURCES, "only these are summed up"
    found: int | None = tx.execute(
        text(
            f"""
            SELECT id FROM {source} WHERE id > :after AND id < :newest ORDER BY id
            OFFSET :skip LIMIT 1
            """  # noqa: S608
        ),
        {"after": after, "newest": newest, "skip": rows - 1},
    ).scalar()
    return newest if found is None else found


def mark(tx: Tx, source: str) -> int:
    """Up to which id a table is summed up."""
    upto: int = tx.execute(
        text("SELECT upto FROM rollup_marks WHERE source = :source"), {"source": source}
    ).scalar_one()
    return upto


def lock_mark(tx: Tx, source: str) -> int:
    """The same, locked."""
    upto: int = tx.execute(
        text("SELECT upto FROM rollup_marks WHERE source = :source FOR NO KEY UPDATE"),
        {"source": source},
    ).scalar_one()
    return upto


def set_mark(tx: Tx, source: str, upto: int) -> None:
    """Move a mark."""
    tx.execute(
        text("UPDATE rollup_marks SET upto = :upto WHERE source = :source"),
        {"source": source, "upto": upto},
    )


def add_transfers(tx: Tx, after: int, upto: int) -> None:
    """Add what transfers with these ids moved."""
    tx.execute(_ADD_TRANSFERS, {"after": after, "upto": upto})


_MOVED: Final = """
    SELECT credit_account_id AS id, sum(amount) AS amount FROM ledger_transfers
    WHERE id > :after AND id <= :upto GROUP BY 1
    UNION ALL
    SELECT debit_account_id, -sum(amount) FROM ledger_transfers
    WHERE id > :after AND id <= :upto GROUP BY 1
"""
_ADD_TRANSFERS: Final = text(
    f"""
    INSERT INTO ledger_rollups AS r (merchant_id, kind, currency, balance)
    SELECT a.merchant_id, a.kind, a.currency, sum(m.amount)::bigint
    FROM ({_MOVED}) m JOIN ledger_accounts a ON a.id = m.id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (merchant_id, kind, currency) DO UPDATE SET balance = r.balance + EXCLUDED.balance
    """  # noqa: S608
)


def add_accounts(tx: Tx, after: int, upto: int) -> None:
    """Count the accounts with these ids."""
    tx.execute(
        text(
            """
            INSERT INTO ledger_rollups AS r (merchant_id, kind, currency, accounts)
            SELECT merchant_id, kind, currency, count(*) FROM ledger_accounts
            WHERE id > :after AND id <= :upto GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (merchant_id, kind, currency) DO UPDATE SET accounts = r.accounts + EXCLUDED.accounts
            """
        ),
        {"after": after, "upto": upto},
    )


def kept(tx: Tx, merchant_id: int) -> tuple[dict[str, int], list[Any]]:
    """The marks, and (kind, currency, accounts, balance) of a merchant up to them, as of one moment."""
    rows = tx.execute(
        text(
            """
            SELECT m.source, m.upto, r.kind, r.currency, r.accounts, r.balance
            FROM rollup_marks m
            LEFT JOIN ledger_rollups r ON m.source = 'ledger_transfers' AND r.merchant_id = :merchant_id
            """
        ),
        {"merchant_id": merchant_id},
    ).all()
    return {row.source: row.upto for row in rows}, [row for row in rows if row.kind is not None]


def tail(tx: Tx, merchant_id: int, *, accounts: int, transfers: int) -> list[Any]:
    """(kind, currency, accounts, balance) of a merchant's rows behind the marks.

    The marks are values here: the planner sees how little is behind them.
    """
    return list(
        tx.execute(
            text(
                """
                WITH moved AS (
                    SELECT credit_account_id AS id, amount FROM ledger_transfers
                    WHERE id > :transfers AND merchant_id = :merchant_id
                    UNION ALL
                    SELECT debit_account_id, -amount FROM ledger_transfers
                    WHERE id > :transfers AND merchant_id = :merchant_id
                ), summed AS (
                    SELECT id, sum(amount) AS amount FROM moved GROUP BY 1
                )
                SELECT a.kind, a.currency, 0 AS accounts, sum(s.amount)::bigint AS balance
                FROM summed s JOIN ledger_accounts a ON a.id = s.id GROUP BY 1, 2
                UNION ALL
                SELECT kind, currency, count(*), 0 FROM ledger_accounts
                WHERE id > :accounts AND merchant_id = :merchant_id GROUP BY 1, 2
                """
            ),
            {"merchant_id": merchant_id, "accounts": accounts, "transfers": transfers},
        )
    )


def drifted(tx: Tx, limit: int) -> list[Any]:
    """Sums that are not those of the rows up to the marks: (merchant_id, kind, currency, kept, computed)."""
    return list(
        tx.execute(
            text(
                f"""
                WITH moved AS ({_MOVED}), computed AS (
                    SELECT a.merchant_id, a.kind, a.currency, sum(m.amount)::bigint AS balance
                    FROM moved m JOIN ledger_accounts a ON a.id = m.id GROUP BY 1, 2, 3
                )
                SELECT merchant_id, kind, currency, coalesce(r.balance, 0) AS kept,
                       coalesce(c.balance, 0) AS computed
                FROM ledger_rollups r FULL JOIN computed c USING (merchant_id, kind, currency)
                WHERE coalesce(r.balance, 0) <> coalesce(c.balance, 0) ORDER BY 1, 2, 3 LIMIT :limit
                """  # noqa: S608
            ),
            {"after": 0, "upto": mark(tx, "ledger_transfers"), "limit": limit},
        )
    )
