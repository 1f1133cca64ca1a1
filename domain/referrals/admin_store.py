"""All SQL by which programs and codes are administered."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.referrals.store import lock_program_terms


def insert_program(tx: Tx, merchant_id: int, key: str, name: str) -> int | None:
    """Add a program; None if the key is taken."""
    made: int | None = tx.execute(
        text(
            """
            INSERT INTO programs (merchant_id, key, name) VALUES (:merchant_id, :key, :name)
            ON CONFLICT DO NOTHING RETURNING id
            """
        ),
        {"merchant_id": merchant_id, "key": key, "name": name},
    ).scalar()
    return made


def insert_version(tx: Tx, program_id: int, version: int, terms: dict[str, Any]) -> None:
    """Add a version of a program's terms."""
    referee = terms["referee_rule"]
    tx.execute(
        text(
            """
            INSERT INTO program_versions (program_id, version, rule, referee_rule, currency, hold_days,
                window_days, max_rewards_per_referrer, min_amount, payout_method)
            VALUES (:program_id, :version, CAST(:rule AS jsonb), CAST(:referee_rule AS jsonb), :currency,
                :hold_days, :window_days, :max_rewards_per_referrer, :min_amount, :payout_method)
            """
        ),
        terms
        | {
            "program_id": program_id,
            "version": version,
            "rule": json.dumps(terms["rule"]),
            "referee_rule": None if referee is None else json.dumps(referee),
        },
    )


def lock_program(tx: Tx, merchant_id: int, key: str) -> Any:
    """A program, locked against batches that use it and others that change it; None if there is none."""
    found = program(tx, merchant_id, key)
    if found is None:
        return None
    lock_program_terms(tx, [found.id], shared=False)
    return program(tx, merchant_id, key)


def program(tx: Tx, merchant_id: int, key: str) -> Any:
    """A program as it is, not locked; None if there is none."""
    return tx.execute(
        text(
            """
            SELECT p.id, p.key, p.name, p.status, p.version, v.currency
            FROM programs p JOIN program_versions v ON v.program_id = p.id AND v.version = p.version
            WHERE p.merchant_id = :merchant_id AND p.key = :key
            """
        ),
        {"merchant_id": merchant_id, "key": key},
    ).one_or_none()


def set_program(tx: Tx, program_id: int, *, status: str, version: int) -> None:
    """Set a program's status and present version."""
    tx.execute(
        text("UPDATE programs SET status = :status, version = :version WHERE id = :id"),
        {"id": program_id, "status": status, "version": version},
    )


def program_listing(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's programs with their present terms, by key."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.key, p.name, p.status, p.version, v.rule, v.referee_rule, v.currency,
                       v.hold_days, v.window_days, v.max_rewards_per_referrer, v.min_amount, v.payout_method
                FROM programs p JOIN program_versions v ON v.program_id = p.id AND v.version = p.version
                WHERE p.merchant_id = :merchant_id ORDER BY p.key
                """
            ),
            {"merchant_id": merchant_id},
        )
    )


def insert_codes(
    tx: Tx, merchant_id: int, program_id: int, rows: Sequence[dict[str, Any]]
) -> set[str]:
    """Add codes in their order, so that makers never deadlock; returns those that were new."""
    made = tx.execute(
        text(
            """
            INSERT INTO codes (merchant_id, code, program_id, user_id, max_uses, expires_at)
            SELECT :merchant_id, code, :program_id, user_id, max_uses, expires_at
            FROM unnest(CAST(:codes AS text[]), CAST(:users AS text[]), CAST(:max_uses AS int[]),
                        CAST(:expiries AS timestamptz[])) AS k (code, user_id, max_uses, expires_at)
            ORDER BY code ON CONFLICT DO NOTHING RETURNING code
            """
        ),
        {
            "merchant_id": merchant_id,
            "program_id": program_id,
            "codes": [r["code"] for r in rows],
            "users": [r["user_id"] for r in rows],
            "max_uses": [r.get("max_uses") for r in rows],
            "expiries": [r.get("expires_at") for r in rows],
        },
    )
    return {row.code for row in made}


def code_listing(tx: Tx, merchant_id: int, user_id: str | None, limit: int) -> list[Any]:
    """A merchant's codes, newest first, of one user or of all."""
    return list(
        tx.execute(
            text(
                """
                SELECT c.code, c.user_id, p.key AS program, c.status, c.max_uses, c.uses, c.expires_at
                FROM codes c JOIN programs p ON p.id = c.program_id
                WHERE c.merchant_id = :merchant_id
                  AND (CAST(:user_id AS text) IS NULL OR c.user_id = :user_id)
                ORDER BY c.id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "user_id": user_id, "limit": limit},
        )
    )
