"""SQL of runs: what they are, what they made and what they left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx, copy_rows, next_ids
from domain.payouts.rules import PayeeView
from domain.payouts.rules.carrying import MAX_DUE

CARRIED_OUT: Final = "payout_carried_out"
CARRIED_IN: Final = "payout_carried_in"
"""Sources of the two earnings, of sum 0, that carry a part of what is due over: one is in the payout and
makes it smaller, the other one is due with the next run."""


@dataclass(frozen=True, slots=True)
class NewPayout:
    """A payout to be written; ``amount`` in minor units of ``currency``."""

    merchant_id: int
    run_id: int
    payee_id: int
    user_id: str
    account_id: int
    method: str
    destination: str
    currency: str
    amount: int
    members: int
    members_hash: bytes
    bank_leg: bool = False


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A payee and currency that a run leaves out, and why."""

    account_id: int
    user_id: str
    currency: str
    amount: int
    reason: str
    detail: str


_PAYOUT_COLUMNS = [
    "id",
    "merchant_id",
    "run_id",
    "payee_id",
    "user_id",
    "account_id",
    "method",
    "destination",
    "currency",
    "amount",
    "members",
    "members_hash",
    "bank_leg",
]


def open_run(
    tx: Tx,
    *,
    merchant_id: int,
    name: str,
    as_of: datetime,
    minimums: Mapping[str, int],
    methods: Sequence[str],
    prepared_by: str,
    policy: Mapping[str, Any],
    limit_day: date,
    look: timedelta,
    empty_hash: bytes,
) -> int:
    """The id of the run of this name and time, made if it is new. What it was made with stays.

    ``look``: how long until the sweep takes a run further that nobody builds.
    """
    key = {"merchant_id": merchant_id, "name": name, "as_of": as_of}
    tx.execute(
        text(
            """
            INSERT INTO payout_runs (merchant_id, name, as_of, minimums, methods, prepared_by, policy,
                                     limit_day, look_at, members_hash)
            VALUES (:merchant_id, :name, :as_of, CAST(:minimums AS jsonb), CAST(:methods AS jsonb),
                    :prepared_by, CAST(:policy AS jsonb), :limit_day,
                    clock_timestamp() + CAST(:look AS interval), :hash)
            ON CONFLICT (merchant_id, name, as_of) DO NOTHING
            """
        ),
        key
        | {
            "minimums": json.dumps(dict(minimums)),
            "methods": json.dumps(list(methods)),
            "prepared_by": prepared_by,
            "policy": json.dumps(policy),
            "limit_day": limit_day,
            "look": look,
            "hash": empty_hash,
        },
    )
    run_id: int = tx.execute(
        text(
            "SELECT id FROM payout_runs WHERE merchant_id = :merchant_id AND name = :name AND as_of = :as_of"
        ),
        key,
    ).scalar_one()
    return run_id


def lock_run(tx: Tx, run_id: int) -> Any:
    """The run, locked: two builders of one run take turns, shard by shard."""
    return tx.execute(
        text("SELECT * FROM payout_runs WHERE id = :id FOR NO KEY UPDATE"), {"id": run_id}
    ).one_or_none()


def run(tx: Tx, run_id: int) -> Any:
    """The run, unlocked, or None."""
    return tx.execute(
        text("SELECT * FROM payout_runs WHERE id = :id"), {"id": run_id}
    ).one_or_none()


def approval_is_over(tx: Tx, run_id: int) -> bool:
    """Whether the time in which a run could be approved is over, by PostgreSQL's real clock."""
    over: bool = tx.execute(
        text(
            """
            SELECT coalesce(approval_expires_at <= clock_timestamp(), false)
            FROM payout_runs WHERE id = :id
            """
        ),
        {"id": run_id},
    ).scalar_one()
    return over


def advance(tx: Tx, run_id: int, *, cursor: int, members_hash: bytes, look: timedelta) -> None:
    """Remember how far a run is built; the sweep takes it further if nobody did within ``look``."""
    tx.execute(
        text(
            """
            UPDATE payout_runs SET cursor_account_id = :cursor, members_hash = :members_hash,
                   look_at = clock_timestamp() + CAST(:look AS interval)
            WHERE id = :id AND state = 'building'
            """
        ),
        {"id": run_id, "cursor": cursor, "members_hash": members_hash, "look": look},
    )


