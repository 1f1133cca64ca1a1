"""Whether an event is too fast: counted exactly, in the transaction that books it.

The windows that a batch may count in are locked when it is loaded, after its cards and in key order, and what it booked is
added at its end: beside each other, batches see one another's counts. Counted is what is booked without a person's word: what
is held, refused, or released is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from domain.db import Tx
from domain.loyalty.rules import Card, Refusal
from domain.loyalty.rules.velocity import THEN, Limit, begins, broken
from domain.loyalty.service.attributing import Desks
from domain.loyalty.service.events import LoyaltyEvent
from domain.loyalty.store import velocity as store
from domain.loyalty.store.velocity import Window

if TYPE_CHECKING:
    from domain.loyalty.service.batch import Batch

WHAT_OF: Final[Mapping[str, str]] = {
    "loyalty.points_earned": "earn",
    "loyalty.stamp_earned": "earn",
    "loyalty.points_redeemed": "redeem",
    "loyalty.points_held": "redeem",
    "loyalty.stamp_redeemed": "redeem",
}
"""Events that are counted. A capture is not: its hold was."""


@dataclass(slots=True)
class Velocity:
    """What is counted, and what is found. Empty where no program of a batch has a policy."""

    counts: dict[Window, tuple[int, int]] = field(default_factory=dict)
    added: dict[Window, tuple[int, int]] = field(default_factory=dict)
    found: list[dict[str, Any]] = field(default_factory=list)


def load(
    tx: Tx,
    events: Sequence["LoyaltyEvent"],
    cards: Mapping[tuple[int, str], Card],
    desks: Desks,
) -> Velocity:
    """Lock what events count in under their programs' policies; runs no statement where there are none.

    ``cards`` are those of the events, locked, or opened by this transaction.
    """
    velocity = Velocity()
    counted = [
        (event, card)
        for event in events
        if event.type in WHAT_OF and (card := cards.get((event.merchant_id, event.data.card)))
    ]
    windows = {window for event, card in counted for _, window in _windows(event, card, desks)}
    if windows:
        velocity.counts = store.lock_counts(tx, windows)
    return velocity


def judge(batch: "Batch", event: "LoyaltyEvent", card: Card, points: int) -> Refusal | None:
    """Count an act of ``points`` points that nothing else refuses; its refusal where it is too fast and not flagged only.

    Whoever is told None books it.
    """
    velocity = batch.velocity
    before = batch.desks.cases.get(event.inbox_id)
    if before is not None:
        return _decided(before)
    evidence: list[dict[str, Any]] = []
    then = -1
    windows = _windows(event, card, batch.desks)
    for limit, window in windows:
        acts, so_far = velocity.counts[window]
        found = broken(limit, acts=acts, points=so_far, more=points)
        if found is not None:
            then = max(then, THEN.index(limit.then))
            evidence.append(
                {
                    "per": limit.per,
                    "what": limit.what,
                    "minutes": limit.minutes,
                    "from": window.starts_at.isoformat(),
                    "then": limit.then,
                    **found,
                }
            )
    action = THEN[then] if evidence else None
    # What decides it is told first.
    evidence.sort(key=lambda one: -THEN.index(one["then"]))
    if action == "refuse":
        return Refusal("velocity_exceeded", f"too fast: {_sentence(evidence)}")
    if action is not None:
        velocity.found.append(
            {
                "merchant_id": event.merchant_id,
                "program_id": card.program.id,
                "card_id": card.id,
                "inbox_id": event.inbox_id,
                "action": action,
                "points": points,
                "evidence": evidence,
                "found_at": batch.now,
            }
        )
    if action == "hold":
        return Refusal(
            "velocity_held", f"held until a person releases it; too fast: {_sentence(evidence)}"
        )
    for window in {window for _, window in windows}:
        for counts in (velocity.counts, velocity.added):
            acts, so_far = counts.get(window, (0, 0))
            counts[window] = (acts + 1, so_far + points)
    return None


def flush(tx: Tx, velocity: Velocity) -> None:
    """Write what a batch counted and found."""
    if velocity.added:
        store.add_counts(tx, velocity.added)
    if velocity.found:
        store.add_cases(tx, velocity.found)


def _decided(case: Any) -> Refusal | None:
    if case.case_action == "flag" or case.case_outcome == "released":
        return None
    if case.case_outcome == "rejected":
        return Refusal("velocity_rejected", f"a person rejected it: velocity case {case.case_id}")
    return Refusal(
        "velocity_held", f"held until a person releases it: velocity case {case.case_id}"
    )


def _windows(event: "LoyaltyEvent", card: Card, desks: Desks) -> list[tuple[Limit, Window]]:
    """What an event counts in, of limits whose subject it has."""
    policy_id, limits = card.program.velocity_policy_id, card.program.velocity_limits
    if policy_id is None:
        return []
    what = WHAT_OF[event.type]
    subjects = _subjects(event, card, desks.acts.get(event.inbox_id))
    return [
        (limit, Window(policy_id, limit.per, subject, what, limit.minutes, _start(limit, event)))
        for limit in limits
        if limit.what == what and (subject := subjects[limit.per]) is not None
    ]


def _start(limit: Limit, event: "LoyaltyEvent") -> datetime:
    # By the event's own time: what comes late counts where it happened.
    return begins(limit.minutes, event.time)


def _subjects(event: "LoyaltyEvent", card: Card, act: Any) -> dict[str, str | None]:
    data = event.data
    address = act.ip_address if act else data.ip_address
    return {
        "card": str(card.id),
        "pin": data.staff_pin_id,
        "device": act.terminal_device_id if act else data.terminal_device_id,
        "address": address and sha256(f"{event.merchant_id}/{address}".encode()).hexdigest(),
    }


def _sentence(evidence: Sequence[Mapping[str, Any]]) -> str:
    first = evidence[0]
    measure = "count" if "count" in first else "points"
    unit = "" if measure == "count" else " points"
    return (
        f"{first['reached']}{unit} of the {first['per']} in {first['minutes']} minutes from {first['from']},"
        f" at most {first[measure]}"
    )
