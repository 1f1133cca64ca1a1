"""Conversions of the past on their way in: named for ever like events, so that repeating a file is safe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from domain import clock
from domain.db import Tx, advisory_lock
from domain.earnings import service as earnings
from domain.inbox import store
from domain.inbox.rules import Outcome, lock_key
from domain.inbox.service.applying import Stored, apply_stored
from domain.referrals import service as referrals
from domain.referrals.rules.conversions import Refusal
from domain.referrals.rules.importing import PastConversion
from domain.referrals.service import Imported
from domain.referrals.state import transaction_correlation
from payspool_client.events.canonical import content_hash

SOURCE: Final = "payspool-import"
"""``source`` of imported conversions; their id is the transaction's."""
_TYPE: Final = "conversion.recorded"


def import_conversions(
    tx: Tx, merchant_id: int, merchant_key: str, past: Sequence[PastConversion]
) -> list[Outcome]:
    """Keep conversions of the past; one outcome for each: applied, duplicate, conflict or rejected.

    What is rejected leaves nothing behind: corrected, it can be imported again. Refunds and disputes that
    waited for one of them follow it.
    """
    now = clock.business_now(tx)
    outcomes: list[Outcome | None] = [None] * len(past)
    first: dict[str, int] = {}
    hashes = [_hash(merchant_key, one) for one in past]
    for position, one in enumerate(past):
        leader = first.setdefault(one.transaction_id, position)
        if leader != position:
            outcomes[position] = _again(hashes[leader] == hashes[position])
    correlations = {(merchant_id, transaction_correlation(name)) for name in first}
    # Before looking: an import of the same file beside this one is through then.
    advisory_lock(tx, (lock_key(*key) for key in correlations))
    for row in store.existing(tx, [(merchant_id, SOURCE, name) for name in sorted(first)]):
        at = first[row.event_id]
        outcomes[at] = _again(bytes(row.content_hash) == hashes[at])
    fresh = [at for at in range(len(past)) if outcomes[at] is None]

    def claim(transactions: Sequence[str]) -> dict[str, int]:
        rows = [_row(merchant_id, past[first[t]], hashes[first[t]]) for t in sorted(transactions)]
        return {row.event_id: row.id for row in store.claim(tx, rows, now)} if rows else {}

    applied = referrals.apply_past(tx, [Imported(merchant_id, past[at]) for at in fresh], claim)
    for at, outcome in zip(fresh, applied.outcomes, strict=True):
        if isinstance(outcome, Refusal):
            outcomes[at] = Outcome("rejected", _TYPE, None, outcome.reason, outcome.detail)
        else:
            outcomes[at] = Outcome("applied", _TYPE)
    earnings.record(tx, applied.earnings, holds=applied.holds)
    apply_stored(tx, correlations, Stored())
    return [one for one in outcomes if one is not None]


def _again(same: bool) -> Outcome:
    if same:
        return Outcome("duplicate", _TYPE, None, None, "it was imported before")
    return Outcome(
        "conflict",
        _TYPE,
        None,
        "conflict",
        "this transaction was imported before with other content, which stands",
    )


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
