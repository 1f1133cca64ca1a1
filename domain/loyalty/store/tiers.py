"""SQL of the tiers of cards."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx, copy_rows
from domain.loyalty.rules import Card
from domain.loyalty.rules.cards import Standing
from domain.loyalty.rules.tiers import Change

_KEEP = text(
    """
    INSERT INTO card_tiers (card_id, merchant_id, tier, points, changes, due_at, due_for)
    SELECT * FROM unnest(CAST(:cards AS bigint[]), CAST(:merchants AS bigint[]), CAST(:tiers AS text[]),
                         CAST(:points AS bigint[]), CAST(:changes AS integer[]), CAST(:dues AS timestamptz[]),
                         CAST(:reasons AS text[]))
         AS n (card_id, merchant_id, tier, points, changes, due_at, due_for)
    ORDER BY card_id
    ON CONFLICT (card_id) DO UPDATE SET tier = excluded.tier, points = excluded.points,
        changes = excluded.changes, due_at = excluded.due_at, due_for = excluded.due_for
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

_DUE_FOR_TERMS = text(
    """
    INSERT INTO card_tiers (card_id, merchant_id, points, changes, due_at, due_for)
    SELECT id, merchant_id, 0, 0, :at, 'terms' FROM cards
    WHERE program_id = :program_id AND merged_into_id IS NULL ORDER BY id
    ON CONFLICT (card_id) DO UPDATE SET due_at = excluded.due_at, due_for = 'terms'
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
    SELECT c.id, c.number, c.program_id, t.tier, t.points, t.due_at, t.due_for
    FROM cards c JOIN card_tiers t ON t.card_id = c.id
    WHERE c.id = (SELECT coalesce(merged_into_id, id) FROM cards
                  WHERE merchant_id = :merchant_id AND number = :number)
    """
)


def load(tx: Tx, cards: Mapping[int, Card]) -> None:
    """Give locked cards (by id) their tiers; none yet where nothing was counted."""
    for card in cards.values():
        card.tier = Standing()
    rows = tx.execute(
        text(
            "SELECT card_id, tier, points, changes, due_at, due_for FROM card_tiers"
            " WHERE card_id = ANY(:cards)"
        ),
        {"cards": list(cards)},
    )
    for card_id, *standing in rows:
        cards[card_id].tier = Standing(*standing)


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
                "reasons": [state.due_for for _, state in kept],
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


def due_for_terms(tx: Tx, program_id: int, at: datetime) -> None:
    """Have all cards of a program counted anew as of ``at``."""
    tx.execute(_DUE_FOR_TERMS, {"program_id": program_id, "at": at})


def standing(tx: Tx, merchant_id: int, number: str) -> Any | None:
    """What is kept of the tier of a card, or of the one that it was merged into; None where nothing is."""
    return tx.execute(_STANDING, {"merchant_id": merchant_id, "number": number}).one_or_none()


def changes(tx: Tx, merchant_id: int, *, number: str | None, after: int, limit: int) -> list[Any]:
    """Changes above id ``after``, in the order in which they were booked; of one card, or of all."""
    return list(
        tx.execute(
            _LIST,
            {"merchant_id": merchant_id, "number": number, "after": after, "limit": limit},
        )
    )
