"""All SQL of the road that conversions take. Programs and codes are administered in ``admin_store``."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text

from domain.clock import BUSINESS_NOW
from domain.db import Tx, advisory_lock, copy_columns, copy_rows, next_ids
from domain.referrals.models import trackings as trackings_table

TRACKING_COLUMNS = [
    "id",
    "merchant_id",
    "inbox_id",
    "referrer_user_id",
    "referred_user_id",
    "code_id",
    "program_id",
    "program_version",
    "transaction_id",
    "transaction_amount",
    "amount_earned",
    "referee_amount_earned",
    "currency",
    "converted_at",
    "seq",
    "explanation",
    "refunded_amount",
    "fully_refunded",
    "dispute_lost",
    "reversed_amount",
    "referee_reversed_amount",
    "rejected",
]
REVERSAL_COLUMNS = [
    "merchant_id",
    "tracking_id",
    "inbox_id",
    "kind",
    "external_id",
    "amount",
    "reversed",
    "referee_reversed",
    "occurred_at",
]


def codes_by_name(tx: Tx, keys: Iterable[tuple[int, str]]) -> list[Any]:
    """Codes by (merchant, code)."""
    merchants, names = _columns(keys, 2)
    return [*tx.execute(_CODES_BY_NAME, {"merchants": merchants, "names": names}).all()]


_CODES_BY_NAME = text(
    """
    SELECT c.id, c.merchant_id, c.code, c.program_id, c.user_id, c.status, c.max_uses, c.uses, c.expires_at
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:names AS text[])) AS k (merchant_id, code)
    JOIN codes c USING (merchant_id, code)
    """
)


def codes_by_id(tx: Tx, ids: Iterable[int], *, lock: bool = False) -> list[Any]:
    """Codes by id; with ``lock``, locked in id order (only those with ``max_uses`` ever are)."""
    statement = _CODES_BY_ID_LOCKED if lock else _CODES_BY_ID
    return [*tx.execute(statement, {"ids": sorted(set(ids))}).all()]


_CODES_BY_ID = text(
    """
    SELECT id, merchant_id, code, program_id, user_id, status, max_uses, uses, expires_at
    FROM codes WHERE id = ANY(:ids)
    """
)
_CODES_BY_ID_LOCKED = text(f"{_CODES_BY_ID.text} ORDER BY id FOR NO KEY UPDATE")


def lock_program_terms(tx: Tx, ids: Iterable[int], *, shared: bool) -> None:
    """Keep programs' terms as they are (``shared``: a batch), or keep batches out (to change them).

    Advisory locks, because they queue: batches that overlap would share a row's lock for ever, and who
    wants to change a program would wait as long.
    """
    keys = (blake2b(f"program/{program_id}".encode(), digest_size=8).digest() for program_id in ids)
    advisory_lock(tx, (int.from_bytes(key, "big", signed=True) for key in keys), shared=shared)


def share_programs(tx: Tx, ids: Iterable[int]) -> list[Any]:
    """Programs at their present version, which stays present until this transaction ends.

    The version is read by a statement of its own after the lock: one that waited for a change would
    still see the terms from before it.
    """
    ordered = sorted(set(ids))
    lock_program_terms(tx, ordered, shared=True)
    return [*tx.execute(_PROGRAMS, {"ids": ordered}).all()]


_TERMS = """
    p.key, p.status AS program_status, p.version, v.rule, v.referee_rule, v.currency, v.hold_days,
    v.window_days, v.max_rewards_per_referrer, v.min_amount, v.payout_method, v.starts_at, v.ends_at,
    h.same_email, h.shared_destination, h.code_per_hour, h.code_per_day, h.referrer_per_hour,
    h.referrer_per_day
"""
_WITH_TERMS = """
    JOIN program_versions v ON v.program_id = p.id AND v.version = p.version
    LEFT JOIN LATERAL (
        SELECT * FROM hold_policies h
        WHERE h.merchant_id = p.merchant_id AND (h.program_id = p.id OR h.program_id IS NULL)
        ORDER BY h.program_id NULLS LAST LIMIT 1
    ) h ON true
