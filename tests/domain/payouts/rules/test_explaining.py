"""Each state of a payout says why it is there, and what alone is safe to do."""

import doctest
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.payouts.rules import PAYOUT, explaining
from domain.payouts.rules.explaining import BY_HAND, LastAttempt, Situation, explain, masked
from domain.payouts.rules.unfreezing import LOOKED_FOR

NOW = datetime(2026, 6, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SENT = LastAttempt(1, "sending", NOW - HOUR)
IT = Situation(
    payout_id=7,
    merchant="acme",
    state="approved",
    amount=1290,
    currency="usd",
    members=2,
    method="stripe",
    run_id=3,
    run_state="sending",
    as_of=datetime(2026, 6, 1, tzinfo=UTC),
    now=NOW,
)
POOR = {"error_code": "balance_insufficient", "error_message": "Insufficient funds."}

#: What a payout is, what has to be said of it, and what has to be said to do.
CASES = [
    ({"state": "draft", "run_state": "building"}, "Its run is building", "Wait for the run"),
    ({"state": "pending_approval"}, "waits for a person to approve", "other than who prepared it"),
    ({"state": "approved"}, "no attempt to send it has begun", "payouts cancel acme 7"),
    (
        {"state": "sending", "attempt": replace(SENT, lease_until=NOW + HOUR)},
        "A worker is sending attempt 1",
        BY_HAND,
    ),
    (
        {"state": "sending", "attempt": replace(SENT, lease_until=NOW - HOUR)},
        "vanished: it may have been paid",
        BY_HAND,
    ),
    (
        {"state": "sending", "attempt": SENT, "next_try_at": NOW + HOUR},
        "turned attempt 1 away before it began",
        "same key at 2026-06-02 13:00:00 UTC",
    ),
    ({"state": "in_transit"}, "on its way", BY_HAND),
    (
        {"state": "paid", "external_id": "tr_1", "processed_at": NOW},
        "paid on 2026-06-02 12:00:00 UTC; the gateway calls it tr_1",
        "Nothing is to be done",
    ),
    (
        {"state": "paid", "external_id": "tr_1", "reversed_amount": 290},
        "2.90 USD of it was reversed",
        "Nothing is to be done",
    ),
    (
        {"state": "unknown", "attempt": replace(SENT, state="unknown")},
        "it may have been paid",
        f"with the same key until 2026-06-03 10:00:00 UTC, and looked through. {BY_HAND}",
    ),
    (
        {"state": "unknown", "attempt": LastAttempt(1, "unknown", NOW - 23 * HOUR)},
        "older than 23 hours",
        "payouts abandon acme 7 --evidence",
    ),
    (
        {
            "state": "unknown",
            "attempt": LastAttempt(1, "unknown", NOW - 30 * HOUR, proposed_by="ada"),
        },
        "ada proposed to give the attempt up",
        "Another person",
    ),
    (
        {"state": "failed", "attempt": SENT, "next_try_at": NOW + HOUR} | POOR,
        "(Insufficient funds., balance_insufficient); no money moved",
        "under a new key at 2026-06-02 13:00:00 UTC",
    ),
    ({"state": "failed", "attempt": SENT}, "no money moved", "payouts retry acme 7"),
    (
        {"state": "canceled", "error_message": "blocked: fraud"},
        "given up before it was paid: blocked: fraud",
        "the next run looks at its earnings",
    ),
    (
        {"state": "reversed", "external_id": "tr_1", "reversed_amount": 1290},
        "12.90 USD came back",
        "an operator confirms",
    ),
    (
        {"state": "in_transit", "attempt": replace(SENT, state="succeeded")},
        "from where it goes to the bank",
        "payouts retry acme 7",
    ),
    (
        {"state": "in_transit", "attempt": replace(SENT, state="succeeded", leg="bank")},
        "on its way",
        BY_HAND,
    ),
    (
        {"state": "in_transit", "attempt": replace(SENT, state="sending", leg="bank")},
        "bank attempt 1",
        BY_HAND,
    ),
    (
        {"state": "returned", "attempt": replace(SENT, state="failed", leg="bank")} | POOR,
        "the bank was not paid (Insufficient funds., balance_insufficient)",
        "payouts retry acme 7",
    ),
    ({"state": "returned"}, "the bank returned the money", "never a second transfer"),
    (
        {
            "state": "failed",
            "attempt": replace(SENT, state="abandoned"),
            "error_code": "abandoned",
            "error_message": "nothing at Stripe",
        },
        "Two people gave attempt 1 up (nothing at Stripe, abandoned): nobody can prove that it did not pay",
        "payouts retry acme 7",
    ),
    (
        {"state": "returned", "attempt": replace(SENT, state="abandoned", leg="bank")},
        "Two people gave bank attempt 1 up: nobody can prove that it did not pay",
        "never is a second transfer made",
    ),
    (
        {"state": "unknown", "attempt": replace(SENT, state="unknown"), "parked": LOOKED_FOR},
        "the key of this one is not sent any more",
        f"it is looked for at the gateway from 2026-06-03 10:00:00 UTC on. {BY_HAND}",
    ),
]


@pytest.mark.parametrize(("changes", "why", "then"), CASES)
def test_each_state_is_explained_and_says_what_is_safe(
    changes: dict[str, object], why: str, then: str
) -> None:
    said = explain(replace(IT, **changes))  # type: ignore[arg-type]
    assert said[0].startswith("It pays 12.90 USD: the sum of 2 earnings that run 3 found due")
    assert why in " ".join(said[:-1])
    assert then in said[-1]


def test_no_state_is_without_an_explanation() -> None:
    assert {changes["state"] for changes, _, _ in CASES} == set(PAYOUT.states)


@pytest.mark.parametrize(("changes", "why", "then"), CASES)
def test_what_is_stopped_says_so_and_asks_for_a_person_whatever_its_state(
    changes: dict[str, object], why: str, then: str
) -> None:
    said = explain(replace(IT, **changes, frozen="its key was misused"))  # type: ignore[arg-type]
    assert said[-2:-1] == ["It is stopped: its key was misused."]
    assert "two people have decided" in said[-1]
    assert then not in " ".join(said) or then in (BY_HAND, why)


def test_a_stop_in_force_is_named_where_something_could_be_sent() -> None:
    stops = ("Stripe is down (kill_switch, ada)",)
    assert "Sending is stopped: Stripe is down (kill_switch, ada)." in explain(
        replace(IT, stops=stops)
    )
    paid = replace(IT, state="paid", external_id="tr_1", stops=stops)
    assert not any("stopped" in one for one in explain(paid))


def test_what_it_waits_for_is_said() -> None:
    said = explain(replace(IT, parked="its message is a dead letter"))
    assert "It waits: its message is a dead letter." in said


def test_accounts_are_not_shown_whole() -> None:
    told = masked("was acct_1Nv0FGQ9RKHgCVdK, is DE89370400440532013000")
    assert told == "was acct_…CVdK, is DE…3000"


def test_the_examples_are_true() -> None:
    result = doctest.testmod(explaining)
    assert (result.attempted, result.failed) == (1, 0)
