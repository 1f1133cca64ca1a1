"""All SQL of the inbox."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx

CLAIM_COLUMNS = [
    "merchant_id",
    "source",
    "event_id",
    "type",
    "occurred_at",
    "content_hash",
    "data",
    "raw",
    "status",
    "reason",
    "detail",
]


def claim(tx: Tx, rows: Sequence[Sequence[Any]], received_at: datetime) -> list[Any]:
    """Insert events that are new, in key order; returns (id, merchant_id, source, event_id) of those.

    ``rows`` are sorted by (merchant, source, event id): two batches with the same events then wait for
    one another in one direction only.
    """
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    parameters: dict[str, Any] = dict(zip(CLAIM_COLUMNS, columns, strict=True))
    return [*tx.execute(_CLAIM, parameters | {"received_at": received_at}).all()]


_CLAIM = text(
    """
    INSERT INTO inbox_events (merchant_id, source, event_id, type, occurred_at, received_at, content_hash,
                              data, raw, status, reason, detail)
    SELECT merchant_id, source, event_id, type, occurred_at, :received_at, content_hash,
           CAST(data AS jsonb), raw, status, reason, detail
    FROM unnest(CAST(:merchant_id AS bigint[]), CAST(:source AS text[]), CAST(:event_id AS text[]),
                CAST(:type AS text[]), CAST(:occurred_at AS timestamptz[]), CAST(:content_hash AS bytea[]),
                CAST(:data AS text[]), CAST(:raw AS text[]), CAST(:status AS text[]),
                CAST(:reason AS text[]), CAST(:detail AS text[]))
         WITH ORDINALITY AS e (merchant_id, source, event_id, type, occurred_at, content_hash, data, raw,
                               status, reason, detail, position)
    ORDER BY position
    ON CONFLICT (merchant_id, source, event_id) DO NOTHING
    RETURNING id, merchant_id, source, event_id
    """
)


def existing(tx: Tx, keys: Iterable[tuple[int, str, str]]) -> list[Any]:
    """Events that were claimed before. Refused and dead ones, which may be tried again, are locked.

    Waiting ones must not be: who holds their correlation lock writes them, and we take that lock later.
    """
    merchants, sources, ids = (list(column) for column in zip(*keys, strict=True))
    rows = list(tx.execute(_EXISTING, {"merchants": merchants, "sources": sources, "ids": ids}))
    again = [row.id for row in rows if row.status in ("rejected", "dead")]
    if not again:
        return rows
    locked = {row.id: row for row in tx.execute(_LOCK_REFUSED, {"ids": sorted(again)})}
    return [locked.get(row.id, row) for row in rows]


_EXISTING = text(
    """
    SELECT i.id, i.merchant_id, i.source, i.event_id, i.content_hash, i.status, i.reason
    FROM inbox_events i
    JOIN unnest(CAST(:merchants AS bigint[]), CAST(:sources AS text[]), CAST(:ids AS text[]))
         AS k (m, s, e) ON (i.merchant_id, i.source, i.event_id) = (k.m, k.s, k.e)
    """
)
_LOCK_REFUSED = text(
    """
    SELECT id, merchant_id, source, event_id, content_hash, status, reason FROM inbox_events
    WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE
    """
)


def insert_conflicts(
    tx: Tx, rows: Sequence[tuple[int, bytes, str | None, str | None]], at: datetime
) -> None:
    """Keep other content that came under known keys; the same other content once.

    ``rows`` are (inbox id, content hash, data, raw), sorted, so that two batches wait in one direction.
    """
    ids, hashes, data, raws = (list(column) for column in zip(*rows, strict=True))
    tx.execute(
        text(
            """
            INSERT INTO inbox_conflicts (inbox_id, content_hash, data, raw, received_at)
            SELECT inbox_id, content_hash, CAST(data AS jsonb), raw, :at
            FROM unnest(CAST(:ids AS bigint[]), CAST(:hashes AS bytea[]), CAST(:data AS text[]),
                        CAST(:raws AS text[]))
                 WITH ORDINALITY AS c (inbox_id, content_hash, data, raw, position)
            ORDER BY position ON CONFLICT DO NOTHING
            """
        ),
        {"ids": ids, "hashes": hashes, "data": data, "raws": raws, "at": at},
    )


def insert_unreadable(
    tx: Tx, rows: Sequence[tuple[str, int, str, str, bytes, bytes]], at: datetime
) -> None:
    """Keep texts that have no readable identity, each once, with the first message that brought it.

    ``rows`` are (message id, position, reason, detail, raw, SHA-256 of raw). Ordered by that hash, so
    that two batches with the same texts wait for one another in one direction only.
    """
    messages, positions, reasons, details, raws, hashes = (
        list(column) for column in zip(*rows, strict=True)
    )
    tx.execute(
        text(
            """
            INSERT INTO rejected_messages (message_id, position, reason, detail, raw, raw_hash, received_at)
            SELECT message_id, position, reason, detail, raw, raw_hash, :at
            FROM unnest(CAST(:messages AS text[]), CAST(:positions AS int[]), CAST(:reasons AS text[]),
                        CAST(:details AS text[]), CAST(:raws AS bytea[]), CAST(:hashes AS bytea[]))
                 AS m (message_id, position, reason, detail, raw, raw_hash)
            ORDER BY raw_hash, message_id, position ON CONFLICT (raw_hash) DO NOTHING
            """
        ),
        {
            "messages": messages,
            "positions": positions,
            "reasons": reasons,
            "details": details,
            "raws": raws,
            "hashes": hashes,
            "at": at,
        },
    )


def by_correlation(tx: Tx, keys: Iterable[tuple[int, str]]) -> list[Any]:
    """Events that wait, were refused, or were noted under (merchant, correlation).

    The caller holds the correlations' advisory locks: nobody else writes these rows meanwhile.
    """
    merchants, correlations = (list(column) for column in zip(*keys, strict=True))
    parameters = {"merchants": merchants, "correlations": correlations}
    return [*tx.execute(_BY_CORRELATION, parameters).all()]


_BY_CORRELATION = text(
    """
    SELECT i.id, i.merchant_id, i.source, i.event_id, i.type, i.occurred_at, i.data, i.status, i.reason,
           i.correlation, i.received_at
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:correlations AS text[])) AS k (m, c)
    JOIN inbox_events i ON i.merchant_id = k.m AND i.correlation = k.c
    """
)


def waiting(tx: Tx, after_id: int, limit: int) -> list[Any]:
    """Waiting events after an id, oldest first; not locked (their correlation locks come first)."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, merchant_id, correlation FROM inbox_events
                WHERE status = 'waiting' AND id > :after_id ORDER BY id LIMIT :limit
                """
            ),
            {"after_id": after_id, "limit": limit},
        )
    )


def set_outcomes(
    tx: Tx, rows: Sequence[tuple[int, str, str | None, str | None, str | None, bool]]
) -> None:
    """Write (id, status, reason, detail, correlation, tried again) of events that did not just apply.

    What a row says already is not written: the sweep looks at all that waits, time and again.
    """
    ids, statuses, reasons, details, correlations, again = (
        list(column) for column in zip(*rows, strict=True)
    )
    tx.execute(
        text(
            """
            UPDATE inbox_events i SET status = k.status, reason = k.reason, detail = k.detail,
                   correlation = k.correlation, attempts = i.attempts + k.again::int
            FROM unnest(CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]),
                        CAST(:details AS text[]), CAST(:correlations AS text[]), CAST(:again AS bool[]))
                 AS k (id, status, reason, detail, correlation, again)
            WHERE i.id = k.id
              AND (k.again OR (i.status, i.reason, i.detail, i.correlation)
                              IS DISTINCT FROM (k.status, k.reason, k.detail, k.correlation))
            """
        ),
        {
            "ids": ids,
            "statuses": statuses,
            "reasons": reasons,
            "details": details,
            "correlations": correlations,
            "again": again,
        },
    )


def find(tx: Tx, merchant_id: int, source: str, event_id: str) -> Any:
    """An event by its key, or None."""
    return tx.execute(
        text(
            """
            SELECT i.*, (SELECT count(*) FROM inbox_conflicts c WHERE c.inbox_id = i.id) AS conflicts
            FROM inbox_events i
            WHERE merchant_id = :merchant_id AND source = :source AND event_id = :event_id
            """
        ),
        {"merchant_id": merchant_id, "source": source, "event_id": event_id},
    ).one_or_none()


def rows_made_by(tx: Tx, inbox_id: int) -> dict[str, list[Any]]:
    """The rows that an event made: trackings, reversals, holds, loyalty transactions, velocity cases, held points
    and earnings."""
    made: dict[str, list[Any]] = {}
    for name, statement in _MADE.items():
        made[name] = [dict(row._mapping) for row in tx.execute(text(statement), {"id": inbox_id})]
    return {name: rows for name, rows in made.items() if rows}


_MADE = {
    "trackings": """
        SELECT id, referrer_user_id, amount_earned, currency, explanation FROM trackings WHERE inbox_id = :id
    """,
    "reversals": """
        SELECT id, tracking_id, amount, reversed, referee_reversed FROM tracking_reversals WHERE inbox_id = :id
    """,
    "holds": """
        SELECT id, tracking_id, kind, ref, evidence, held_at, outcome, closed_at FROM tracking_holds
        WHERE inbox_id = :id ORDER BY id
    """,
    "loyalty_transactions": """
        SELECT id, card_id, type, points_delta, points_balance_after FROM loyalty_transactions
        WHERE inbox_id = :id ORDER BY id
    """,
    "velocity_cases": """
        SELECT id, action, evidence, found_at, outcome, closed_at FROM loyalty_velocity_cases WHERE inbox_id = :id
    """,
    "point_holds": """
        SELECT id, card_id, points, status, expires_at FROM point_holds
        WHERE inbox_id = :id OR closed_inbox_id = :id
    """,
    "earnings": """
        SELECT e.id, e.user_id, e.kind, e.amount, e.currency, e.available_at, e.payout_id,
               p.state AS payout_state, p.external_transaction_id
        FROM (SELECT 'tracking' AS kind, id FROM trackings WHERE inbox_id = :id
              UNION ALL
              SELECT 'paid_before', id FROM trackings WHERE inbox_id = :id
              UNION ALL
              SELECT 'tracking_reversal', id FROM tracking_reversals WHERE inbox_id = :id
              UNION ALL
              SELECT 'loyalty_transaction', id FROM loyalty_transactions WHERE inbox_id = :id) s
        JOIN earnings e ON e.source_kind = s.kind AND e.source_id = s.id
        LEFT JOIN payouts p ON p.id = e.payout_id
        ORDER BY e.id
    """,
}


def counts(tx: Tx, merchant_id: int | None) -> list[Any]:
    """Events by type, status and reason."""
    return list(
        tx.execute(
            text(
                """
                SELECT type, status, reason, count(*) AS events FROM inbox_events
                WHERE CAST(:merchant_id AS bigint) IS NULL OR merchant_id = :merchant_id
                GROUP BY 1, 2, 3 ORDER BY 2, 4 DESC, 1, 3
                """
            ),
            {"merchant_id": merchant_id},
        )
    )


def unreadable_counts(tx: Tx) -> list[Any]:
    """Messages without a readable identity, by reason."""
    return list(
        tx.execute(
            text(
                "SELECT reason, count(*) AS events FROM rejected_messages GROUP BY 1 ORDER BY 2 DESC, 1"
            )
        )
    )


def unreadable(tx: Tx, limit: int) -> list[Any]:
    """Messages without a readable identity or a known merchant, newest first, with the start of each."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, reason, detail, received_at, message_id, position,
                       encode(substring(raw FROM 1 FOR 500), 'escape') AS begins
                FROM rejected_messages ORDER BY id DESC LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )


def attention_counts(tx: Tx, at_most: int) -> dict[str, int]:
    """How many events wait, are dead or were rejected, and how many messages had no readable identity.

    Each is counted up to ``at_most``, over indexes that hold no applied event: cheap behind any number
    of events.
    """
    return {row.status: row.events for row in tx.execute(_ATTENTION_COUNTS, {"at_most": at_most})}


_ATTENTION_COUNTS = text(
    """
    SELECT 'waiting' AS status, count(*) AS events
    FROM (SELECT id FROM inbox_events WHERE status = 'waiting' LIMIT :at_most) waiting
    UNION ALL
    SELECT 'dead', count(*) FROM (SELECT id FROM inbox_events WHERE status = 'dead' LIMIT :at_most) dead
    UNION ALL
    SELECT 'rejected', count(*)
    FROM (SELECT id FROM inbox_events WHERE status = 'rejected' LIMIT :at_most) rejected
    UNION ALL
    SELECT 'unreadable', count(*)
    FROM (SELECT id FROM rejected_messages ORDER BY id LIMIT :at_most) unreadable
    """
)
