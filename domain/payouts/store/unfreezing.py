"""SQL by which a payout that was stopped goes on."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.attempts import REPLAY_WINDOW
from domain.payouts.rules.outside import SAID
from domain.payouts.rules.unfreezing import LOOKED_FOR


def propose(
    tx: Tx, *, merchant_id: int, payout_id: int, reason: str, evidence: str, by: str
) -> None:
    """Write who proposes it, and why; a new proposal replaces one that nobody agreed to."""
    tx.execute(
        text(
            """
            INSERT INTO payout_unfreezes (merchant_id, payout_id, frozen_reason, evidence, proposed_by)
            VALUES (:merchant_id, :payout_id, :reason, :evidence, :by)
            ON CONFLICT (payout_id) WHERE used_at IS NULL DO UPDATE
            SET frozen_reason = excluded.frozen_reason, evidence = excluded.evidence,
                proposed_by = excluded.proposed_by
            """
        ),
        {
            "merchant_id": merchant_id,
            "payout_id": payout_id,
            "reason": reason,
            "evidence": evidence,
            "by": by,
        },
    )


def proposal(tx: Tx, payout_id: int) -> Any:
    """The proposal that waits for a second person, locked, or None."""
    return tx.execute(
        text(
            """
            SELECT id, frozen_reason, evidence, proposed_by FROM payout_unfreezes
            WHERE payout_id = :payout_id AND used_at IS NULL FOR NO KEY UPDATE
            """
        ),
        {"payout_id": payout_id},
    ).one_or_none()


def agree(tx: Tx, unfreeze_id: int, *, by: str) -> None:
    """Write who agrees; the database refuses the one who proposed."""
    tx.execute(
        text("UPDATE payout_unfreezes SET agreed_by = :by WHERE id = :id"),
        {"id": unfreeze_id, "by": by},
    )


def go_on(tx: Tx, payout_id: int, *, ask: bool) -> None:
    """Let a payout go on; with ``ask`` the next sweep asks for it, where something is to come of it.

    Without, nothing is sent by itself: the gateway is only asked what became of what it has, and an unknown
    attempt is looked for once its key can not be sent any more.
    """
    tx.execute(
        text(
            """
            UPDATE payouts p SET frozen_reason = NULL, updated_at = clock_timestamp(), emit_count = 0,
                   look_at = CASE
                       WHEN (method = 'wise' AND state IN ('in_transit', 'returned'))
                            OR (bank_leg AND state IN ('in_transit', 'paid')
                                AND (:ask OR EXISTS (SELECT FROM payout_attempts a WHERE a.payout_id = p.id
                                                     AND a.leg = 'bank' AND a.state = 'succeeded')))
                            OR (:ask AND (state IN ('approved', 'sending', 'unknown')
                                          OR (state IN ('failed', 'returned') AND next_try_at IS NOT NULL)))
                       THEN clock_timestamp()
                       -- In flight, or its sender vanished: looked for when its key is not sent any more.
                       WHEN state IN ('sending', 'unknown') THEN (
                            SELECT greatest(a.sent_at + CAST(:forgotten AS interval), clock_timestamp())
                            FROM payout_attempts a WHERE a.payout_id = p.id
                                 AND (a.state = 'unknown' OR (a.state = 'sending' AND a.lease_until IS NOT NULL))
                            ORDER BY a.leg LIMIT 1) END,
                   parked_reason = CASE WHEN NOT :ask AND state = 'unknown'
                                             AND parked_reason IS DISTINCT FROM :said
                                        THEN :looked_for ELSE parked_reason END,
                   next_try_at = CASE WHEN :ask THEN next_try_at END
            WHERE id = :id
            """
        ),
        {
            "id": payout_id,
            "ask": ask,
            "forgotten": REPLAY_WINDOW,
            "said": SAID,
            "looked_for": LOOKED_FOR,
        },
    )


def hindrance(tx: Tx, payout_id: int) -> str | None:
    """Why a stopped payout may not go on yet, whoever agrees: it would be sent, and the gateway's books or its
    connected account show a payment for it that nobody has explained; or the books were not read since it was
    stopped after a failover."""
    found: str | None = tx.execute(
        text("SELECT coalesce(unfreeze_hindrance(:id), bank_hindrance(:id))"), {"id": payout_id}
    ).scalar_one()
    return found


def unexplained_payment(tx: Tx, payout_id: int) -> str | None:
    """The transfer in the gateway's books that pays a payout, and that no attempt made and nobody explained."""
    found: str | None = tx.execute(
        text("SELECT unexplained_payment(:id)"), {"id": payout_id}
    ).scalar_one()
    return found


def was_given_up(tx: Tx, payout_id: int) -> bool:
    """Whether an attempt of a payout was abandoned."""
    found: bool = tx.execute(
        text(
            """
            SELECT EXISTS (SELECT FROM payout_attempts
                           WHERE payout_id = :payout_id AND state = 'abandoned')
            """
        ),
        {"payout_id": payout_id},
    ).scalar_one()
    return found
