"""Conversions of the past on their way in: named for ever like events, so that repeating a file is safe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from domain import clock
from domain.db import Tx, advisory_lock
from domain.earnings import service as earnings
from domain.earnings.rules import EarningHold, NewEarning
from domain.inbox import store
from domain.inbox.rules import Outcome, lock_key
from domain.inbox.service.applying import Stored, apply_stored
from domain.referrals import service as referrals
from domain.referrals.rules.conversions import Refusal
from domain.referrals.rules.importing import PastConversion
from domain.referrals.service import Imported
from domain.referrals.state import transaction_correlation
from payspool_client.events import TIME_AHEAD_MAX
from payspool_client.events.canonical import content_hash

SOURCE: Final = "payspool-import"
"""``source`` of imported conversions; their id is the transaction's."""
_TYPE: Final = "conversion.recorded"


def import_conversions(
    tx: Tx,
    merchant_id: int,
    merchant_key: str,
    past: Sequence[PastConversion],
    *,
    dry_run: bool = False,
) -> list[Outcome]:
    """Keep conversions of the past; one outcome for each: applied, duplicate, conflict or rejected.

    What is rejected leaves nothing behind: corrected, it can be imported again, or stand further down. Refunds
    and disputes that waited for one of them follow it. ``dry_run``: the transaction is never committed, and may
    have any number of lines; it takes no lock for each of them.
    """
    if not past:
        return []
    now = clock.business_now(tx)
    hashes = [_hash(merchant_key, one) for one in past]
    names = {one.transaction_id for one in past}
    correlations = {(merchant_id, transaction_correlation(name)) for name in names}
    if not dry_run:
        # Before looking: an import of the same file beside this one is through then.
        advisory_lock(tx, (lock_key(*key) for key in correlations))
    there = {
        row.event_id: bytes(row.content_hash)
        for row in store.existing(tx, [(merchant_id, SOURCE, name) for name in sorted(names)])
    }
    refused: dict[tuple[str, bytes], Outcome] = {}
    outcomes: list[Outcome | None] = [None] * len(past)
    owed: list[NewEarning] = []
    holds: list[EarningHold] = []
    while True:
        # Of the lines of one transaction the first; if that is refused, the next that says something else.
        fresh: dict[str, int] = {}
        for at, one in enumerate(past):
            if outcomes[at] is None:
                outcomes[at] = _known(one, hashes[at], there, refused, now)
            if outcomes[at] is None:
                fresh.setdefault(one.transaction_id, at)
        if not fresh:
            break
        rows = {name: _row(merchant_id, past[at], hashes[at]) for name, at in fresh.items()}
        applied = referrals.apply_past(
            tx, [Imported(merchant_id, past[at]) for at in fresh.values()], _Claim(tx, rows, now)
        )
        for (name, at), outcome in zip(fresh.items(), applied.outcomes, strict=True):
            if isinstance(outcome, Refusal):
                refused[name, hashes[at]] = _rejected(outcome.reason, outcome.detail)
            else:
                there[name] = hashes[at]
                outcomes[at] = Outcome("applied", _TYPE)
        owed += applied.earnings
        holds += applied.holds
    earnings.record(tx, owed, holds=holds)
    apply_stored(tx, correlations, Stored())
    return [one for one in outcomes if one is not None]


class _Claim:
    """Names accepted conversions for ever, by their rows: see ``referrals.apply_past``."""

    def __init__(self, tx: Tx, rows: Mapping[str, tuple[Any, ...]], now: datetime) -> None:
        self._tx, self._rows, self._now = tx, rows, now

    def __call__(self, transactions: Sequence[str]) -> dict[str, int]:
        rows = [self._rows[name] for name in sorted(transactions)]
        claimed = store.claim(self._tx, rows, self._now) if rows else []
        return {row.event_id: row.id for row in claimed}


def _known(
    one: PastConversion,
    digest: bytes,
    there: Mapping[str, bytes],
    refused: Mapping[tuple[str, bytes], Outcome],
    now: datetime,
) -> Outcome | None:
    """What became of a line, if that can be said without trying it."""
    if one.converted_at - now > TIME_AHEAD_MAX:
        return _rejected("time_in_future", "converted_at is ahead of our clock: it is no past")
    before = refused.get((one.transaction_id, digest))
    stands = there.get(one.transaction_id)
    if before is not None or stands is None:
        return before
    if stands == digest:
        return Outcome("duplicate", _TYPE, None, None, "it was imported before")
    return Outcome(
        "conflict",
        _TYPE,
        None,
        "conflict",
        "this transaction was imported before with other content, which stands",
    )


def _rejected(reason: str, detail: str) -> Outcome:
    return Outcome("rejected", _TYPE, None, reason, detail)


def _row(merchant_id: int, one: PastConversion, digest: bytes) -> tuple[Any, ...]:
    data = json.dumps(_data(one), ensure_ascii=False)
    return (
        merchant_id,
        SOURCE,
        one.transaction_id,
        _TYPE,
        one.converted_at,
        digest,
        data,
        None,
        "applied",
        None,
        None,
    )


def _data(one: PastConversion) -> dict[str, Any]:
    said = asdict(one)
    del said["converted_at"]
    return {name: value for name, value in said.items() if value is not None}


def _hash(merchant_key: str, one: PastConversion) -> bytes:
    return content_hash(merchant=merchant_key, type=_TYPE, time=one.converted_at, data=_data(one))
