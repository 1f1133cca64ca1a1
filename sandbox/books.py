"""Reading the sandbox's books from disk, with or without a server running.

This is the independent witness of what was really paid: it trusts nothing that a payer recorded.
Every amount is in minor units, every question about money names its currency or answers by
currency.

    with Books(Path("var/sandbox")) as books:
        books.net_by_transfer_group()
        books.check()
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sandbox.checks import CHECKS
from sandbox.errors import SandboxError
from sandbox.store import FILE_NAME

_LOCK_WAIT_SECONDS = 5.0


class NoBooks(SandboxError):
    """There are no books where they were looked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"No books at {path}; start the sandbox with this data directory first.")
        self.path = path


@dataclass(frozen=True)
class Transfer:
    """A transfer as it was executed. Amounts are in minor units; `created` is sandbox time."""

    id: str
    platform: str
    destination: str
    amount: int
    amount_reversed: int
    currency: str
    description: str | None
    transfer_group: str | None
    metadata: Mapping[str, str]
    created: int

    @property
    def net(self) -> int:
        """What was paid and not taken back."""
        return self.amount - self.amount_reversed


@dataclass(frozen=True)
class Payout:
    """A payout to a bank; a reversal has a negative amount. Amounts are in minor units."""

    id: str
    account: str
    amount: int
    currency: str
    status: str
    destination: str
    failure_code: str | None
    original_payout: str | None
    metadata: Mapping[str, str]
    created: int


@dataclass(frozen=True)
class WiseTransfer:
    """A transfer of the local Wise. Amounts are in minor units; the fee is in the source amount."""

    id: int
    profile: int
    recipient: int
    customer_transaction_id: str
    reference: str | None
    status: str
    source_amount: int
    source_currency: str
    fee: int
    target_amount: int
    target_currency: str
    funded: bool
    created: int


@dataclass(frozen=True)
class Balance:
    """What an account holds in one currency."""

    available: int
    pending: int


