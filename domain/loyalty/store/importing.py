"""SQL that takes over cards of another system: what came before, and new cards by COPY."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx, copy_columns, next_ids
from domain.loyalty.models.cards import loyalty_transactions
from domain.loyalty.models.imports import imported_cards
from domain.loyalty.models.lots import point_lots
from domain.loyalty.rules.importing import TakenOver
from domain.loyalty.rules.programs import Program

# Against a change of terms beside the import: it gives every card that is there a period, and one that
# comes with the old terms a moment later would have none.
_SHARE_PROGRAMS = text(
    "SELECT id FROM loyalty_programs WHERE merchant_id = :merchant_id ORDER BY id FOR SHARE"
)

_BEFORE = text(
    """
    SELECT number, content_hash FROM imported_cards
    WHERE merchant_id = :merchant_id AND number = ANY(CAST(:numbers AS text[]))
    """
)

_UPDATE = text(
    """
    UPDATE cards AS c SET points_balance = d.points, stamps_balance = d.stamps, last_seq = d.seq,
           inactivity_deadline = d.deadline, expire_check_on = d.check_on,
           status = CASE WHEN d.active THEN 'active' ELSE 'inactive' END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:points AS bigint[]), CAST(:stamps AS bigint[]),
                CAST(:seqs AS bigint[]), CAST(:deadlines AS timestamptz[]), CAST(:checks AS timestamptz[]),
                CAST(:actives AS boolean[]))
         AS d (id, points, stamps, seq, deadline, check_on, active)
    WHERE c.id = d.id
    """
)

_REMEMBER_TRIED = """
    CREATE TEMPORARY TABLE IF NOT EXISTS tried_cards (
        number text PRIMARY KEY, customer_id text NOT NULL UNIQUE, content_hash bytea NOT NULL
    ) ON COMMIT DROP
"""
_TRIED = text(
    """
    SELECT number, customer_id, content_hash FROM tried_cards
    WHERE number = ANY(CAST(:numbers AS text[]))
    UNION
    SELECT number, customer_id, content_hash FROM tried_cards
    WHERE customer_id = ANY(CAST(:customers AS text[]))
    """
)
_ADD_TRIED = text(
    """
    INSERT INTO tried_cards SELECT * FROM unnest(
        CAST(:numbers AS text[]), CAST(:customers AS text[]), CAST(:hashes AS bytea[]))
    """
)

_HISTORY: Final = (
    "id",
    "merchant_id",
    "card_id",
    "program_id",
    "program_version",
    "seq",
    "type",
    "points_delta",
    "points_balance_after",
    "stamps_delta",
    "stamps_balance_after",
    "reason",
    "explanation",
    "transaction_at",
)
_LOTS: Final = (
    "id",
    "merchant_id",
    "card_id",
    "program_id",
    "transaction_id",
    "points",
    "remaining",
    "occurred_at",
    "available_at",
    "expires_at",
    "policy",
)
REASON: Final = "imported from another system"
"""The reason of the adjustments that bring an imported card's balances."""


def share_programs(tx: Tx, merchant_id: int) -> None:
    """Keep a merchant's programs as they are until ``tx`` ends."""
    tx.execute(_SHARE_PROGRAMS, {"merchant_id": merchant_id})


def imported(tx: Tx, merchant_id: int, numbers: Sequence[str]) -> dict[str, bytes]:
    """Of ``numbers``, those that were imported, each with the hash of what was said of it."""
    rows = tx.execute(_BEFORE, {"merchant_id": merchant_id, "numbers": list(numbers)})
    return {row.number: bytes(row.content_hash) for row in rows}


def tried(tx: Tx, numbers: Sequence[str], customers: Sequence[str]) -> list[Any]:
    """Cards of ``numbers`` or ``customers`` that this dry run would have taken: number, customer_id,
    content_hash."""
    tx.exec_driver_sql(_REMEMBER_TRIED)
    return list(tx.execute(_TRIED, {"numbers": list(numbers), "customers": list(customers)}))


def add_tried(tx: Tx, cards: Sequence[TakenOver]) -> None:
    """Remember, for the rest of a dry run, cards that it would have taken."""
    values = {
        "numbers": [card.past.number for card in cards],
        "customers": [card.past.customer_id for card in cards],
        "hashes": [card.past.content_hash for card in cards],
    }
    if cards:
        tx.execute(_ADD_TRIED, values)


