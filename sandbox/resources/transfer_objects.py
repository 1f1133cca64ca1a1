"""A transfer and its reversals as the API shows them: each carries or names the other."""

import json

from sandbox.call import Call, Json
from sandbox.pagination import DEFAULT_LIMIT
from sandbox.store import Row, Store


def reversal(row: Row) -> Json:
    """Return a reversal as the API shows it."""
    return {
        "id": row["id"],
        "object": "transfer_reversal",
        "amount": row["amount"],
        "balance_transaction": row["balance_transaction"],
        "created": row["created"],
        "currency": row["currency"],
        "destination_payment_refund": row["destination_payment_refund"],
        "metadata": json.loads(row["metadata"]),
        "source_refund": None,
        "transfer": row["transfer"],
    }


def _embedded(store: Store, transfer: Row) -> Json:
    """Return the list of reversals that a transfer carries: its ten newest."""
    rows: list[Row] = []
    # The hot path: a transfer that was never reversed needs no query.
    if transfer["amount_reversed"]:
        rows = store.all(
            "SELECT * FROM reversals WHERE transfer = ? ORDER BY seq DESC LIMIT ?",
            transfer["id"],
            DEFAULT_LIMIT + 1,
        )
    total = 0
    if rows:
        counted = store.one(
            "SELECT count(*) AS n FROM reversals WHERE transfer = ?", transfer["id"]
        )
        total = counted["n"] if counted else 0
    return {
        "object": "list",
        "data": [reversal(row) for row in rows[:DEFAULT_LIMIT]],
        "has_more": len(rows) > DEFAULT_LIMIT,
        "total_count": total,
        "url": f"/v1/transfers/{transfer['id']}/reversals",
    }


def transfer(store: Store, row: Row) -> Json:
    """Return a transfer as the API shows it, with the first ten of its reversals."""
    return {
        "id": row["id"],
        "object": "transfer",
        "amount": row["amount"],
        "amount_reversed": row["amount_reversed"],
        "balance_transaction": row["balance_transaction"],
        "created": row["created"],
        "currency": row["currency"],
        "description": row["description"],
        "destination": row["destination"],
        "destination_payment": row["destination_payment"],
        "livemode": False,
        "metadata": json.loads(row["metadata"]),
        "reversals": _embedded(store, row),
        "reversed": row["amount_reversed"] == row["amount"],
        "source_transaction": row["source_transaction"],
        "source_type": row["source_type"],
        "transfer_group": row["transfer_group"],
    }


def load_transfer(call: Call, id: str) -> Json | None:
    """Return a transfer of the account or the platform, for `expand`."""
    row = call.store.one(
        "SELECT * FROM transfers WHERE id = ? AND account IN (?, ?)",
        id,
        call.account,
        call.platform,
    )
    return None if row is None else transfer(call.store, row)


def load_reversal(call: Call, id: str) -> Json | None:
    """Return a reversal made by the account or the platform, for `expand`."""
    row = call.store.one(
        "SELECT * FROM reversals WHERE id = ? AND account IN (?, ?)",
        id,
        call.account,
        call.platform,
    )
    return None if row is None else reversal(row)
