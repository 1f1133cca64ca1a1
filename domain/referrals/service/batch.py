"""Applying a batch of conversion events: load, decide in order, flush."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.db import Tx
from domain.earnings.rules import EarningHold, NewEarning
from domain.referrals import loading
from domain.referrals.rules.conversions import Refusal
from domain.referrals.service.converting import attribute, convert
from domain.referrals.service.flushing import flush
from domain.referrals.service.reversing import dispute, refund
from domain.referrals.state import BatchState, Destinations, Incoming, Noted, Outcome, Waiting


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each event, in order; what is owed because of it, and what is held or let go of
    what was owed before (both to be recorded last)."""

    outcomes: list[Outcome]
    earnings: list[NewEarning]
    holds: list[EarningHold]


def apply(
    tx: Tx,
    events: Sequence[Incoming],
    refused_before: set[tuple[int, str]],
    destinations: Destinations,
) -> Applied:
    """Apply conversion events in order, in a few set queries.

    The caller holds the advisory locks of the events' transactions and records the earnings at the end
    of its transaction. ``refused_before`` names (merchant, transaction) whose conversion was refused;
    ``destinations`` knows where people are paid.
    Returns one outcome for each event; a refusal is a value, never an exception.
    """
    if not events:
        return Applied([], [], [])
    state = loading.load(tx, events)
    refused = set(refused_before)
    outcomes: list[Outcome] = [None] * len(events)
    idle: dict[tuple[int, str], list[int]] = {}
    for position, event in enumerate(events):
        outcome = outcomes[position] = _APPLY[event.type](state, event, refused)
        transaction = (event.merchant_id, getattr(event.data, "transaction_id", None) or "")
        if isinstance(outcome, Waiting | Noted):
            idle.setdefault(transaction, []).append(position)
        elif event.type == "conversion.recorded":
            if isinstance(outcome, Refusal) and transaction not in state.trackings:
                refused.add(transaction)
            # What had nothing to reverse follows this conversion at once, in the order in which it
            # happened; while that is refused, it stays.
            followers = sorted(idle.get(transaction, []), key=lambda i: events[i].order)
            for follower in followers:
                later = events[follower]
                outcomes[follower] = _APPLY[later.type](state, later, refused)
            if transaction in state.trackings:
                idle.pop(transaction, None)
    flush(tx, state, destinations)
    return Applied(outcomes, state.earnings, state.holds)


def _attribute(state: BatchState, event: Incoming, _refused: set[tuple[int, str]]) -> Outcome:
    return attribute(state, event)


def _convert(state: BatchState, event: Incoming, _refused: set[tuple[int, str]]) -> Outcome:
    return convert(state, event)


_APPLY: Final[Mapping[str, Callable[[BatchState, Incoming, set[tuple[int, str]]], Outcome]]] = {
    "conversion.attributed": _attribute,
    "conversion.recorded": _convert,
    "conversion.refunded": refund,
    "conversion.disputed": dispute,
}

TYPES: Final = frozenset(_APPLY)
"""The event types that this subject applies."""
