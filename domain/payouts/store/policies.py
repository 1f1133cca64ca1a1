"""SQL of payout policies."""

from dataclasses import asdict, replace

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.approving import Limits, Policy, default_policy


def of(tx: Tx, merchant_id: int) -> Policy:
    """A merchant's policy, or what holds where nothing is set."""
    row = tx.execute(
        text(
            """
            SELECT m.mode, p.approval, p.approval_hours, p.cooling_off_hours,
                   coalesce(g.bank_leg, false) AS bank_leg
            FROM merchants m
            LEFT JOIN payout_policies p ON p.merchant_id = m.id
            LEFT JOIN gateway_accounts g ON g.merchant_id = m.id AND g.method = 'stripe'
            WHERE m.id = :merchant_id
            """
        ),
        {"merchant_id": merchant_id},
    ).one()
    limits = tx.execute(
        text(
            """
            SELECT currency, auto_payout, auto_run, minimum, max_payout, max_payee_day, max_day, max_run,
                   adjust_alone
            FROM payout_limits WHERE merchant_id = :merchant_id ORDER BY currency
            """
        ),
        {"merchant_id": merchant_id},
    )
    by_currency = {currency: Limits(*each) for currency, *each in limits}
    if row.approval is None:
        return replace(default_policy(row.mode), limits=by_currency, bank_leg=row.bank_leg)
    return Policy(
        row.approval, row.approval_hours, by_currency, row.cooling_off_hours, row.bank_leg
    )


def lock(tx: Tx, merchant_id: int) -> None:
    """Let one person at a time change a merchant's policy: what another one set is read, not overwritten."""
    tx.execute(
        text("SELECT FROM merchants WHERE id = :merchant_id FOR NO KEY UPDATE"),
        {"merchant_id": merchant_id},
    )


def put(
    tx: Tx, merchant_id: int, approval: str, approval_hours: int, cooling_off_hours: int = 0
) -> None:
    """Write when runs need a person, how long they can be approved, and how long destinations cool off."""
    tx.execute(
        text(
            """
            INSERT INTO payout_policies (merchant_id, approval, approval_hours, cooling_off_hours)
            VALUES (:merchant_id, :approval, :approval_hours, :cooling_off_hours)
            ON CONFLICT (merchant_id) DO UPDATE
            SET approval = excluded.approval, approval_hours = excluded.approval_hours,
                cooling_off_hours = excluded.cooling_off_hours,
                updated_at = clock_timestamp()
            """
        ),
        {
            "merchant_id": merchant_id,
            "approval": approval,
            "approval_hours": approval_hours,
            "cooling_off_hours": cooling_off_hours,
        },
    )


def put_limits(tx: Tx, merchant_id: int, currency: str, limits: Limits) -> None:
    """Write the limits of a currency, in its minor units."""
    tx.execute(
        text(
            """
            INSERT INTO payout_limits (merchant_id, currency, auto_payout, auto_run, minimum, max_payout,
                                       max_payee_day, max_day, max_run, adjust_alone)
            VALUES (:merchant_id, :currency, :auto_payout, :auto_run, :minimum, :max_payout,
                    :max_payee_day, :max_day, :max_run, :adjust_alone)
            ON CONFLICT (merchant_id, currency) DO UPDATE
            SET auto_payout = excluded.auto_payout, auto_run = excluded.auto_run,
                minimum = excluded.minimum, max_payout = excluded.max_payout,
                max_payee_day = excluded.max_payee_day, max_day = excluded.max_day,
                max_run = excluded.max_run, adjust_alone = excluded.adjust_alone
            """
        ),
        {"merchant_id": merchant_id, "currency": currency} | asdict(limits),
    )
