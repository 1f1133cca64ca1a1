"""All SQL of the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx, copy_columns, next_ids
from domain.ledger.models import ledger_transfers
from domain.ledger.rules import Account, Transfer

_COLUMNS = [
    "id",
    "merchant_id",
    "group_id",
    "debit_account_id",
    "credit_account_id",
    "amount",
    "currency",
    "kind",
    "source_kind",
    "source_id",
    "occurred_at",
]


def account_ids(tx: Tx, accounts: Iterable[Account]) -> dict[Account, int]:
    """Ids of ``accounts``, made where they are missing, in key order (so that makers never deadlock)."""
    wanted = sorted(set(accounts))
    if not wanted:
        return {}
    columns: dict[str, list[Any]] = {
        "merchants": [a.merchant_id for a in wanted],
        "kinds": [a.kind for a in wanted],
        "owners": [a.owner for a in wanted],
        "currencies": [a.currency for a in wanted],
    }
    found = _find_accounts(tx, columns)
    if len(found) < len(wanted):
        tx.execute(
            text(
                """
                INSERT INTO ledger_accounts (merchant_id, kind, owner, currency, balance)
                SELECT merchant_id, kind, owner, currency, CASE WHEN kind = 'payable' THEN 0 END
                FROM unnest(CAST(:merchants AS bigint[]), CAST(:kinds AS text[]),
                            CAST(:owners AS text[]), CAST(:currencies AS text[]))
                     WITH ORDINALITY AS a (merchant_id, kind, owner, currency, position)
                ORDER BY position
                ON CONFLICT DO NOTHING
                """
            ),
            columns,
        )
        found = _find_accounts(tx, columns)
    assert len(found) == len(wanted), "every account exists after it was made"
    return found


def _find_accounts(tx: Tx, columns: Mapping[str, list[Any]]) -> dict[Account, int]:
    rows = tx.execute(_FIND_ACCOUNTS, columns).all()
    return {Account(*key): account_id for account_id, *key in rows}


_FIND_ACCOUNTS = text(
    """
    SELECT l.id, l.merchant_id, l.kind, l.owner, l.currency
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:kinds AS text[]),
                CAST(:owners AS text[]), CAST(:currencies AS text[]))
         AS a (merchant_id, kind, owner, currency)
    JOIN ledger_accounts l USING (merchant_id, kind, owner, currency)
    """
)


def insert_transfers(
    tx: Tx, transfers: Sequence[Transfer], ids: Mapping[Account, int], groups: Sequence[int]
) -> list[int]:
    """Append ``transfers`` (at least one); ``groups[i]`` is the group of ``transfers[i]``, 0 for its own id."""
    transfer_ids = next_ids(tx, "ledger_transfers", len(transfers))
    debits, credits, amounts, *named = zip(*transfers, strict=True)
    copy_columns(
        tx,
        ledger_transfers,
        _COLUMNS,
        [
            transfer_ids,
            [account.merchant_id for account in debits],
            [group or own for group, own in zip(groups, transfer_ids, strict=True)],
            [ids[account] for account in debits],
            [ids[account] for account in credits],
            amounts,
            [account.currency for account in debits],
            *named,  # kind, source_kind, source_id, occurred_at: as in Transfer
        ],
    )
    return transfer_ids


def insert_transfer(tx: Tx, transfer: Transfer, group: int) -> Any:
    """Append one transfer, if both of its accounts are there; its id and theirs, or None."""
    debit, credit = transfer.debit, transfer.credit
    return tx.execute(
        _INSERT_TRANSFER,
        {
            "merchant_id": debit.merchant_id,
            "group": group,
            "debit_kind": debit.kind,
            "debit_owner": debit.owner,
            "credit_kind": credit.kind,
            "credit_owner": credit.owner,
            "amount": transfer.amount,
            "currency": debit.currency,
            "kind": transfer.kind,
            "source_kind": transfer.source_kind,
            "source_id": transfer.source_id,
            "occurred_at": transfer.occurred_at,
        },
    ).one_or_none()


_INSERT_TRANSFER: Final = text(
    """
    INSERT INTO ledger_transfers (id, merchant_id, group_id, debit_account_id, credit_account_id, amount,
                                  currency, kind, source_kind, source_id, occurred_at)
    SELECT n.id, d.merchant_id, coalesce(nullif(:group, 0), n.id), d.id, c.id, :amount, d.currency, :kind,
           :source_kind, :source_id, :occurred_at
    FROM ledger_accounts d
    JOIN ledger_accounts c
      ON c.merchant_id = :merchant_id AND c.kind = :credit_kind AND c.owner = :credit_owner
         AND c.currency = :currency
    CROSS JOIN LATERAL (SELECT nextval(pg_get_serial_sequence('ledger_transfers', 'id')) AS id) n
    WHERE d.merchant_id = :merchant_id AND d.kind = :debit_kind AND d.owner = :debit_owner
          AND d.currency = :currency
    RETURNING id, debit_account_id, credit_account_id
    """
)


def posting(rows: str) -> str:
    """An INSERT that appends a transfer for each row of ``rows``: for a statement that books a whole set by itself.

    ``rows`` names a part of that statement with the columns of a transfer but its id and group, which it gets
    here. Balances do not move: none of its accounts may be one that keeps its own.
    """
    return f"""
        INSERT INTO ledger_transfers (id, merchant_id, group_id, debit_account_id, credit_account_id, amount,
                                      currency, kind, source_kind, source_id, occurred_at)
        SELECT id, merchant_id, id, debit_account_id, credit_account_id, amount, currency, kind, source_kind,
               source_id, occurred_at
        FROM (SELECT nextval(pg_get_serial_sequence('ledger_transfers', 'id')) AS id, r.* FROM {rows} r) n
    """  # noqa: S608


def add_to_balances(tx: Tx, deltas: Mapping[int, int]) -> None:
    """Apply ``{account id: delta}``. Locks in id order first: an UPDATE … FROM promises no order."""
    ordered = sorted(deltas)
    tx.execute(_LOCK_BALANCES, {"ids": ordered})
    tx.execute(_ADD_TO_BALANCES, {"ids": ordered, "deltas": [deltas[i] for i in ordered]})


_LOCK_BALANCES = text(
    """
    SELECT count(*)
    FROM (SELECT FROM ledger_accounts WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE) AS locked
    """
)
_ADD_TO_BALANCES = text(
    """
    UPDATE ledger_accounts AS a SET balance = a.balance + d.delta
    FROM unnest(CAST(:ids AS bigint[]), CAST(:deltas AS bigint[])) AS d (id, delta)
    WHERE a.id = d.id
    """
)


def balances(tx: Tx, merchant_id: int | None = None) -> list[Any]:
    """Computed balance (credits minus debits) of each account kind, owner and currency."""
    return list(
        tx.execute(
            text(
                """
                SELECT a.merchant_id, a.kind, CASE WHEN a.kind = 'payable' THEN '' ELSE a.owner END AS owner,
                       a.currency, sum(m.amount) AS balance
                FROM ledger_accounts a
                JOIN LATERAL (
                    SELECT amount FROM ledger_transfers WHERE credit_account_id = a.id
                    UNION ALL
                    SELECT -amount FROM ledger_transfers WHERE debit_account_id = a.id
                ) m ON true
                WHERE CAST(:merchant_id AS bigint) IS NULL OR a.merchant_id = :merchant_id
                GROUP BY 1, 2, 3, 4 ORDER BY 1, 4, 2, 3
                """
            ),
            {"merchant_id": merchant_id},
        )
    )


def drifted_balances(tx: Tx, limit: int) -> list[Any]:
    """Accounts whose kept balance is not the sum of their transfers."""
    return list(
        tx.execute(
            text(
                """
                SELECT a.id, a.owner, a.currency, a.balance, coalesce(sum(m.amount), 0) AS computed
                FROM ledger_accounts a
                LEFT JOIN (
                    SELECT credit_account_id AS id, amount FROM ledger_transfers
                    UNION ALL
                    SELECT debit_account_id, -amount FROM ledger_transfers
                ) m ON m.id = a.id
                WHERE a.balance IS NOT NULL
                GROUP BY a.id HAVING a.balance <> coalesce(sum(m.amount), 0)
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )


def owed(tx: Tx) -> list[Any]:
    """(merchant, currency, users, amount) of what is owed to people now, from the balances that are kept."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key AS merchant, a.currency, count(*) FILTER (WHERE a.balance <> 0) AS users,
                       coalesce(sum(a.balance), 0)::bigint AS amount
                FROM ledger_accounts a JOIN merchants m ON m.id = a.merchant_id
                WHERE a.kind = 'payable' GROUP BY 1, 2 ORDER BY 1, 2
                """
            )
        )
    )
