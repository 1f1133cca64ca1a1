"""SQL of the tiers of cards."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx, copy_rows
from domain.loyalty.rules import Card
from domain.loyalty.rules.cards import Standing
from domain.loyalty.rules.tiers import Change, Fall

_KEEP = text(
    """
    INSERT INTO card_tiers (card_id, merchant_id, tier, points, changes, due_at, terms)
    SELECT * FROM unnest(CAST(:cards AS bigint[]), CAST(:merchants AS bigint[]), CAST(:tiers AS text[]),
                         CAST(:points AS bigint[]), CAST(:changes AS integer[]), CAST(:dues AS timestamptz[]),
                         CAST(:terms AS integer[]))
         AS n (card_id, merchant_id, tier, points, changes, due_at, terms)
    ORDER BY card_id
    ON CONFLICT (card_id) DO UPDATE SET tier = excluded.tier, points = excluded.points,
        changes = excluded.changes, due_at = excluded.due_at, terms = excluded.terms
    """
)

# The cards are locked, as events lock them; those that somebody holds are left to the next run.
_LOCK_DUE = text(
    """
    SELECT c.id, c.number FROM card_tiers t JOIN cards c ON c.id = t.card_id
    WHERE t.merchant_id = :merchant_id AND t.card_id > :after AND t.due_at <= :fire_at
    ORDER BY c.id LIMIT :limit FOR NO KEY UPDATE OF c SKIP LOCKED
    """
)

# Whoever takes a page of it holds the program until the end: pages follow one another.
_RECOUNTING = """
    SELECT id, tiers_version, CASE WHEN id = :program_id THEN greatest(recount_after, :after) ELSE recount_after END AS after,
           (SELECT coalesce(max(id), 0) FROM cards) AS last
    FROM loyalty_programs
    WHERE merchant_id = :merchant_id AND recount_after IS NOT NULL AND tiers_at <= :fire_at AND id >= :program_id
    ORDER BY id LIMIT 1
