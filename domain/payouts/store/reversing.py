"""SQL of what is asked to be taken back, moved by compare-and-set under the payout's lock."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.stopping import Stop
from domain.payouts.store.sending import HISTORY_KEPT

_HOLDS: Final = """
    s.lifted_at IS NULL AND s.kind <> 'kill_switch'
    AND (s.merchant_id IS NULL OR s.merchant_id = p.merchant_id)
    AND (s.method IS NULL OR s.method = p.method)
"""
"""Condition under which stop ``s`` keeps what payout ``p`` paid from being taken back: a gateway that does
not answer, a database that may have forgotten requests. A person's stop does not: it stops money that
leaves, and what left wrongly is taken back while it is in force."""


@dataclass(frozen=True, slots=True)
class RequestMove:
    """A change of a request from state ``old`` to ``new`` (which may be equal); its lease ends.

    ``next_try`` and ``look`` are from now, by the real clock; None means not by itself.
    """

    old: str
    new: str
    outcome: str
    resolved: bool
    next_try: timedelta | None = None
    look: timedelta | None = None
    waits_for: str | None = None
    external_id: str | None = None
    http_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    replayed: bool | None = None
    note: Mapping[str, Any] | None = None


def of_payout(tx: Tx, payout_id: int) -> Any:
    """What decides whether a payout can be taken back, which the caller has locked: the attempt that paid
    it (NULLs if none did), whether a request is live, the number of the last one, and whether a bank attempt
    has paid or may."""
    return tx.execute(
        text(
            """
            SELECT (SELECT code FROM installation) AS installation, a.id AS attempt_id, a.external_id AS transfer,
                   a.platform_account,
                   (SELECT coalesce(max(n), 0) FROM reversal_requests WHERE payout_id = :payout_id) AS last_n,
                   EXISTS (SELECT FROM reversal_requests WHERE payout_id = :payout_id
                           AND state IN ('created', 'sending', 'unknown')) AS live,
                   EXISTS (SELECT FROM payout_attempts WHERE payout_id = :payout_id AND leg = 'bank'
                           AND state NOT IN ('failed', 'abandoned', 'reversed')) AS goes_to_bank
            FROM (SELECT) one LEFT JOIN payout_attempts a
                 ON a.payout_id = :payout_id AND a.leg = 'transfer' AND a.state = 'succeeded'
            """
        ),
        {"payout_id": payout_id},
    ).one()


def insert(
    tx: Tx,
    payout: Any,
    paid_by: Any,
    *,
    n: int,
    key: str,
    amount: int,
    reason: str,
    by: str,
    look: timedelta,
) -> int:
    """Keep what is asked for, before the gateway is; ``amount`` in minor units. Returns its id."""
    made: int = tx.execute(
        text(
            """
            INSERT INTO reversal_requests (merchant_id, payout_id, attempt_id, n, currency, amount, reason,
                                           asked_by, idempotency_key, transfer, platform_account, look_at)
            VALUES (:merchant_id, :payout_id, :attempt_id, :n, :currency, :amount, :reason, :by, :key,
                    :transfer, :platform_account, clock_timestamp() + CAST(:look AS interval))
            RETURNING id
            """
        ),
        {
            "merchant_id": payout.merchant_id,
            "payout_id": payout.id,
            "attempt_id": paid_by.attempt_id,
            "n": n,
            "currency": payout.currency,
            "amount": amount,
            "reason": reason,
            "by": by,
            "key": key,
            "transfer": paid_by.transfer,
            "platform_account": paid_by.platform_account,
            "look": look,
        },
    ).scalar_one()
    return made


def read(tx: Tx, request_id: int) -> Any:
    """A request with its payout's method, the key of the attempt that paid it, and the real clock, as
    `real_now`; or None."""
    return tx.execute(
        text(
            """
            SELECT r.*, p.method, a.idempotency_key AS attempt_key, clock_timestamp() AS real_now
            FROM reversal_requests r JOIN payouts p ON p.id = r.payout_id
                 JOIN payout_attempts a ON a.id = r.attempt_id
            WHERE r.id = :id
            """
        ),
        {"id": request_id},
    ).one_or_none()


def live_of(tx: Tx, payout_id: int) -> int | None:
    """The request of a payout that is on its way, or None."""
    found: int | None = tx.execute(
        text(
            "SELECT id FROM reversal_requests WHERE payout_id = :id AND state IN ('created', 'sending', 'unknown')"
        ),
        {"id": payout_id},
    ).scalar()
    return found


def stop_in_force(tx: Tx, merchant_id: int, method: str) -> Stop | None:
    """The oldest stop that keeps reversals from being asked for; or None."""
    row = tx.execute(
        text(
            """
            SELECT s.id, s.kind, s.merchant_id, s.method, s.reason, s.stopped_by FROM payout_stops s,
                   (VALUES (CAST(:merchant_id AS bigint), CAST(:method AS text))) AS p (merchant_id, method)
            WHERE $holds ORDER BY s.id LIMIT 1
            """.replace("$holds", _HOLDS)
        ),
        {"merchant_id": merchant_id, "method": method},
    ).one_or_none()
    if row is None:
        return None
    return Stop(row.id, row.kind, row.merchant_id, row.method, row.reason, row.stopped_by)


def fix_params(
    tx: Tx, request_id: int, params: Mapping[str, Any], digest: bytes, api_version: str
) -> None:
    """Fix what will be sent, once; the database refuses to change it."""
    tx.execute(
        text(
            """
            UPDATE reversal_requests SET params = CAST(:params AS jsonb), params_hash = :digest,
                   api_version = :api_version
            WHERE id = :id
            """
        ),
        {
            "id": request_id,
            "params": json.dumps(dict(params)),
            "digest": digest,
            "api_version": api_version,
        },
    )


def lease(
    tx: Tx, request_id: int, *, old: str, new: str, lease: timedelta, look: timedelta
) -> datetime:
    """Take the lease of a request; the age of the key of one that waits counts from now."""
    until: datetime = tx.execute(
        text(
            """
            UPDATE reversal_requests
            SET state = :new, lease_until = clock_timestamp() + CAST(:lease AS interval), tries = tries + 1,
                next_try_at = NULL, waits_for = NULL, look_at = clock_timestamp() + CAST(:look AS interval),
                sent_at = CASE WHEN state IN ('created', 'sending') AND lease_until IS NULL
                               THEN clock_timestamp() ELSE sent_at END
            WHERE id = :id AND state = :old
            RETURNING lease_until
            """
        ),
        {"id": request_id, "old": old, "new": new, "lease": lease, "look": look},
    ).scalar_one()
    return until


def move(tx: Tx, request_id: int, change: RequestMove) -> None:
    """Compare-and-set a request, and add to its history."""
    moved = tx.execute(
        text(
            """
            UPDATE reversal_requests
            SET state = :new, lease_until = NULL, outcome = :outcome, waits_for = left(:waits_for, 500),
                resolved_at = CASE WHEN :resolved THEN clock_timestamp() END, emit_count = 0,
                next_try_at = clock_timestamp() + CAST(:next_try AS interval),
                look_at = clock_timestamp() + CAST(:look AS interval),
                external_id = coalesce(external_id, :external_id), http_status = :http_status,
                error_code = :error_code, error_message = left(:error_message, 500), replayed = :replayed,
                history = (CASE WHEN jsonb_array_length(history) >= :kept THEN history - 0 ELSE history END)
                          || jsonb_build_array(jsonb_build_object('at', clock_timestamp()) || CAST(:note AS jsonb))
            WHERE id = :id AND state = :old
            """
        ),
        {
            "id": request_id,
            "old": change.old,
            "new": change.new,
            "outcome": change.outcome,
            "resolved": change.resolved,
            "next_try": change.next_try,
            "look": change.look,
            "waits_for": change.waits_for,
            "external_id": change.external_id,
            "http_status": change.http_status,
            "error_code": change.error_code,
            "error_message": change.error_message,
            "replayed": change.replayed,
            "note": json.dumps(dict(change.note or {"outcome": change.outcome})),
            "kept": HISTORY_KEPT,
        },
    )
    assert moved.rowcount == 1, f"reversal request {request_id} was {change.old}"


def hold(tx: Tx, request_id: int, waits_for: str | None, look: timedelta) -> bool:
    """Keep a request as it is, with what it waits for; the sweep looks at it after ``look``. False, and
    nothing is changed, if it is settled."""
    held = tx.execute(
        text(
            """
            UPDATE reversal_requests SET waits_for = left(:waits_for, 500), emit_count = 0,
                   look_at = clock_timestamp() + CAST(:look AS interval)
            WHERE id = :id AND state IN ('created', 'sending', 'unknown')
            """
        ),
        {"id": request_id, "waits_for": waits_for, "look": look},
    )
    return held.rowcount == 1


def stuck(tx: Tx, limit: int) -> list[Any]:
    """Requests that nothing happened to for too long, longest first. Those of a stopped payout are left
    out, those that others hold, and those that may not be sent now: what may have been sent is looked up."""
    return list(
        tx.execute(
            text(
                """
                SELECT r.id, r.merchant_id, r.emit_count
                FROM reversal_requests r JOIN payouts p ON p.id = r.payout_id
                WHERE r.look_at <= clock_timestamp() AND p.frozen_reason IS NULL
                      AND (r.state = 'unknown' OR r.lease_until IS NOT NULL
                           OR NOT EXISTS (SELECT FROM payout_stops s WHERE $holds))
                ORDER BY r.look_at LIMIT :limit FOR NO KEY UPDATE OF r SKIP LOCKED
                """.replace("$holds", _HOLDS)
            ),
            {"limit": limit},
        )
    )


def emitted(tx: Tx, waits: Sequence[tuple[int, timedelta]]) -> None:
    """Note that requests were asked for again: (id, how long until the sweep looks next)."""
    tx.execute(
        text(
            """
            UPDATE reversal_requests r SET emit_count = emit_count + 1,
                   look_at = clock_timestamp() + w.wait
            FROM unnest(CAST(:ids AS bigint[]), CAST(:waits AS interval[])) AS w (id, wait)
            WHERE r.id = w.id
            """
        ),
        {"ids": [request_id for request_id, _ in waits], "waits": [wait for _, wait in waits]},
    )


def set_aside(tx: Tx, request_id: int, reason: str) -> None:
    """Let the sweep pass a request by, if it would look at it at all, until somebody takes it up."""
    tx.execute(
        text(
            """
            UPDATE reversal_requests SET look_at = NULL, waits_for = :reason
            WHERE id = :id AND look_at IS NOT NULL
            """
        ),
        {"id": request_id, "reason": reason},
    )


def take_up(tx: Tx, request_ids: Collection[int], reason: str, wait: timedelta) -> None:
    """Let the sweep look again, after ``wait``, at requests that were set aside for this reason. They are locked
    in the order of their ids."""
    tx.execute(
        text(
            """
            WITH aside AS (
                SELECT id FROM reversal_requests
                WHERE id = ANY(CAST(:ids AS bigint[])) AND look_at IS NULL AND waits_for = :reason
                ORDER BY id FOR NO KEY UPDATE
            )
            UPDATE reversal_requests r SET look_at = clock_timestamp() + CAST(:wait AS interval),
                   waits_for = NULL, emit_count = 0
            FROM aside WHERE r.id = aside.id
            """
        ),
        {"ids": sorted(request_ids), "reason": reason, "wait": wait},
    )


def propose_abandon(tx: Tx, request_id: int, *, by: str, evidence: str) -> None:
    """Write who proposes to give a request up, and why; a new proposal replaces an older one."""
    tx.execute(
        text(
            """
            UPDATE reversal_requests SET abandon_proposed_by = :by, abandon_evidence = :evidence
            WHERE id = :id AND state = 'unknown'
            """
        ),
        {"id": request_id, "by": by, "evidence": evidence},
    )


def agree_abandon(tx: Tx, request_id: int, *, by: str) -> None:
    """Write who agrees; the database refuses the one who proposed."""
    tx.execute(
        text("UPDATE reversal_requests SET abandon_agreed_by = :by WHERE id = :id"),
        {"id": request_id, "by": by},
    )


def listed(tx: Tx, payout_id: int, limit: int) -> list[Any]:
    """The newest requests of a payout, oldest of them first; not what was sent."""
    rows = tx.execute(
        text(
            """
            SELECT id, n, amount, currency, reason, asked_by, state, idempotency_key AS key, outcome,
                   http_status, error_code, error_message, waits_for, history, external_id, tries, sent_at,
                   lease_until, resolved_at, created_at, abandon_proposed_by, abandon_agreed_by
            FROM reversal_requests WHERE payout_id = :id ORDER BY n DESC LIMIT :limit
            """
        ),
        {"id": payout_id, "limit": limit},
    ).all()
    return list(reversed(rows))


def unbooked(tx: Tx, limit: int) -> list[Any]:
    """Requests that succeeded and whose reversal is not booked as it was made: there must be none."""
    return list(
        tx.execute(
            text(
                """
                SELECT r.id, r.payout_id, r.external_id FROM reversal_requests r
                WHERE r.state = 'succeeded'
                      AND NOT EXISTS (SELECT FROM payout_reversals b
                                      WHERE b.merchant_id = r.merchant_id AND b.payout_id = r.payout_id
                                            AND b.external_id = r.external_id AND b.amount = r.amount)
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )
