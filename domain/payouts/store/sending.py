"""SQL of sending: payouts and attempts, moved by compare-and-set under the payout's lock."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.outside import SAID

HISTORY_KEPT: Final = 20
"""Outcomes that an attempt's history keeps, newest last."""


@dataclass(frozen=True, slots=True)
class PayoutMove:
    """A change of a payout from state ``old`` to ``new`` (which may be equal).

    ``next_try`` and ``look`` are from now, by the real clock; None means not by itself.
    """

    old: str
    new: str
    next_try: timedelta | None = None
    look: timedelta | None = None
    parked: str | None = None
    frozen: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    external_id: str | None = None
    processed_at: datetime | None = None
    failed_at: datetime | None = None
    tried: int = 0


@dataclass(frozen=True, slots=True)
class AttemptMove:
    """A change of an attempt from state ``old`` to ``new`` (which may be equal); its lease ends."""

    old: str
    new: str
    outcome: str
    resolved: bool
    external_id: str | None = None
    http_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    replayed: bool | None = None
    note: Mapping[str, Any] | None = None


# Parsed once: they are in the way of every send.
_INSERT_ATTEMPT: Final = text(
    """
    INSERT INTO payout_attempts (merchant_id, payout_id, leg, n, idempotency_key, params, params_hash,
                                 api_version, platform_account, state, lease_until, sent_at, tries)
    VALUES (:merchant_id, :payout_id, :leg, :n, :key, CAST(:params AS jsonb), :params_hash,
            :api_version, :platform_account, 'sending', clock_timestamp() + CAST(:lease AS interval), clock_timestamp(), 1)
    RETURNING id, lease_until
    """
)
_MOVE_ATTEMPT: Final = text(
    """
    UPDATE payout_attempts
    SET state = :new, lease_until = NULL, outcome = :outcome,
        resolved_at = CASE WHEN :resolved THEN clock_timestamp() END,
        external_id = coalesce(external_id, :external_id), http_status = :http_status,
        error_code = :error_code, error_message = left(:error_message, 500), replayed = :replayed,
        history = (CASE WHEN jsonb_array_length(history) >= :kept THEN history - 0 ELSE history END)
                  || jsonb_build_array(jsonb_build_object('at', clock_timestamp()) || CAST(:note AS jsonb))
    WHERE id = :id AND state = :old
    """
)


def route(tx: Tx, payout_id: int) -> Any:
    """Merchant and method of a payout, or None."""
    return tx.execute(
        text("SELECT merchant_id, method FROM payouts WHERE id = :id"), {"id": payout_id}
    ).one_or_none()


def route_of_attempt(tx: Tx, attempt_id: int) -> Any:
    """Merchant and method of an attempt's payout, or None."""
    return tx.execute(
        text(
            """
            SELECT p.merchant_id, p.method FROM payout_attempts a JOIN payouts p ON p.id = a.payout_id
            WHERE a.id = :id
            """
        ),
        {"id": attempt_id},
    ).one_or_none()


def peek(tx: Tx, payout_id: int) -> Any:
    """A payout beside its payee, who is locked: a block that is committed stops every later send.

    The payout is not locked yet (payees and accounts come first), so its state is not read here.
    """
    return tx.execute(
        text(
            """
            SELECT p.account_id, p.method, p.destination, y.method AS payee_method,
                   y.account AS payee_account, y.blocked_reason
            FROM payouts p JOIN payees y ON y.id = p.payee_id
            WHERE p.id = :id FOR SHARE OF y
            """
        ),
        {"id": payout_id},
    ).one_or_none()


def lock_payout(tx: Tx, payout_id: int) -> Any:
    """The payout, locked, or None. Whoever changes an attempt holds this lock."""
    return tx.execute(
        text("SELECT * FROM payouts WHERE id = :id FOR NO KEY UPDATE"), {"id": payout_id}
    ).one_or_none()


def account_of(tx: Tx, payout_id: int) -> int | None:
    """The payable account of a payout: it is locked before the payout is."""
    account_id: int | None = tx.execute(
        text("SELECT account_id FROM payouts WHERE id = :id"), {"id": payout_id}
    ).scalar()
    return account_id


def latest_attempt(tx: Tx, payout_id: int, leg: str) -> Any:
    """The highest n of a leg, its live attempt (NULLs if none), and the real clock, as `real_now`."""
    return tx.execute(
        text(
            """
            SELECT clock_timestamp() AS real_now,
                   (SELECT coalesce(max(n), 0) FROM payout_attempts
                    WHERE payout_id = :payout_id AND leg = :leg) AS last_n, a.*
            FROM (SELECT) one LEFT JOIN payout_attempts a
                 ON a.payout_id = :payout_id AND a.leg = :leg
                    AND a.state NOT IN ('failed', 'abandoned', 'reversed')
            """
        ),
        {"payout_id": payout_id, "leg": leg},
    ).one()


