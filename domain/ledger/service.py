"""Use cases of the ledger: post transfers, and check that the kept balances are what was posted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.db import Tx
from domain.ledger import rollup_store, store
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
    return account_ids(tx, {account for t in transfers for account in (t.debit, t.credit)})


def account_ids(tx: Tx, accounts: Collection[Account]) -> dict[Account, int]:
    """Ids of ``accounts``, made where they are missing."""
    return store.account_ids(tx, accounts)


def check_invariants(tx: Tx) -> list[str]:
    """Sentences, one for each broken invariant; empty when all hold."""
    return [
        f"ledger account {row.id} ({row.owner}, {row.currency}) keeps {row.balance}, its transfers give {row.computed}"
        for row in store.drifted_balances(tx, VIOLATIONS_SHOWN)
    ] + [
        f"merchant {row.merchant_id} is shown {row.kept} as its {row.kind} in {row.currency}, its transfers give"
        f" {row.computed}"
        for row in rollup_store.drifted(tx, VIOLATIONS_SHOWN)
    ]


@dataclass(slots=True)
class Sum:
    """Accounts of a kind and currency, and their balance (credits minus debits) in minor units or points."""

    kind: str
    currency: str
    accounts: int = 0
    balance: int = 0


def sums(tx: Tx, merchant_id: int) -> list[Sum]:
    """The sums of a merchant's ledger, exactly: what is kept up to the marks, and all rows behind them.

    Read in this order each row is in one of both, whatever happens in between: up to a mark no row can
    appear any more.
    """
    marks, kept = rollup_store.kept(tx, merchant_id)
    behind = rollup_store.tail(
        tx, merchant_id, accounts=marks["ledger_accounts"], transfers=marks["ledger_transfers"]
    )
    made: dict[tuple[str, str], Sum] = {}
    for row in (*kept, *behind):
        one = made.setdefault((row.currency, row.kind), Sum(row.kind, row.currency))
        one.accounts += row.accounts
        one.balance += row.balance
    return [made[key] for key in sorted(made)]
