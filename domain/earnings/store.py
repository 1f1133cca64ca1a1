"""All SQL of earnings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx, copy_columns, next_ids
from domain.earnings.models import earnings
from domain.earnings.rules import NewEarning

_COLUMNS = [
    "id",
    "merchant_id",
    "user_id",
    "account_id",
    "currency",
    "amount",
    "kind",
    "source_kind",
    "source_id",
    "reverses_id",
    "method",
    "available_at",
    "held_at",
    "hold_reason",
]


def insert(tx: Tx, new: Sequence[NewEarning], account_ids: Sequence[int]) -> list[int]:
    """Append ``new``, each with the id of its payee's account; returns their ids in order."""
    if not new:
        return []
    ids = next_ids(tx, "earnings", len(new))
    id_of = dict(zip(map(id, new), ids, strict=True))
    columns: dict[str, Sequence[Any]] = dict(
        zip(NewEarning._fields, zip(*new, strict=True), strict=True)
    )
    columns["id"] = ids
    columns["account_id"] = account_ids
    columns["reverses_id"] = [
        id_of[id(other)] if isinstance(other, NewEarning) else other
        for other in columns["reverses"]
    ]
    columns["held_at"] = [e.occurred_at if e.hold_reason else None for e in new]
    copy_columns(tx, earnings, _COLUMNS, [columns[name] for name in _COLUMNS])
    return ids


def by_source(tx: Tx, source_kind: str, source_ids: Sequence[int]) -> list[Any]:
    """Earnings of the given sources: id, source_id, kind, available_at, payout_id, voided_at, method."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, source_id, kind, user_id, amount, currency, available_at, payout_id,
                       voided_at, method
                FROM earnings WHERE source_kind = :source_kind AND source_id = ANY(:source_ids)
                """
            ),
            {"source_kind": source_kind, "source_ids": list(source_ids)},
        )
    )


def by_state(tx: Tx, merchant_id: int, user_id: str, as_of: datetime) -> list[Any]:
    """A user's earnings per currency and state as of business time ``as_of``: count and sum.

    States: due, pending (its hold is not over), held (for a person), voided; in a payout, that
    payout's state. Each earning is in one of them; a debit is due with what it reverses, if that is in a payout,
    and else held with it.
    """
    values = {"merchant_id": merchant_id, "user_id": user_id, "as_of": as_of}
    return list(tx.execute(_BY_STATE, values))


# What is in a payout is frozen in its row (amount, members), and leaves it as a whole: there a row a payout is
# summed, not one an earning, of which a busy referrer has a million.
_BY_STATE: Final = text(
    """
    SELECT currency, sum(earnings)::bigint AS earnings, sum(amount) AS amount, in_payout, state
    FROM (
        SELECT p.currency, p.members AS earnings, p.amount, true AS in_payout, p.state
        FROM payouts p
        WHERE p.merchant_id = :merchant_id AND p.user_id = :user_id
          AND EXISTS (SELECT FROM earnings e WHERE e.payout_id = p.id)
        UNION ALL
        SELECT e.currency, 1, e.amount, false,
               CASE WHEN r.payout_id IS NOT NULL THEN 'due'
                    WHEN e.held_at IS NOT NULL OR r.held_at IS NOT NULL THEN 'held'
                    WHEN e.available_at <= :as_of THEN 'due'
                    ELSE 'pending' END
        FROM ledger_accounts a
        JOIN earnings e ON e.merchant_id = a.merchant_id AND e.account_id = a.id
                        AND e.payout_id IS NULL AND e.voided_at IS NULL
        LEFT JOIN earnings r ON r.id = e.reverses_id
        WHERE a.merchant_id = :merchant_id AND a.kind = 'payable' AND a.owner = :user_id
        UNION ALL
        SELECT e.currency, 1, e.amount, false, 'voided' FROM earnings e
        WHERE e.merchant_id = :merchant_id AND e.user_id = :user_id
          AND e.voided_at IS NOT NULL AND e.payout_id IS NULL
    ) one
    GROUP BY currency, in_payout, state ORDER BY 1, 4, 5
    """
)


