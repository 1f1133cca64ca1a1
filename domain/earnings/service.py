"""Use cases of earnings: record what is owed, and check it against the ledger."""

from collections.abc import Sequence
from typing import Any

from domain.db import Tx
from domain.earnings import store
from domain.earnings.rules import NewEarning, transfer_for
from domain.ledger import service as ledger
from domain.ledger.rules import Transfer


def record(tx: Tx, new: Sequence[NewEarning], *, beside: Sequence[Transfer] = ()) -> list[int]:
    """Record earnings and their ledger transfers; returns the earnings' ids in order.

    ``beside`` are other transfers of the same transaction (points), posted in the same go so that the
    kept balances are locked once and last.
    """
    accounts = ledger.account_ids(tx, [e.account for e in new])
    ids = store.insert(tx, new, accounts)
    ledger.post(tx, [*(transfer_for(e) for e in new), *beside])
    return ids


def check_invariants(tx: Tx) -> list[str]:
    """Sentences, one for each broken invariant: a payable balance is the sum of its unclaimed earnings."""
    return [
        f"payable account {row.id} ({row.owner}, {row.currency}) keeps {row.balance}, its unclaimed earnings give {row.unclaimed}"
        for row in store.drifted_accounts(tx, 20)
    ]


def by_source(tx: Tx, source_kind: str, source_ids: Sequence[int]) -> list[Any]:
    """The earnings that the given sources gave, with their availability, hold and claim."""
    return store.by_source(tx, source_kind, source_ids)
