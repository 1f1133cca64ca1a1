"""SQL of holds. Only batches that place, close or look at one come here."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx, copy_rows, next_ids
from domain.loyalty.rules import Card, Hold, Lot

_COLUMNS = """
    h.id, h.card_id, h.inbox_id, h.points, h.status, h.held_at, h.expires_at, h.closed_at, h.closed_inbox_id,
    h.reward_id, h.reward_cost, h.reward_description
"""

_OPEN = text(
    f"""
    SELECT {_COLUMNS}, p.lot_id, p.points AS part
    FROM point_holds h
    JOIN point_hold_lots p ON p.hold_id = h.id
    JOIN point_lots l ON l.id = p.lot_id
    WHERE h.card_id = ANY(:cards) AND h.status = 'open'
    ORDER BY h.id, l.expires_at, l.occurred_at, l.id
    """  # noqa: S608
)

_OF_EVENTS = text(
    f"""
    SELECT i.merchant_id, i.source, i.event_id, {_COLUMNS},
           coalesce((SELECT merged_into_id FROM cards WHERE id = h.card_id), h.card_id) AS now_of
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:sources AS text[]), CAST(:ids AS text[]))
         AS w (merchant_id, source, event_id)
    JOIN inbox_events i USING (merchant_id, source, event_id)
    JOIN point_holds h ON h.inbox_id = i.id
    """  # noqa: S608
)

_CLOSE = text(
    """
    UPDATE point_holds AS h
    SET status = d.status, closed_at = d.closed_at, closed_inbox_id = d.closed_by, transaction_id = d.entry
    FROM unnest(CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:times AS timestamptz[]),
                CAST(:closed_by AS bigint[]), CAST(:entries AS bigint[]))
         AS d (id, status, closed_at, closed_by, entry)
    WHERE h.id = d.id AND h.status = 'open'
    """
)

# The lots first find out what they are to let go: both updates see the holds as they were.
_TIME_OUT = text(
    """
    WITH over AS MATERIALIZED (
        SELECT id FROM point_holds
        WHERE card_id = ANY(CAST(:cards AS bigint[])) AND status = 'open' AND expires_at <= :as_of
    ), closed AS (
        UPDATE point_holds h SET status = 'timed_out', closed_at = h.expires_at FROM over WHERE h.id = over.id
    )
    UPDATE point_lots l SET held = l.held - f.points
    FROM (
        SELECT p.lot_id, sum(p.points)::bigint AS points
        FROM point_hold_lots p JOIN over ON over.id = p.hold_id GROUP BY p.lot_id
    ) f
    WHERE l.id = f.lot_id
    """
)

_CARDS_DUE = text(
    """
    SELECT DISTINCT c.id, c.merchant_id, c.number
    FROM (SELECT card_id FROM point_holds WHERE status = 'open' AND expires_at <= :as_of
          ORDER BY expires_at, card_id LIMIT :limit) d
    JOIN cards c ON c.id = d.card_id
    ORDER BY c.id
    """
)

_PLACED_BY = text(
    """
    SELECT h.id, c.number AS card, h.points, h.expires_at, h.reward_id, h.reward_cost, h.reward_description
    FROM point_holds h JOIN cards c ON c.id = h.card_id
    WHERE h.inbox_id = :inbox_id OR h.closed_inbox_id = :inbox_id
    """
)


def load_open(tx: Tx, cards: Iterable[Card]) -> None:
    """Give locked cards, all of whose lots are loaded, their open holds, oldest first."""
    by_id = {card.id: card for card in cards if any(lot.held for lot in card.lots or ())}
    if not by_id:
        return
    lots = {card.id: {lot.id: lot for lot in card.lots or ()} for card in by_id.values()}
    found: dict[int, tuple[Hold, list[tuple[Lot, int]]]] = {}
    for row in tx.execute(_OPEN, {"cards": list(by_id)}):
        if row.id not in found:
            parts: list[tuple[Lot, int]] = []
            held = _hold(row, parts)
            found[row.id] = held, parts
            by_id[row.card_id].holds.append(held)
        found[row.id][1].append((lots[row.card_id][row.lot_id], row.part))


def of_events(
    tx: Tx, named: Iterable[tuple[int, str, str]], cards: Mapping[int, Card]
) -> dict[tuple[int, str, str], Hold]:
    """Holds by the event (merchant, source, id) that placed them. Those that are open are those of ``cards``."""
    wanted = sorted(named)
    rows = tx.execute(
        _OF_EVENTS,
        {
            "merchants": [merchant for merchant, _, _ in wanted],
            "sources": [source for _, source, _ in wanted],
            "ids": [event_id for _, _, event_id in wanted],
        },
    ).all()
    opened = {held.id: held for card in cards.values() for held in card.holds}
    return {
        (row.merchant_id, row.source, row.event_id): opened.get(row.id)
        or _hold(row, [], row.now_of)
        for row in rows
    }


def _hold(row: Any, parts: Sequence[tuple[Lot, int]], card_id: int | None = None) -> Hold:
    reward = None
    if row.reward_cost is not None:
        reward = (row.reward_id, row.reward_cost, row.reward_description)
    return Hold(
        card_id or row.card_id,
        row.points,
        row.held_at,
        row.expires_at,
        parts,
        reward,
        row.status,
        row.closed_at,
        row.id,
        row.inbox_id,
        row.closed_inbox_id,
    )


def write(tx: Tx, changed: Sequence[tuple[Card, Hold]]) -> None:
    """Store holds that were placed, with their lots, and those that were closed; all rows that they refer
    to have ids."""
    placed = {id(held): (card, held) for card, held in changed if held.id == 0}
    closed = {held.id: held for _, held in changed if held.id}
    for (_, held), hold_id in zip(
        placed.values(), next_ids(tx, "point_holds", len(placed)), strict=True
    ):
        held.id = hold_id
    copy_rows(
        tx,
        "point_holds",
        ("id", "merchant_id", "card_id", "inbox_id", "points", "status", "held_at", "expires_at",
         "reward_id", "reward_cost", "reward_description", "closed_at", "closed_inbox_id",
         "transaction_id"),
        (
            (held.id, card.merchant_id, card.id, held.inbox_id, held.points, held.status, held.held_at,
             held.expires_at, *(held.reward or (None, None, None)), held.closed_at, held.closed_by,
             held.entry.id if held.entry else None)
            for card, held in placed.values()
        ),
    )  # fmt: skip
    copy_rows(
        tx,
        "point_hold_lots",
        ("merchant_id", "hold_id", "lot_id", "points"),
        (
            (card.merchant_id, held.id, lot.id, points)
            for card, held in placed.values()
            for lot, points in held.parts
        ),
    )
    if closed:
        done = tx.execute(
            _CLOSE,
            {
                "ids": list(closed),
                "statuses": [held.status for held in closed.values()],
                "times": [held.closed_at for held in closed.values()],
                "closed_by": [held.closed_by for held in closed.values()],
                "entries": [held.entry.id if held.entry else None for held in closed.values()],
            },
        ).rowcount
        assert done == len(closed), "a hold of a locked card stays open until it is closed here"


def time_out(tx: Tx, card_ids: list[int], as_of: datetime) -> None:
    """Close the holds of locked cards that were over by ``as_of``, and give their lots what they held."""
    tx.execute(_TIME_OUT, {"cards": card_ids, "as_of": as_of})


def cards_due(tx: Tx, as_of: datetime, limit: int) -> list[Any]:
    """Cards (id, merchant_id, number) of the ``limit`` holds that are longest over at ``as_of``, in id order."""
    return list(tx.execute(_CARDS_DUE, {"as_of": as_of, "limit": limit}))


def touched_by(tx: Tx, inbox_id: int) -> Any | None:
    """The hold that an event placed or closed: id, card, points, expires_at and the reward; None without."""
    return tx.execute(_PLACED_BY, {"inbox_id": inbox_id}).one_or_none()
