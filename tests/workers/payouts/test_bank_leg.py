"""The second leg: whatever the wire does, each transfer and each payout to a bank is made at most once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotCancelable, NotRetryable, NotReversible, NotUnfreezable
from domain.payouts.rules import Leave
from domain.payouts.rules.bank_leg import SeenBankPayout
from domain.payouts.service import Booked, Recorded, outside, reconciling, unfreezing
from domain.payouts.service.bank_leg import BEING_REVERSED
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.bank_office import ACTOR, BankOffice
from tests.workers.payouts.office import ROUNDS, age_everything
from tests.workers.payouts.test_payouts import ONCE, died_everywhere
from workers import payouts, reversing
from workers.reconciling import reconcile


@pytest.fixture
def office(engine: Engine, platform: Platform) -> BankOffice:
    platform.fund(10_000_000)
    return BankOffice(engine, platform)


def in_use(office: BankOffice) -> list[str]:
    with transaction(office.engine) as tx:
        return service.accounts_in_use(tx, office.merchant_id, "stripe")


def test_a_payout_is_in_transit_after_its_transfer_and_paid_when_the_bank_has_it(
    office: BankOffice,
) -> None:
    office.owe(1_000, 2_000)
    first, second = office.build()
    for payout_id in (first, second):
        payouts.send(office, payout_id)
    assert office.left_on_accounts() == {1_000, 2_000}
    assert in_use(office) == [office.platform.account_id], "the key may not change now"
    office.work_off()
    assert office.states() == {first: "in_transit", second: "in_transit"}
    assert [made.status for made in office.bank_payouts()] == ["pending", "pending"]
    keys = [
        key
        for (key,) in office.rows("SELECT idempotency_key FROM payout_attempts WHERE leg = 'bank'")
    ]
    assert sorted(key.split("/", 2)[2] for key in keys) == [f"{first}/bank/1", f"{second}/bank/1"]
    office.assert_paid_once()
    office.pass_days(4)
    office.sweep()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()
    assert in_use(office) == []
    payouts.sweep(office)
    assert office.rows("SELECT state FROM payout_runs") == [("settled",)]


THRICE = [{**fault, "times": 3} for fault in ONCE if fault["fault"] in ("drop_after", "rate_limit")]


@pytest.mark.parametrize(
    "fault", [*ONCE, *THRICE], ids=lambda f: "-".join(str(v) for v in f.values())
)
def test_after_any_fault_that_passes_the_bank_is_paid_once(
    office: BankOffice, fault: dict[str, Any]
) -> None:
    office.read_seconds = 0.35
    office.owe(1_000)
    [payout_id] = office.build()
    office.plan({"times": 1, **fault})
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    office.pass_days(4)
    office.sweep()
    assert office.states() == {payout_id: "paid"}
    assert office.attempts() == [("transfer", 1, "succeeded"), ("bank", 1, "succeeded")]
    office.assert_paid_once()
    assert office.left_on_accounts() == {0}


def test_the_second_leg_is_asked_for_in_the_transaction_that_ends_the_first(
    office: BankOffice,
) -> None:
    payout_id = office.transfer_only()
    asked = office.rows("SELECT actor, args FROM outbox WHERE actor = 'payouts.send'")
    assert asked.count(("payouts.send", {"payout_id": payout_id})) == 2, (
        "its first leg, and its second"
    )
    # Should that message be lost, the sweep asks again.
    office.messages()
    office.sweep()
    assert office.attempts() == [("transfer", 1, "succeeded"), ("bank", 1, "succeeded")]


def test_without_the_second_leg_nothing_changes(office: BankOffice) -> None:
    office.owe(1_000)
    office.choose(on=False)
    [payout_id] = office.build()
    office.work_off()
    assert office.states() == {payout_id: "paid"}
    assert office.attempts() == [("transfer", 1, "succeeded")]
    assert office.bank_payouts() == []


@pytest.mark.parametrize("at_first", [True, False])
def test_a_payout_keeps_what_held_when_its_run_was_opened(
    office: BankOffice, *, at_first: bool
) -> None:
    office.owe(1_000)
    office.choose(on=at_first)
    [payout_id] = office.build()
    office.choose(on=not at_first)
    office.work_off()
    assert office.states() == {payout_id: "in_transit" if at_first else "paid"}
    assert len(office.bank_payouts()) == (1 if at_first else 0)


def test_of_eight_senders_one_pays_the_bank(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    office.plan()
    gate = threading.Barrier(8)

    def send() -> Recorded | Leave:
        gate.wait(20)
        return payouts.send(office, payout_id)

    with ThreadPoolExecutor(8) as pool:
        got = [f.result(30) for f in [pool.submit(send) for _ in range(8)]]
    assert sum(isinstance(g, Recorded) for g in got) == 1
    assert len(office.bank_payouts()) == 1
    office.assert_paid_once()


def settled(office: BankOffice) -> None:
    """Every message again, before and after the leases ran out; then the banks work."""
    for _ in range(2):
        for payout_id in office.states():
            payouts.send(office, payout_id)
        office.give_up_leases()
    office.sweep()
    office.pass_days(4)
    office.sweep()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()


def test_a_sender_of_either_leg_that_dies_at_any_statement_has_paid_once_in_the_end(
    office: BankOffice,
) -> None:
    died = died_everywhere(office, lambda payout_id: lambda: payouts.send(office, payout_id))
    assert died > 12

    def after_its_transfer(payout_id: int) -> Callable[[], object]:
        payouts.send(office, payout_id)
        return lambda: payouts.send(office, payout_id)

    office.execute("UPDATE payees SET blocked_reason = NULL")
    died = died_everywhere(named(office, "bank"), after_its_transfer)
    assert died > 12
    settled(office)


def named(office: BankOffice, name: str) -> BankOffice:
    """The same office, whose runs have names of their own."""

    class Named(BankOffice):
        def build(self, run: str = "run") -> list[int]:
            return super().build(f"{name} {run}")

    return Named(
        office.engine, office.platform, office.merchant_id, office.read_seconds, office.health
    )


def test_a_resolver_that_dies_at_any_statement_has_paid_the_bank_once_in_the_end(
    office: BankOffice,
) -> None:
    def unknown(payout_id: int) -> Callable[[], object]:
        payouts.send(office, payout_id)
        office.messages()
        office.plan({"fault": "drop_after", "times": 1})
        payouts.send(office, payout_id)
        [args] = [args for actor, args in office.messages() if actor == "payouts.resolve"]
        return lambda: payouts.resolve(office, **args)

    died = died_everywhere(office, unknown)
    assert died > 10
    settled(office)


def test_who_follows_and_dies_at_any_statement_books_the_arrival_once(office: BankOffice) -> None:
    def on_its_way(payout_id: int) -> Callable[[], object]:
        for _leg in range(2):
            payouts.send(office, payout_id)
        office.pass_days(4)
        [(attempt,)] = office.rows(
            f"SELECT id FROM payout_attempts WHERE leg = 'bank' AND payout_id = {payout_id}"
        )
        return lambda: payouts.follow(office, attempt)

    died = died_everywhere(office, on_its_way)
    assert died > 8
    settled(office)


@pytest.mark.parametrize(
    ("fault", "state"),
    [("drop_after", "in_transit"), ("drop_during", "in_transit"), ("drop_before", "unknown")],
)
def test_after_a_day_a_payout_to_a_bank_is_looked_up_not_sent(
    office: BankOffice, owner: Engine, fault: str, state: str
) -> None:
    payout_id = office.transfer_only()
    office.plan({"fault": fault, "times": 1})
    payouts.send(office, payout_id)
    assert office.states() == {payout_id: "unknown"}
    office.pass_days(2)
    age_everything(owner, hours=25)
    made = len(office.bank_payouts())
    office.sweep()
    assert len(office.bank_payouts()) == made == (0 if state == "unknown" else 1)
    assert office.states() == {
        payout_id: state if state == "unknown" else office.states()[payout_id]
    }
    assert office.states()[payout_id] in (state, "paid")
    office.assert_paid_once()


def test_after_a_time_out_the_bank_is_never_paid_under_another_key(office: BankOffice) -> None:
    """Elsewhere a payout to the bank that timed out was made again without a key, or under a new one."""
    office.read_seconds = 0.3
    payout_id = office.transfer_only()
    office.plan({"fault": "slow", "ms": 900, "when": "after", "times": 1})
    payouts.send(office, payout_id)
    assert office.states() == {payout_id: "unknown"}
    for _ in range(3):
        assert payouts.send(office, payout_id) == Leave("unknown")
    with pytest.raises(NotRetryable), transaction(office.engine) as tx:
        service.retry(tx, payout_id)
    with pytest.raises(NotCancelable), transaction(office.engine) as tx:
        service.cancel(tx, payout_id, reason="it looks lost")
    office.read_seconds = 5.0
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    assert len(office.bank_payouts()) == 1
    assert len(office.platform.transfers()) == 1
    office.assert_paid_once()


def test_a_remembered_500_stays_unknown_until_two_people_gave_it_up_and_then_only_the_bank_is_paid(
    office: BankOffice, owner: Engine
) -> None:
    payout_id = office.transfer_only()
    office.plan({"fault": "error_500_not_done", "stored": True, "times": 1})
    for _ in range(4):
        for actor, args in office.messages():
            office.do(actor, args)
    assert office.states() == {payout_id: "unknown"}
    age_everything(owner, hours=24)
    office.sweep()
    assert office.bank_payouts() == []
    ada, bea = Actor("command", "ada"), Actor("command", "bea")
    with transaction(office.engine) as tx:
        service.propose_abandon(tx, payout_id, evidence="no payout on the account", actor=ada)
        service.agree_abandon(tx, payout_id, actor=bea)
    assert office.states() == {payout_id: "returned"}
    office.assert_paid_once()
    office.sweep()
    assert office.states() == {payout_id: "returned"}, "a person decides"
    with transaction(office.engine) as tx:
        service.retry(tx, payout_id)
    office.work_off()
    assert office.attempts() == [
        ("transfer", 1, "succeeded"),
        ("bank", 1, "abandoned"),
        ("bank", 2, "succeeded"),
    ]
    office.assert_paid_once()


def test_funds_that_are_not_available_yet_park_the_payout_and_only_the_bank_is_tried_again(
    office: BankOffice,
) -> None:
    payout_id = office.transfer_only()
    office.plan({"fault": "balance_dry", "times": 1})
    payouts.send(office, payout_id)
    assert office.rows("SELECT state, parked_reason FROM payouts") == [
        ("in_transit", "bank_balance_insufficient")
    ]
    assert office.rows("SELECT * FROM payout_shortfalls") == [], (
        "the merchant's balance is not short"
    )
    office.assert_paid_once()
    office.platform.call(
        "POST", "/v1/transfers", amount="1000", currency="usd", destination=office.account(),
        **{"metadata[payout]": str(payout_id)},
    )  # fmt: skip
    office.sweep()
    assert office.attempts()[1:] == [("bank", 1, "failed"), ("bank", 2, "succeeded")]
    assert office.states() == {payout_id: "in_transit"}
    assert len(office.bank_payouts()) == 1


def test_an_account_that_left_between_the_legs_keeps_the_money_until_a_person_decides(
    office: BankOffice,
) -> None:
    payout_id = office.transfer_only()
    office.plan({"fault": "account_deauthorized", "times": 1})
    payouts.send(office, payout_id)
    assert office.rows("SELECT state, error_code FROM payouts") == [("returned", "account_invalid")]
    office.sweep()
    assert office.attempts()[1:] == [("bank", 1, "failed")]
    with pytest.raises(NotCancelable), transaction(office.engine) as tx:
        service.cancel(tx, payout_id, reason="the account left")
    office.assert_paid_once()
    # Tried again while the account is away, no attempt is made; back again, the bank is paid.
    with transaction(office.engine) as tx:
        service.retry(tx, payout_id)
    office.work_off()
    assert office.attempts()[1:] == [("bank", 1, "failed")]
    office.platform.set_state(office.account(), "active")
    office.sweep()
    assert office.attempts()[1:] == [("bank", 1, "failed"), ("bank", 2, "succeeded")]
    office.assert_paid_once()


HINDRANCES = {
    "kill switch": (
        "INSERT INTO payout_stops (kind, reason, stopped_by) VALUES ('kill_switch', 'drill', 'ada')",
        "UPDATE payout_stops SET lifted_at = now(), lifted_by = 'ada'",
        "stopped",
    ),
    "hold": (
        "UPDATE earnings SET held_at = now(), hold_reason = 'checked'",
        "UPDATE earnings SET held_at = NULL, hold_reason = NULL",
        "on_hold",
    ),
    "block": (
        "UPDATE payees SET blocked_reason = 'looks odd', blocked_by = 'operator'",
        "UPDATE payees SET blocked_reason = NULL, blocked_by = NULL",
        "blocked",
    ),
}


@pytest.mark.parametrize("name", HINDRANCES)
def test_what_comes_up_between_the_legs_keeps_the_money_where_it_is(
    office: BankOffice, name: str
) -> None:
    comes, goes, why = HINDRANCES[name]
    payout_id = office.transfer_only()
    office.plan()
    office.execute(comes)
    assert payouts.send(office, payout_id) == Leave(why)
    assert office.states() == {payout_id: "in_transit"}
    assert office.bank_payouts() == []
    office.execute(goes)
    office.sweep()
    assert len(office.bank_payouts()) == 1
    office.assert_paid_once()


def test_a_payee_with_a_new_account_is_paid_out_from_the_one_that_was_approved(
    office: BankOffice,
) -> None:
    payout_id = office.transfer_only()
    old = office.account()
    office.execute("UPDATE payees SET account = 'acct_new'")
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    office.execute(f"UPDATE payees SET account = '{old}'")
    office.assert_paid_once()


def test_no_attempt_is_made_while_stripe_pays_the_balance_out_by_itself(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    office.schedule(office.account(), "daily")
    assert payouts.send(office, payout_id) == Leave("not_ready")
    [(waits,)] = office.rows("SELECT parked_reason FROM payouts")
    assert "manual" in waits
    assert office.attempts() == [("transfer", 1, "succeeded")]
    office.schedule(office.account(), "manual")
    office.sweep()
    assert office.attempts()[1:] == [("bank", 1, "succeeded")]


def test_no_transfer_is_made_to_an_account_from_which_the_bank_could_not_be_paid(
    office: BankOffice,
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.schedule(office.account(), "daily")
    assert payouts.send(office, payout_id) == Leave("not_ready")
    assert office.states() == {payout_id: "approved"}
    assert office.attempts() == []
    # What comes up meanwhile still gives its earnings back.
    office.execute("UPDATE payees SET blocked_reason = 'looks odd', blocked_by = 'operator'")
    office.sweep()
    assert office.states() == {payout_id: "canceled"}
    office.execute("UPDATE payees SET blocked_reason = NULL, blocked_by = NULL")
    [again] = office.build("again")
    office.schedule(office.account(), "manual")
    office.work_off()
    assert office.states() == {payout_id: "canceled", again: "in_transit"}
    office.assert_paid_once()


def test_what_was_paid_outside_before_its_transfer_is_paid_without_a_bank_attempt(
    office: BankOffice,
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    with transaction(office.engine) as tx:
        outside.propose_outside(
            tx, payout_id, reference="cash 7", evidence="a receipt", actor=Actor("command", "ada")
        )
        outside.agree_outside(tx, payout_id, actor=Actor("command", "bea"))
        assert service.check_invariants(tx) == []
    assert office.states() == {payout_id: "paid"}
    office.work_off()
    assert office.bank_payouts() == []


def bank_payout(office: BankOffice) -> str:
    return office.bank_payouts()[-1].id


BALANCES = """
    SELECT a.kind, sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END)
    FROM ledger_accounts a JOIN ledger_transfers t ON a.id IN (t.credit_account_id, t.debit_account_id)
    GROUP BY 1 HAVING sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END) <> 0
