"""Bank statements: entries settle the payouts that they name, once each, and all else is named.

A reading can be broken off and begun again, and a file read twice: what an entry did is kept beside it,
under a key of what it says, in the transaction that does it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx
from domain.installation import installation_code
from domain.payouts.rules.statements import (
    BATCH_NOT_WAITING,
    NOT_OURS,
    PAID_THOUGH_FAILED,
    SEEN,
    Act,
    Entry,
    Known,
    Reference,
    Reject,
    judge,
    judge_batch,
    paid_earlier,
    reference_in,
)
from domain.payouts.service import booking
from domain.payouts.service.marking import settle_paid, settle_refused
from domain.payouts.store import bank_leg, reversals, sending
from domain.payouts.store import statements as store
from domain.payouts.store.sending import AttemptMove, PayoutMove

OUTCOME: Final = "bank statement"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an entry: what it did, to how many payouts, or why it did nothing."""

    entry: Entry
    did: Act | Reject
    payouts: int = 0


def open_statement(tx: Tx, merchant_id: int, *, format: str, sha256: bytes, actor: Actor) -> int:
    """Begin to read a statement; returns the reading's id."""
    made = store.insert_statement(
        tx, merchant_id=merchant_id, format=format, sha256=sha256, by=actor.id[:255]
    )
    audit.record(
        tx,
        actor,
        "bank_statement.imported",
        merchant_id=merchant_id,
        subject_kind="bank_statement",
        subject_id=made,
        after={"format": format, "sha256": sha256.hex()},
    )
    return made


def names_batch(entry: Entry) -> bool:
    """Whether an entry is of a whole file, or of a batch: ``take_batch`` is for these alone."""
    found = reference_in(entry.reference)
    return isinstance(found, Reference) and found.file_id is not None


def take(
    tx: Tx, merchant_id: int, statement_id: int, entries: Sequence[Entry], met: set[bytes]
) -> list[Done]:
    """Do what entries say of single payouts; in their order, one answer each.

    A debit is done before the credit that returns it, in whatever order a bank writes them. ``met`` holds
    the keys of what this reading has found done, by it or by an earlier one: what stands in the file once
    more is a duplicate, however often the file is read.
    """
    installation, done = installation_code(tx), dict[int, Done]()
    ours: list[tuple[int, Entry, Reference]] = []
    for at, entry in enumerate(entries):
        found = _reference(entry, installation)
        if isinstance(found, Reject):
            done[at] = Done(entry, found)
        else:
            ours.append((at, entry, found))
    store.lock_payouts(tx, merchant_id, [found.payout_id for _, _, found in ours])
    known = {
        row.end_to_end_id: row
        for row in store.named(tx, merchant_id, [(f.payout_id, f.n) for _, _, f in ours])
    }
    kept = store.kept(tx, merchant_id, [entry.key for _, entry, _ in ours])
    for at, entry, found in sorted(ours, key=lambda one: not one[1].debit):
        name = f"PS-{found.installation}-{found.payout_id}-{found.n}"
        row = known.get(name)
        if row is None:
            done[at] = Done(entry, Reject("unknown_reference"))
        elif entry.key in met or entry.key in kept:
            done[at] = Done(entry, _again(entry, kept.get(entry.key), met))
        else:
            did = judge(entry, _known(row))
            done[at] = Done(entry, did, int(isinstance(did, Act)))
            if isinstance(did, Reject):
                if did.code == PAID_THOUGH_FAILED:
                    _paid_though_failed(tx, statement_id, row)
            else:
                _settle(tx, merchant_id, statement_id, entry, _known(row), did)
                met.add(entry.key)
                [known[name]] = store.named(tx, merchant_id, [(found.payout_id, found.n)])
    return [done[at] for at in range(len(entries))]