def attempt(tx: Tx, attempt_id: int) -> Any:
    """An attempt with the real clock, as `real_now`, or None."""
    return tx.execute(
        text("SELECT *, clock_timestamp() AS real_now FROM payout_attempts WHERE id = :id"),
        {"id": attempt_id},
    ).one_or_none()


def insert_attempt(
    tx: Tx,
    *,
    merchant_id: int,
    payout_id: int,
    leg: str,
    n: int,
    key: str,
    params: Mapping[str, Any],
    params_hash: bytes,
    api_version: str,
    platform_account: str,
    lease: timedelta | None,
) -> Any:
    """Mint a key: the intent to send, committed before anything is sent. Returns id and lease.

    ``lease`` None: no machine works on it, and none takes it for lost.
    """
    return tx.execute(
        _INSERT_ATTEMPT,
        {
            "merchant_id": merchant_id,
            "payout_id": payout_id,
            "leg": leg,
            "n": n,
            "key": key,
            "params": json.dumps(params),
            "params_hash": params_hash,
            "api_version": api_version,
            "platform_account": platform_account,
            "lease": lease,
        },
    ).one()


def lease_attempt(tx: Tx, attempt_id: int, state: str, lease: timedelta) -> datetime:
    """Take the lease of an attempt; the age of a waiting one's key counts from now."""
    until: datetime = tx.execute(
        text(
            """
            UPDATE payout_attempts
            SET lease_until = clock_timestamp() + CAST(:lease AS interval), tries = tries + 1,
                sent_at = CASE WHEN state = 'sending' AND lease_until IS NULL THEN clock_timestamp()
                               ELSE sent_at END
            WHERE id = :id AND state = :state
            RETURNING lease_until
            """
        ),
        {"id": attempt_id, "state": state, "lease": lease},
    ).scalar_one()
    return until


def move_attempt(tx: Tx, attempt_id: int, move: AttemptMove) -> None:
    """Compare-and-set an attempt, and add to its history."""
    moved = tx.execute(
        _MOVE_ATTEMPT,
        {
            "id": attempt_id,
            "old": move.old,
            "new": move.new,
            "outcome": move.outcome,
            "resolved": move.resolved,
            "external_id": move.external_id,
            "http_status": move.http_status,
            "error_code": move.error_code,
            "error_message": move.error_message,
            "replayed": move.replayed,
            "note": json.dumps(dict(move.note or {"outcome": move.outcome})),
            "kept": HISTORY_KEPT,
        },
    )
    assert moved.rowcount == 1, f"attempt {attempt_id} was {move.old}"


def move_payout(tx: Tx, payout_id: int, move: PayoutMove) -> None:
    """Compare-and-set a payout. One that is stopped keeps what a person said of it: that holds after the stop."""
    moved = tx.execute(
        text(
            """
            UPDATE payouts
            SET state = :new, updated_at = clock_timestamp(), emit_count = 0, tries = tries + :tried,
                next_try_at = clock_timestamp() + CAST(:next_try AS interval),
                look_at = clock_timestamp() + CAST(:look AS interval),
                parked_reason = CASE WHEN CAST(:frozen AS text) IS NOT NULL AND parked_reason = :said
                                     THEN parked_reason ELSE :parked END,
                frozen_reason = coalesce(frozen_reason, :frozen),
                error_code = :error_code, error_message = left(:error_message, 500),
                external_transaction_id = coalesce(external_transaction_id, :external_id),
                processed_at = coalesce(:processed_at, processed_at), failed_at = coalesce(:failed_at, failed_at)
            WHERE id = :id AND state = :old
            """
        ),
        {
            "id": payout_id,
            "old": move.old,
            "new": move.new,
            "next_try": move.next_try,
            "look": move.look,
            "parked": move.parked,
            "frozen": move.frozen,
            "said": SAID,
            "error_code": move.error_code,
            "error_message": move.error_message,
            "external_id": move.external_id,
            "processed_at": move.processed_at,
            "failed_at": move.failed_at,
            "tried": move.tried,
        },
    )
    assert moved.rowcount == 1, f"payout {payout_id} was {move.old}"


def cancel_drafts(tx: Tx, payout_ids: Sequence[int], reason: str) -> list[Any]:
    """Cancel those of the payouts that are drafts still, and not stopped, locked in id order; returns them as
    they were frozen, by ascending id."""
    rows = tx.execute(
        text(
            """
            WITH drafts AS (
                SELECT id FROM payouts WHERE id = ANY(:ids) AND state = 'draft' AND frozen_reason IS NULL
                ORDER BY id FOR NO KEY UPDATE
            )
            UPDATE payouts p
            SET state = 'canceled', updated_at = clock_timestamp(), emit_count = 0, next_try_at = NULL,
                look_at = NULL, parked_reason = NULL, error_code = NULL, error_message = left(:reason, 500)
            FROM drafts WHERE p.id = drafts.id
            RETURNING p.id, p.merchant_id, p.user_id, p.currency, p.amount, p.members
            """
        ),
        {"ids": list(payout_ids), "reason": reason},
    )
    return sorted(rows, key=lambda row: row.id)
