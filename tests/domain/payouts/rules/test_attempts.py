"""Keys, windows, leases and waits."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.payouts.rules import (
    LEASE,
    REPLAY_WINDOW,
    Leave,
    LiveAttempt,
    Step,
    attempt_key,
    is_forgotten,
    may_replay,
    next_step,
    params_hash,
)
from domain.payouts.rules.attempts import (
    CLOCKS_APART,
    MAX_HEALING_TRIES,
    healing_wait,
    re_emit_wait,
    resolve_wait,
    turned_away_wait,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_key_is_made_of_what_it_is_for() -> None:
    keys = {
        attempt_key(code, payout_id=p, leg=leg, n=n)
        for code in ("0123456789ab", "ba9876543210")
        for p in (1, 11)
        for leg in "ab"
        for n in (1, 11)
    }
    assert len(keys) == 16


@pytest.mark.parametrize(
    ("age", "allowed"),
    [
        (timedelta(0), True),
        (REPLAY_WINDOW - SECOND, True),
        (REPLAY_WINDOW, False),
        (timedelta(days=2), False),
        # A clock that went backwards is no reason to believe that a key is young.
        (-SECOND, False),
    ],
)
def test_a_key_is_sent_again_for_23_hours_only(age: timedelta, allowed: bool) -> None:
    assert may_replay(NOW - age, NOW) is allowed


@pytest.mark.parametrize(
    ("age", "forgotten"),
    [
        (timedelta(0), False),
        (REPLAY_WINDOW - SECOND, False),
        (REPLAY_WINDOW, True),
        # The clock of the server before this one ran ahead: neither sent nor given up until this one is there.
        (-SECOND, False),
        (-CLOCKS_APART, False),
        (-CLOCKS_APART - SECOND, True),
    ],
)
def test_a_key_is_given_up_when_it_is_old_not_when_clocks_disagree(
    age: timedelta, forgotten: bool
) -> None:
    assert is_forgotten(NOW - age, NOW) is forgotten
    assert not (is_forgotten(NOW - age, NOW) and may_replay(NOW - age, NOW))


def test_a_replay_that_begins_in_time_ends_before_stripe_may_forget_the_key() -> None:
    assert timedelta(hours=24) > REPLAY_WINDOW + LEASE


def test_the_hash_of_parameters_is_that_of_what_is_sent_not_of_how_it_was_written() -> None:
    assert params_hash({"a": 1, "b": {"c": "é", "d": 2}}) == params_hash(
        {"b": {"d": 2, "c": "é"}, "a": 1}
    )
    assert params_hash({"a": 1}) != params_hash({"a": "1"})


LIVE = [
    # live attempt, what a sender may do
    (LiveAttempt("sending", NOW + SECOND), Leave("leased")),
    (LiveAttempt("sending", NOW), Step.EXPIRE),
    (LiveAttempt("sending", NOW - SECOND), Step.EXPIRE),
    (LiveAttempt("sending", None), Step.RESUME),
    (LiveAttempt("unknown", None), Leave("unknown")),
    (LiveAttempt("unknown", NOW - SECOND), Leave("unknown")),
    (LiveAttempt("succeeded", None), Leave("succeeded")),
    (LiveAttempt("created", None), Leave("created")),
]


@pytest.mark.parametrize(("live", "step"), LIVE)
@pytest.mark.parametrize("state", ["approved", "sending", "unknown", "failed", "paid"])
def test_no_key_is_minted_beside_a_live_attempt(
    live: LiveAttempt, step: Step | Leave, state: str
) -> None:
    assert next_step(state, live, frozen=False, next_try_at=None, now=NOW) == step
    assert next_step(state, live, frozen=True, next_try_at=None, now=NOW) == Leave("frozen")


@pytest.mark.parametrize(
    ("state", "next_try_at", "step"),
    [
        ("approved", None, Step.OPEN),
        ("failed", NOW, Step.OPEN),
        ("failed", NOW + SECOND, Leave("waiting")),
        # Nobody said that it may be tried again.
        ("failed", None, Leave("failed")),
        *(
            (s, None, Leave(s))
            for s in ("draft", "pending_approval", "paid", "canceled", "reversed")
        ),
        *((s, NOW, Leave(s)) for s in ("unknown", "returned", "canceled", "paid", "in_transit")),
    ],
)
def test_a_key_is_minted_only_for_what_is_approved_or_due_for_its_next_try(
    state: str, next_try_at: datetime | None, step: Step | Leave
) -> None:
    assert next_step(state, None, frozen=False, next_try_at=next_try_at, now=NOW) == step


def test_a_waiting_attempt_is_not_sent_before_its_time() -> None:
    waiting = LiveAttempt("sending", None)
    step = next_step("sending", waiting, frozen=False, next_try_at=NOW + SECOND, now=NOW)
    assert step == Leave("waiting")


@given(st.integers(0, 10_000))
def test_waits_grow_and_stay_bounded(tries: int) -> None:
    for wait in (resolve_wait, re_emit_wait, lambda n: turned_away_wait(n, None)):
        assert SECOND <= wait(tries) <= wait(tries + 1) <= timedelta(hours=6)


def test_a_gateway_that_asks_for_patience_gets_it_within_reason() -> None:
    assert turned_away_wait(1, 120.0) == timedelta(seconds=120)
    assert turned_away_wait(1, 10**9) == timedelta(hours=1)


def test_only_a_lack_of_money_heals_by_itself_and_not_for_ever() -> None:
    assert healing_wait("balance_insufficient", 1) == timedelta(minutes=5)
    assert healing_wait("balance_insufficient", MAX_HEALING_TRIES) is None
    assert healing_wait("account_invalid", 1) is None
    assert healing_wait(None, 1) is None
