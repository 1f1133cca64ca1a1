"""SQL of programs and their versions."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.loyalty.rules import Program

_LOAD = text(
    """
    SELECT p.id, p.merchant_id, p.key, p.zone, p.status, p.version, v.currency, v.earn_points,
           v.earn_per_amount, v.minimum_purchase, v.welcome_bonus, v.min_redemption, v.pending_days,
           v.backdating_days, v.inactivity_days, v.qualifying_types, v.allow_debt, v.restore_days
    FROM loyalty_programs p
    JOIN loyalty_program_versions v ON v.program_id = p.id AND v.version = p.version
    WHERE p.merchant_id = ANY(:merchants)
    ORDER BY p.id
    """
)

_INSERT = text(
    """
    INSERT INTO loyalty_programs (merchant_id, key, name, zone)
    VALUES (:merchant_id, :key, :name, :zone)
    ON CONFLICT (merchant_id, key) DO NOTHING RETURNING id
    """
)

_INSERT_VERSION = text(
    """
    INSERT INTO loyalty_program_versions (program_id, version, earn_points, earn_per_amount, currency,
        minimum_purchase, welcome_bonus, min_redemption, pending_days, backdating_days, inactivity_days,
        qualifying_types, allow_debt, restore_days)
    VALUES (:program_id, 1, :earn_points, :earn_per_amount, :currency, :minimum_purchase, :welcome_bonus,
        :min_redemption, :pending_days, :backdating_days, :inactivity_days, :qualifying_types,
        :allow_debt, :restore_days)
    """
)


def of_merchants(tx: Tx, merchant_ids: Iterable[int]) -> list[Program]:
    """All programs of ``merchant_ids`` under their current versions, in id order."""
    rows = tx.execute(_LOAD, {"merchants": sorted(set(merchant_ids))})
    return [
        Program(**{**row, "qualifying_types": frozenset(row["qualifying_types"])})
        for row in rows.mappings()
    ]


def insert(tx: Tx, merchant_id: int, key: str, name: str, zone: str, terms: Any) -> int | None:
    """Add a program with its first version; None if the merchant has one of this key already."""
    program_id: int | None = tx.execute(
        _INSERT, {"merchant_id": merchant_id, "key": key, "name": name, "zone": zone}
    ).scalar()
    if program_id is not None:
        tx.execute(_INSERT_VERSION, {"program_id": program_id, **terms})
    return program_id
