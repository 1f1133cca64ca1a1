"""SQL of payout policies."""

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.approving import Limits, Policy, default_policy


def of(tx: Tx, merchant_id: int) -> Policy:
    """A merchant's policy, or what holds where nothing is set."""
    row = tx.execute(
        text(
            """
            SELECT m.mode, p.approval, p.approval_hours, p.cooling_off_hours FROM merchants m
            LEFT JOIN payout_policies p ON p.merchant_id = m.id WHERE m.id = :merchant_id
            """
        ),
        {"merchant_id": merchant_id},
    ).one()
    if row.approval is None:
        return default_policy(row.mode)
    limits = tx.execute(
        text(
            """
            SELECT currency, auto_payout, auto_run FROM payout_limits
            WHERE merchant_id = :merchant_id ORDER BY currency
            """
        ),
        {"merchant_id": merchant_id},
    )
    by_currency = {each.currency: Limits(each.auto_payout, each.auto_run) for each in limits}
    return Policy(row.approval, row.approval_hours, by_currency, row.cooling_off_hours)


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
            INSERT INTO payout_limits (merchant_id, currency, auto_payout, auto_run)
            VALUES (:merchant_id, :currency, :auto_payout, :auto_run)
            ON CONFLICT (merchant_id, currency) DO UPDATE
            SET auto_payout = excluded.auto_payout, auto_run = excluded.auto_run
            """
        ),
        {
            "merchant_id": merchant_id,
            "currency": currency,
            "auto_payout": limits.auto_payout,
            "auto_run": limits.auto_run,
        },
    )