def write(tx: Tx, cards: Sequence[tuple[int, TakenOver]], now: datetime) -> list[int]:
    """Give new, empty cards (by id) their history, lots and balances; they came at business time ``now``.

    Returns, for each card, the id of the row that brought its points, or 0. A card's points are one row
    with all its lots, so that the row's balance is what its customer was told there.
    """
    rows = [row for card_id, taken in cards for row in _history(card_id, taken, now)]
    ids = next_ids(tx, "loyalty_transactions", len(rows))
    columns = list(zip(*(row[1:] for row in rows), strict=True))
    copy_columns(tx, loyalty_transactions, _HISTORY, [ids, *columns])
    brought = {
        row[2]: row_id
        for row_id, row in zip(ids, rows, strict=True)
        if row[0] == "points_adjustment"
    }
    lots = [
        (taken.program, card_id, brought[card_id], lot)
        for card_id, taken in cards
        for lot in taken.lots
    ]
    if lots:
        policies = {taken.program.id: _policy(taken.program) for _, taken in cards}
        copy_columns(
            tx,
            point_lots,
            _LOTS,
            [
                next_ids(tx, "point_lots", len(lots)),
                [program.merchant_id for program, *_ in lots],
                [card_id for _, card_id, *_ in lots],
                [program.id for program, *_ in lots],
                [row_id for _, _, row_id, _ in lots],
                [lot.points for *_, lot in lots],
                [lot.remaining for *_, lot in lots],
                [lot.occurred_at for *_, lot in lots],
                [lot.available_at for *_, lot in lots],
                [lot.expires_at for *_, lot in lots],
                [policies[program.id] for program, *_ in lots],
            ],
        )
    copy_columns(
        tx,
        imported_cards,
        ("merchant_id", "number", "card_id", "content_hash"),
        [
            [taken.program.merchant_id for _, taken in cards],
            [taken.past.number for _, taken in cards],
            [card_id for card_id, _ in cards],
            [taken.past.content_hash for _, taken in cards],
        ],
    )
    _update(tx, cards, rows)
    return [brought.get(card_id, 0) for card_id, _ in cards]


def _update(
    tx: Tx, cards: Sequence[tuple[int, TakenOver]], rows: Sequence[tuple[Any, ...]]
) -> None:
    last = {row[2]: row[5] for row in rows}
    values = {
        "ids": [card_id for card_id, _ in cards],
        "points": [taken.points for _, taken in cards],
        "stamps": [taken.past.stamps for _, taken in cards],
        "seqs": [last[card_id] for card_id, _ in cards],
        "deadlines": [taken.deadline for _, taken in cards],
        "checks": [taken.check_on for _, taken in cards],
        "actives": [taken.past.active for _, taken in cards],
    }
    updated = tx.execute(_UPDATE, values).rowcount
    assert updated == len(cards), "nobody else can touch a card that is not committed"


def _history(card_id: int, taken: TakenOver, now: datetime) -> list[tuple[Any, ...]]:
    """Rows of _HISTORY without their ids, the type in front once more."""
    past, program, points = taken.past, taken.program, taken.points
    changes: list[tuple[str, int, int, dict[str, Any], datetime]] = [
        ("card_created", 0, 0, {}, taken.enrolled_at)
    ]
    if points:
        first = min(lot.occurred_at for lot in taken.lots)
        said = {"lots": len(taken.lots), "earned_from": first.isoformat()}
        changes.append(("points_adjustment", points, 0, said, now))
    if past.stamps:
        changes.append(("stamp_adjustment", 0, past.stamps, {}, now))
    if not past.active:
        changes.append(("card_deactivated", 0, 0, {}, now))
    rows = []
    points_after = stamps_after = 0
    for seq, (type_, points_delta, stamps_delta, said, at) in enumerate(changes, start=1):
        points_after += points_delta
        stamps_after += stamps_delta
        rows.append(
            (
                type_,
                program.merchant_id,
                card_id,
                program.id,
                program.version,
                seq,
                type_,
                points_delta,
                points_after,
                stamps_delta,
                stamps_after,
                REASON if points_delta or stamps_delta else None,
                json.dumps({"rule": "imported", **said}),
                at,
            )
        )
    return rows


def _policy(program: Program) -> str:
    return json.dumps(
        {
            "version": program.version,
            "inactivity_days": program.inactivity_days,
            "imported": True,
        }
    )
