"""SQL of the hot path: find, add and lock cards, load their lots, and write what a batch decided."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import TextClause, text

from domain.db import Tx, next_ids
from domain.loyalty.rules import Card, Lot, Program
from domain.loyalty.rules.cards import Recent

_FIND = text(
    """
    SELECT c.merchant_id, c.number, c.customer_id
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:numbers AS text[]), CAST(:customers AS text[]))
         AS w (merchant_id, number, customer_id)
    JOIN cards c ON c.merchant_id = w.merchant_id AND c.number = w.number
    UNION
    SELECT c.merchant_id, c.number, c.customer_id
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:numbers AS text[]), CAST(:customers AS text[]))
         AS w (merchant_id, number, customer_id)
    JOIN cards c ON c.merchant_id = w.merchant_id AND c.customer_id = w.customer_id
    """
)

# In customer order: two batches that enrol the same customers wait for each other, not crosswise.
_ADD = text(
    """
    INSERT INTO cards (id, merchant_id, program_id, number, customer_id, last_activity_at)
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:merchants AS bigint[]), CAST(:programs AS bigint[]),
                         CAST(:numbers AS text[]), CAST(:customers AS text[]),
                         CAST(:times AS timestamptz[]))
         AS n (id, merchant_id, program_id, number, customer_id, last_activity_at)
    ORDER BY merchant_id, customer_id
    ON CONFLICT DO NOTHING RETURNING id
    """
)

_LOCK = text(
    """
    SELECT id, merchant_id, program_id, number, customer_id, status = 'active' AS active,
           points_balance, stamps_balance, last_seq, last_activity_at, inactivity_deadline,
           expired_through, expire_check_on, points_debt, awaits, merged_into_id
    FROM cards
    WHERE id = ANY (ARRAY(
        SELECT coalesce(c.merged_into_id, c.id) FROM unnest(CAST(:merchants AS bigint[]), CAST(:numbers AS text[])) AS w (merchant_id, number)
        JOIN cards c ON c.merchant_id = w.merchant_id AND c.number = w.number
    ))
    ORDER BY id FOR NO KEY UPDATE
    """
)

_MERGED = text(
    """
    SELECT c.merchant_id, c.number, c.customer_id, s.number AS survivor
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:numbers AS text[])) AS w (merchant_id, number)
    JOIN cards c ON c.merchant_id = w.merchant_id AND c.number = w.number
    JOIN cards s ON s.id = c.merged_into_id
    """
)

_MISSING = text(
    """
    SELECT w.merchant_id, w.number
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:numbers AS text[])) AS w (merchant_id, number)
    WHERE NOT EXISTS (SELECT FROM cards c WHERE c.merchant_id = w.merchant_id AND c.number = w.number)
    """
)

FIRST_LOTS: Final = 8
"""Lots of a card that are read for a redemption before all of them are."""

# In the order of consumption, by the index and no further than needed: a card may have years of open lots.
_FIRST_LOTS = text(
    """
    SELECT l.card_id, l.id, l.points, l.remaining, l.held, l.occurred_at, l.available_at, l.expires_at
    FROM unnest(CAST(:cards AS bigint[])) AS w (card_id)
    CROSS JOIN LATERAL (
        SELECT * FROM point_lots WHERE card_id = w.card_id AND remaining > 0
        ORDER BY expires_at, occurred_at, id LIMIT :first
    ) l
    """
)

_OPEN_LOTS = text(
    """
    SELECT card_id, id, points, remaining, held, occurred_at, available_at, expires_at
    FROM point_lots WHERE card_id = ANY(:cards) AND remaining > 0
    ORDER BY card_id, expires_at, occurred_at, id
    """
)

_RECENT = text(
    """
    SELECT coalesce(c.merged_into_id, c.id) AS card_id, t.id, t.transaction_at,
           (t.points_delta - coalesce(v.undone * sign(t.points_delta), 0))::bigint AS points,
           (t.stamps_delta - coalesce(v.undone * sign(t.stamps_delta), 0))::bigint AS stamps
    FROM (
        SELECT id, merged_into_id FROM cards WHERE id = ANY(:cards)
        UNION ALL SELECT id, merged_into_id FROM cards WHERE merged_into_id = ANY(:cards)
    ) c
    JOIN loyalty_transactions t ON t.card_id = c.id
    LEFT JOIN LATERAL (
        SELECT sum(abs(points_delta) + coalesce(points_not_taken, 0) + abs(stamps_delta)) AS undone
        FROM loyalty_transactions WHERE related_transaction_id = t.id
    ) v ON true
    WHERE t.card_id = c.id AND t.type IN ('points_earned', 'stamp_earned')
      AND t.transaction_at BETWEEN :since AND :until
    """
)


@dataclass(frozen=True, slots=True)
class NewCard:
    """A card to be added; ``number`` None has one made from its id."""

    merchant_id: int
    program: Program
    number: str | None
    customer_id: str
    at: datetime


def taken(
    tx: Tx, wanted: Sequence[tuple[int, str | None, str]]
) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
    """Which numbers and which customers of ``wanted`` (merchant, number, customer) have a card."""
    rows = tx.execute(
        _FIND,
        {
            "merchants": [merchant for merchant, _, _ in wanted],
            "numbers": [number for _, number, _ in wanted],
            "customers": [customer for _, _, customer in wanted],
        },
    ).all()
    return {(r.merchant_id, r.number) for r in rows}, {(r.merchant_id, r.customer_id) for r in rows}


def add(tx: Tx, new: Sequence[tuple[int, str, NewCard]]) -> set[int]:
    """Add empty cards (id, number, card); returns the ids that no concurrent batch was faster with."""
    rows = tx.execute(
        _ADD,
        {
            "ids": [card_id for card_id, _, _ in new],
            "merchants": [card.merchant_id for _, _, card in new],
            "programs": [card.program.id for _, _, card in new],
            "numbers": [number for _, number, _ in new],
            "customers": [card.customer_id for _, _, card in new],
            "times": [card.at for _, _, card in new],
        },
    )
    return {row[0] for row in rows}


def new_ids(tx: Tx, count: int) -> list[int]:
    """Reserve ids for cards to be added."""
    return next_ids(tx, "cards", count)


def missing(tx: Tx, keys: Collection[tuple[int, str]]) -> list[tuple[int, str]]:
    """Which (merchant, number) are no card; nothing is locked."""
    return [(row.merchant_id, row.number) for row in tx.execute(_MISSING, _named(keys))]


def lock(
    tx: Tx, keys: Iterable[tuple[int, str]], programs: Mapping[int, Program]
) -> dict[tuple[int, str], Card]:
    """Lock the cards of ``keys`` (merchant, number) in id order; those that exist, without lots.

    The number of a card that was merged leads to the survivor, which knows it among its ``aliases``.
    """
    wanted = set(keys)
    found = _lock(tx, wanted, programs)
    missing = wanted - found.keys()
    while missing:
        survivors = [
            (row.merchant_id, row.number, row.customer_id, row.survivor)
            for row in tx.execute(_MERGED, _named(missing))
        ]
        late = {(merchant, survivor) for merchant, _, _, survivor in survivors} - found.keys()
        if not late:
            for merchant, number, customer, survivor in survivors:
                card = found[merchant, number] = found[merchant, survivor]
                card.aliases[number] = customer
            break
        # Merged while we waited for it. This may wait for a card below one that we hold: nobody else takes
        # them that way round but a batch that was as late, and PostgreSQL ends that deadlock.
        found |= _lock(tx, late, programs)
    return found


def _named(keys: Iterable[tuple[int, str]]) -> dict[str, Any]:
    wanted = sorted(keys)
    return {"merchants": [m for m, _ in wanted], "numbers": [number for _, number in wanted]}


def _lock(
    tx: Tx, keys: Iterable[tuple[int, str]], programs: Mapping[int, Program]
) -> dict[tuple[int, str], Card]:
    rows = tx.execute(_LOCK, _named(keys))
    return {
        (merchant_id, number): Card(
            card_id,
            merchant_id,
            programs[program_id],
            number,
            customer_id,
            last_activity_at,
            None,
            active,
            balance,
            stamps,
            seq,
            deadline,
            expired_through,
            check_on,
            debt,
            awaits=frozenset(awaits or ()),
        )
        for (
            card_id,
            merchant_id,
            program_id,
            number,
            customer_id,
            active,
            balance,
            stamps,
            seq,
            last_activity_at,
            deadline,
            expired_through,
            check_on,
            debt,
            awaits,
            merged_into_id,
        ) in rows
        if merged_into_id is None
    }


def load_lots(
    tx: Tx, asked: Sequence[tuple[Card, int | None]], oldest: datetime, now: datetime
) -> None:
    """Give cards their open lots in order of consumption. The cards are locked, so the lots stay as read.

    With each card, the points that are asked of it in all, or None for all its lots. Of a card whose
    first lots surely hold what is asked, only those are loaded: no redemption of the batch reaches
    further. ``oldest`` and ``now`` are the earliest and latest time that an event of the batch can count at.
    """
    some = {card.id: card for card, points in asked if points is not None}
    _read_lots(tx, _FIRST_LOTS, some, first=FIRST_LOTS)
    everything = {
        card.id: card
        for card, points in asked
        if points is None or not _suffice(card.lots or [], points, oldest, now)
    }
    _read_lots(tx, _OPEN_LOTS, everything)


def _suffice(first: Sequence[Lot], points: int, oldest: datetime, now: datetime) -> bool:
    sure = sum(
        lot.free
        for lot in first
        if lot.available_at <= oldest and (lot.expires_at is None or now < lot.expires_at)
    )
    return len(first) < FIRST_LOTS or sure >= points


def _read_lots(tx: Tx, statement: TextClause, cards: Mapping[int, Card], **limits: int) -> None:
    by_id: dict[int, list[Lot]] = {}
    for card in cards.values():
        card.lots = by_id[card.id] = []
    if not cards:
        return
    rows: Any = tx.execute(statement, {"cards": list(by_id), **limits})
    for card_id, lot_id, points, remaining, held, occurred_at, available_at, expires_at in rows:
        by_id[card_id].append(
            Lot(points, remaining, occurred_at, available_at, expires_at, held, lot_id)
        )


def load_recent(tx: Tx, cards: Mapping[int, Card], since: datetime, until: datetime) -> None:
    """Give locked cards (by id) their earns and stamps of a time, less what was voided of them."""
    recent: dict[int, list[Recent]] = {}
    for card_id, card in cards.items():
        card.recent = recent[card_id] = []
    rows = tx.execute(_RECENT, {"cards": list(cards), "since": since, "until": until})
    for card_id, row_id, at, points, stamps in rows:
        recent[card_id].append(Recent(at, points, stamps, row_id))