class Books:
    """A reader of the books. Each method is one consistent look at them."""

    def __init__(self, path: Path) -> None:
        """Open the books; `path` is the data directory or the file in it.

        Raises:
            NoBooks: there are none.
        """
        file = path / FILE_NAME if path.is_dir() else path
        if not file.is_file():
            raise NoBooks(file)
        # Opened for writing, then forbidden to: a reader of a WAL must be able to make its index.
        self._db = sqlite3.connect(file, isolation_level=None, timeout=_LOCK_WAIT_SECONDS)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA query_only = ON")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return self._db.execute(sql, values).fetchall()

    def transfers(self, platform: str | None = None) -> list[Transfer]:
        """Return every transfer, oldest first; of one platform or of all."""
        rows = self._all(
            "SELECT * FROM transfers WHERE account = coalesce(?, account) ORDER BY seq", platform
        )
        return [_transfer(row) for row in rows]

    def transfers_by_metadata(self, key: str) -> dict[str, list[Transfer]]:
        """Return the transfers that carry a metadata key, by its value.

        A value with more than one transfer is something paid more than once.
        """
        found: defaultdict[str, list[Transfer]] = defaultdict(list)
        for transfer in self.transfers():
            if key in transfer.metadata:
                found[transfer.metadata[key]].append(transfer)
        return dict(found)

    def payouts(self, account: str | None = None) -> list[Payout]:
        """Return every payout, oldest first; of one account or of all."""
        rows = self._all(
            "SELECT * FROM payouts WHERE account = coalesce(?, account) ORDER BY seq", account
        )
        return [_payout(row) for row in rows]

    def banked_by_account(self, currency: str) -> dict[str, int]:
        """Return what the bank of each account has: payouts that are paid, less reversed ones."""
        rows = self._all(
            "SELECT account, sum(amount) AS net FROM payouts "
            "WHERE currency = ? AND (status = 'paid' OR amount < 0) "
            "GROUP BY account ORDER BY account",
            currency,
        )
        return {row["account"]: row["net"] for row in rows}

    def wise_transfers(self) -> list[WiseTransfer]:
        """Return every transfer of the local Wise, oldest first."""
        rows = self._all(
            "SELECT t.*, q.source_amount, q.source_currency, q.fee, q.target_amount, "
            "q.target_currency, t.funded_at IS NOT NULL AS funded "
            "FROM wise_transfers AS t JOIN wise_quotes AS q ON q.id = t.quote ORDER BY t.id"
        )
        names = WiseTransfer.__dataclass_fields__
        return [
            WiseTransfer(**{**{name: row[name] for name in names}, "funded": bool(row["funded"])})
            for row in rows
        ]

    def wise_received(self, currency: str) -> dict[int, int]:
        """Return recipient -> what its bank has, in minor units: sent and not bounced."""
        received: defaultdict[int, int] = defaultdict(int)
        for transfer in self.wise_transfers():
            if (
                transfer.target_currency == currency.upper()
                and transfer.status == "outgoing_payment_sent"
            ):
                received[transfer.recipient] += transfer.target_amount
        return dict(received)

    def paid_by_destination(self, currency: str) -> dict[str, int]:
        """Return what each connected account was paid, less what was taken back."""
        rows = self._all(
            "SELECT destination, sum(amount - amount_reversed) AS net FROM transfers "
            "WHERE currency = ? GROUP BY destination ORDER BY destination",
            currency,
        )
        return {row["destination"]: row["net"] for row in rows}

    def net_by_transfer_group(self) -> dict[tuple[str, str], int]:
        """Return (group, currency) -> paid less taken back; transfers without a group are left out.

        The number is right even where a group was paid twice: it is then twice the amount.
        """
        rows = self._all(
            "SELECT transfer_group, currency, sum(amount - amount_reversed) AS net FROM transfers "
            "WHERE transfer_group IS NOT NULL GROUP BY transfer_group, currency"
        )
        return {(row["transfer_group"], row["currency"]): row["net"] for row in rows}

    def platforms(self) -> list[str]:
        """Return the platform accounts, oldest first."""
        rows = self._all("SELECT id FROM accounts WHERE platform IS NULL ORDER BY seq")
        return [row["id"] for row in rows]

    def balance(self, account: str | None = None) -> dict[str, Balance]:
        """Return currency -> balance of an account; without one, of all platforms together."""
        owners = [account] if account is not None else self.platforms()
        found: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for owner in owners:
            for bucket in ("available", "pending"):
                for row in self._all(
                    "SELECT currency, amount FROM balances WHERE ledger = ?", f"{owner}:{bucket}"
                ):
                    held = found[row["currency"]]
                    held[bucket] = held.get(bucket, 0) + row["amount"]
        return {
            currency: Balance(held.get("available", 0), held.get("pending", 0))
            for currency, held in sorted(found.items())
        }

    def check(self) -> list[str]:
        """Return what is wrong with the books, each as a sentence; an empty list is the proof.

        Balances are folded anew from the postings; transfers, reversals and balance transactions
        are matched with them one by one.
        """
        self._db.execute("BEGIN")
        try:
            return [
                text.format(**dict(row)) for sql, text in CHECKS for row in self._db.execute(sql)
            ]
        finally:
            self._db.execute("COMMIT")


def _payout(row: sqlite3.Row) -> Payout:
    names = ("id", "account", "amount", "currency", "status", "destination", "created")
    return Payout(
        **{name: row[name] for name in names},
        failure_code=row["failure_code"],
        original_payout=row["original_payout"],
        metadata=json.loads(row["metadata"]),
    )


def _transfer(row: sqlite3.Row) -> Transfer:
    return Transfer(
        id=row["id"],
        platform=row["account"],
        destination=row["destination"],
        amount=row["amount"],
        amount_reversed=row["amount_reversed"],
        currency=row["currency"],
        description=row["description"],
        transfer_group=row["transfer_group"],
        metadata=json.loads(row["metadata"]),
        created=row["created"],
    )
