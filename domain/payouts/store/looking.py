"""SQL of pages: runs, what they left out, payouts and payees, by ascending or descending key."""

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

ATTEMPTS_SHOWN: Final = 100
BEHIND_ALL: Final = 2**63 - 1
"""An id that no payout has yet."""

_RUN: Final = """
    SELECT r.id, r.name, r.state, r.as_of, r.minimums, r.methods, r.result, encode(r.members_hash, 'hex')
           AS members_hash, r.created_at, r.prepared_by, r.needs_approval, r.approval_expires_at, r.frozen_at,
           r.approved_at, r.approved_by, r.rejected_at, r.rejected_by, r.reject_reason, r.settled_at
    FROM payout_runs r
"""
# A list names the first hundred trackings of a payout; its own page pages through all that is in it.
_PAYOUT: Final = """
    SELECT p.id, p.run_id, p.user_id, p.amount, p.currency, p.state AS status, p.method, p.members,
           p.external_transaction_id, p.processed_at, p.failed_at, p.error_code, p.error_message, p.created_at,
           p.reversed_amount, p.next_try_at, coalesce(p.frozen_reason, p.parked_reason) AS waits_for,
           p.frozen_reason, p.parked_reason,
           ARRAY(SELECT e.source_id FROM earnings e
                 WHERE e.payout_id = p.id AND e.source_kind = 'tracking'
                 ORDER BY e.id LIMIT 100) AS trackings
    FROM payouts p
"""
# The pairs of currency and method that a merchant has payouts of, each found by one look behind the one
# before; then the newest of each that is asked for. (The end of a pair is found by looking at what comes
# before it in the index: with equations instead, the planner may walk any other index of ids.)
_OF_PAIRS: Final = """
    WITH RECURSIVE pairs (currency, method) AS (
        (SELECT currency, method FROM payouts WHERE merchant_id = :merchant_id
         ORDER BY currency, method LIMIT 1)
        UNION ALL
        SELECT following.* FROM pairs s CROSS JOIN LATERAL (
            SELECT currency, method FROM payouts
            WHERE merchant_id = :merchant_id AND (currency, method) > (s.currency, s.method)
            ORDER BY currency, method LIMIT 1
        ) following
    ), page AS (
        SELECT newest.id FROM pairs s CROSS JOIN LATERAL (
            SELECT merchant_id, currency, method, id FROM payouts
            WHERE (merchant_id, currency, method, id) < (:merchant_id, s.currency, s.method, :before)
            ORDER BY merchant_id DESC, currency DESC, method DESC, id DESC LIMIT :limit
        ) newest
        WHERE (newest.merchant_id, newest.currency, newest.method) = (:merchant_id, s.currency, s.method)$pairs
        ORDER BY newest.id DESC LIMIT :limit
    )
    $payout WHERE p.id = ANY(ARRAY(SELECT id FROM page)) ORDER BY p.id DESC
"""
_PAYEE: Final = """
    SELECT y.user_id, y.name, y.method, y.account, y.blocked_reason, coalesce(b.owed, '{}'::jsonb) AS owed
    FROM payees y
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(a.currency, a.balance) AS owed FROM ledger_accounts a
        WHERE a.merchant_id = y.merchant_id AND a.kind = 'payable' AND a.owner = y.user_id
    ) b ON true
"""


def runs(
    tx: Tx, merchant_id: int, *, state: str | None, before: int | None, limit: int
) -> list[Any]:
    """A merchant's runs with an id below ``before``, newest first."""
    return _page(
        tx,
        _RUN,
        "r.merchant_id = :merchant_id",
        {"r.state = :state": state, "r.id < :before": before},
        "ORDER BY r.id DESC LIMIT :limit",
        {"merchant_id": merchant_id, "state": state, "before": before, "limit": limit},
    )


def run(tx: Tx, merchant_id: int, run_id: int) -> Any:
    """A merchant's run, or None."""
    wanted = {"merchant_id": merchant_id, "id": run_id}
    return tx.execute(
        text(f"{_RUN} WHERE r.id = :id AND r.merchant_id = :merchant_id"), wanted
    ).one_or_none()


def exclusions(tx: Tx, run_id: int, *, after: int | None, limit: int) -> list[Any]:
    """Whom a run left out and why, by ascending account above ``after``."""
    return _page(
        tx,
        """
        SELECT x.account_id, x.user_id, x.currency, x.amount, x.reason, x.detail, x.created_at
        FROM payout_exclusions x
        """,
        "x.run_id = :run_id",
        {"x.account_id > :after": after},
        "ORDER BY x.account_id LIMIT :limit",
        {"run_id": run_id, "after": after, "limit": limit},
    )


