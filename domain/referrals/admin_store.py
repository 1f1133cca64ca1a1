"""All SQL by which programs and codes are administered."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx, advisory_lock, correlation_key
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
                window_days, max_rewards_per_referrer, min_amount, payout_method, starts_at, ends_at,
                codes_per_user)
            VALUES (:program_id, :version, CAST(:rule AS jsonb), CAST(:referee_rule AS jsonb), :currency,
                :hold_days, :window_days, :max_rewards_per_referrer, :min_amount, :payout_method, :starts_at,
                :ends_at, :codes_per_user)
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
            SELECT p.id, p.merchant_id, p.key, p.name, p.status, p.version, v.currency, v.codes_per_user
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
            text(f"{_TERMS} WHERE p.merchant_id = :merchant_id ORDER BY p.key"),
            {"merchant_id": merchant_id},
        )
    )


def terms(tx: Tx, merchant_id: int, key: str) -> Any:
    """A program with its present terms; None if there is none."""
    return tx.execute(
        text(f"{_TERMS} WHERE p.merchant_id = :merchant_id AND p.key = :key"),
        {"merchant_id": merchant_id, "key": key},
    ).one_or_none()


_TERMS = """
    SELECT p.id, p.key, p.name, p.status, p.version, v.rule, v.referee_rule, v.currency, v.hold_days,
           v.window_days, v.max_rewards_per_referrer, v.min_amount, v.payout_method, v.starts_at, v.ends_at,
           v.codes_per_user
    FROM programs p JOIN program_versions v ON v.program_id = p.id AND v.version = p.version
"""


def owners_of(tx: Tx, merchant_id: int, codes: Sequence[str]) -> list[Any]:
    """Program and owner of those of ``codes`` that are there."""
    return list(
        tx.execute(
            text(
                """
                SELECT c.code, p.key AS program, c.user_id FROM codes c JOIN programs p ON p.id = c.program_id
                WHERE c.merchant_id = :merchant_id AND c.code = ANY(:codes)
                """
            ),
            {"merchant_id": merchant_id, "codes": list(codes)},
        )
    )


def lock_codes_of(tx: Tx, program_id: int) -> None:
    """Make who makes codes of a program do so one after the other."""
    advisory_lock(tx, [correlation_key(program_id, "codes")])


def owner_of_too_many(tx: Tx, program: Any, users: Sequence[str]) -> str | None:
    """One of ``users`` who has more codes of a program than they may, or None."""
    found: str | None = tx.execute(
        text(
            """
            SELECT user_id FROM codes
            WHERE merchant_id = :merchant_id AND program_id = :program_id
                  AND user_id = ANY(:users)
            GROUP BY user_id HAVING count(*) > :most LIMIT 1
            """
        ),
        {
            "merchant_id": program.merchant_id,
            "program_id": program.id,
            "users": list(users),
            "most": program.codes_per_user,
        },
    ).scalar()
    return found


def set_code_status(tx: Tx, merchant_id: int, code: str, status: str) -> str | None:
    """Set a code's status; returns what it was, or None if there is no such code."""
    key = {"merchant_id": merchant_id, "code": code}
    before: str | None = tx.execute(
        text(
            "SELECT status FROM codes WHERE merchant_id = :merchant_id AND code = :code FOR NO KEY UPDATE"
        ),
        key,
    ).scalar()
    if before is not None:
        tx.execute(
            text(
                "UPDATE codes SET status = :status WHERE merchant_id = :merchant_id AND code = :code"
            ),
            key | {"status": status},
        )
    return before


def insert_codes(
    tx: Tx,
    merchant_id: int,
    program_id: int,
    rows: Sequence[dict[str, Any]],
    batch_id: int | None = None,
) -> set[str]:
    """Add codes in their order, so that makers never deadlock; returns those that were new."""
    made = tx.execute(
        text(
            """
            INSERT INTO codes (merchant_id, code, program_id, user_id, max_uses, expires_at, batch_id)
            SELECT :merchant_id, code, :program_id, user_id, max_uses, expires_at, CAST(:batch_id AS bigint)
            FROM unnest(CAST(:codes AS text[]), CAST(:users AS text[]), CAST(:max_uses AS int[]),
                        CAST(:expiries AS timestamptz[])) AS k (code, user_id, max_uses, expires_at)
            ORDER BY code ON CONFLICT DO NOTHING RETURNING code
            """
        ),
        {
            "merchant_id": merchant_id,
            "program_id": program_id,
            "batch_id": batch_id,
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
            text(f"{_CODES} ORDER BY c.id DESC LIMIT :limit"),
            {"merchant_id": merchant_id, "user_id": user_id, "limit": limit},
        )
    )


def code_page(
    tx: Tx, merchant_id: int, user_id: str | None, after: str | None, limit: int
) -> list[Any]:
    """A merchant's codes in their order above ``after``, of one user or of all: read by an index."""
    return list(
        tx.execute(
            text(
                f"""
                {_CODES} AND (CAST(:after AS text) IS NULL OR c.code > :after)
                ORDER BY c.code LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "user_id": user_id, "after": after, "limit": limit},
        )
    )


def code(tx: Tx, merchant_id: int, name: str) -> Any:
    """A code as it is, or None."""
    return tx.execute(
        text(f"{_CODE} WHERE c.merchant_id = :merchant_id AND c.code = :code"),
        {"merchant_id": merchant_id, "code": name},
    ).one_or_none()


_CODE = """
    SELECT c.id, c.code, c.user_id, p.key AS program, c.status, c.max_uses, c.uses, c.expires_at
    FROM codes c JOIN programs p ON p.id = c.program_id
"""
_CODES = f"""
    {_CODE}
    WHERE c.merchant_id = :merchant_id AND (CAST(:user_id AS text) IS NULL OR c.user_id = :user_id)
"""


def insert_batch(
    tx: Tx, merchant_id: int, program_id: int, key: str, content_hash: bytes, number: int
) -> int | None:
    """Add a batch of codes; None if there is one with this key. Waits for one that is just being made."""
    made: int | None = tx.execute(
        text(
            """
            INSERT INTO code_batches (merchant_id, program_id, key, content_hash, number)
            VALUES (:merchant_id, :program_id, :key, :hash, :number)
            ON CONFLICT (merchant_id, key) DO NOTHING RETURNING id
            """
        ),
        {
            "merchant_id": merchant_id,
            "program_id": program_id,
            "key": key,
            "hash": content_hash,
            "number": number,
        },
    ).scalar()
    return made


def batch(tx: Tx, merchant_id: int, key: str) -> Any:
    """A batch of codes: id and content_hash."""
    return tx.execute(
        text(
            "SELECT id, content_hash FROM code_batches WHERE merchant_id = :merchant_id AND key = :key"
        ),
        {"merchant_id": merchant_id, "key": key},
    ).one()


def codes_of_batch(tx: Tx, batch_id: int) -> list[tuple[str, str]]:
    """(user, code) of a batch, in order of both: the same however often it is asked for."""
    rows = tx.execute(
        text("SELECT user_id, code FROM codes WHERE batch_id = :id ORDER BY user_id, code"),
        {"id": batch_id},
    )
    return [(row.user_id, row.code) for row in rows]