def drifted_accounts(tx: Tx, limit: int) -> list[Any]:
    """Payable accounts whose balance is not the sum of their unclaimed, unvoided earnings."""
    return list(
        tx.execute(
            text(
                """
                SELECT a.id, a.owner, a.currency, a.balance, coalesce(sum(e.amount), 0) AS unclaimed
                FROM ledger_accounts a
                LEFT JOIN earnings e ON e.account_id = a.id AND e.payout_id IS NULL AND e.voided_at IS NULL
                WHERE a.kind = 'payable'
                GROUP BY a.id HAVING a.balance <> coalesce(sum(e.amount), 0)
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )


# Where a credit stands as of a time, for a payee who is paid by `a.method` (NULL: not known yet).
_CREDIT: Final = """
CASE WHEN @.held_at IS NOT NULL THEN 'held'
     WHEN @.available_at > :as_of THEN 'later'
     WHEN @.method <> a.method THEN 'other_method'
     ELSE 'due' END
"""
# A debit of a claimed earning is due at once; any other shares the due time, hold and claim of the
# earning that it reverses, so that no credit is ever paid without it. (A scalar subquery: it is looked
# up by key for debits only, whatever the planner believes about the table.)
_STANDING: Final = """
CASE WHEN e.reverses_id IS NULL THEN $credit
     ELSE (SELECT CASE WHEN r.payout_id IS NOT NULL THEN 'due'
                       WHEN r.voided_at IS NOT NULL THEN 'later'
                       ELSE $reversed END
           FROM earnings r WHERE r.id = e.reverses_id) END
""".replace("$credit", _CREDIT.replace("@", "e")).replace("$reversed", _CREDIT.replace("@", "r"))

# The unclaimed earnings of each account of `a`, with their standing. LATERAL and OFFSET 0 leave one plan
# only, an index scan for each account: any other join reads the index from its start, where the entries
# of what was claimed before lie, and without statistics, or as a generic plan, it would be chosen.
_UNCLAIMED: Final = """
CROSS JOIN LATERAL (
    SELECT e.id, e.amount, $standing AS standing FROM earnings e
    WHERE e.merchant_id = :merchant_id AND e.account_id = a.account_id
          AND e.payout_id IS NULL AND e.voided_at IS NULL
    OFFSET 0
) u
""".replace("$standing", _STANDING)

# The same encoding as domain.payouts.rules.members_digest, which a test compares.
_DIGEST: Final = """
sha256(convert_to(string_agg(id || ':' || amount, ',' ORDER BY id) FILTER (WHERE standing = 'due'), 'UTF8'))
"""


@dataclass(frozen=True, slots=True)
class Payable:
    """A payee's account in one currency: what a run locks."""

    account_id: int
    user_id: str
    currency: str


@dataclass(frozen=True, slots=True)
class Due:
    """What an account is due: sum in minor units, number and digest of the earnings that are due, and
    how many of the others wait for a person or name another method than the payee's."""

    account_id: int
    amount: int
    members: int
    digest: bytes | None
    held: int
    other_method: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim took: sum in minor units, number and digest of the earnings."""

    amount: int
    members: int
    digest: bytes


def accounts_with_unclaimed(tx: Tx, merchant_id: int, after: int, limit: int) -> list[int]:
    """Ids of payable accounts above ``after`` that hold an unclaimed earning, ascending."""
    rows = tx.execute(
        text(
            """
            SELECT DISTINCT account_id FROM earnings
            WHERE merchant_id = :merchant_id AND account_id > :after
                  AND payout_id IS NULL AND voided_at IS NULL
            ORDER BY account_id LIMIT :limit
            """
        ),
        {"merchant_id": merchant_id, "after": after, "limit": limit},
    )
    return [row.account_id for row in rows]


def payables(tx: Tx, account_ids: Sequence[int]) -> list[Payable]:
    """The accounts, by ascending id, unlocked."""
    return _payables(tx, account_ids, "")


def lock_payables(tx: Tx, account_ids: Sequence[int], *, wait: bool) -> list[Payable]:
    """Lock accounts in id order; without ``wait``, those that another writer holds are left out.

    While an account is locked no earning of it can be committed by anyone else, because every writer
    of earnings moves the balance in this row before it commits.
    """
    return _payables(tx, account_ids, "FOR NO KEY UPDATE" + ("" if wait else " SKIP LOCKED"))


_PAYABLES: Final = (
    "SELECT id, owner, currency FROM ledger_accounts WHERE id = ANY(:ids) ORDER BY id $lock"
)


def _payables(tx: Tx, account_ids: Sequence[int], lock: str) -> list[Payable]:
    rows = tx.execute(
        text(_PAYABLES.replace("$lock", lock)),
        {"ids": list(account_ids)},
    )
    return [Payable(row.id, row.owner, row.currency) for row in rows]


def due(
    tx: Tx, merchant_id: int, accounts: Sequence[tuple[int, str | None]], as_of: datetime
) -> list[Due]:
    """What each of ``accounts``, (id, method of its payee), is due as of business time ``as_of``.

    Accounts whose earnings all wait for their time are left out.
    """
    rows = tx.execute(
        text(
            """
            SELECT account_id, coalesce(sum(amount) FILTER (WHERE standing = 'due'), 0) AS amount,
                   count(*) FILTER (WHERE standing = 'due') AS members,
                   count(*) FILTER (WHERE standing = 'held') AS held,
                   count(*) FILTER (WHERE standing = 'other_method') AS other_method,
                   $digest AS digest
            FROM unnest(CAST(:accounts AS bigint[]), CAST(:methods AS text[])) AS a (account_id, method)
            $unclaimed
            WHERE standing <> 'later'
            GROUP BY account_id ORDER BY account_id
            """.replace("$unclaimed", _UNCLAIMED).replace("$digest", _DIGEST)
        ),
        {
            "merchant_id": merchant_id,
            "accounts": [account_id for account_id, _ in accounts],
            "methods": [method for _, method in accounts],
            "as_of": as_of,
        },
    )
    return [
        Due(r.account_id, int(r.amount), r.members, r.digest, r.held, r.other_method) for r in rows
    ]


def claim(
    tx: Tx, merchant_id: int, claims: Sequence[tuple[int, str, int]], as_of: datetime
) -> dict[int, Claimed]:
    """Put what is due into payouts: ``claims`` are (account id, method, payout id).

    The accounts are locked by the caller. Returns what each payout got. (The rows are found by key, and
    their payout in an object by account, rather than by joins: see ``_UNCLAIMED``.)
    """
    rows = tx.execute(
        text(
            """
            WITH claimed AS (
                UPDATE earnings e
                SET payout_id = (CAST(:payouts AS jsonb) ->> CAST(e.account_id AS text))::bigint
                WHERE e.id = ANY(ARRAY(
                        SELECT u.id
                        FROM unnest(CAST(:accounts AS bigint[]), CAST(:methods AS text[])) AS a (account_id, method)
                        $unclaimed
                        WHERE standing = 'due'))
                      -- What another transaction may have changed since is looked at again in the row itself
                      -- (in words that do not lead the planner from the primary key to the partial index).
                      AND num_nulls(e.payout_id, e.voided_at) = 2
                      AND (e.reverses_id IS NOT NULL OR (e.held_at IS NULL AND e.available_at <= :as_of))
                RETURNING e.id, e.amount, e.payout_id, 'due' AS standing
            )
            SELECT payout_id, sum(amount) AS amount, count(*) AS members, $digest AS digest
            FROM claimed GROUP BY payout_id
            """.replace("$unclaimed", _UNCLAIMED).replace("$digest", _DIGEST)
        ),
        {
            "merchant_id": merchant_id,
            "accounts": [account_id for account_id, _, _ in claims],
            "methods": [method for _, method, _ in claims],
            "payouts": json.dumps({account_id: payout_id for account_id, _, payout_id in claims}),
            "as_of": as_of,
        },
    )
    return {r.payout_id: Claimed(int(r.amount), r.members, r.digest) for r in rows}


def release(tx: Tx, payout_ids: Sequence[int]) -> int:
    """Take all earnings out of payouts that are canceled, or came back; returns how many."""
    return tx.execute(
        text("UPDATE earnings SET payout_id = NULL WHERE payout_id = ANY(:payout_ids)"),
        {"payout_ids": list(payout_ids)},
    ).rowcount


def lock_members(tx: Tx, payout_id: int) -> int:
    """Lock the credits of a payout, so that no hold is set on them meanwhile; how many are held.

    They are locked after their payout (as whoever lets them go does), ascending, and read as they are then.
    """
    count: int = tx.execute(
        text(
            """
            SELECT count(held_at) FROM (
                SELECT held_at FROM earnings WHERE payout_id = :payout_id AND reverses_id IS NULL
                ORDER BY id FOR SHARE
            ) members
            """
        ),
        {"payout_id": payout_id},
    ).scalar_one()
    return count


def held_members(tx: Tx, payout_id: int) -> int:
    """How many credits of a payout were put on hold after they were claimed."""
    count: int = tx.execute(
        text(
            """
            SELECT count(*) FROM earnings
            WHERE payout_id = :payout_id AND held_at IS NOT NULL AND reverses_id IS NULL
            """
        ),
        {"payout_id": payout_id},
    ).scalar_one()
    return count
