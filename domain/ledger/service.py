"""Use cases of the ledger: post transfers, and check that the kept balances are what was posted."""

from collections.abc import Mapping, Sequence
from typing import Final

from domain.db import Tx
from domain.ledger import store
from domain.ledger.rules import Account, Transfer, balance_deltas

VIOLATIONS_SHOWN: Final = 20
"""How many examples of one broken invariant are listed."""


def post(
    tx: Tx,
    transfers: Sequence[Transfer],
    *,
    groups: Sequence[int] | None = None,
    accounts: Mapping[Account, int] | None = None,
) -> list[int]:
    """Append ``transfers`` and move the kept balances, which are locked last and in id order.

    ``groups`` ties legs of one movement together (0: a group of its own). ``accounts`` are the ids of
    ``accounts_of`` the transfers, where the caller knows them. Returns the new ids.
    Call it as the last write of a transaction: a hot payee's row is then held for a moment only.
    """
    if not transfers:
        return []
    for transfer in transfers:
        assert transfer.amount > 0, "a transfer moves a positive amount"
        assert transfer.debit.currency == transfer.credit.currency, "one currency to a transfer"
        assert transfer.debit.merchant_id == transfer.credit.merchant_id, (
            "one merchant to a transfer"
        )
    if len(transfers) == 1 and accounts is None:
        one = _post_one(tx, transfers[0], groups[0] if groups else 0)
        if one is not None:
            return [one]
    ids = accounts_of(tx, transfers) if accounts is None else accounts
    transfer_ids = store.insert_transfers(tx, transfers, ids, groups or [0] * len(transfers))
    deltas = {ids[account]: delta for account, delta in balance_deltas(transfers).items()}
    if deltas:
        store.add_to_balances(tx, deltas)
    return transfer_ids


def _post_one(tx: Tx, transfer: Transfer, group: int) -> int | None:
    """Post a single transfer in one statement; None if one of its accounts has to be made first."""
    row = store.insert_transfer(tx, transfer, group)
    if row is None:
        return None
    ids = {transfer.debit: row.debit_account_id, transfer.credit: row.credit_account_id}
    deltas = {ids[account]: delta for account, delta in balance_deltas([transfer]).items()}
    if deltas:
        store.add_to_balances(tx, deltas)
    posted: int = row.id
    return posted


def accounts_of(tx: Tx, transfers: Sequence[Transfer]) -> dict[Account, int]:
    """Ids of the accounts that ``transfers`` touch, made where they are missing."""
    return store.account_ids(tx, {account for t in transfers for account in (t.debit, t.credit)})


def check_invariants(tx: Tx) -> list[str]:
    """Sentences, one for each broken invariant; empty when all hold."""
    return [
        f"ledger account {row.id} ({row.owner}, {row.currency}) keeps {row.balance}, its transfers give {row.computed}"
        for row in store.drifted_balances(tx, VIOLATIONS_SHOWN)
    ]
