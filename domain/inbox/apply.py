"""Which subject applies which event. The inbox alone knows all that can be applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from domain.db import Tx
from domain.earnings.rules import EarningHold, NewEarning
from domain.inbox.anonymizing import Customer
from domain.inbox.rules import Incoming, correlation_of
from domain.ledger.rules import Transfer
from domain.loyalty import service as loyalty
from domain.payouts import service as payouts
from domain.referrals import service as referrals
from domain.referrals.rules.conversions import Refusal
from domain.referrals.state import Noted, Outcome, Waiting


@dataclass(frozen=True, slots=True)
class Decided:
    """What the rules said of an event, as its inbox row will keep it."""

    status: str
    reason: str | None = None
    detail: str | None = None
    correlation: str | None = None


@dataclass(slots=True)
class SubjectsApplied:
    """One decision for each event, and what is to be recorded last."""

    decided: list[Decided]
    earnings: list[NewEarning] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    holds: list[EarningHold] = field(default_factory=list)
    # (merchant, correlation) under which events wait that can be applied now.
    wakes: set[tuple[int, str]] = field(default_factory=set)
    # Customers of whom the inbox is to forget what it keeps, once all outcomes are written.
    forgotten: list[Customer] = field(default_factory=list)


APPLIED: Final = Decided("applied")


def apply_subjects(
    tx: Tx, events: Sequence[Incoming], refused: set[tuple[int, str]], now: datetime
) -> SubjectsApplied:
    """Hand each event to its subject, in the lock order of the house: referrals, cards, payees."""
    result = SubjectsApplied([APPLIED] * len(events))
    by_subject: dict[str, list[int]] = {}
    for position, event in enumerate(events):
        by_subject.setdefault(_subject_of(event.type), []).append(position)

    positions = by_subject.get("referrals", [])
    conversions = referrals.apply(tx, [events[i] for i in positions], refused, payouts.destinations)
    result.earnings += conversions.earnings
    result.holds += conversions.holds
    for i, outcome in zip(positions, conversions.outcomes, strict=True):
        result.decided[i] = _of_referrals(events[i], outcome)

    positions = by_subject.get("loyalty", [])
    cards = loyalty.apply(tx, [events[i] for i in positions], now)
    result.transfers += cards.transfers
    result.wakes |= cards.wakes
    result.earnings += cards.earnings
    result.forgotten += cards.forgotten
    for i, done in zip(positions, cards.outcomes, strict=True):
        if isinstance(done, loyalty.Waits):
            result.decided[i] = Decided("waiting", done.reason, None, done.correlation)
        elif not isinstance(done, loyalty.Done):
            result.decided[i] = Decided(
                "rejected", done.reason, done.sentence, loyalty.refused_under(events[i])
            )
        elif done.noted:
            result.decided[i] = Decided("applied", done.noted, None, done.correlation)

    positions = by_subject.get("payees", [])
    payouts.apply_payees(tx, [events[i] for i in positions])

    for i in by_subject.get("", []):
        detail = (
            f"{events[i].type} is part of the contract, but this version does not apply it yet."
        )
        result.decided[i] = Decided("rejected", "not_supported_yet", detail)
    return result


def _subject_of(event_type: str) -> str:
    if event_type in referrals.TYPES:
        return "referrals"
    if event_type in loyalty.TYPES:
        return "loyalty"
    return "payees" if event_type == "payee.updated" else ""


def _of_referrals(event: Incoming, outcome: Outcome) -> Decided:
    if isinstance(outcome, Refusal):
        # Kept under its correlation: a refund that comes later must know that it has nothing to reverse.
        correlation = correlation_of(event.type, event.data)
        refused = event.type == "conversion.recorded" and outcome.reason != "duplicate_transaction"
        return Decided("rejected", outcome.reason, outcome.detail, correlation if refused else None)
    if isinstance(outcome, Waiting):
        return Decided("waiting", "waits_for_conversion", None, outcome.correlation)
    if isinstance(outcome, Noted):
        return Decided("applied", outcome.reason, None, outcome.correlation)
    return APPLIED
