"""When calls of a gateway stop for a merchant, and when they begin again.

A breaker is of one merchant and method: what is wrong with it makes nobody else wait.

>>> sign_of(GatewayOutcome("timeout")).value, sign_of(GatewayOutcome("response", http_status=401)).value
('silent', 'key_refused')
>>> trip(4, GatewayOutcome("timeout")), trip(5, GatewayOutcome("timeout")).reason
(None, '5 calls in a row failed, the last one: timeout')
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Final, Literal

from domain.payouts.rules.attempts import backoff
from domain.payouts.rules.outcomes import GatewayOutcome

FAILURES_TO_OPEN: Final = 5
"""Calls in a row, of one worker process, that a gateway did not answer."""

FIRST_PROBE: Final = timedelta(seconds=15)
LONGEST_PROBE: Final = timedelta(minutes=10)
"""Waits before a gateway is asked whether it is back: doubled from the first to the longest."""

REOPENED: Final = timedelta(minutes=15)
"""A breaker that opens again so soon after a probe lifted it goes on with its longer waits."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What a gateway answered to the question what it can pay out now.

    ``told``: ``available`` holds it, in minor units by currency; ``forbidden``: the key may not ask that;
    ``refused``: the key is not accepted; ``silent``: no answer that says anything.
    """

    answer: Literal["told", "forbidden", "refused", "silent"]
    available: Mapping[str, int] = field(default_factory=dict)
    why: str = ""


class Sign(Enum):
    """What a call says of the gateway, whatever became of the payout."""

    ANSWERED = "answered"
    NEITHER = "neither"
    SILENT = "silent"
    KEY_REFUSED = "key_refused"


@dataclass(frozen=True, slots=True)
class Trip:
    """Why a breaker opens."""

    reason: str
    key_refused: bool = False


def sign_of(outcome: GatewayOutcome) -> Sign:
    """Read an outcome for the gateway's health; total."""
    if not outcome.called:
        # Our own lease had no room left: a slow worker opens no breaker for everybody.
        return Sign.NEITHER
    if outcome.kind != "response":
        return Sign.SILENT
    if outcome.key_refused:
        return Sign.KEY_REFUSED
    if outcome.turned_away:
        # It is there, and asks for less: neither a failure nor a proof that payouts get through.
        return Sign.NEITHER
    failed = outcome.http_status is not None and outcome.http_status >= 500
    if failed and outcome.replayed:
        # What it remembers of an earlier failure says nothing of now. Counted, one payout that only people can
        # settle would open the breaker for all others, again and again.
        return Sign.NEITHER
    return Sign.SILENT if failed else Sign.ANSWERED


def failures_after(failures: int, outcome: GatewayOutcome) -> int:
    """Failed calls in a row, after one more call."""
    sign = sign_of(outcome)
    if sign is Sign.ANSWERED:
        return 0
    return failures + 1 if sign is Sign.SILENT else failures


def trip(failures: int, outcome: GatewayOutcome) -> Trip | None:
    """Whether a breaker opens after ``failures`` calls in a row failed, ``outcome`` being the last."""
    sign = sign_of(outcome)
    if sign is Sign.KEY_REFUSED:
        why = outcome.message or f"status {outcome.http_status}"
        return Trip(f"the gateway refuses the key: {why}"[:500], key_refused=True)
    if sign is Sign.SILENT and failures >= FAILURES_TO_OPEN:
        last = outcome.kind if outcome.kind != "response" else f"status {outcome.http_status}"
        return Trip(f"{failures} calls in a row failed, the last one: {last}")
    return None


def closes(balance: Balance, *, key_refused: bool) -> bool:
    """Whether what a gateway answered to a probe closes a breaker.

    A key that may not read the balance proves that the gateway is there, and nothing about the key.
    """
    return balance.answer == "told" or (balance.answer == "forbidden" and not key_refused)


def probe_wait(probes: int) -> timedelta:
    """How long after ``probes`` earlier probes the next one waits.

    >>> [int(probe_wait(n).total_seconds()) for n in (0, 1, 2, 5, 6, 60)]
    [15, 30, 60, 480, 600, 600]
    """
    return backoff(probes, first=FIRST_PROBE, longest=LONGEST_PROBE)
