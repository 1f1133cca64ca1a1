"""Use cases of earnings: record what is owed, and check it against the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.db import Tx
from domain.earnings import hold_store, store
from domain.earnings.rules import EarningHold, NewEarning, transfer_for, voiding
from domain.earnings.store import Claimed, Due, Payable
from domain.ledger import service as ledger
from domain.ledger.rules import Transfer


def record(
    tx: Tx,
    new: Sequence[NewEarning],
    *,
    beside: Sequence[Transfer] = (),
    holds: Sequence[EarningHold] = (),
) -> list[int]:
    """Record earnings and their ledger transfers; returns the earnings' ids in order.

    ``beside`` are other transfers of the same transaction (points), posted in the same go so that the
    kept balances are locked once and last. ``holds`` hold earnings of before, or let them go.
    """
    own = [transfer_for(earning) for earning in new]
    transfers = [*own, *beside]
    accounts = ledger.accounts_of(tx, transfers)
    owed = [
        accounts[transfer.credit if earning.amount > 0 else transfer.debit]
        for earning, transfer in zip(new, own, strict=True)
    ]
    if holds:
        # With the accounts that are posted to, in one go and in id order: no run claims meanwhile.
        of_held = hold_store.accounts(tx, [hold.earning_id for hold in holds])
        store.lock_payables(tx, sorted({*owed, *of_held}), wait=True)
    ids = store.insert(tx, new, owed)
    if holds:
        hold_store.set_holds(tx, holds)
    ledger.post(tx, transfers, accounts=accounts)
    return ids


@dataclass(frozen=True, slots=True)
class InUse:
    """A credit that is not void, because a payout has it or has taken some of it back.

    ``left`` is what no debit took of it, in minor units.
    """

    earning_id: int
    user_id: str
    kind: str
    left: int
    available_at: datetime
    method: str | None
    payout_id: int | None


def void(tx: Tx, source_kind: str, source_id: int, at: datetime) -> list[InUse]:
    """Void what a source gave, with the debits that take it back; returns the credits of which a payout has
    a part: these stay, for the caller to take back. Ledger transfers of what is void are taken back.

    The caller keeps others from recording debits of these earnings meanwhile.
    """
    ids = [row.id for row in store.by_source(tx, source_kind, [source_id])]
    store.lock_payables(tx, hold_store.accounts(tx, ids), wait=True)
    # Read after the lock: a run that had it may have claimed them.
    credits = [r for r in store.by_source(tx, source_kind, [source_id]) if r.voided_at is None]
    debits = hold_store.reversals_of(tx, ids)
    in_use, unused = [], []
    for credit in credits:
        mine = [debit for debit in debits if debit.reverses_id == credit.id]
        if credit.payout_id is None and all(debit.payout_id is None for debit in mine):
            unused += [credit, *mine]
            continue
        in_use.append(
            InUse(
                credit.id,
                credit.user_id,
                credit.kind,
                credit.amount + sum(debit.amount for debit in mine),
                credit.available_at,
                credit.method,
                credit.payout_id,
            )
        )
    _void(tx, [row.id for row in unused], at)
    return in_use


def _void(tx: Tx, ids: Sequence[int], at: datetime) -> None:
    gone = hold_store.void(tx, ids, at)
    ledger.post(
        tx,
        [
            voiding(
                NewEarning(
                    merchant_id=row.merchant_id,
                    user_id=row.user_id,
                    currency=row.currency,
                    amount=row.amount,
                    kind=row.kind,
                    source_kind="earning",
                    source_id=row.id,
                    available_at=at,
                    occurred_at=at,
                )
            )
            for row in gone
        ],
    )


def check_invariants(tx: Tx) -> list[str]:
    """Sentences, one for each broken invariant: a payable balance is the sum of its unclaimed earnings."""
    return [
        f"payable account {row.id} ({row.owner}, {row.currency}) keeps {row.balance}, its unclaimed earnings give {row.unclaimed}"
        for row in store.drifted_accounts(tx, 20)
    ]


def by_source(tx: Tx, source_kind: str, source_ids: Sequence[int]) -> list[Any]:
    """The earnings that the given sources gave, with their availability, hold and claim."""
    return store.by_source(tx, source_kind, source_ids)


def lock_unclaimed(tx: Tx, source_kind: str, source_ids: Sequence[int]) -> dict[int, list[int]]:
    """By source of which a part is in no payout yet, the ids of its earnings that are not void: what may still
    be held, and what is held with it.

    Their payable accounts are locked in id order: until the transaction ends no run claims them.
    """
    found = store.by_source(tx, source_kind, source_ids)
    if not found:
        return {}
    store.lock_payables(tx, hold_store.accounts(tx, [row.id for row in found]), wait=True)
    # Read after the lock: a run that had it may have claimed them.
    valid = [r for r in store.by_source(tx, source_kind, source_ids) if r.voided_at is None]
    sources = {row.source_id for row in valid if row.payout_id is None}
    return {one: [row.id for row in valid if row.source_id == one] for one in sources}


@dataclass(frozen=True, slots=True)
class Owed:
    """What a user earned in one currency, in minor units. Every earning is in one of the parts.

    ``due`` may be paid with the next run, ``pending`` waits until its hold is over, ``held`` for a
    person; ``in_payouts`` is by the payout's state.
    """

    currency: str
    earnings: int
    due: int = 0
    pending: int = 0
    held: int = 0
    voided: int = 0
    in_payouts: Mapping[str, int] = field(default_factory=dict)

    @property
    def owed(self) -> int:
        """What is in no payout yet; below 0 where more was taken back than earned since."""
        return self.due + self.pending + self.held


def summary(tx: Tx, merchant_id: int, user_id: str, now: datetime) -> list[Owed]:
    """What a user of a merchant earned, per currency, as of business time ``now``."""
    by_currency: dict[str, list[Any]] = {}
    for row in store.by_state(tx, merchant_id, user_id, now):
        by_currency.setdefault(row.currency, []).append(row)
    return [
        Owed(
            currency,
            sum(row.earnings for row in rows),
            **{row.state: int(row.amount) for row in rows if not row.in_payout},
            in_payouts={row.state: int(row.amount) for row in rows if row.in_payout},
        )
        for currency, rows in by_currency.items()
    ]


def accounts_with_unclaimed(tx: Tx, merchant_id: int, *, after: int, limit: int) -> list[int]:
    """The next payable accounts above id ``after`` that hold an unclaimed earning, ascending."""
    return store.accounts_with_unclaimed(tx, merchant_id, after, limit)


def payables(tx: Tx, account_ids: Sequence[int]) -> list[Payable]:
    """Payable accounts by ascending id, unlocked: for a preview."""
    return store.payables(tx, account_ids)


def lock_payables(tx: Tx, account_ids: Sequence[int], *, wait: bool = False) -> list[Payable]:
    """Lock payable accounts in id order; without ``wait``, leave out those that others hold.

    Until the transaction ends, no other one can commit an earning of these accounts.
    """
    return store.lock_payables(tx, account_ids, wait=wait)


def due(
    tx: Tx, merchant_id: int, accounts: Sequence[tuple[int, str | None]], as_of: datetime
) -> list[Due]:
    """What accounts, each with the method of its payee, are due as of business time ``as_of``."""
    return store.due(tx, merchant_id, accounts, as_of) if accounts else []


def claim(
    tx: Tx, merchant_id: int, claims: Sequence[tuple[int, str, int]], as_of: datetime
) -> dict[int, Claimed]:
    """Put what is due into payouts: (account id, method, payout id), accounts locked by the caller.

    Returns what was taken, by payout: the caller compares it with what it decided on.
    """
    return store.claim(tx, merchant_id, claims, as_of) if claims else {}


def release(tx: Tx, payout_id: int) -> int:
    """Let the earnings of a canceled payout be claimed again; returns how many.

    What was rejected in it stays held, unless another payout took it back meanwhile. The payable account is locked
    by the caller. The database refuses it for any other payout.
    """
    return release_all(tx, [payout_id])


def release_all(tx: Tx, payout_ids: Sequence[int]) -> int:
    """As `release`, of many payouts in one statement; returns how many earnings."""
    hold_store.owe_again(tx, payout_ids)
    return store.release(tx, payout_ids)


def held_members(tx: Tx, payout_id: int) -> int:
    """How many credits of a payout were put on hold after they were claimed."""
    return store.held_members(tx, payout_id)


def lock_members(tx: Tx, payout_id: int) -> int:
    """How many credits of a payout are on hold; until the transaction ends, none is put on hold.

    The payout is locked by the caller: earnings come after it in the lock order.
    """
    return store.lock_members(tx, payout_id)
