"""SQL that writes what a batch decided: history, lots, allocations, and the cards last."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx, copy_rows, next_ids
from domain.loyalty.rules import Card, Entry, Hold, Lot
from domain.loyalty.store import corrections as store
from domain.loyalty.store import holds as hold_store

TRANSACTION_COLUMNS: Final = (
    "id",
    "merchant_id",
    "card_id",
    "program_id",
    "program_version",
    "seq",
    "type",
    "points_delta",
    "points_balance_after",
    "stamps_balance_after",
    "explanation",
    "transaction_at",
    "inbox_id",
)
PROVENANCE_COLUMNS: Final = (
    "store_id",
    "store_name",
    "staff_pin_id",
    "staff_name",
    "terminal_device_id",
    "principal_kind",
    "principal_id",
    "ip_address",
    "user_agent",
    "notes",
    "category_ids",
    "purchase_amount_cents",
    "purchase_currency",
    "order_reference",
    "reward_id",
    "reward_cost",
    "reward_description",
)
"""What an event may say about a change; see ``domain.loyalty.service.provenance``."""

CORRECTION_COLUMNS: Final = ("stamps_delta", "related_transaction_id", "reason", "points_not_taken")
"""Written only where a batch has one of them."""

_LOT_COLUMNS: Final = (
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

_UPDATE_LOTS = text(
    """
    UPDATE point_lots AS l SET remaining = d.remaining, held = d.held
    FROM unnest(CAST(:ids AS bigint[]), CAST(:remaining AS bigint[]), CAST(:held AS bigint[]))
         AS d (id, remaining, held)
    WHERE l.id = d.id
    """
)

_UPDATE_CARDS = text(
    """
    UPDATE cards AS c SET points_balance = d.balance, last_seq = d.seq, last_activity_at = d.last_activity_at,
           inactivity_deadline = d.deadline, expired_through = d.expired_through, expire_check_on = d.check_on
    FROM unnest(CAST(:ids AS bigint[]), CAST(:balances AS bigint[]), CAST(:seqs AS bigint[]),
                CAST(:activities AS timestamptz[]), CAST(:deadlines AS timestamptz[]),
                CAST(:expired AS timestamptz[]), CAST(:checks AS timestamptz[]))
         AS d (id, balance, seq, last_activity_at, deadline, expired_through, check_on)
    WHERE c.id = d.id
    """
)

# All that an event can change, in one statement: the balances are checked against the history at its end.
_RESHAPE_CARDS = text(
    """
    UPDATE cards AS c SET points_balance = d.balance, last_seq = d.seq, last_activity_at = d.last_activity_at,
           inactivity_deadline = d.deadline, expired_through = d.expired_through, expire_check_on = d.check_on,
           points_debt = d.debt, stamps_balance = d.stamps,
           status = CASE WHEN d.active THEN 'active' ELSE 'inactive' END,
           awaits = ARRAY(SELECT jsonb_array_elements_text(CAST(d.awaits AS jsonb)))
    FROM unnest(CAST(:ids AS bigint[]), CAST(:balances AS bigint[]), CAST(:seqs AS bigint[]),
                CAST(:activities AS timestamptz[]), CAST(:deadlines AS timestamptz[]),
                CAST(:expired AS timestamptz[]), CAST(:checks AS timestamptz[]), CAST(:debts AS bigint[]),
                CAST(:stamps AS bigint[]), CAST(:actives AS boolean[]), CAST(:awaits AS text[]))
         AS d (id, balance, seq, last_activity_at, deadline, expired_through, check_on, debt, stamps, active, awaits)
    WHERE c.id = d.id
    """
)


def write(
    tx: Tx,
    entries: Sequence[tuple[Entry, int | None, tuple[Any, ...]]],
    cards: Sequence[Card],
    holds: Sequence[tuple[Card, Hold]] = (),
) -> None:
    """Store ``entries`` (entry, inbox id, provenance) in order, their lots and allocations, ``holds`` that were
    placed or closed, and ``cards``.

    Gives entries and lots their ids. The cards must be locked since they were loaded; they come last,
    when the database compares them with their history.
    """
    for (entry, _, _), entry_id in zip(
        entries, next_ids(tx, "loyalty_transactions", len(entries)), strict=True
    ):
        entry.id = entry_id
    credits = [entry for entry, _, _ in entries if entry.lot is not None]
    for entry, lot_id in zip(credits, next_ids(tx, "point_lots", len(credits)), strict=True):
        assert entry.lot is not None
        entry.lot.id = lot_id
    corrects = any(e.stamps or e.original or e.reason or e.not_taken for e, _, _ in entries)
    if corrects:
        copy_rows(
            tx,
            "loyalty_transactions",
            (*TRANSACTION_COLUMNS, *PROVENANCE_COLUMNS, *CORRECTION_COLUMNS),
            ((*_transaction(*row), *_correction(row[0])) for row in entries),
        )
    elif entries:
        copy_rows(
            tx,
            "loyalty_transactions",
            (*TRANSACTION_COLUMNS, *PROVENANCE_COLUMNS),
            (_transaction(*row) for row in entries),
        )
    if credits:
        copy_rows(tx, "point_lots", _LOT_COLUMNS, _lots(credits))
    moving = [e for e, _, _ in entries if e.allocations or e.restored or e.repaid or e.debt]
    if holds:
        hold_store.write(tx, holds)
    _write_moves(tx, moving, credits, [lot for _, held in holds for lot, _ in held.parts])
    corrections = [entry for entry in moving if entry.restored or entry.repaid or entry.debt]
    if corrections:
        store.write(tx, corrections)
    _update_cards(tx, cards)


def _correction(entry: Entry) -> tuple[Any, ...]:
    related = entry.original.id if entry.original else None
    return (entry.stamps, related, entry.reason, entry.not_taken or None)


def _transaction(
    entry: Entry, inbox_id: int | None, provenance: tuple[Any, ...]
) -> tuple[Any, ...]:
    card, explanation = entry.card, entry.explanation
    if entry.at != entry.happened_at:
        explanation = {**explanation, "counted_at": entry.at.isoformat()}
    return (
        entry.id,
        card.merchant_id,
        card.id,
        card.program.id,
        card.program.version,
        entry.seq,
        entry.type,
        entry.points,
        entry.balance_after,
        entry.stamps_after,
        json.dumps(explanation),
        entry.happened_at,
        inbox_id,
        *provenance,
    )


def _lots(credits: Sequence[Entry]) -> Iterator[tuple[Any, ...]]:
    policies: dict[tuple[int, int], str] = {}
    for entry in credits:
        card, lot, program = entry.card, entry.lot, entry.card.program
        assert lot is not None
        policy = policies.get((program.id, program.version))
        if policy is None:
            policy = policies[program.id, program.version] = json.dumps(
                {"version": program.version, "inactivity_days": program.inactivity_days}
            )
        yield (
            lot.id,
            card.merchant_id,
            card.id,
            program.id,
            entry.id,
            lot.points,
            lot.remaining,
            lot.occurred_at,
            lot.available_at,
            lot.expires_at,
            policy,
        )


def _write_moves(
    tx: Tx, moving: Sequence[Entry], credits: Sequence[Entry], held: Sequence[Lot]
) -> None:
    """Write what each lot gave, and what is left and held of the lots that gave, got or hold."""
    if not (moving or held):
        return
    copy_rows(
        tx,
        "lot_allocations",
        ("merchant_id", "debit_transaction_id", "lot_id", "points"),
        (
            (entry.card.merchant_id, entry.id, lot.id, points)
            for entry in moving
            for lot, points in entry.allocations
        ),
    )
    new = {id(entry.lot) for entry in credits}
    touched: Mapping[int, Lot] = {
        lot.id: lot
        for entry in moving
        for lot in (
            *(lot for lot, _ in entry.allocations),
            *(lot for lot, _ in entry.restored),
            *(lot for _, lot, _ in entry.repaid),
        )
        if id(lot) not in new
    } | {lot.id: lot for lot in held if id(lot) not in new or lot.held}
    if touched:
        tx.execute(
            _UPDATE_LOTS,
            {
                "ids": _array(touched),
                "remaining": _array(lot.remaining for lot in touched.values()),
                "held": _array(lot.held for lot in touched.values()),
            },
        )


def _update_cards(tx: Tx, cards: Sequence[Card]) -> None:
    if not cards:
        return
    reshaped = any(card.reshaped for card in cards)
    updated = tx.execute(
        _RESHAPE_CARDS if reshaped else _UPDATE_CARDS,
        {
            "ids": _array(card.id for card in cards),
            "balances": _array(card.balance for card in cards),
            "seqs": _array(card.seq for card in cards),
            "activities": _array(card.last_activity_at for card in cards),
            "deadlines": _array(card.deadline for card in cards),
            "expired": _array(card.expired_through for card in cards),
            "checks": _array(card.check_on for card in cards),
            **(_shape(cards) if reshaped else {}),
        },
    ).rowcount
    assert updated == len(cards), "every locked card is still there"


def _shape(cards: Sequence[Card]) -> dict[str, list[Any]]:
    return {
        "debts": [card.debt for card in cards],
        "stamps": [card.stamps for card in cards],
        "actives": [card.active for card in cards],
        "awaits": [json.dumps(sorted(card.awaits)) for card in cards],
    }


def _array(values: Iterable[int | datetime | None]) -> str:
    """An array literal of numbers or times, which need no quotes. Hot path: the driver's own way of
    sending a list costs as much as the statement."""
    return "{" + ",".join("NULL" if v is None else str(v).replace(" ", "T") for v in values) + "}"