def move_run(tx: Tx, run_id: int, old: str, new: str) -> None:
    """Compare-and-set the state of a run."""
    moved = tx.execute(
        text("UPDATE payout_runs SET state = :new WHERE id = :id AND state = :old"),
        {"id": run_id, "old": old, "new": new},
    )
    assert moved.rowcount == 1, f"run {run_id} was {old}"


def freeze_run(tx: Tx, run_id: int, result: Mapping[str, Any], *, needs_approval: bool) -> None:
    """From building to frozen, with what it made, and whether a person has to approve it."""
    frozen = tx.execute(
        text(
            """
            UPDATE payout_runs SET state = 'frozen', frozen_at = clock_timestamp(), result = CAST(:result AS jsonb),
                   needs_approval = :needs_approval
            WHERE id = :id AND state = 'building'
            """
        ),
        {"id": run_id, "result": json.dumps(result), "needs_approval": needs_approval},
    )
    assert frozen.rowcount == 1, f"run {run_id} was building"


def payout_ids(tx: Tx, count: int) -> list[int]:
    """Ids for payouts to come, ascending."""
    return next_ids(tx, "payouts", count)


def insert_payouts(tx: Tx, ids: Sequence[int], new: Sequence[NewPayout]) -> None:
    """Write drafts under ``ids``."""
    copy_rows(
        tx,
        "payouts",
        _PAYOUT_COLUMNS,
        (
            (payout_id, *(getattr(p, column) for column in _PAYOUT_COLUMNS[1:]))
            for payout_id, p in zip(ids, new, strict=True)
        ),
    )


def approve_drafts(tx: Tx, run_id: int, limit: int, lost_after: timedelta) -> list[int]:
    """Approve the next drafts of an approved run, by ascending id; returns them."""
    rows = tx.execute(
        text(
            """
            WITH next AS (
                SELECT id FROM payouts WHERE run_id = :run_id AND state = 'draft'
                ORDER BY id LIMIT :limit FOR NO KEY UPDATE
            )
            UPDATE payouts p SET state = 'approved', updated_at = clock_timestamp(),
                   emitted_at = clock_timestamp(), look_at = clock_timestamp() + CAST(:lost_after AS interval)
            FROM next WHERE p.id = next.id
            RETURNING p.id
            """
        ),
        {"run_id": run_id, "limit": limit, "lost_after": lost_after},
    )
    return sorted(row.id for row in rows)


def exclude(tx: Tx, run_id: int, merchant_id: int, exclusions: Sequence[Exclusion]) -> None:
    """Note what a run leaves out; a newer reason replaces an older one."""
    if not exclusions:
        return
    tx.execute(
        text(
            """
            INSERT INTO payout_exclusions
                   (run_id, merchant_id, account_id, user_id, currency, amount, reason, detail)
            SELECT :run_id, :merchant_id, account_id, user_id, currency, amount, reason, left(detail, 500)
            FROM unnest(CAST(:accounts AS bigint[]), CAST(:users AS text[]), CAST(:currencies AS text[]),
                        CAST(:amounts AS bigint[]), CAST(:reasons AS text[]), CAST(:details AS text[]))
                 AS x (account_id, user_id, currency, amount, reason, detail)
            ON CONFLICT (run_id, account_id) DO UPDATE
            SET amount = excluded.amount, reason = excluded.reason, detail = excluded.detail
            """
        ),
        {
            "run_id": run_id,
            "merchant_id": merchant_id,
            "accounts": [x.account_id for x in exclusions],
            "users": [x.user_id for x in exclusions],
            "currencies": [x.currency for x in exclusions],
            "amounts": [min(x.amount, MAX_DUE) for x in exclusions],
            "reasons": [x.reason for x in exclusions],
            "details": [x.detail for x in exclusions],
        },
    )


def include(tx: Tx, run_id: int, account_id: int) -> None:
    """Forget that an account was busy: it could be locked in the end."""
    tx.execute(
        text(
            """
            DELETE FROM payout_exclusions
            WHERE run_id = :run_id AND account_id = :account_id AND reason = 'busy'
            """
        ),
        {"run_id": run_id, "account_id": account_id},
    )


