"""Same-key tries of a call: only on answers that prove that nothing was executed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_result
from tenacity.wait import wait_random_exponential

from domain.payouts.gateway import Deadline
from domain.payouts.rules import MAX_TRIES, ONE_TRY, GatewayOutcome
from domain.payouts.rules.attempts import MAX_PAUSE_SECONDS
from domain.payouts.rules.outcomes import Kind

T = TypeVar("T")

NO_ROOM: Final = GatewayOutcome(
    "not_sent", message="the lease had no room for a try", tries=0, called=False
)
"""What a call comes to that was not made, because it might have outlasted the lease."""
ONE_TRY_SECONDS: Final = ONE_TRY.total_seconds()

_JITTER = wait_random_exponential(multiplier=0.5, max=MAX_PAUSE_SECONDS)


def has_room(deadline: Deadline) -> bool:
    """Whether one more call surely ends before ``deadline``."""
    return deadline.has_room_for(ONE_TRY_SECONDS)


def with_tries(
    call: Callable[[], GatewayOutcome], deadline: Deadline, pause: Callable[[float], None]
) -> GatewayOutcome:
    """What one request came to, with how often it was made; `not_sent` if there is no room for it."""
    if not has_room(deadline):
        return NO_ROOM
    outcome, made = again_if_turned_away(call, lambda outcome: outcome, deadline, pause)
    return replace(outcome, tries=made)


def again_if_turned_away(
    call: Callable[[], T],
    outcome_of: Callable[[T], GatewayOutcome],
    deadline: Deadline,
    pause: Callable[[float], None],
) -> tuple[T, int]:
    """What ``call`` answered last, and how often it was made: again while it is turned away, MAX_TRIES
    times at most, with full jitter or what the gateway asked for, and never beyond ``deadline``."""

    def answered(state: RetryCallState) -> T:
        assert state.outcome is not None, "a try has ended"
        reply: T = state.outcome.result()
        return reply

    def wait(state: RetryCallState) -> float:
        return max(_JITTER(state), outcome_of(answered(state)).retry_after or 0.0)

    def must_stop(state: RetryCallState) -> bool:
        return (
            state.attempt_number >= MAX_TRIES
            or state.upcoming_sleep > MAX_PAUSE_SECONDS
            or not deadline.has_room_for(state.upcoming_sleep + ONE_TRY_SECONDS)
        )

    tries = Retrying(
        retry=retry_if_result(lambda reply: outcome_of(reply).turned_away),
        wait=wait,
        stop=must_stop,
        sleep=pause,
        retry_error_callback=answered,
    )
    reply: T = tries(call)
    made: Any = tries.statistics.get("attempt_number", 1)
    return reply, int(made)


def kind_of_loss(cause: BaseException | None) -> Kind:
    """How a call ended that has no answer."""
    if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        # No connection (or none free), no TLS: not a byte of the request has left.
        return "not_sent"
    return "timeout" if isinstance(cause, httpx.TimeoutException) else "reset"


def seconds_to_wait(header: str | None) -> float | None:
    """``Retry-After`` in seconds; gateways send no dates, and a bad header counts as none."""
    try:
        return max(float(header), 0.0) if header else None
    except ValueError:
        return None
