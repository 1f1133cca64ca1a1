"""Bank files: what a run's manual payouts ask a bank for, minted, booked and kept in one transaction.

A file is the send of its payouts. No machine sends them again: their attempts have no lease, and only a
person's word settles them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.payouts.errors import NoSuchPayout, NotExportable
from domain.payouts.rules import Leave, attempt_key, params_hash
from domain.payouts.rules.bank_files import BankLine, csv_file, end_to_end_id
from domain.payouts.service import booking
from domain.payouts.service.recipients import read_recipient
from domain.payouts.service.sending import LEG, cancel, exclusion_found, frozen
from domain.payouts.store import bank as bank_store
from domain.payouts.store import runs as run_store
from domain.payouts.store import sending as store
from domain.payouts.store import stops
from domain.payouts.store.runs import Exclusion
from domain.payouts.store.sending import PayoutMove
from domain.secrets import SecretBox

METHOD: Final = "manual"
PLATFORM: Final = METHOD
API_VERSION: Final = "1"
WAITS: Final = "waits for a bank file"


@dataclass(frozen=True, slots=True)
class BankFile:
    """A bank file; ``again``: it had been exported before, by ``created_by``.

    ``totals``: by currency, payouts and amount in minor units. ``excluded``: (payout, why) canceled now.
    """

    file_id: int | None
    content: bytes = field(repr=False)
    totals: dict[str, dict[str, int]]
    again: bool
    created_by: str
    excluded: list[tuple[int, str]]


def leave_for_bank_file(tx: Tx, payout_id: int) -> Leave:
    """Leave a manual payout to a bank file, so that no sweep asks for it."""
    bank_store.wait_for_file(tx, payout_id, WAITS)
    return Leave("manual")


def export(tx: Tx, merchant_id: int, run_id: int, *, box: SecretBox, actor: Actor) -> BankFile:
    """The bank file of what a run has to pay by hand now; the last one again if there is nothing new.

    A block, a hold or a destination that changed cancels a payout, as before any send. Raises
    NoSuchPayout, or NotExportable if sending is stopped or nothing was ever to be exported.
    """
    run = run_store.lock_run(tx, run_id)
    if run is None or run.merchant_id != merchant_id:
        raise NoSuchPayout("run", run_id)
    waiting = bank_store.exportable(tx, run_id)
    if not waiting:
        return _last(tx, run_id, box)
    stop = stops.in_force(tx, merchant_id, METHOD)
    if stop is not None:
        raise NotExportable(run_id, stop.sentence)
    bank_store.lock_payees_shared(tx, sorted({row.payee_id for row in waiting}))
    earnings.lock_payables(tx, sorted({row.account_id for row in waiting}), wait=True)
    lines, attempts, excluded = _send(tx, waiting, box)
    if not lines:
        return BankFile(None, b"", {}, False, actor.id, excluded)
    content, totals = csv_file(lines), _totals(lines)
    digest = hashlib.sha256(content.encode()).digest()
    file_id = bank_store.insert_file(
        tx,
        merchant_id=merchant_id,
        run_id=run_id,
        format="csv",
        totals=totals,
        sha256=digest,
        content=box.encrypt(content),
        by=actor.id,
        attempt_ids=attempts,
    )
    audit.record(
        tx,
        actor,
        "bank_file.exported",
        merchant_id=merchant_id,
        subject_kind="bank_file",
        subject_id=file_id,
        after={"run": run_id, "totals": totals, "sha256": digest.hex()},
    )
    return BankFile(file_id, content.encode(), totals, False, actor.id, excluded)


def _send(
    tx: Tx, waiting: Sequence[Any], box: SecretBox
) -> tuple[list[BankLine], list[int], list[tuple[int, str]]]:
    lines, attempts, excluded = [], [], []
    for row in waiting:
        payout = store.lock_payout(tx, row.id)
        latest = store.latest_attempt(tx, row.id, LEG)
        # Canceled, paid by hand or stopped since it was listed.
        if payout.state not in ("approved", "failed") or latest.id is not None:
            continue
        if payout.frozen_reason is not None:
            continue
        found = exclusion_found(tx, row.id, store.peek(tx, row.id))
        to = read_recipient(tx, payout.merchant_id, payout.payee_id, payout.destination, box)
        if found is None and to is None:
            found = ("no_recipient", f"{payout.destination} is no recipient of this payee")
        if found is None and to is not None and not to.carries(payout.currency):
            found = ("currency_not_carried", f"{to.hint} is not paid in {payout.currency}")
        if found is not None or to is None:
            assert found is not None
            _exclude(tx, payout, *found)
            excluded.append((payout.id, f"{found[0]}: {found[1]}"))
            continue
        line, attempt_id = _mint(tx, payout, latest.last_n + 1, to)
        lines.append(line)
        attempts.append(attempt_id)
    return lines, attempts, excluded


def _mint(tx: Tx, payout: Any, n: int, to: Any) -> tuple[BankLine, int]:
    facts = frozen(tx, payout.id)
    name = end_to_end_id(facts.installation, payout.id, n)
    store.move_payout(tx, payout.id, PayoutMove(payout.state, "sending", tried=1))
    params = {
        "recipient": payout.destination,
        "amount": payout.amount,
        "currency": payout.currency,
        "end_to_end_id": name,
    }
    minted = store.insert_attempt(
        tx,
        merchant_id=payout.merchant_id,
        payout_id=payout.id,
        leg=LEG,
        n=n,
        key=attempt_key(facts.installation, payout_id=payout.id, leg=LEG, n=n),
        params=params,
        params_hash=params_hash(params),
        api_version=API_VERSION,
        platform_account=PLATFORM,
        lease=None,
    )
    booking.send(tx, payout, minted.id, business_now(tx))
    store.move_payout(tx, payout.id, PayoutMove("sending", "in_transit"))
    return BankLine(name, payout.amount, payout.currency, to), minted.id


def _exclude(tx: Tx, payout: Any, reason: str, detail: str) -> None:
    cancel(tx, payout.id, reason=f"{reason}: {detail}")
    excluded = Exclusion(
        payout.account_id, payout.user_id, payout.currency, payout.amount, reason, detail
    )
    run_store.exclude(tx, payout.run_id, payout.merchant_id, [excluded])


def _last(tx: Tx, run_id: int, box: SecretBox) -> BankFile:
    row = bank_store.newest_file(tx, run_id)
    if row is None:
        raise NotExportable(run_id, "it has no approved manual payouts")
    content = box.decrypt(row.content_encrypted, "bank file").encode()
    assert hashlib.sha256(content).digest() == bytes(row.sha256), "it is the file that was exported"
    return BankFile(row.id, content, row.totals, True, row.created_by, [])


def _totals(lines: Sequence[BankLine]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for line in lines:
        one = totals.setdefault(line.currency, {"payouts": 0, "amount": 0})
        one["payouts"] += 1
        one["amount"] += line.amount
    return totals