"""


def balances(office: BankOffice) -> dict[str, int]:
    return {kind: int(amount) for kind, amount in office.rows(BALANCES)}


def test_a_payout_that_the_bank_gave_back_after_it_was_paid_is_paid_out_again_never_transferred(
    office: BankOffice,
) -> None:
    payout_id = office.transfer_only()
    office.plan({"fault": "payout_fails", "code": "account_closed", "after": "paid", "times": 1})
    office.work_off()
    assert balances(office) == {"payouts_in_flight": 1_000, "rewards_expense": -1_000}
    office.pass_days(3)
    office.sweep()
    assert office.states() == {payout_id: "paid"}
    assert balances(office) == {"gateway_clearing": 1_000, "rewards_expense": -1_000}
    office.pass_days(4)
    office.sweep()
    assert office.rows("SELECT state, error_code, error_message FROM payouts") == [
        ("returned", "bank_returned", "The bank account has been closed.")
    ]
    assert balances(office) == {"payouts_in_flight": 1_000, "rewards_expense": -1_000}
    office.assert_paid_once()
    office.sweep()
    assert office.states() == {payout_id: "returned"}, "not by itself to the same bank"
    with transaction(office.engine) as tx:
        service.retry(tx, payout_id)
    office.work_off()
    office.pass_days(4)
    office.sweep()
    assert office.states() == {payout_id: "paid"}
    assert office.attempts() == [
        ("transfer", 1, "succeeded"),
        ("bank", 1, "reversed"),
        ("bank", 2, "succeeded"),
    ]
    assert balances(office) == {"gateway_clearing": 1_000, "rewards_expense": -1_000}
    office.assert_paid_once()


@pytest.mark.parametrize("how", ["canceled", "failed"])
def test_a_payout_that_never_reached_the_bank_is_returned(office: BankOffice, how: str) -> None:
    payout_id = office.transfer_only()
    office.work_off()
    made = bank_payout(office)
    if how == "canceled":
        office.platform_acting("POST", f"/v1/payouts/{made}/cancel")
    else:
        office.move(made, "failed", failure_code="no_account")
    office.sweep()
    assert office.states() == {payout_id: "returned"}
    assert balances(office) == {"payouts_in_flight": 1_000, "rewards_expense": -1_000}
    office.assert_paid_once()


def test_a_payout_that_was_taken_back_from_the_bank_by_hand_waits_for_a_person_and_for_its_money(
    office: BankOffice,
) -> None:
    payout_id = office.transfer_only()
    office.work_off()
    office.pass_days(4)
    office.sweep()
    assert office.states() == {payout_id: "paid"}
    office.platform_acting("POST", f"/v1/payouts/{bank_payout(office)}/reverse")
    office.sweep()
    assert office.rows("SELECT state, error_code FROM payouts") == [("returned", "bank_reversed")]
    office.sweep()
    assert office.states() == {payout_id: "returned"}
    with transaction(office.engine) as tx:
        assert service.check_invariants(tx) == []
        service.retry(tx, payout_id)
    for actor, args in office.messages():
        office.do(actor, args)
    assert office.rows("SELECT state, parked_reason FROM payouts") == [
        ("in_transit", "bank_balance_insufficient")
    ]
    office.pass_days(4)
    office.sweep()
    office.pass_days(4)
    office.sweep()
    assert office.states() == {payout_id: "paid"}
    assert office.left_on_accounts() == {0}
    assert [(leg, state) for leg, _, state in office.attempts()][-1] == ("bank", "succeeded")


def seen(office: BankOffice, status: str, **changed: Any) -> SeenBankPayout:
    [(external_id, key)] = office.rows(
        "SELECT external_id, idempotency_key FROM payout_attempts WHERE leg = 'bank'"
    )
    told = SeenBankPayout(external_id, office.account(), key, 1_000, "usd", status, "ba_1")
    return replace(told, **changed)


def apply(office: BankOffice, told: SeenBankPayout) -> Booked:
    with transaction(office.engine) as tx:
        return service.apply_bank_payout(tx, office.merchant_id, office.platform.account_id, told)


def test_answers_in_any_order_and_twice_end_where_the_bank_is(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    office.work_off()
    states = []
    for status in (
        "pending",
        "paid",
        "in_transit",
        "paid",
        "failed",
        "paid",
        "in_transit",
        "failed",
    ):
        assert apply(office, seen(office, status)) is Booked.BOOKED
        states.append(office.states()[payout_id])
        with transaction(office.engine) as tx:
            assert service.check_invariants(tx) == []
    assert states == ["in_transit", "paid", "paid", "paid", *["returned"] * 4]
    assert balances(office) == {"payouts_in_flight": 1_000, "rewards_expense": -1_000}


def test_a_payout_to_a_bank_that_we_did_not_make_is_not_ours(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    office.work_off()
    assert apply(office, seen(office, "failed", key=None, external_id="po_hand")) is Booked.NOT_OURS
    assert office.states() == {payout_id: "in_transit"}


@pytest.mark.parametrize(
    "wrong", [{"amount": 999}, {"account": "acct_eve"}, {"external_id": "po_other"}]
)
def test_what_contradicts_an_attempt_stops_its_payout(
    office: BankOffice, wrong: dict[str, Any]
) -> None:
    office.transfer_only()
    office.work_off()
    assert apply(office, seen(office, "paid", **wrong)) is Booked.CONTRADICTS
    [(state, frozen)] = office.rows("SELECT state, frozen_reason FROM payouts")
    assert state == "in_transit"
    assert frozen


def test_what_two_people_let_go_on_goes_on_to_where_the_bank_is(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    office.work_off()
    apply(office, seen(office, "paid", amount=999))
    office.pass_days(4)
    office.sweep()
    assert office.states() == {payout_id: "in_transit"}, "it is stopped"
    with transaction(office.engine) as tx:
        unfreezing.propose_unfreeze(
            tx, payout_id, evidence="10.00 at Stripe", actor=Actor("command", "ada")
        )
        said = unfreezing.agree_unfreeze(tx, payout_id, actor=Actor("command", "bea"))
    assert "the gateway is asked what the bank did" in said
    office.sweep()
    assert office.states() == {payout_id: "paid"}
    office.assert_paid_once()


def test_an_abandoned_attempt_that_paid_the_bank_after_all_stops_its_payout(
    office: BankOffice, owner: Engine
) -> None:
    payout_id = office.transfer_only()
    office.plan({"fault": "drop_before", "times": 1})
    payouts.send(office, payout_id)
    age_everything(owner, hours=25)
    with transaction(office.engine) as tx:
        service.propose_abandon(tx, payout_id, evidence="not there", actor=Actor("command", "ada"))
        service.agree_abandon(tx, payout_id, actor=Actor("command", "bea"))
    late = seen(office, "pending", external_id="po_late")
    for _ in range(2):  # told twice, it is one difference
        assert apply(office, late) is Booked.CONTRADICTS
    with pytest.raises(NotRetryable), transaction(office.engine) as tx:
        service.retry(tx, payout_id)
    [(number, kind)] = office.rows("SELECT id, kind FROM payout_differences")
    assert kind == "bank_missing_here"
    ada, bea = Actor("command", "ada"), Actor("command", "bea")
    with pytest.raises(NotUnfreezable, match="po_late"), transaction(office.engine) as tx:
        unfreezing.propose_unfreeze(tx, payout_id, evidence="it is there", actor=ada)
    with transaction(office.engine) as tx:
        reconciling.resolve_difference(tx, office.merchant_id, number, note="a test", actor=ada)
        unfreezing.propose_unfreeze(tx, payout_id, evidence="it is there", actor=ada)
        unfreezing.agree_unfreeze(tx, payout_id, actor=bea)
    # What a person has explained does not stop it again, and nothing but a person has it sent.
    assert apply(office, late) is Booked.CONTRADICTS
    assert office.rows("SELECT frozen_reason FROM payouts") == [(None,)]
    office.execute("UPDATE payouts SET error_code = 'account_invalid'")
    with transaction(office.engine) as tx:
        banks = {"usd": "ba_mended"}
        account = office.account()
        assert service.resume_bank_account(tx, office.merchant_id, account, banks) == 0


def reversed_by_hand(office: BankOffice, amount: int) -> None:
    [(transfer,)] = office.rows("SELECT external_transaction_id FROM payouts")
    office.platform.call("POST", f"/v1/transfers/{transfer}/reversals", amount=str(amount))


def book_reversals(office: BankOffice) -> Booked:
    [(transfer,)] = office.rows("SELECT external_transaction_id FROM payouts")
    told = office.platform.gateway().news.transfer(transfer)
    assert told is not None
    with transaction(office.engine) as tx:
        return service.book_reversals(tx, office.merchant_id, told)


def test_a_part_that_came_back_before_the_second_leg_is_not_paid_out(office: BankOffice) -> None:
    office.transfer_only()
    reversed_by_hand(office, 300)
    assert book_reversals(office) is Booked.BOOKED
    office.work_off()
    assert [made.amount for made in office.bank_payouts()] == [700]
    office.assert_paid_once()
    office.pass_days(4)
    office.sweep()
    assert balances(office) == {
        "gateway_clearing": 700,
        "payouts_reversed": 300,
        "rewards_expense": -1_000,
    }
    office.assert_paid_once()


def test_a_transfer_that_came_back_whole_ends_the_second_leg(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    reversed_by_hand(office, 1_000)
    assert book_reversals(office) is Booked.BOOKED
    office.sweep()
    assert office.states() == {payout_id: "reversed"}
    assert office.bank_payouts() == []
    assert balances(office) == {"payouts_reversed": 1_000, "rewards_expense": -1_000}
    office.assert_paid_once()


def test_a_reversal_waits_until_it_is_known_what_the_bank_was_paid(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    office.plan({"fault": "drop_before", "times": 1})
    payouts.send(office, payout_id)
    reversed_by_hand(office, 300)
    assert book_reversals(office) is Booked.TOO_EARLY
    office.work_off()
    assert office.states()[payout_id] in ("unknown", "returned", "in_transit")


def test_while_something_is_taken_back_nothing_goes_on_to_the_bank(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    office.work_off()
    office.move(bank_payout(office), "failed")
    office.sweep()
    assert office.states() == {payout_id: "returned"}
    with transaction(office.engine) as tx:
        service.request_reversal(
            tx, office.merchant_id, payout_id, amount=300, reason="too much", actor=ACTOR
        )
        service.retry(tx, payout_id)
    assert payouts.send(office, payout_id) == Leave("being_reversed")
    assert office.rows("SELECT state, parked_reason FROM payouts") == [("returned", BEING_REVERSED)]
    assert office.attempts() == [("transfer", 1, "succeeded"), ("bank", 1, "reversed")]
    [(request_id,)] = office.rows("SELECT id FROM reversal_requests")
    reversing.reverse(office, request_id)
    office.sweep()
    assert office.states() == {payout_id: "in_transit"}
    assert [made.amount for made in office.bank_payouts()] == [1_000, 700]
    office.assert_paid_once()


@pytest.mark.parametrize("amount", [None, 300])
def test_money_that_waits_on_an_account_which_cannot_pay_out_is_taken_back(
    office: BankOffice, amount: int | None
) -> None:
    payout_id = office.transfer_only()
    office.schedule(office.account(), "daily")
    assert payouts.send(office, payout_id) == Leave("not_ready")
    with transaction(office.engine) as tx:
        service.request_reversal(
            tx, office.merchant_id, payout_id, amount=amount, reason="it never will", actor=ACTOR
        )
    assert payouts.send(office, payout_id) == Leave("being_reversed")
    office.work_off()
    assert office.attempts()[1:] == [], "no bank attempt was made"
    if amount is None:
        assert office.states() == {payout_id: "reversed"}
        assert office.left_on_accounts() == {0}
        with transaction(office.engine) as tx:
            service.release(tx, payout_id, reason="pay it elsewhere", actor=ACTOR)
            assert service.check_invariants(tx) == []
        return
    assert office.states() == {payout_id: "in_transit"}
    office.schedule(office.account(), "manual")
    office.sweep()
    assert [made.amount for made in office.bank_payouts()] == [700]
    office.assert_paid_once()


def test_what_a_bank_attempt_has_or_may_have_is_not_taken_back(office: BankOffice) -> None:
    payout_id = office.transfer_only()
    office.work_off()
    assert office.attempts()[1:] == [("bank", 1, "succeeded")]
    with pytest.raises(NotReversible, match="on its way"), transaction(office.engine) as tx:
        service.request_reversal(
            tx, office.merchant_id, payout_id, amount=None, reason="late", actor=ACTOR
        )
    insert = """
        INSERT INTO reversal_requests (merchant_id, payout_id, attempt_id, n, currency, amount, reason,
                                       asked_by, idempotency_key, transfer, platform_account)
        SELECT merchant_id, payout_id, id, 1, 'usd', 1, 'late', 'ann', 'key', external_id, platform_account
        FROM payout_attempts WHERE leg = 'transfer'
    """
    with pytest.raises(IntegrityError, match="only what was paid"):
        office.execute(insert)


def test_reconciliation_finds_no_difference_in_what_goes_on_to_a_bank(office: BankOffice) -> None:
    office.owe(1_000, 2_000)
    office.build()
    office.work_off()
    assert reconcile(office, office.merchant_id, clock_may_move=True)["open"] == {}
    office.pass_days(4)
    office.sweep()
    assert set(office.states().values()) == {"paid"}
    assert reconcile(office, office.merchant_id, clock_may_move=True)["open"] == {}


@pytest.mark.parametrize("seed", [1])
def test_any_mixture_of_faults_workers_and_doubled_messages_pays_each_bank_once(
    office: BankOffice, seed: int
) -> None:
    office.read_seconds = 0.25
    office.owe(*range(1_000, 1_020))
    office.build()
    both = {"path": "/v1/[pt][ar]*"}
    kinds = [
        *({"fault": f} for f in ("drop_before", "drop_during", "drop_after", "error_500_done")),
        *({"fault": f} for f in ("rate_limit", "lock_timeout", "key_in_use", "garbage")),
        {"fault": "error_500_not_done", "stored": False},
        {"fault": "slow", "ms": 400, "when": "before"},
    ]
    office.plan(*({**both, **kind, "probability": 0.08} for kind in kinds), seed=seed)
    choice = random.Random(seed)
    with ThreadPoolExecutor(6) as pool:
        for turn in range(ROUNDS):
            if turn == 6:
                office.plan()
            if turn > 6:
                time.sleep(0.05)
            messages = office.messages() * 2
            if not messages:
                break
            choice.shuffle(messages)
            for done in [pool.submit(office.do, *message) for message in messages]:
                done.result(60)
    assert set(office.states().values()) == {"in_transit"}
    assert len(office.bank_payouts()) == 20
    assert office.left_on_accounts() == {0}
    office.assert_paid_once()
    office.pass_days(4)
    office.sweep()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()
