"""Why a payout is where it is, and what alone is safe to do next: sentences for people.

>>> masked("was acct_1Nv0FGQ9RKHgCVdK, is nowhere yet")
'was acct_…CVdK, is nowhere yet'
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.money import format_minor
from domain.payouts.rules.attempts import REPLAY_WINDOW, is_forgotten
from domain.payouts.rules.bank_leg import BANK, FUNDS, TRANSFER
from domain.payouts.rules.outside import SAID
from domain.payouts.rules.reversing import LIVE
from domain.payouts.rules.unfreezing import LOOKED_FOR

_ACCOUNT: Final = re.compile(r"\b(acct_)\w*?(\w{4})\b")
_IBAN: Final = re.compile(r"\b([A-Z]{2})\d{2}[A-Z0-9]{6,26}([A-Z0-9]{4})\b")

BY_HAND: Final = (
    "Do not pay it by hand, and do not send it in any other way: it could be paid twice."
)


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """The newest attempt of a payout, as it is stored; times by PostgreSQL's real clock."""

    n: int
    state: str
    sent_at: datetime | None
    lease_until: datetime | None = None
    proposed_by: str | None = None
    leg: str = TRANSFER

    @property
    def name(self) -> str:
        """How it is called in a sentence."""
        return f"bank attempt {self.n}" if self.leg == BANK else f"attempt {self.n}"


@dataclass(frozen=True, slots=True)
class LastReversal:
    """The newest request to take a payout back; ``amount`` in minor units."""

    state: str
    amount: int
    reason: str
    asked_by: str
    error_code: str | None = None
    error_message: str | None = None
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """A payout with what decides its fate. ``amount`` and ``reversed_amount`` in minor units.

    ``stops``: the reasons of the stops in force for it. ``now`` is PostgreSQL's real clock.
    """

    payout_id: int
    merchant: str
    state: str
    amount: int
    currency: str
    members: int
    method: str
    run_id: int
    run_state: str
    as_of: datetime
    now: datetime
    attempt: LastAttempt | None = None
    stops: Sequence[str] = ()
    frozen: str | None = None
    parked: str | None = None
    next_try_at: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    external_id: str | None = None
    processed_at: datetime | None = None
    reversed_amount: int = 0
    reversal: LastReversal | None = None


def explain(it: Situation) -> list[str]:
    """Why this payout is of this amount and in this state; the last sentence is what to do next."""
    earnings = "1 earning" if it.members == 1 else f"{it.members} earnings"
    begins = (
        f"It pays {format_minor(it.amount, it.currency)}: the sum of {earnings} that run {it.run_id}"
        f" found due as of {_at(it.as_of)}."
    )
    told = _STATES[it.state](it)
    assert len(told) > 1, "each state says why, and what to do"
    why = [begins, *told[:-1]]
    if it.reversal is not None:
        why += _taken_back(it, it.reversal)
    if it.frozen is not None:
        return [
            *why,
            f"It is stopped: {it.frozen}.",
            "Compare it with the gateway's own books first; nothing sends or cancels it until two people have"
            f" decided: {_command(it, 'unfreeze', ' --evidence …')}. {BY_HAND}",
        ]
    if it.parked == SAID:
        return [
            *why,
            f"It waits: {SAID}.",
            f"Look at the evidence, then agree: {_command(it, 'mark-paid-outside')}; or take it back with"
            f" --withdraw. {BY_HAND}",
        ]
    if it.stops and it.state in _STOPPABLE:
        why += [f"Sending is stopped: {reason}." for reason in it.stops]
        return [*why, f"Lift the stop when its reason is gone; it is sent then. {BY_HAND}"]
    if it.parked and it.state not in _FINAL:
        why.append(f"It waits: {it.parked}.")
    if it.reversal is not None and it.reversal.state in LIVE:
        return [*why, f"Wait for the outcome of what is taken back. {BY_HAND}"]
    return [*why, told[-1]]


def _taken_back(it: Situation, asked: LastReversal) -> list[str]:
    """What became of the newest request to take it back; nothing of one that has succeeded: it came back."""
    if asked.state == "succeeded":
        return []
    begins = (
        f"{asked.asked_by} asked for {format_minor(asked.amount, it.currency)} of it to be taken back"
        f" ({asked.reason})"
    )
    if asked.state == "failed":
        said = ", ".join(part for part in (asked.error_message, asked.error_code) if part)
        return [f"{begins}, and nothing came back by that: {said}."]
    waits = f" It waits: {asked.waits_for}." if asked.waits_for else ""
    if asked.state == "unknown":
        return [
            f"{begins}, and no answer proves what became of that: the gateway is asked again under the same"
            f" key, and looked through; do not reverse it there by hand meanwhile.{waits}"
        ]
    return [f"{begins}; the gateway is being asked.{waits}"]