"""

# Cards are waited for, so that a page leaves none behind. Each is looked up by itself, so that a page costs the same
# wherever it is.
_LOCK_STALE = text(
    """
    SELECT c.id, c.number FROM cards c
    LEFT JOIN LATERAL (SELECT k.terms FROM card_tiers k WHERE k.card_id = c.id OFFSET 0) t ON true
    WHERE c.program_id = :program_id AND c.id > :after AND c.id <= :upto AND c.merged_into_id IS NULL
      AND coalesce(t.terms, 0) < :terms
    ORDER BY c.id LIMIT :limit FOR NO KEY UPDATE OF c
    """
)

_LOAD = text(
    "SELECT card_id, tier, points, changes, due_at, terms FROM card_tiers WHERE card_id = ANY(:cards)"
)

# Who was enrolled before the tiers of now held, and was never counted.
_OLDER = text(
    """
    SELECT n.card_id FROM unnest(CAST(:cards AS bigint[]), CAST(:ats AS timestamptz[])) AS n (card_id, at)
    JOIN loyalty_transactions t ON t.card_id = n.card_id AND t.seq = 1 AND t.transaction_at < n.at
    """
)

# What is due at an end that was announced, or for other terms, is left out.
_SOON = text(
    """
    SELECT c.id, c.number, c.program_id
    FROM card_tiers t
    JOIN cards c ON c.id = t.card_id
    JOIN loyalty_programs p ON p.id = c.program_id
    JOIN loyalty_program_versions v ON v.program_id = p.id AND v.version = p.version
    WHERE t.merchant_id = :merchant_id AND t.card_id > :after AND t.due_at > :at
      AND t.due_at < CAST(:at AS timestamptz) + make_interval(days => v.notice_days)
      AND t.tier IS NOT NULL AND t.terms = p.tiers_version
      AND NOT EXISTS (
          SELECT FROM tier_notices n WHERE n.card_id = t.card_id AND n.falls_at = t.due_at AND n.from_tier = t.tier OFFSET 0
      )
    ORDER BY t.card_id LIMIT :limit
    """
)

_ANNOUNCE = text(
    """
    INSERT INTO tier_notices (merchant_id, card_id, from_tier, to_tier, falls_at, points, missing, noticed_at)
    SELECT n.*, :at FROM unnest(CAST(:merchants AS bigint[]), CAST(:cards AS bigint[]), CAST(:befores AS text[]),
                                CAST(:afters AS text[]), CAST(:ends AS timestamptz[]), CAST(:points AS bigint[]),
                                CAST(:missing AS bigint[])) AS n (merchant_id, card_id, before, after, ends, points, missing)
    ORDER BY n.card_id
    ON CONFLICT (card_id, falls_at, from_tier) DO NOTHING
    """
)

_NOTICES = text(
    """
    SELECT n.id, c.number AS card, c.customer_id, p.key AS program, n.from_tier, n.to_tier, n.falls_at, n.points,
           n.missing, n.noticed_at
    FROM tier_notices n JOIN cards c ON c.id = n.card_id JOIN loyalty_programs p ON p.id = c.program_id
    WHERE n.merchant_id = :merchant_id AND n.id > :after ORDER BY n.id LIMIT :limit
    """
)

_LIST = text(
    """
    SELECT t.id, c.number AS card, c.customer_id, p.key AS program, t.from_tier, t.to_tier, t.reason, t.points,
           t.program_version, t.transaction_id, t.changed_at
    FROM tier_changes t JOIN cards c ON c.id = t.card_id JOIN loyalty_programs p ON p.id = c.program_id
    WHERE t.merchant_id = :merchant_id AND t.id > :after
      AND (CAST(:number AS text) IS NULL OR t.card_id = (
          SELECT id FROM cards WHERE merchant_id = :merchant_id AND number = :number))
    ORDER BY t.id LIMIT :limit
    """
)

_STANDING = text(
    """
    SELECT c.id, c.number, c.program_id, t.card_id IS NOT NULL AS counted
    FROM cards c LEFT JOIN card_tiers t ON t.card_id = c.id
    WHERE c.id = (SELECT coalesce(merged_into_id, id) FROM cards
                  WHERE merchant_id = :merchant_id AND number = :number)
    """
)


def load(tx: Tx, cards: Mapping[int, Card]) -> None:
    """Give cards (by id) their tiers: none yet where nothing was counted, of no terms where other ones hold since."""
    kept = {row.card_id: row for row in tx.execute(_LOAD, {"cards": list(cards)})}
    unknown = {}
    for card in cards.values():
        row = kept.get(card.id)
        if row is not None:
            card.tier = Standing(row.tier, row.points, row.changes, row.due_at, row.terms)
            continue
        card.tier = Standing(terms=card.program.tiers_version)
        if card.program.tiers_at is not None:
            unknown[card.id] = card.program.tiers_at
    if unknown:
        older = tx.execute(_OLDER, {"cards": list(unknown), "ats": list(unknown.values())})
        for card_id in older.scalars():
            cards[card_id].tier = Standing(terms=0)


def write(tx: Tx, changes: Sequence[Change], cards: Iterable[Card]) -> None:
    """Keep ``changes`` whose rows are stored, and the tiers of locked ``cards``."""
    copy_rows(
        tx,
        "tier_changes",
        (
            "merchant_id",
            "card_id",
            "number",
            "from_tier",
            "to_tier",
            "reason",
            "points",
            "program_version",
            "transaction_id",
            "changed_at",
        ),
        (
            (
                one.card.merchant_id,
                one.card.id,
                one.number,
                one.before,
                one.after,
                one.reason,
                one.points,
                one.card.program.version,
                one.entry.id if one.entry else None,
                one.at,
            )
            for one in changes
        ),
    )
    kept = [(card, card.tier) for card in cards if card.tier is not None]
    if kept:
        tx.execute(
            _KEEP,
            {
                "cards": [card.id for card, _ in kept],
                "merchants": [card.merchant_id for card, _ in kept],
                "tiers": [state.key for _, state in kept],
                "points": [state.points for _, state in kept],
                "changes": [state.changes for _, state in kept],
                "dues": [state.due_at for _, state in kept],
                "terms": [state.terms for _, state in kept],
            },
        )


def lock_due(
    tx: Tx, merchant_id: int, fire_at: datetime, after: int, limit: int
) -> list[tuple[int, str]]:
    """Lock the next cards above id ``after`` whose tier is to be counted by ``fire_at``: id and number."""
    rows = tx.execute(
        _LOCK_DUE,
        {"merchant_id": merchant_id, "fire_at": fire_at, "after": after, "limit": limit},
    )
    return [(row.id, row.number) for row in rows]


def recounting(
    tx: Tx, merchant_id: int, fire_at: datetime, cursor: tuple[int, int], *, lock: bool
) -> Any | None:
    """A program from ``cursor`` (program, card) on whose cards are to be counted anew by ``fire_at``, after which card, and
    the last card of all; None: there is none. ``lock``: until the end."""
    return tx.execute(
        text(_RECOUNTING + (" FOR NO KEY UPDATE" if lock else "")),
        {
            "merchant_id": merchant_id,
            "fire_at": fire_at,
            "program_id": cursor[0],
            "after": cursor[1],
        },
    ).one_or_none()


def lock_stale(
    tx: Tx, program_id: int, terms: int, after: int, upto: int, limit: int
) -> list[tuple[int, str]]:
    """Lock the first cards above id ``after``, to ``upto``, that were not counted under ``terms``: id and number."""
    rows = tx.execute(
        _LOCK_STALE,
        {"program_id": program_id, "terms": terms, "after": after, "upto": upto, "limit": limit},
    )
    return [(row.id, row.number) for row in rows]


def recounted(tx: Tx, program_id: int, upto: int | None) -> None:
    """Keep how far the cards of a locked program are counted anew; None: all are."""
    tx.execute(
        text("UPDATE loyalty_programs SET recount_after = :upto WHERE id = :id"),
        {"id": program_id, "upto": upto},
    )


def falling(tx: Tx, merchant_id: int, at: datetime, after: int, limit: int) -> list[Any]:
    """The next cards above id ``after`` whose tier falls within their program's ``notice_days`` of ``at``, and that were not
    told of that."""
    return list(
        tx.execute(_SOON, {"merchant_id": merchant_id, "at": at, "after": after, "limit": limit})
    )


def announce(tx: Tx, falls: Sequence[Fall], at: datetime) -> int:
    """Keep notices; returns how many are new."""
    return tx.execute(
        _ANNOUNCE,
        {
            "merchants": [one.card.merchant_id for one in falls],
            "cards": [one.card.id for one in falls],
            "befores": [one.before for one in falls],
            "afters": [one.after for one in falls],
            "ends": [one.at for one in falls],
            "points": [one.points for one in falls],
            "missing": [one.missing for one in falls],
            "at": at,
        },
    ).rowcount


def notices(tx: Tx, merchant_id: int, after: int, limit: int) -> list[Any]:
    """Notices above id ``after``, in the order in which they were made."""
    return list(tx.execute(_NOTICES, {"merchant_id": merchant_id, "after": after, "limit": limit}))


def standing(tx: Tx, merchant_id: int, number: str) -> Any | None:
    """A card, or the one that it was merged into, and whether its tier was ever counted; None without a card."""
    return tx.execute(_STANDING, {"merchant_id": merchant_id, "number": number}).one_or_none()


def changes(tx: Tx, merchant_id: int, *, number: str | None, after: int, limit: int) -> list[Any]:
    """Changes above id ``after``, in the order in which they were booked; of one card, or of all."""
    return list(
        tx.execute(
            _LIST,
            {"merchant_id": merchant_id, "number": number, "after": after, "limit": limit},
        )
    )
