"""When a breaker opens and closes, as values."""

from __future__ import annotations

import pytest

from domain.payouts.rules import GatewayOutcome
from domain.payouts.rules.breaker import (
    FAILURES_TO_OPEN,
    Balance,
    Sign,
    closes,
    failures_after,
    sign_of,
    trip,
)


def answer(status: int, code: str | None = None) -> GatewayOutcome:
    return GatewayOutcome("response", http_status=status, code=code)


SIGNS = [
    (GatewayOutcome("timeout"), Sign.SILENT),
    (GatewayOutcome("reset"), Sign.SILENT),
    (GatewayOutcome("not_sent"), Sign.SILENT),
    (GatewayOutcome("not_sent", tries=0, called=False), Sign.NEITHER),
    (GatewayOutcome("unreadable", http_status=200), Sign.SILENT),
    (answer(500), Sign.SILENT),
    (answer(503), Sign.SILENT),
    (GatewayOutcome("response", http_status=500, replayed=True), Sign.NEITHER),
    (answer(429), Sign.NEITHER),
    (answer(400, "lock_timeout"), Sign.NEITHER),
    (answer(401), Sign.KEY_REFUSED),
    (answer(403), Sign.KEY_REFUSED),
    (answer(403, "api_key_expired"), Sign.KEY_REFUSED),
    (answer(403, "account_invalid"), Sign.ANSWERED),
    (answer(400, "balance_insufficient"), Sign.ANSWERED),
    (answer(409), Sign.ANSWERED),
    (answer(200), Sign.ANSWERED),
    (GatewayOutcome("response"), Sign.ANSWERED),
]


@pytest.mark.parametrize(("outcome", "sign"), SIGNS)
def test_each_outcome_says_something_of_the_gateway(outcome: GatewayOutcome, sign: Sign) -> None:
    assert sign_of(outcome) is sign


def test_the_fifth_failure_in_a_row_opens_and_an_answer_begins_anew() -> None:
    silence, failures = GatewayOutcome("timeout"), 0
    for _ in range(FAILURES_TO_OPEN - 1):
        failures = failures_after(failures, silence)
        assert trip(failures, silence) is None
    assert failures_after(failures, answer(429)) == failures, "a limit is neither"
    unasked = GatewayOutcome("not_sent", tries=0, called=False)
    assert failures_after(failures, unasked) == failures, (
        "nor is a call for which our lease had no room"
    )
    assert trip(FAILURES_TO_OPEN, unasked) is None
    assert failures_after(failures, answer(200)) == 0
    opens = trip(failures_after(failures, answer(502)), answer(502))
    assert opens is not None
    assert "status 502" in opens.reason
    assert not opens.key_refused


def test_a_refused_key_opens_at_once() -> None:
    opens = trip(0, answer(401))
    assert opens is not None
    assert opens.key_refused


@pytest.mark.parametrize(
    ("balance", "silent_closes", "refused_closes"),
    [
        (Balance("told"), True, True),
        (Balance("forbidden"), True, False),
        (Balance("refused"), False, False),
        (Balance("silent"), False, False),
    ],
)
def test_what_a_probe_answers_closes_what_it_disproves(
    balance: Balance, silent_closes: bool, refused_closes: bool
) -> None:
    assert closes(balance, key_refused=False) is silent_closes
    assert closes(balance, key_refused=True) is refused_closes