def busy_accounts(tx: Tx, run_id: int, after: int, limit: int) -> list[int]:
    """Accounts above ``after`` that a run could not lock, ascending."""
    rows = tx.execute(
        text(
            """
            SELECT account_id FROM payout_exclusions
            WHERE run_id = :run_id AND reason = 'busy' AND account_id > :after
            ORDER BY account_id LIMIT :limit
            """
        ),
        {"run_id": run_id, "after": after, "limit": limit},
    )
    return [row.account_id for row in rows]


def is_busy(tx: Tx, run_id: int, account_id: int) -> bool:
    """Whether an account is still noted as busy: with the run locked, nobody else takes it up meanwhile."""
    found: bool = tx.execute(
        text(
            """
            SELECT EXISTS (SELECT FROM payout_exclusions
                           WHERE run_id = :run_id AND account_id = :account_id AND reason = 'busy')
            """
        ),
        {"run_id": run_id, "account_id": account_id},
    ).scalar_one()
    return found


def busy_payees(tx: Tx, run_id: int, limit: int) -> list[Any]:
    """User and currency of the accounts that a run could not lock."""
    return list(
        tx.execute(
            text(
                """
                SELECT user_id, currency FROM payout_exclusions
                WHERE run_id = :run_id AND reason = 'busy' ORDER BY account_id LIMIT :limit
                """
            ),
            {"run_id": run_id, "limit": limit},
        )
    )


def exclusion_reasons(tx: Tx, run_id: int) -> dict[str, int]:
    """How many payees and currencies a run left out, by reason."""
    rows = tx.execute(
        text(
            """
            SELECT reason, count(*) AS payees FROM payout_exclusions
            WHERE run_id = :run_id GROUP BY reason ORDER BY reason
            """
        ),
        {"run_id": run_id},
    )
    return {row.reason: row.payees for row in rows}


def made_by_currency(tx: Tx, run_id: int) -> dict[str, dict[str, int]]:
    """Number and sum (minor units) of the payouts that a run made, by currency, and what they carried over."""
    rows = tx.execute(
        text(
            """
            SELECT currency, count(*) AS payouts, sum(amount) AS amount, min(id) AS first, max(id) AS last
            FROM payouts WHERE run_id = :run_id GROUP BY currency ORDER BY currency
            """
        ),
        {"run_id": run_id},
    ).all()
    made = {row.currency: {"payouts": row.payouts, "amount": int(row.amount)} for row in rows}
    if rows:
        first, last = min(row.first for row in rows), max(row.last for row in rows)
        for carried in tx.execute(
            text(
                """
                SELECT p.currency, -sum(e.amount) AS amount
                FROM earnings e JOIN payouts p ON p.id = e.source_id
                WHERE e.source_kind = :source_kind AND e.source_id BETWEEN :first AND :last
                      AND e.kind = 'carry_over' AND p.run_id = :run_id
                GROUP BY p.currency
                """
            ),
            {"source_kind": CARRIED_OUT, "first": first, "last": last, "run_id": run_id},
        ):
            made[carried.currency]["carried"] = int(carried.amount)
    return made


def settle_runs(tx: Tx, run_id: int | None) -> list[int]:
    """Settle runs (one, or all) whose payouts are all paid, canceled or reversed; returns them."""
    rows = tx.execute(
        text(
            """
            WITH done AS (
                SELECT r.id FROM payout_runs r
                WHERE r.state = 'sending' AND (CAST(:run_id AS bigint) IS NULL OR r.id = :run_id)
                      AND NOT EXISTS (SELECT FROM payouts p WHERE p.run_id = r.id
                                      AND p.state NOT IN ('paid', 'canceled', 'reversed'))
                ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE payout_runs r SET state = 'settled', settled_at = clock_timestamp()
            FROM done WHERE r.id = done.id
            RETURNING r.id
            """
        ),
        {"run_id": run_id},
    )
    return sorted(row.id for row in rows)


def payees_of(tx: Tx, merchant_id: int, user_ids: Sequence[str]) -> dict[str, PayeeView]:
    """Where the money of users goes; users without a payee are left out."""
    rows = tx.execute(
        text(
            """
            SELECT id, user_id, method, account, blocked_reason, destination_since FROM payees
            WHERE merchant_id = :merchant_id AND user_id = ANY(:user_ids)
            """
        ),
        {"merchant_id": merchant_id, "user_ids": list(user_ids)},
    )
    return {
        r.user_id: PayeeView(r.id, r.method, r.account, r.blocked_reason, r.destination_since)
        for r in rows
    }