def masked(text: str) -> str:
    """A sentence without the accounts and IBANs in it, but for their last four characters."""
    return _IBAN.sub(r"\1…\2", _ACCOUNT.sub(r"\1…\2", text))


def _draft(it: Situation) -> list[str]:
    return [
        f"Its run is {it.run_state}: nothing is sent before the run is frozen and approved.",
        "Wait for the run to be finished; a build that was interrupted goes on when it is started again.",
    ]


def _pending_approval(it: Situation) -> list[str]:
    return [
        f"Run {it.run_id} waits for a person to approve it; nothing has been sent.",
        "Have it approved by somebody other than who prepared it, or let it be rejected.",
    ]


def _approved(it: Situation) -> list[str]:
    return [
        "It is approved, and no attempt to send it has begun.",
        "Wait: a worker sends it, and a message that was lost is asked for again. Or cancel it:"
        f" {_command(it, 'cancel', ' --reason …')}.",
    ]


def _sending(it: Situation) -> list[str]:
    assert it.attempt is not None, "what is being sent has an attempt"
    n, lease = it.attempt.name, it.attempt.lease_until
    if lease is None:
        when = "" if it.next_try_at is None else f" at {_at(it.next_try_at)}"
        if it.attempt.leg == BANK:
            return [
                f"The gateway turned {n} away before it began{_refusal(it)}; the bank was not paid.",
                f"Wait: it is sent again under the same key{when}. {BY_HAND}",
            ]
        return [
            f"The gateway turned {n} away before it began{_refusal(it)}; no money moved.",
            f"Wait: it is sent again under the same key{when}. Or cancel it, which is safe while nothing has"
            f" been sent under its key: {_command(it, 'cancel', ' --reason …')}.",
        ]
    if lease > it.now:
        return [
            f"A worker is sending {n}, and has until {_at(lease)} to do so.",
            f"Wait for its outcome. {BY_HAND}",
        ]
    return [
        f"The worker that was sending {n} vanished: it may have been paid.",
        f"Wait: the gateway is asked what became of it, under the same key. {BY_HAND}",
    ]


def _in_transit(it: Situation) -> list[str]:
    if it.method == "wise":
        return [
            f"Wise has the money, as transfer {it.external_id}, and has not sent it to the payee yet.",
            f"Wait: Wise says when it has, and is asked if it does not. {BY_HAND}",
        ]
    if it.attempt is not None and it.attempt.leg == BANK and it.attempt.state == "sending":
        return _sending(it)
    waits_there = it.attempt is not None and (it.attempt.leg, it.attempt.state) in (
        (TRANSFER, "succeeded"),
        (BANK, "failed"),
        (BANK, "abandoned"),
    )
    if waits_there:
        funds = (
            f"what waits for {FUNDS} goes on when the money is available there, "
            if it.parked == FUNDS
            else ""
        )
        return [
            "The transfer was made: the money is on the connected account, from where it goes to the bank.",
            f"Wait: {funds}what waits for the account goes on when it is mended, or at once:"
            f" {_command(it, 'retry')}. If it never will, take it back: {_command(it, 'reverse', ' --reason …')}."
            f" {BY_HAND}",
        ]
    return [
        "The transfer was made; the payout to the bank is on its way.",
        f"Wait for the bank. {BY_HAND}",
    ]


def _paid(it: Situation) -> list[str]:
    when = "" if it.processed_at is None else f" on {_at(it.processed_at)}"
    told = [f"It was paid{when}; the gateway calls it {it.external_id}."]
    if it.reversed_amount:
        told.append(f"{format_minor(it.reversed_amount, it.currency)} of it was reversed since.")
    return [
        *told,
        "Nothing is to be done; a bank may still return it for about five business days.",
    ]


