"""Merge two cards of one customer, by an operator: everything moves, and the old number leads to the survivor."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.ledger import service as ledger
from domain.loyalty import rules
from domain.loyalty.rules import Card, Refusal
from domain.loyalty.rules.merging import Moves, merge
from domain.loyalty.service.batch import Batch, keep_due
from domain.loyalty.service.reasons import checked_reason
from domain.loyalty.service.tiers import join_tiers
from domain.loyalty.service.transfers import transfer_for
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import corrections, history, holds, programs
from domain.loyalty.store import merging as store


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge moved, or would move: points in lots, debt, stamps, and open holds.

    ``result``: merged, already (it was merged before: nothing happened), or would_merge.
    """

    card: str
    into: str
    result: str
    points: int
    debt: int
    stamps: int
    holds: int
    balance: int


def merge_cards(
    tx: Tx,
    merchant_id: int,
    number: str,
    into: str,
    *,
    actor: Actor,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> Merged:
    """Merge the card ``number`` into the card ``into`` of the same program, at business time ``now``, UTC.

    Lots keep their deadlines and terms, open holds go on, a debt is paid by the points of the other. The old
    number leads to the survivor. Once: repeated, it tells what the first time moved. Locks both cards in id
    order until the transaction ends, so that an event on either comes before or after it. ``dry_run`` changes
    nothing. Raises Invalid and NotFound.
    """
    reason = checked_reason(reason)
    if number == into:
        raise Invalid("into", "name another card than the one that is merged")
    rows = store.lock(tx, merchant_id, [number, into])
    for wanted in (number, into):
        if wanted not in rows:
            raise NotFound("card", wanted)
    old, new = rows[number], rows[into]
    if old.merged_into_id is not None:
        return _before(tx, old, new)
    _check(tx, old, new)
    known = {p.id: p for p in programs.of_merchants(tx, [merchant_id])}
    cards = card_store.lock(tx, {(merchant_id, number), (merchant_id, into)}, known)
    from_card, to_card = cards[merchant_id, number], cards[merchant_id, into]
    batch = Batch(now, cards, {})
    moves = _decide(tx, batch, from_card, to_card, reason)
    if not dry_run:
        _write(tx, batch, moves, from_card, to_card, reason)
        audit.record(
            tx,
            actor,
            "card.merged",
            merchant_id=merchant_id,
            subject_kind="card",
            subject_id=from_card.id,
            reason=reason,
            before={"number": number},
            after={"into": into, **_moved(moves)},
        )
    result = "would_merge" if dry_run else "merged"
    return Merged(number, into, result, **_moved(moves), balance=to_card.balance)


def _moved(moves: Any) -> dict[str, int]:
    return {name: getattr(moves, name) for name in ("points", "debt", "stamps", "holds")}


def _before(tx: Tx, old: Any, new: Any) -> Merged:
    if old.merged_into_id != new.id:
        survivor = store.number_of(tx, old.merged_into_id)
        raise Invalid("card", f"{old.number} was merged into {survivor} before")
    return Merged(
        old.number,
        new.number,
        "already",
        **_moved(store.merge_of(tx, old.id)),
        balance=store.balance_of(tx, new.id),
    )


def _check(tx: Tx, old: Any, new: Any) -> None:
    if new.merged_into_id is not None:
        survivor = store.number_of(tx, new.merged_into_id)
        raise Invalid("into", f"{new.number} was merged into {survivor}: name that")
    if old.program_id != new.program_id:
        raise Invalid("into", "the cards are of different programs, whose points differ in worth")
    if new.status != "active":
        raise Invalid("into", f"{new.number} is deactivated: reactivate it first")
    for row in (old, new):
        if row.customer_id == f"anonymized-{row.id}":
            raise Invalid(
                "card", f"the customer of {row.number} is anonymized: nobody knows whose it is"
            )


def _decide(tx: Tx, batch: Batch, old: Card, new: Card, reason: str) -> Moves:
    """Bring both cards to now, as any event does first, and decide what moves."""
    card_store.load_lots(tx, [(old, None), (new, None)], batch.now, batch.now)
    holds.load_open(tx, [old, new])
    corrections.load_debts(tx, [card for card in (old, new) if card.debt])
    for card in (old, new):
        _, timed_out, expired = rules.turn_to(card, batch.now, batch.now)
        keep_due(batch, card, timed_out, expired)
    moves = merge(old, new, reason, batch.now)
    if isinstance(moves, Refusal):
        raise Invalid("card", moves.sentence)
    return moves


def _write(tx: Tx, batch: Batch, moves: Moves, old: Card, new: Card, reason: str) -> None:
    nobody = (None,) * len(history.PROVENANCE_COLUMNS)
    before = [*batch.entries, *((entry, None, nobody) for entry in moves.before)]
    after = [(entry, None, nobody) for entry in moves.after]
    # What each card lost or paid by itself is of its own lots; then the lots move, and pay there.
    history.write(tx, before, [], batch.holds)
    store.redirect(tx, old.id, new.id)
    history.write(tx, after, [old, new])
    join_tiers(tx, old, new, batch.now)
    store.keep(
        tx,
        card_id=old.id,
        merchant_id=old.merchant_id,
        into_card_id=new.id,
        **_moved(moves),
        debit=moves.out.id if moves.out else None,
        credit=moves.into.id if moves.into else None,
        reason=reason,
        merged_at=batch.now,
    )
    ledger.post(tx, [transfer_for(entry) for entry, _, _ in [*before, *after] if entry.points])
