"""SQL of programs and their versions."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx
from domain.loyalty.rules import Program
from domain.loyalty.rules.earning import parse_multipliers, parse_tiers
from domain.loyalty.rules.policies import parse_policies
from domain.loyalty.rules.terms import DEFAULTS, parse_rewards
from domain.loyalty.rules.times import inactivity_deadline
from domain.loyalty.rules.velocity import parse_limits

TERMS: Final = ("currency", *DEFAULTS)
"""Columns of a version, as ``domain.loyalty.rules.terms`` names them."""
_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "multipliers": parse_multipliers,
    "tiers": parse_tiers,
    "rewards": parse_rewards,
    "expiration": parse_policies,
}
_PARSED: Final[Mapping[str, Callable[[Any], Any]]] = {**_PARSERS, "velocity_limits": parse_limits}

# JSON as text: parsed once for each distinct one, not for each batch.
_COLUMNS = ", ".join(
    f"CAST(v.{name} AS text) AS {name}" if name in _PARSERS else f"v.{name}" for name in TERMS
)

_LOAD = text(
    f"""
    SELECT p.id, p.merchant_id, p.key, p.zone, p.status, p.version, p.tiers_version, p.tiers_at, {_COLUMNS},
           w.id AS velocity_policy_id, coalesce(CAST(w.limits AS text), '[]') AS velocity_limits
    FROM loyalty_programs p
    JOIN loyalty_program_versions v ON v.program_id = p.id AND v.version = p.version
    LEFT JOIN LATERAL (
        SELECT id, limits FROM loyalty_velocity_policies
        WHERE merchant_id = p.merchant_id AND (program_id = p.id OR program_id IS NULL)
        ORDER BY program_id NULLS LAST LIMIT 1
    ) w ON true
    WHERE p.merchant_id = ANY(:merchants)
    ORDER BY p.id
    """  # noqa: S608
)

_CURRENT: Final = """
    FROM loyalty_programs p
    JOIN loyalty_program_versions v ON v.program_id = p.id AND v.version = p.version
    WHERE p.merchant_id = :merchant_id AND p.key = :key
"""
_LOCK = text(f"SELECT p.id, p.version, {_COLUMNS} {_CURRENT} FOR NO KEY UPDATE OF p")
_STANDING = text(f"SELECT p.key, p.name, p.zone, p.status, p.version, {_COLUMNS} {_CURRENT}")

_INSERT = text(
    """
    INSERT INTO loyalty_programs (merchant_id, key, name, zone)
    VALUES (:merchant_id, :key, :name, :zone)
    ON CONFLICT (merchant_id, key) DO NOTHING RETURNING id
    """
)

_VALUES = ", ".join(f"CAST(:{n} AS jsonb)" if n in _PARSERS else f":{n}" for n in TERMS)
_INSERT_VERSION = text(
    f"INSERT INTO loyalty_program_versions (program_id, version, {', '.join(TERMS)})"  # noqa: S608
    f" VALUES (:program_id, :version, {_VALUES})"
)

_START_PERIODS = text(
    """
    UPDATE cards SET last_activity_at = greatest(last_activity_at, :now), inactivity_deadline = :deadline,
           expire_check_on = least(expire_check_on, :deadline)
    WHERE program_id = :program_id AND points_balance > 0 AND inactivity_deadline IS NULL
    """
)


def of_merchants(tx: Tx, merchant_ids: Iterable[int]) -> list[Program]:
    """All programs of ``merchant_ids`` under their current versions and velocity policies, in id order."""
    rows = tx.execute(_LOAD, {"merchants": sorted(set(merchant_ids))})
    return [
        Program(
            **{
                **row,
                "qualifying_types": frozenset(row["qualifying_types"]),
                "pin_required": frozenset(row["pin_required"]),
                **{name: _parsed(name, row[name]) for name in _PARSED},
            }
        )
        for row in rows.mappings()
    ]


@lru_cache(maxsize=1024)
def _parsed(name: str, configured: str) -> Any:
    return _PARSED[name](json.loads(configured))


def insert(
    tx: Tx, merchant_id: int, key: str, name: str, zone: str, terms: Mapping[str, Any]
) -> int | None:
    """Add a program with its first version; None if the merchant has one of this key already."""
    program_id: int | None = tx.execute(
        _INSERT, {"merchant_id": merchant_id, "key": key, "name": name, "zone": zone}
    ).scalar()
    if program_id is not None:
        _insert_version(tx, program_id, 1, terms)
    return program_id


def lock(tx: Tx, merchant_id: int, key: str) -> tuple[int, int, dict[str, Any]] | None:
    """Lock a program against other changes: its id, version and terms as configured."""
    row = tx.execute(_LOCK, {"merchant_id": merchant_id, "key": key}).mappings().one_or_none()
    if row is None:
        return None
    terms = {n: json.loads(row[n]) if n in _PARSERS else row[n] for n in TERMS}
    return row["id"], row["version"], terms


def add_version(tx: Tx, program_id: int, version: int, terms: Mapping[str, Any]) -> None:
    """Add a version of a locked program, and make it the current one."""
    _insert_version(tx, program_id, version, terms)
    tx.execute(
        text("UPDATE loyalty_programs SET version = :version WHERE id = :id"),
        {"version": version, "id": program_id},
    )


def begin_recount(tx: Tx, program_id: int, version: int, at: datetime) -> None:
    """Have the tiers of a locked program's ``version`` hold from ``at`` on; the sweep counts its cards anew."""
    tx.execute(
        text(
            "UPDATE loyalty_programs SET tiers_version = :version, tiers_at = :at, recount_after = 0"
            " WHERE id = :id"
        ),
        {"version": version, "at": at, "id": program_id},
    )


def _insert_version(tx: Tx, program_id: int, version: int, terms: Mapping[str, Any]) -> None:
    kept = {n: json.dumps(terms[n]) if n in _PARSERS else terms[n] for n in TERMS}
    tx.execute(_INSERT_VERSION, {"program_id": program_id, "version": version, **kept})


def set_status(tx: Tx, merchant_id: int, key: str, status: str) -> bool:
    """Set a program's status; False if there is none of this key."""
    done = tx.execute(
        text(
            "UPDATE loyalty_programs SET status = :status WHERE merchant_id = :merchant_id AND key = :key"
        ),
        {"status": status, "merchant_id": merchant_id, "key": key},
    )
    return done.rowcount == 1


def start_periods(tx: Tx, program: Program, now: datetime) -> None:
    """Give every card that holds points and has no deadline one full period from ``now``."""
    assert program.inactivity_days is not None
    deadline = inactivity_deadline(now, program.inactivity_days, program.tz)
    tx.execute(_START_PERIODS, {"program_id": program.id, "now": now, "deadline": deadline})


def stop_periods(tx: Tx, program: Program) -> None:
    """Release every card from its deadline; the sweep finds nothing where its timer was."""
    tx.execute(
        text(
            "UPDATE cards SET inactivity_deadline = NULL"
            " WHERE program_id = :program_id AND inactivity_deadline IS NOT NULL"
        ),
        {"program_id": program.id},
    )


def standing(tx: Tx, merchant_id: int, key: str) -> dict[str, Any] | None:
    """A program as it is: key, name, zone, status, version, and its terms as configured; locks nothing."""
    found = tx.execute(_STANDING, {"merchant_id": merchant_id, "key": key}).mappings().one_or_none()
    if found is None:
        return None
    return {n: json.loads(v) if n in _PARSERS else v for n, v in found.items()}
