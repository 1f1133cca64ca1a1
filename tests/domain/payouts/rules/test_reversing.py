"""What can be taken back of a payout, by its state, and what is refused by name."""

import doctest

import pytest

from domain.payouts.rules import PAYOUT, GatewayOutcome, Verdict, classify, reversing
from domain.payouts.rules.explaining import BY_HAND, LastReversal, Situation, explain
from domain.payouts.rules.reversing import Irreversible, Reversible, to_take_back
from tests.domain.payouts.house import JUNE

PAID = Reversible("paid", "stripe", 1_000, 300, transfer="tr_1")


@pytest.mark.parametrize("state", PAYOUT.states)
def test_only_what_was_paid_and_does_not_move_is_taken_back(state: str) -> None:
    decided = to_take_back(Reversible(state, "stripe", 1_000, 0, transfer="tr_1"), None)
    if state in ("paid", "failed", "returned"):
        assert decided == 1_000
        unpaid = to_take_back(Reversible(state, "stripe", 1_000, 0, transfer=None), None)
        assert isinstance(unpaid, Irreversible)
        assert unpaid.code == "not_paid"
    else:
        assert isinstance(decided, Irreversible)
        named = {"reversed": "already_reversed", "in_transit": "in_transit"}
        assert decided.code == named.get(state, "not_paid")


def test_money_that_waits_on_the_connected_account_is_taken_back() -> None:
    there = Reversible("in_transit", "stripe", 1_000, 0, "tr_1", waits_there=True)
    assert to_take_back(there, None) == 1_000
    for state in ("sending", "unknown", "approved"):
        moving = Reversible(state, "stripe", 1_000, 0, "tr_1", waits_there=True)
        assert isinstance(to_take_back(moving, None), Irreversible)


@pytest.mark.parametrize(
    ("payout", "amount", "code"),
    [
        (Reversible("paid", "wise", 1_000, 0, transfer="5"), None, "not_supported"),
        (Reversible("paid", "manual", 1_000, 0, transfer="5"), None, "not_supported"),
        (Reversible("paid", "stripe", 1_000, 0, "tr_1", frozen="twice"), None, "stopped"),
        (Reversible("paid", "stripe", 1_000, 0, "tr_1", live=True), 1, "in_progress"),
        (PAID, 701, "too_large"),
    ],
)
def test_what_is_refused_says_so_by_a_code(
    payout: Reversible, amount: int | None, code: str
) -> None:
    refused = to_take_back(payout, amount)
    assert isinstance(refused, Irreversible)
    assert refused.code == code


@pytest.mark.parametrize(
    "code", ["transfer_already_reversed", "reversal_too_large", "reversal_refused"]
)
def test_a_named_refusal_is_a_failure_and_proves_nothing_of_an_unknown_one(code: str) -> None:
    refused = GatewayOutcome("response", http_status=400, code=code)
    assert classify(refused, replaying_unknown=False) is Verdict.DEFINITE_FAILURE
    assert classify(refused, replaying_unknown=True) is Verdict.UNKNOWN


def situation(reversal: LastReversal) -> Situation:
    return Situation(
        payout_id=7,
        merchant="acme",
        state="paid",
        amount=1_000,
        currency="usd",
        members=1,
        method="stripe",
        run_id=3,
        run_state="settled",
        as_of=JUNE,
        now=JUNE,
        external_id="tr_1",
        reversal=reversal,
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("created", "ada asked for 3.00 USD of it to be taken back (twice); the gateway is being"),
        ("sending", "the gateway is being asked. It waits: silent."),
        ("unknown", "do not reverse it there by hand meanwhile. It waits: silent."),
    ],
)
def test_a_payout_says_what_is_taken_back_of_it_and_that_this_is_waited_for(
    state: str, said: str
) -> None:
    told = explain(situation(LastReversal(state, 300, "twice", "ada", waits_for="silent")))
    assert said in told[-2]
    assert told[-1] == f"Wait for the outcome of what is taken back. {BY_HAND}"


def test_a_payout_says_why_nothing_came_back_and_nothing_of_what_did() -> None:
    failed = LastReversal("failed", 300, "twice", "ada", "balance_insufficient", "Too little.")
    told = explain(situation(failed))
    assert "nothing came back by that: Too little., balance_insufficient." in told[-2]
    assert told[-1].startswith("Nothing is to be done")
    done = explain(situation(LastReversal("succeeded", 300, "twice", "ada")))
    assert not any("ada" in sentence for sentence in done)


def test_the_examples_are_true() -> None:
    result = doctest.testmod(reversing)
    assert result.attempted
    assert not result.failed