"""
_PROGRAMS = text(f"SELECT p.id, {_TERMS} FROM programs p {_WITH_TERMS} WHERE p.id = ANY(:ids)")  # noqa: S608 - no value is spliced in


def code_with_program(tx: Tx, merchant_id: int, code: str) -> Any:
    """A code with its program's present terms, its owner's rewards if they are kept, and business time; None
    without it. Nothing is locked."""
    return tx.execute(_CODE_WITH_PROGRAM, {"merchant_id": merchant_id, "code": code}).one_or_none()


_CODE_WITH_PROGRAM = text(
    f"""
    SELECT c.id, c.code, c.program_id, c.user_id, c.status, c.max_uses, c.uses, c.expires_at, {_TERMS},
           {BUSINESS_NOW} AS business_now, coalesce(s.rewards, 0) AS rewards
    FROM codes c JOIN programs p ON p.id = c.program_id {_WITH_TERMS}
    LEFT JOIN referrer_states s
        ON (s.merchant_id, s.program_id, s.user_id) = (c.merchant_id, c.program_id, c.user_id)
           AND s.counted_version = p.version AND v.max_rewards_per_referrer IS NOT NULL
    WHERE c.merchant_id = :merchant_id AND c.code = :code
    """  # noqa: S608 - no value is spliced in
)


def lock_referrer_states(tx: Tx, keys: Iterable[tuple[int, int, str, int]]) -> list[Any]:
    """Lock (merchant, program, user) rows in order, made where missing; ``keys`` end in the version.

    Counts that no version kept are counted from the trackings, under the lock.
    """
    merchants, programs, users, versions = _columns(sorted(set(keys)), 4)
    parameters = {"merchants": merchants, "programs": programs, "users": users, "v": versions}
    tx.execute(
        text(
            """
            INSERT INTO referrer_states (merchant_id, program_id, user_id)
            SELECT k.m, k.p, k.u
            FROM unnest(CAST(:merchants AS bigint[]), CAST(:programs AS bigint[]), CAST(:users AS text[]))
                 WITH ORDINALITY AS k (m, p, u, position)
            WHERE NOT EXISTS (SELECT FROM referrer_states s
                              WHERE (s.merchant_id, s.program_id, s.user_id) = (k.m, k.p, k.u))
            ORDER BY position ON CONFLICT DO NOTHING
            """
        ),
        parameters,
    )
    locked = list(tx.execute(text(_LOCK_STATES), parameters))
    stale = [row.id for row in locked if row.counted_version < row.wanted_version]
    if not stale:
        return locked
    tx.execute(text(_COUNT_STATES), {"ids": stale})
    return list(tx.execute(text(_LOCK_STATES), parameters))


_LOCK_STATES = """
    SELECT s.id, s.merchant_id, s.program_id, s.user_id, s.last_seq, s.conversions, s.volume, s.rewards,
           s.counted_version, k.v AS wanted_version
    FROM referrer_states s
    JOIN unnest(CAST(:merchants AS bigint[]), CAST(:programs AS bigint[]), CAST(:users AS text[]),
                CAST(:v AS int[])) AS k (m, p, u, v)
      ON (s.merchant_id, s.program_id, s.user_id) = (k.m, k.p, k.u)
    ORDER BY s.id FOR NO KEY UPDATE OF s
"""
_COUNT_STATES = """
    UPDATE referrer_states s
    SET conversions = c.conversions, volume = c.volume, rewards = c.rewards, last_seq = c.last_seq,
        counted_version = p.version
    FROM referrer_states r
    JOIN programs p ON p.id = r.program_id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE $counts) AS conversions,
               count(*) FILTER (WHERE $counts AND t.amount_earned > 0) AS rewards,
               coalesce(sum(t.transaction_amount - t.refunded_amount)
                        FILTER (WHERE NOT (t.dispute_lost OR t.rejected)), 0) AS volume,
               coalesce(max(t.seq), 0) AS last_seq
        FROM trackings t
        WHERE t.merchant_id = r.merchant_id AND t.referrer_user_id = r.user_id
          AND t.program_id = r.program_id
    ) c
    WHERE s.id = r.id AND r.id = ANY(:ids)