def payouts(
    tx: Tx,
    merchant_id: int,
    *,
    user_id: str | None = None,
    state: str | None = None,
    run_id: int | None = None,
    method: str | None = None,
    currency: str | None = None,
    frozen: bool = False,
    before: int | None = None,
    limit: int,
) -> list[Any]:
    """A merchant's payouts with an id below ``before``, newest first; None does not narrow.

    By currency, by method or by both alone, the newest of each pair of both is looked up in the index of pairs: no
    filter that nothing matches walks through all that the merchant ever paid.
    ``frozen``: only those that were stopped in doubt.
    """
    wanted = {
        "merchant_id": merchant_id,
        "user_id": user_id,
        "state": state,
        "run_id": run_id,
        "method": method,
        "currency": currency,
        "before": before,
        "limit": limit,
    }
    alone = user_id is None and state is None and run_id is None and not frozen
    if alone and (method is not None or currency is not None):
        of_pairs = _narrow({"s.method = :method": method, "s.currency = :currency": currency})
        select = _OF_PAIRS.replace("$pairs", of_pairs).replace("$payout", _PAYOUT)
        return list(tx.execute(text(select), _given(wanted | {"before": before or BEHIND_ALL})))
    return _page(
        tx,
        _PAYOUT,
        "p.merchant_id = :merchant_id",
        {
            "p.user_id = :user_id": user_id,
            "p.state = :state": state,
            "p.run_id = :run_id": run_id,
            "p.method = :method": method,
            "p.currency = :currency": currency,
            "p.frozen_reason IS NOT NULL": frozen or None,
            "p.id < :before": before,
        },
        "ORDER BY p.id DESC LIMIT :limit",
        wanted,
    )


def payout(tx: Tx, merchant_id: int, payout_id: int) -> Any:
    """A merchant's payout, or None."""
    wanted = {"merchant_id": merchant_id, "id": payout_id}
    return tx.execute(
        text(f"{_PAYOUT} WHERE p.id = :id AND p.merchant_id = :merchant_id"), wanted
    ).one_or_none()


def members(tx: Tx, payout_id: int, *, after: int | None, limit: int) -> list[Any]:
    """The earnings in a payout, by ascending id above ``after``."""
    return _page(
        tx,
        """
        SELECT e.id, e.amount, e.kind, e.source_kind, e.source_id, e.available_at FROM earnings e
        """,
        "e.payout_id = :payout_id",
        {"e.id > :after": after},
        "ORDER BY e.id LIMIT :limit",
        {"payout_id": payout_id, "after": after, "limit": limit},
    )


def attempts(tx: Tx, payout_id: int) -> list[Any]:
    """The newest attempts of a payout, oldest of them first; not what was sent, nor to whom."""
    rows = tx.execute(
        text(
            """
            SELECT n, leg, state, idempotency_key AS key, outcome, http_status, error_code, error_message,
                   history, external_id, tries, sent_at, lease_until, resolved_at, created_at,
                   abandon_proposed_by, abandon_agreed_by
            FROM payout_attempts WHERE payout_id = :id ORDER BY id DESC LIMIT :limit
            """
        ),
        {"id": payout_id, "limit": ATTEMPTS_SHOWN},
    ).all()
    return list(reversed(rows))


def stops(tx: Tx, merchant_id: int, method: str) -> list[str]:
    """The reasons of the stops in force for a merchant and method, oldest first."""
    rows = tx.execute(
        text(
            """
            SELECT kind, reason, stopped_by FROM payout_stops
            WHERE lifted_at IS NULL AND (merchant_id IS NULL OR merchant_id = :merchant_id)
                  AND (method IS NULL OR method = :method)
            ORDER BY id
            """
        ),
        {"merchant_id": merchant_id, "method": method},
    )
    return [f"{row.reason} ({row.kind}, {row.stopped_by})" for row in rows]


def payees(tx: Tx, merchant_id: int, *, after: str | None, limit: int) -> list[Any]:
    """A merchant's payees above ``after``, by user, with what is owed to each (minor units)."""
    return _page(
        tx,
        _PAYEE,
        "y.merchant_id = :merchant_id",
        {"y.user_id > :after": after},
        "ORDER BY y.user_id LIMIT :limit",
        {"merchant_id": merchant_id, "after": after, "limit": limit},
    )


def payee(tx: Tx, merchant_id: int, user_id: str) -> Any:
    """A merchant's payee with what is owed (minor units), or None."""
    return tx.execute(
        text(f"{_PAYEE} WHERE y.merchant_id = :merchant_id AND y.user_id = :user_id"),
        {"merchant_id": merchant_id, "user_id": user_id},
    ).one_or_none()


def last_exclusion(tx: Tx, merchant_id: int, user_id: str) -> Any:
    """The newest run that left a user out, and why, or None."""
    return tx.execute(
        text(
            """
            SELECT run_id, currency, amount, reason, detail, created_at FROM payout_exclusions
            WHERE merchant_id = :merchant_id AND user_id = :user_id
            ORDER BY run_id DESC LIMIT 1
            """
        ),
        {"merchant_id": merchant_id, "user_id": user_id},
    ).one_or_none()


def _page(
    tx: Tx,
    select: str,
    always: str,
    clauses: dict[str, Any],
    order: str,
    values: dict[str, Any],
) -> list[Any]:
    return list(
        tx.execute(text(f"{select} WHERE {always}{_narrow(clauses)} {order}"), _given(values))
    )


def _narrow(clauses: dict[str, Any]) -> str:
    # A condition is there or not, so that the plan is made for those that are.
    return "".join(f" AND {clause}" for clause, value in clauses.items() if value is not None)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