def take_batch(tx: Tx, merchant_id: int, statement_id: int, entry: Entry, met: set[bytes]) -> Done:
    """Do what an entry says of a whole file or of one batch of it: all of its payouts, or none.

    In a transaction of its own, for the payouts are locked by ascending id. ``met`` is as of ``take``.
    """
    found = _reference(entry, installation_code(tx))
    if isinstance(found, Reject):
        return Done(entry, found)
    assert found.file_id is not None, "names_batch said so"
    store.lock_payouts(tx, merchant_id, store.payouts_of_file(tx, merchant_id, found.file_id))
    rows = store.of_file(tx, merchant_id, found.file_id, found.batch)
    known = [_known(row) for row in rows]
    if not known:
        return Done(entry, Reject("unknown_reference"))
    kept = store.kept(tx, merchant_id, [entry.key]).get(entry.key)
    if kept is not None:
        return Done(entry, _again(entry, kept, met))
    did = judge_batch(entry, known)
    if isinstance(did, Reject):
        if did.code == BATCH_NOT_WAITING:
            # The sum is of all of them: the bank paid those too that are failed here.
            for row in rows:
                if row.attempt_state == "failed" and not row.came_back:
                    _paid_though_failed(tx, statement_id, row)
        return Done(entry, did)
    waiting = [one for one in known if one.attempt_state == "sending"]
    for one in waiting:
        _settle(tx, merchant_id, statement_id, entry, one, did)
    met.add(entry.key)
    return Done(entry, did, len(waiting))


def _reference(entry: Entry, installation: str) -> Reference | Reject:
    if entry.problem is not None:
        return Reject("unreadable", entry.problem)
    found = reference_in(entry.reference)
    if found is None:
        return Reject(NOT_OURS)
    if isinstance(found, str):
        return Reject("damaged_reference" if found == "damaged" else "several_references")
    if not entry.booked:
        return Reject("not_booked")
    return found if found.installation == installation else Reject("unknown_reference")


def _again(entry: Entry, kept_by: int | None, met: set[bytes]) -> Reject:
    """The same entry a second time: in this file, which may be a second payment, or in another file."""
    if entry.key in met:
        return Reject("duplicate")
    met.add(entry.key)
    return Reject(SEEN, f"statement {kept_by}")


def _known(row: Any) -> Known:
    return Known(
        row.payout_id,
        row.attempt_id,
        row.amount,
        row.currency,
        row.payout_state,
        row.attempt_state,
        row.frozen_reason,
        row.came_back,
    )


def _paid_though_failed(tx: Tx, statement_id: int, row: Any) -> None:
    """What the bank has paid and is failed here waits for two people: retried, or canceled, it would be
    paid again. If another attempt is out by now, that is kept for when it should fail (``settle_refused``)."""
    store.note_paid(tx, row.attempt_id, statement_id)
    if row.payout_state == "failed":
        bank_leg.freeze(tx, row.payout_id, paid_earlier(row.n))


def _settle(
    tx: Tx, merchant_id: int, statement_id: int, entry: Entry, known: Known, act: Act
) -> None:
    """Keep the entry, and move the payout by it."""
    assert entry.booked_on is not None, "an entry that can be read says when"
    # A bank that gives no name of its own is asked about by ours.
    reference = entry.bank_reference or entry.reference[:200]
    store.insert_entry(
        tx,
        merchant_id=merchant_id,
        statement_id=statement_id,
        key=entry.key,
        attempt_id=known.attempt_id,
        kind=act.value,
        amount=known.amount,
        currency=known.currency,
        booked_on=entry.booked_on,
        bank_reference=reference,
        reason=entry.reason,
    )
    payout = sending.lock_payout(tx, known.payout_id)
    note = {"outcome": OUTCOME, "statement": statement_id, "booked_on": f"{entry.booked_on}"}
    if act is Act.PAY:
        settle_paid(tx, payout, known.attempt_id, reference=reference, outcome=OUTCOME, note=note)
    elif act is Act.REFUSE:
        settle_refused(
            tx, payout, known.attempt_id, reason=entry.reason or "", outcome=OUTCOME, note=note
        )
    else:
        _come_back(tx, payout, known.attempt_id, reference, entry.reason or "", note)


def _come_back(
    tx: Tx, payout: Any, attempt_id: int, reference: str, reason: str, note: dict[str, Any]
) -> None:
    """A payout that was paid came back whole: a person releases its earnings, or keeps the money."""
    # A bank may return many payments under one name.
    made = reversals.insert(tx, payout, f"{reference}/{attempt_id}", payout.amount)
    assert made is not None, "an attempt comes back once"
    back = AttemptMove("succeeded", "reversed", OUTCOME, True, error_message=reason, note=note)
    sending.move_attempt(tx, attempt_id, back)
    reversals.came_back(tx, payout.id, payout.amount, "paid", "reversed")
    told = PayoutMove("reversed", "reversed", error_code="bank_returned", error_message=reason)
    sending.move_payout(tx, payout.id, told)
    booking.come_back(tx, payout, made, payout.amount, business_now(tx))