""".replace("$counts", "NOT (t.fully_refunded OR t.dispute_lost OR t.rejected)")


def update_referrer_states(tx: Tx, rows: Sequence[tuple[int, int, int, int, int]]) -> None:
    """Write (id, last_seq, conversions, volume, rewards) back."""
    ids, seqs, conversions, volumes, rewards = _columns(rows, 5)
    tx.execute(
        text(
            """
            UPDATE referrer_states s
            SET last_seq = k.seq, conversions = k.conversions, volume = k.volume, rewards = k.rewards
            FROM unnest(CAST(:ids AS bigint[]), CAST(:seqs AS bigint[]), CAST(:conversions AS bigint[]),
                        CAST(:volumes AS bigint[]), CAST(:rewards AS bigint[]))
                 AS k (id, seq, conversions, volume, rewards)
            WHERE s.id = k.id
            """
        ),
        {
            "ids": ids,
            "seqs": seqs,
            "conversions": conversions,
            "volumes": volumes,
            "rewards": rewards,
        },
    )


def add_code_uses(tx: Tx, uses: Mapping[int, int]) -> None:
    """Add to the counters of locked codes."""
    tx.execute(
        text(
            """
            UPDATE codes c SET uses = c.uses + k.uses
            FROM unnest(CAST(:ids AS bigint[]), CAST(:uses AS int[])) AS k (id, uses) WHERE c.id = k.id
            """
        ),
        {"ids": list(uses), "uses": list(uses.values())},
    )


def trackings_by_transaction(tx: Tx, keys: Iterable[tuple[int, str]]) -> list[Any]:
    """Trackings by (merchant, transaction). The caller holds the transactions' advisory locks."""
    merchants, transactions = _columns(keys, 2)
    parameters = {"merchants": merchants, "transactions": transactions}
    return [*tx.execute(_TRACKINGS, parameters).all()]


_TRACKINGS = text(f"""
    SELECT {", ".join(TRACKING_COLUMNS)}
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:transactions AS text[]))
        AS k (merchant_id, transaction_id)
    JOIN trackings t USING (merchant_id, transaction_id)
""")  # noqa: S608 - columns are constants


def refund_ids(tx: Tx, tracking_ids: Sequence[int]) -> list[Any]:
    """(tracking_id, external_id) of the refunds of some trackings."""
    return list(
        tx.execute(
            text(
                """
                SELECT tracking_id, external_id FROM tracking_reversals
                WHERE tracking_id = ANY(:ids) AND kind = 'refund'
                """
            ),
            {"ids": list(tracking_ids)},
        )
    )


def reserve_tracking_ids(tx: Tx, count: int) -> list[int]:
    """Ids for trackings that are about to be written."""
    return next_ids(tx, "trackings", count)


def insert_trackings(tx: Tx, trackings: Sequence[Any]) -> None:
    """Append trackings: objects with the attributes TRACKING_COLUMNS."""
    values: list[Sequence[Any]] = list(zip(*map(_TRACKING_VALUES, trackings), strict=True))
    if values:
        values[_EXPLANATION] = [dumps(explanation) for explanation in values[_EXPLANATION]]
        copy_columns(tx, trackings_table, TRACKING_COLUMNS, values)


_TRACKING_VALUES = attrgetter(*TRACKING_COLUMNS)
_EXPLANATION = TRACKING_COLUMNS.index("explanation")


def insert_reversals(tx: Tx, rows: Sequence[Sequence[Any]]) -> list[int]:
    """Append reversals (REVERSAL_COLUMNS); returns their ids in order."""
    ids = next_ids(tx, "tracking_reversals", len(rows))
    copy_rows(
        tx,
        "tracking_reversals",
        ["id", *REVERSAL_COLUMNS],
        ([new_id, *row] for new_id, row in zip(ids, rows, strict=True)),
    )
    return ids


def update_trackings(tx: Tx, rows: Sequence[tuple[int, int, bool, bool, int, int]]) -> None:
    """Write (id, refunded_amount, fully_refunded, dispute_lost, reversed_amount, referee_reversed_amount)
    back."""
    ids, refunded, fully, lost, taken, referee_taken = _columns(rows, 6)
    tx.execute(
        text(
            """
            UPDATE trackings t
            SET refunded_amount = k.refunded, fully_refunded = k.fully, dispute_lost = k.lost,
                reversed_amount = k.taken, referee_reversed_amount = k.referee_taken,
                updated_at = clock_timestamp()
            FROM unnest(CAST(:ids AS bigint[]), CAST(:refunded AS bigint[]), CAST(:fully AS bool[]),
                        CAST(:lost AS bool[]), CAST(:taken AS bigint[]), CAST(:referee_taken AS bigint[]))
                 AS k (id, refunded, fully, lost, taken, referee_taken)
            WHERE t.id = k.id
            """
        ),
        {
            "ids": ids,
            "refunded": refunded,
            "fully": fully,
            "lost": lost,
            "taken": taken,
            "referee_taken": referee_taken,
        },
    )


def dumps(value: Any) -> str:
    """JSON for a jsonb column written by COPY."""
    return to_json(value).decode()


def _columns(rows: Iterable[Sequence[Any]], width: int) -> tuple[list[Any], ...]:
    columns = tuple(map(list, zip(*rows, strict=True)))
    return columns or tuple([] for _ in range(width))
