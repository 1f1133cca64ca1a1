"""Moving money in the sandbox's books: the only code that writes postings and balances.

A movement is one posting (a debit and a credit) and, for each Stripe account that it touches, one
balance transaction, as Stripe shows it. Amounts are in minor units. Funds that are not available
yet sit in the account's pending ledger until the sandbox's clock passes `available_on`.
"""

from dataclasses import dataclass

from sandbox import ids
from sandbox.errors import BooksViolated
from sandbox.store import Store

WORLD = "world:"

# How Stripe groups types of balance transactions in its reports.
REPORTING_CATEGORY = {
    "adjustment": "other_adjustment",
    "charge": "charge",
    "payment": "charge",
    "payment_refund": "refund",
    "payout": "payout",
    "payout_cancel": "payout_reversal",
    "payout_failure": "payout_reversal",
    "topup": "topup",
    "transfer": "transfer",
    "transfer_refund": "transfer_reversal",
}


@dataclass(frozen=True)
class Side:
    """One end of a movement: a Stripe account, and how its balance transaction reads.

    `source` is the id of the object that the balance transaction names.
    """

    account: str
    type: str
    source: str
    description: str | None = None


def available(store: Store, account: str, currency: str) -> int:
    """Return what the account can spend now, in minor units."""
    return _balance(store, f"{account}:available", currency)


def _balance(store: Store, ledger: str, currency: str) -> int:
    row = store.one(
        "SELECT amount FROM balances WHERE ledger = ? AND currency = ?", ledger, currency
    )
    return 0 if row is None else int(row["amount"])


def _add(store: Store, ledger: str, currency: str, amount: int) -> None:
    store.run(
        "INSERT INTO balances VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + ?3",
        ledger,
        currency,
        amount,
    )
    # The pair of the caller's own check: no Stripe account of the sandbox is ever overdrawn.
    if amount < 0 and not ledger.startswith(WORLD):
        left = _balance(store, ledger, currency)
        if left < 0 and ledger.endswith(":available"):
            raise BooksViolated(f"{ledger} would stand at {left} {currency}")


def _post(
    store: Store,
    *,
    debit: str,
    credit: str,
    amount: int,
    currency: str,
    kind: str,
    source: str,
    now: int,
) -> None:
    store.run(
        "INSERT INTO postings (debit, credit, amount, currency, kind, source, created) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        debit,
        credit,
        amount,
        currency,
        kind,
        source,
        now,
    )
    _add(store, debit, currency, -amount)
    _add(store, credit, currency, amount)


def shift(
    store: Store,
    *,
    debit: str,
    credit: str,
    amount: int,
    currency: str,
    kind: str,
    source: str,
    now: int,
) -> None:
    """Move `amount` between two ledger accounts of books that know no balance transactions.

    Raises:
        BooksViolated: the debited account's available balance does not cover it.
    """
    _post(
        store,
        debit=debit,
        credit=credit,
        amount=amount,
        currency=currency,
        kind=kind,
        source=source,
        now=now,
    )


def _record(
    store: Store, side: Side, net: int, currency: str, now: int, available_on: int, fee: int
) -> str:
    id = ids.new("txn")
    store.run(
        "INSERT INTO balance_transactions (id, account, type, net, currency, source, description, "
        "created, available_on, settled, fee) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        id,
        side.account,
        side.type,
        net,
        currency,
        side.source,
        side.description,
        now,
        available_on,
        available_on <= now,
        fee,
    )
    return id


def _ledger(side: Side | str, bucket: str) -> str:
    return WORLD + side if isinstance(side, str) else f"{side.account}:{bucket}"


def move(
    store: Store,
    *,
    debit: Side | str,
    credit: Side | str,
    amount: int,
    currency: str,
    kind: str,
    source: str,
    now: int,
    available_on: int | None = None,
    fee: int = 0,
) -> list[str]:
    """Move `amount` from `debit` to `credit`; a side that is a word lies outside Stripe.

    The credited account pays `fee` out of it, which is less than the amount.

    Returns the ids of the balance transactions, the debited account's first.

    Raises:
        BooksViolated: the debited account's available balance does not cover it.
    """
    moment = now if available_on is None else max(available_on, now)
    bucket = "available" if moment <= now else "pending"
    _post(
        store,
        debit=_ledger(debit, bucket),
        credit=_ledger(credit, bucket),
        amount=amount,
        currency=currency,
        kind=kind,
        source=source,
        now=now,
    )
    if fee:
        _post(
            store,
            debit=_ledger(credit, bucket),
            credit=_ledger("fees", bucket),
            amount=fee,
            currency=currency,
            kind="fee",
            source=source,
            now=now,
        )
    sides = ((debit, -amount, 0), (credit, amount - fee, fee))
    return [
        _record(store, side, net, currency, now, moment, taken)
        for side, net, taken in sides
        if isinstance(side, Side)
    ]


def settle(store: Store, now: int) -> list[str]:
    """Make available what has matured; return the accounts whose available balance grew."""
    matured = store.all(
        "SELECT id, account, net, currency FROM balance_transactions "
        "WHERE settled = 0 AND available_on <= ? ORDER BY net DESC, seq",
        now,
    )
    grown = []
    for row in matured:
        pending, ready = f"{row['account']}:pending", f"{row['account']}:available"
        inward = row["net"] > 0
        _post(
            store,
            debit=pending if inward else ready,
            credit=ready if inward else pending,
            amount=abs(row["net"]),
            currency=row["currency"],
            kind="settlement",
            source=row["id"],
            now=now,
        )
        store.run("UPDATE balance_transactions SET settled = 1 WHERE id = ?", row["id"])
        if inward and row["account"] not in grown:
            grown.append(row["account"])
    return grown


def matured(store: Store, now: int) -> bool:
    """Return whether `settle` has anything to do."""
    return (
        store.one(
            "SELECT 1 FROM balance_transactions WHERE settled = 0 AND available_on <= ? LIMIT 1",
            now,
        )
        is not None
    )
