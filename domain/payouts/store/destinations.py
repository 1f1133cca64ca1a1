"""SQL of where payees are paid, of who shares that, and of changes that are still to be looked at."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

SETTLING: Final = timedelta(minutes=10)
"""Longer than any batch of events: its statements, and its idling, are ended before (see ``domain.db``)."""


@dataclass(frozen=True, slots=True)
class Look:
    """A payee whose destination changed, as it is to be looked at. ``settled``: for the last time."""

    payee_id: int
    merchant_id: int
    user_id: str
    changes: int
    settled: bool


# The bank data that the account names, whatever was stored since: what it is paid to, not what it was.
_RECIPIENT = """
    LEFT JOIN LATERAL (
        SELECT r.fingerprint FROM payee_recipients r
        WHERE r.payee_id = p.id AND r.method = p.method
              AND p.account = coalesce(r.external_id, 'rcp_' || r.id)
        ORDER BY r.id DESC LIMIT 1
    ) r ON true
"""


def of_users(tx: Tx, users: Collection[tuple[int, str]]) -> dict[tuple[int, str], str]:
    """Where (merchant, user) are paid: the account, or the fingerprint of the bank data that it names."""
    merchants, names = (list(column) for column in zip(*sorted(users), strict=True))
    rows = tx.execute(
        text(
            f"""
            SELECT p.merchant_id, p.user_id,
                   coalesce(encode(r.fingerprint, 'hex'), p.method || ':' || p.account) AS destination
            FROM unnest(CAST(:merchants AS bigint[]), CAST(:users AS text[])) AS k (merchant_id, user_id)
            JOIN payees p USING (merchant_id, user_id)
            {_RECIPIENT}
            """  # noqa: S608 - no value is spliced in
        ),
        {"merchants": merchants, "users": names},
    )
    return {(row.merchant_id, row.user_id): row.destination for row in rows if row.destination}


def may_share(tx: Tx, payee_id: int, *, after: int, limit: int) -> list[Any]:
    """Payees (id, user_id) of the same merchant above ``after`` who may be paid where a payee is, ascending.

    Those with the same account, and those who ever had the same bank data: compare them with ``of_users``.
    """
    return list(
        tx.execute(
            text(
                f"""
                SELECT o.id, o.user_id
                FROM payees p {_RECIPIENT}
                CROSS JOIN LATERAL (
                    SELECT id FROM payees WHERE account = p.account
                    UNION
                    SELECT payee_id FROM payee_recipients WHERE fingerprint = r.fingerprint
                ) s
                JOIN payees o ON o.id = s.id AND o.merchant_id = p.merchant_id
                WHERE p.id = :payee_id AND o.id <> p.id AND o.id > :after
                ORDER BY o.id LIMIT :limit
                """  # noqa: S608 - no value is spliced in
            ),
            {"payee_id": payee_id, "after": after, "limit": limit},
        )
    )


def not_alone(tx: Tx, payee_ids: Sequence[int]) -> set[int]:
    """Those of some payees with whom ``may_share`` finds anybody: hardly one, of many who are new."""
    rows = tx.execute(
        text(
            f"""
            SELECT p.id FROM payees p {_RECIPIENT}
            WHERE p.id = ANY(:ids)
                  AND (EXISTS (SELECT FROM payees o WHERE o.account = p.account
                               AND o.merchant_id = p.merchant_id AND o.id <> p.id)
                       OR EXISTS (SELECT FROM payee_recipients q WHERE q.fingerprint = r.fingerprint
                                  AND q.merchant_id = p.merchant_id AND q.payee_id <> p.id))
            """  # noqa: S608 - no value is spliced in
        ),
        {"ids": list(payee_ids)},
    )
    return {row.id for row in rows}


def unlooked(tx: Tx, merchant_id: int, users: Sequence[str]) -> set[str]:
    """Those of a merchant's users whose destination others have too, or who may, since a change of either
    that is still to be looked at: what they earned by one another is to be held before it is claimed.
    Nobody of a merchant without a policy that looks at destinations: there a look holds nothing.

    A last look may have to wait for as long as a backup takes. What was decided by the destination of
    before, for which it waits, is committed within SETTLING, or never.
    """
    rows = tx.execute(
        text(
            f"""
            SELECT p.user_id FROM payees p {_RECIPIENT}
            WHERE p.merchant_id = :merchant_id AND p.user_id = ANY(:users)
                  AND EXISTS (SELECT FROM hold_policies h WHERE h.merchant_id = :merchant_id AND h.shared_destination)
                  AND EXISTS (SELECT FROM destination_looks l WHERE l.merchant_id = :merchant_id AND {_PENDING})
                  AND EXISTS (
                      SELECT FROM (
                          SELECT id FROM payees WHERE account = p.account
                          UNION
                          SELECT payee_id FROM payee_recipients WHERE fingerprint = r.fingerprint
                      ) s
                      JOIN payees o ON o.id = s.id AND o.merchant_id = p.merchant_id AND o.id <> p.id
                      JOIN destination_looks l ON l.payee_id IN (o.id, p.id) AND {_PENDING})
            """  # noqa: S608 - no value is spliced in
        ),
        {"merchant_id": merchant_id, "users": list(users), "settling": SETTLING},
    )
    return {row.user_id for row in rows}


_PENDING = (
    "(l.settles_at IS NULL OR l.changed_at > clock_timestamp() - CAST(:settling AS interval))"
)


def changed(tx: Tx, payees: Sequence[tuple[int, int]]) -> None:
    """Note that destinations of payees (id, merchant) changed, whose rows are locked."""
    ids, merchants = (list(column) for column in zip(*sorted(payees), strict=True))
    tx.execute(
        text(
            """
            INSERT INTO destination_looks AS l (payee_id, merchant_id)
            SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:merchants AS bigint[]))
            ON CONFLICT (payee_id) DO UPDATE
            SET changes = l.changes + 1, settles_at = NULL, changed_at = statement_timestamp()
            """
        ),
        {"ids": ids, "merchants": merchants},
    )


def to_look(tx: Tx, merchant_id: int | None, *, after: int, limit: int) -> list[Look]:
    """Payees above ``after`` that are to be looked at now, of one merchant or of all, ascending; unlocked."""
    rows = tx.execute(
        text(
            """
            SELECT l.payee_id, l.merchant_id, p.user_id, l.changes, l.settles_at IS NOT NULL AS settled
            FROM destination_looks l JOIN payees p ON p.id = l.payee_id
            WHERE l.payee_id > :after AND (CAST(:merchant_id AS bigint) IS NULL OR l.merchant_id = :merchant_id)
                  AND (l.settles_at IS NULL
                       OR l.settles_at <= CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint))
            ORDER BY l.payee_id LIMIT :limit
            """
        ),
        {"merchant_id": merchant_id, "after": after, "limit": limit},
    )
    return [Look(**row._mapping) for row in rows]


def looked(tx: Tx, looks: Sequence[Look]) -> None:
    """After first looks, say from when the last ones are due; forget what was looked at for the last time.

    What changed again meanwhile stays to be looked at.
    """
    first = [look for look in looks if not look.settled]
    last = [look for look in looks if look.settled]
    if first:
        tx.execute(
            text(
                """
                UPDATE destination_looks l
                SET settles_at = CAST(CAST(pg_current_xact_id() AS text) AS bigint)
                FROM unnest(CAST(:ids AS bigint[]), CAST(:changes AS int[])) AS k (id, changes)
                WHERE l.payee_id = k.id AND l.changes = k.changes AND l.settles_at IS NULL
                """
            ),
            _keys(first),
        )
    if last:
        tx.execute(
            text(
                """
                DELETE FROM destination_looks l
                USING unnest(CAST(:ids AS bigint[]), CAST(:changes AS int[])) AS k (id, changes)
                WHERE l.payee_id = k.id AND l.changes = k.changes
                """
            ),
            _keys(last),
        )


def _keys(looks: Sequence[Look]) -> dict[str, list[int]]:
    return {"ids": [one.payee_id for one in looks], "changes": [one.changes for one in looks]}