def _unknown(it: Situation) -> list[str]:
    attempt = it.attempt
    assert attempt is not None, "what is unknown was tried"
    assert attempt.sent_at is not None, "and sent"
    told = [
        f"{attempt.name.capitalize()} was sent at {_at(attempt.sent_at)}, and no answer proves what became of"
        " it: it may have been paid."
    ]
    if not is_forgotten(attempt.sent_at, it.now) and it.parked == LOOKED_FOR:
        until = _at(attempt.sent_at + REPLAY_WINDOW)
        return [*told, f"Wait: it is looked for at the gateway from {until} on. {BY_HAND}"]
    if not is_forgotten(attempt.sent_at, it.now):
        until = _at(attempt.sent_at + REPLAY_WINDOW)
        return [
            *told,
            f"Wait: the gateway is asked again with the same key until {until}, and looked through. {BY_HAND}",
        ]
    told.append(
        "Its key is older than 23 hours, so that the gateway may have forgotten it: it is looked for, and"
        " never sent again."
    )
    if attempt.proposed_by:
        return [
            *told,
            f"{attempt.proposed_by} proposed to give the attempt up.",
            f"Another person looks at the gateway too, and agrees only if it is not there:"
            f" {_command(it, 'abandon')}. {BY_HAND}",
        ]
    return [
        *told,
        "Look for it at the gateway. If it is not there, two people give the attempt up, and it can be tried"
        f" again: {_command(it, 'abandon', ' --evidence …')}. {BY_HAND}",
    ]


def _failed(it: Situation) -> list[str]:
    if it.attempt is not None and it.attempt.state == "abandoned":
        return [
            f"{_given_up(it, it.attempt)} at the gateway. Its earnings stay in it.",
            f"Look at the gateway once more. If nothing is there, {_command(it, 'retry')} sends it under a new key;"
            f" or {_command(it, 'cancel', ' --reason …')}, and the next run pays its earnings. {BY_HAND}",
        ]
    n = f"attempt {it.attempt.n}" if it.attempt is not None else "it"
    told = [f"The gateway refused {n}{_refusal(it)}; no money moved, and its earnings stay in it."]
    if it.next_try_at is not None:
        return [
            *told,
            f"Wait: it is tried again under a new key at {_at(it.next_try_at)}; mend the cause until then.",
        ]
    return [
        *told,
        f"Mend the cause, then {_command(it, 'retry')}; or {_command(it, 'cancel', ' --reason …')}, and the"
        " next run pays its earnings.",
    ]


def _canceled(it: Situation) -> list[str]:
    why = f": {it.error_message}" if it.error_message else ""
    return [
        f"It was given up before it was paid{why}. It can never be sent again.",
        "Nothing is to be done: the next run looks at its earnings. Do not pay it by hand: they would be paid"
        " twice.",
    ]


def _reversed(it: Situation) -> list[str]:
    return [
        f"It was paid as {it.external_id}, and {format_minor(it.reversed_amount, it.currency)} came back.",
        "Its earnings stay in it until an operator confirms that they are to be paid again; do not pay them"
        " by hand before that.",
    ]


def _returned(it: Situation) -> list[str]:
    if it.method == "wise":
        return [
            f"The payee's bank did not take it, or it was canceled: transfer {it.external_id} is at Wise again.",
            "Wait until Wise has refunded it: then it is reversed, and a person says what becomes of its"
            f" earnings. {BY_HAND}",
        ]
    on_account = "the money is on the connected account"
    if it.attempt is not None and it.attempt.leg == BANK and it.attempt.state == "abandoned":
        return [
            f"The transfer was made. {_given_up(it, it.attempt)} on the connected account.",
            f"Look there once more. If no payout is there and {on_account}, {_command(it, 'retry')} pays it out to"
            f" the bank; never is a second transfer made. {BY_HAND}",
        ]
    refused = it.attempt is not None and it.attempt.leg == BANK and it.attempt.state == "failed"
    bank = "the bank was not paid" if refused else "the bank returned the money"
    return [
        f"The transfer was made, and {bank}{_refusal(it)}: {on_account}.",
        "Only another payout to the bank, or a reversal, can follow; never a second transfer. It goes on when"
        " Stripe tells that the account was mended or has another bank account, or when a person says so:"
        f" {_command(it, 'retry')}. {BY_HAND}",
    ]


_STATES: Final = {
    "draft": _draft,
    "pending_approval": _pending_approval,
    "approved": _approved,
    "sending": _sending,
    "in_transit": _in_transit,
    "paid": _paid,
    "unknown": _unknown,
    "failed": _failed,
    "canceled": _canceled,
    "reversed": _reversed,
    "returned": _returned,
}
_STOPPABLE: Final = ("draft", "pending_approval", "approved", "failed")
_FINAL: Final = ("paid", "canceled", "reversed")


def _given_up(it: Situation, attempt: LastAttempt) -> str:
    return (
        f"Two people gave {attempt.name} up{_refusal(it)}: nobody can prove that it did not pay, only that it was"
        " not found"
    )


def _refusal(it: Situation) -> str:
    said = ", ".join(part for part in (it.error_message, it.error_code) if part)
    return f" ({said})" if said else ""


def _command(it: Situation, verb: str, more: str = "") -> str:
    return f"`payspool payouts {verb} {it.merchant} {it.payout_id}{more}`"


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S %Z}"
