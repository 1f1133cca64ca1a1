"""Bank files: what a run's manual payouts ask a bank for, minted, booked and kept in one transaction.

A file is the send of its payouts. No machine sends them again: their attempts have no lease, and only a
person's word settles them.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx, next_ids
from domain.earnings import service as earnings
from domain.errors import Invalid
from domain.installation import installation_code
from domain.payouts.errors import NoSuchPayout, NotExportable
from domain.payouts.rules import Leave, attempt_key, pain001, params_hash
from domain.payouts.rules.bank_files import BankLine, csv_file, end_to_end_id
from domain.payouts.rules.outside import SAID
from domain.payouts.rules.recipients import Recipient
from domain.payouts.rules.target import closed, next_working_day
from domain.payouts.service import booking
from domain.payouts.service.canceling import cancel, exclusion_found
from domain.payouts.service.debtors import read_debtors
from domain.payouts.service.recipients import read_recipient
from domain.payouts.service.sending import LEG, frozen
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
CSV: Final = "csv"
PAIN: Final = "pain.001"
FORMATS: Final = (CSV, PAIN)
MAX_AHEAD: Final = timedelta(days=365)
"""How far ahead an execution date is taken: a later one is more likely a wrong year than a wish."""

Unfit = Callable[[Recipient, Any], str | None]
"""Why a payout to this recipient does not go into the file that is made, or None."""


@dataclass(frozen=True, slots=True)
class BankFile:
    """A bank file; ``again``: it had been exported before, by ``created_by``; ``settled``: of how many of
    its payouts the bank's word is known since.

    ``totals``: by currency, payouts and amount in minor units. ``excluded``: (payout, why) canceled now.
    ``left``: (payout, why) that this format does not carry; they wait for a file as before.
    """

    file_id: int | None
    content: bytes = field(repr=False)
    totals: dict[str, dict[str, int]]
    again: bool
    created_by: str
    excluded: list[tuple[int, str]] = field(default_factory=list)
    left: list[tuple[int, str]] = field(default_factory=list)
    settled: int = 0


@dataclass(slots=True)
class _Sent:
    lines: list[BankLine] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    excluded: list[tuple[int, str]] = field(default_factory=list)
    left: list[tuple[int, str]] = field(default_factory=list)


def leave_for_bank_file(tx: Tx, payout_id: int) -> Leave:
    """Leave a manual payout to a bank file, so that no sweep asks for it."""
    bank_store.wait_for_file(tx, payout_id, WAITS)
    return Leave("manual")


def export(
    tx: Tx,
    merchant_id: int,
    run_id: int,
    *,
    box: SecretBox,
    actor: Actor,
    format: str = CSV,
    on: date | None = None,
) -> BankFile:
    """The bank file of what a run has to pay by hand now; the last one again if there is nothing new.

    A block, a hold or a destination that changed cancels a payout, as before any send. What ``format``
    does not carry is left for a file of another one. ``on``: the execution date of a pain.001, by
    default the next working day. Raises Invalid, NoSuchPayout, or NotExportable if sending is stopped or
    nothing was ever to be exported.
    """
    day = _execution_day(tx, format, on)
    run = run_store.lock_run(tx, run_id)
    if run is None or run.merchant_id != merchant_id:
        raise NoSuchPayout("run", run_id)
    waiting = bank_store.exportable(tx, run_id)
    if not waiting:
        return _last(tx, run_id, format, box)
    stop = stops.in_force(tx, merchant_id, METHOD)
    if stop is not None:
        raise NotExportable(run_id, stop.sentence)
    bank_store.lock_payees_shared(tx, sorted({row.payee_id for row in waiting}))
    earnings.lock_payables(tx, sorted({row.account_id for row in waiting}), wait=True)
    debtors = read_debtors(tx, merchant_id, box) if format == PAIN else {}
    sent = _send(tx, waiting, box, _unfit_for(format, debtors))
    if not sent.lines:
        kept = bank_store.newest_file(tx, run_id, format) if sent.left else None
        made = BankFile(None, b"", {}, False, actor.id) if kept is None else _kept(tx, kept, box)
        return replace(made, excluded=sent.excluded, left=sent.left)
    [file_id] = next_ids(tx, "bank_files", 1)
    if format == PAIN:
        content, batches = _pain(tx, sent.lines, debtors, file_id, day)
    else:
        content, batches = csv_file(sent.lines), [1] * len(sent.lines)
    totals = _totals(sent.lines)
    digest = hashlib.sha256(content.encode()).digest()
    bank_store.insert_file(
        tx,
        file_id,
        merchant_id=merchant_id,
        run_id=run_id,
        format=format,
        totals=totals,
        sha256=digest,
        content=box.encrypt(content),
        by=actor.id,
        attempts=list(zip(batches, sent.attempts, strict=True)),
    )
    _record(
        tx, actor, merchant_id, file_id, {"run": run_id, "format": format, "totals": totals}, digest
    )
    return BankFile(file_id, content.encode(), totals, False, actor.id, sent.excluded, sent.left)


def _record(
    tx: Tx, actor: Actor, merchant_id: int, file_id: int, made: dict[str, Any], digest: bytes
) -> None:
    audit.record(
        tx,
        actor,
        "bank_file.exported",
        merchant_id=merchant_id,
        subject_kind="bank_file",
        subject_id=file_id,
        after=made | {"sha256": digest.hex()},
    )


def _execution_day(tx: Tx, format: str, on: date | None) -> date:
    if format not in FORMATS:
        raise Invalid("--format", f"is one of {', '.join(FORMATS)}")
    today = business_now(tx).date()
    if on is None:
        return next_working_day(today)
    if format != PAIN:
        raise Invalid("--execute-on", f"goes with --format {PAIN}")
    if not today <= on <= today + MAX_AHEAD:
        raise Invalid("--execute-on", f"is from today to {MAX_AHEAD.days} days ahead")
    if closed(on):
        better = next_working_day(on)
        raise Invalid("--execute-on", f"banks do not settle on {on}; the next day is {better}")
    return on


def _unfit_for(format: str, debtors: dict[str, Recipient]) -> Unfit:
    if format == CSV:
        return lambda _to, _payout: None
    return lambda to, payout: pain001.unfit(
        to, payout.amount, payout.currency, debtors.get(payout.currency)
    )


def _pain(
    tx: Tx,
    lines: Sequence[BankLine],
    debtors: dict[str, Recipient],
    file_id: int,
    day: date,
) -> tuple[str, list[int]]:
    """The file, and the batch of each line."""
    installation = installation_code(tx)
    made = pain001.batches(lines, debtors, installation=installation, file_id=file_id, on=day)
    out = io.BytesIO()
    pain001.write(out, pain001.message_id(installation, file_id), business_now(tx), made)
    number = {batch.currency: n for n, batch in enumerate(made, 1)}
    return out.getvalue().decode(), [number[line.currency] for line in lines]


def _send(tx: Tx, waiting: Sequence[Any], box: SecretBox, unfit: Unfit) -> _Sent:
    sent = _Sent()
    for row in waiting:
        payout = store.lock_payout(tx, row.id)
        latest = store.latest_attempt(tx, row.id, LEG)
        # Canceled, paid by hand or stopped since it was listed.
        if payout.state not in ("approved", "failed") or latest.id is not None:
            continue
        if payout.frozen_reason is not None or payout.parked_reason == SAID:
            continue
        # Locked first: a hold that is being set is waited for, and found.
        earnings.lock_members(tx, row.id)
        found = exclusion_found(tx, row.id, store.peek(tx, row.id))
        try:
            to = read_recipient(tx, payout.merchant_id, payout.payee_id, payout.destination, box)
        except Invalid as invalid:
            # One payee's bank data keeps nobody else's money back.
            to = None
            found = found or (
                "recipient_refused",
                f"its bank data does not hold any more ({invalid})",
            )
        if found is None and to is None:
            found = ("no_recipient", f"{payout.destination} is no recipient of this payee")
        if found is None and to is not None and not to.carries(payout.currency):
            found = ("currency_not_carried", f"{to.hint} is not paid in {payout.currency}")
        if found is not None or to is None:
            assert found is not None
            _exclude(tx, payout, *found)
            sent.excluded.append((payout.id, f"{found[0]}: {found[1]}"))
            continue
        why = unfit(to, payout)
        if why is not None:
            sent.left.append((payout.id, why))
            continue
        line, attempt_id = _mint(tx, payout, latest.last_n + 1, to)
        sent.lines.append(line)
        sent.attempts.append(attempt_id)
    return sent


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


def _last(tx: Tx, run_id: int, format: str, box: SecretBox) -> BankFile:
    row = bank_store.newest_file(tx, run_id, format)
    if row is not None:
        return _kept(tx, row, box)
    others = bank_store.formats(tx, run_id)
    if others:
        # The same payments in two files could be given to a bank twice.
        raise NotExportable(
            run_id, f"what it pays is in a file already; ask for it with --format {others[0]}"
        )
    raise NotExportable(run_id, "it has no approved manual payouts")


def _kept(tx: Tx, row: Any, box: SecretBox) -> BankFile:
    content = box.decrypt(row.content_encrypted, "bank file").encode()
    assert hashlib.sha256(content).digest() == bytes(row.sha256), "it is the file that was exported"
    settled = bank_store.settled_in_file(tx, row.id)
    return BankFile(row.id, content, row.totals, True, row.created_by, settled=settled)


def _totals(lines: Sequence[BankLine]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for line in lines:
        one = totals.setdefault(line.currency, {"payouts": 0, "amount": 0})
        one["payouts"] += 1
        one["amount"] += line.amount
    return totals
