"""Whatever happens at any of Wise's calls, each payout is paid at most once, by the sandbox's own books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.rules import Verdict
from domain.payouts.service import Recorded, accounts_in_use
from tests.workers.gateways.local_stripe import LocalStripe
from tests.workers.gateways.local_wise import CANCEL, FUNDING, QUOTE, TRANSFER, WiseAccount
from tests.workers.payouts.office import age_everything
from tests.workers.payouts.test_payouts import died_everywhere, redeliver
from tests.workers.payouts.wise_office import WiseOffice
from workers import payouts, progress


@pytest.fixture
def office(engine: Engine, local_stripe: LocalStripe) -> Iterator[WiseOffice]:
    account = WiseAccount(local_stripe)
    account.fund(10_000_000)
    yield WiseOffice(engine, wise=account)
    account.close()


def one(office: WiseOffice, amount: int = 1_000) -> int:
    office.owe(amount)
    [payout_id] = office.build(f"run of {amount}")
    return payout_id


def clearing(office: WiseOffice) -> dict[str, int]:
    """What stands in each of the accounts that payouts pass through."""
    with transaction(office.engine) as tx:
        rows = tx.execute(
            text(
                """
                SELECT a.kind, coalesce(sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END), 0) AS held
                FROM ledger_accounts a JOIN ledger_transfers t ON a.id IN (t.credit_account_id, t.debit_account_id)
                WHERE a.kind IN ('payouts_reserved', 'payouts_in_flight', 'gateway_clearing', 'payouts_reversed')
                GROUP BY 1
                """
            )
        ).all()
    return {row.kind: int(row.held) for row in rows if row.held}


def test_money_is_in_transit_until_wise_has_sent_it_and_then_paid(office: WiseOffice) -> None:
    payout_id = one(office)
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    assert clearing(office) == {"payouts_in_flight": 1_000}
    office.assert_paid_once()
    transfer = office.transfer_of(payout_id)
    office.wise.move(transfer, "funds_converted")
    office.look()
    assert office.states() == {payout_id: "in_transit"}
    office.wise.move(transfer, "outgoing_payment_sent")
    office.look()
    assert office.states() == {payout_id: "paid"}
    assert clearing(office) == {"gateway_clearing": 1_000}
    office.assert_paid_once()
    payouts.sweep(office)
    with transaction(office.engine) as tx:
        assert tx.execute(text("SELECT state FROM payout_runs")).scalar_one() == "settled"


@pytest.mark.parametrize(
    "seen_at", [("sent", "bounced", "refunded"), ("bounced", "refunded"), ("refunded",)]
)
def test_what_comes_back_is_returned_then_reversed_wherever_the_sweep_comes_in(
    office: WiseOffice, seen_at: tuple[str, ...]
) -> None:
    payout_id = one(office)
    office.work_off()
    transfer = office.transfer_of(payout_id)
    office.wise.move(transfer, "funds_converted", "outgoing_payment_sent")
    if "sent" in seen_at:
        office.look()
    office.wise.move(transfer, "bounced_back")
    if "bounced" in seen_at:
        office.look()
        assert office.states() == {payout_id: "returned"}
        assert clearing(office) == {"gateway_clearing": 1_000}
        office.whole()
    office.wise.move(transfer, "funds_refunded")
    for _ in range(2):
        office.look()
    assert office.states() == {payout_id: "reversed"}
    assert clearing(office) == {"payouts_reversed": 1_000}
    office.assert_paid_once()


CALLS = {"quote": QUOTE, "transfer": TRANSFER, "funding": FUNDING}
ONCE = [
    {"fault": "drop_before"},
    {"fault": "drop_during"},
    {"fault": "drop_after"},
    {"fault": "error_500_done"},
    {"fault": "error_500_not_done"},
    {"fault": "rate_limit"},
    {"fault": "rate_limit", "retry_after": 30},
    {"fault": "unauthorized"},
    {"fault": "forbidden"},
    {"fault": "slow", "ms": 500, "when": "before"},
    {"fault": "slow", "ms": 500, "when": "after"},
    {"fault": "garbage"},
    {"fault": "garbage", "body": "{}"},
]


@pytest.mark.parametrize("fault", ONCE, ids=lambda f: "-".join(str(v) for v in f.values()))
@pytest.mark.parametrize("call", CALLS)
def test_after_any_fault_at_any_call_a_payout_is_paid_once(
    office: WiseOffice, call: str, fault: dict[str, Any]
) -> None:
    office.read_seconds = 0.25
    payout_id = one(office)
    office.wise.plan({**CALLS[call], **fault, "times": 1})
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    assert [t.status for t in office.wise.transfers()] == ["processing"], "no second transfer"
    office.assert_paid_once()


def test_a_sender_that_dies_at_any_statement_has_paid_once_in_the_end(office: WiseOffice) -> None:
    died = died_everywhere(office, lambda payout_id: lambda: payouts.send(office, payout_id))
    assert died > 8
    redeliver(office)
    assert Counter(office.states().values()) == {"in_transit": died + 1}
    office.assert_paid_once()


@pytest.mark.parametrize("call", ["POST transfer", "POST payments", "after"])
def test_a_process_that_dies_between_the_calls_pays_once_when_the_message_comes_again(
    office: WiseOffice, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = one(office)
    gateway = office.wise.gateway()
    real = gateway._http.call
    dies_before = {"POST transfer": "/v1/transfers", "POST payments": "/payments"}.get(call)

    def dying(method: str, path: str, **more: Any) -> Any:
        if dies_before is not None and method == "POST" and path.endswith(dies_before):
            raise KeyboardInterrupt
        reply = real(method, path, **more)
        if dies_before is None and method == "POST" and path.endswith("/payments"):
            raise KeyboardInterrupt
        return reply

    with monkeypatch.context() as patched:
        patched.setattr(gateway._http, "call", dying)
        with pytest.raises(KeyboardInterrupt):
            payouts.send(office, payout_id)
    assert office.states() == {payout_id: "sending"}
    office.give_up_leases()
    payouts.send(office, payout_id)
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    assert len(office.wise.transfers()) == 1
    office.assert_paid_once()


def test_too_little_for_the_fee_parks_it_with_a_dead_transfer_and_a_later_attempt_pays(
    office: WiseOffice,
) -> None:
    payout_id = one(office)
    office.wise.plan({**FUNDING, "fault": "balance_dry", "times": 1})
    office.work_off()
    assert office.states() == {payout_id: "failed"}
    [dead] = office.wise.transfers()
    assert (dead.status, dead.funded) == ("cancelled", False)
    office.assert_paid_once()
    office.wise.fund(10_000)
    assert office.look_for_money() == 1
    assert payouts.sweep(office) == 1
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    assert len(office.wise.transfers()) == 2
    office.assert_paid_once()
    assert office.wise.held() == 10_000 - 1_000 - 50, "Wise's fee comes on top"


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "error_500_done", "unauthorized"])
def test_a_cancellation_that_is_not_answered_settles_nothing_until_it_is(
    office: WiseOffice, fault: str
) -> None:
    payout_id = one(office)
    office.wise.plan(
        {**FUNDING, "fault": "balance_dry", "times": 1}, {**CANCEL, "fault": fault, "times": 1}
    )
    first = payouts.send(office, payout_id)
    assert isinstance(first, Recorded)
    assert first.verdict is Verdict.UNKNOWN
    office.work_off()
    assert office.states() == {payout_id: "failed"}
    assert [t.status for t in office.wise.transfers()] == ["cancelled"]
    office.assert_paid_once()


def test_after_a_day_nothing_is_sent_and_an_unpaid_transfer_is_named_to_a_person(
    office: WiseOffice, owner: Engine
) -> None:
    payout_id = one(office)
    office.wise.plan({**FUNDING, "fault": "drop_before"})
    payouts.send(office, payout_id)
    age_everything(owner, hours=24)
    office.wise.plan()
    office.work_off()
    assert office.wise.called() == (0, 0, 0, 0)
    assert office.states() == {payout_id: "unknown"}
    with transaction(office.engine) as tx:
        [parked] = tx.execute(text("SELECT parked_reason FROM payouts")).scalars()
    [waiting] = office.wise.transfers()
    assert str(waiting.id) in parked
    assert "never paid for" in parked


def test_after_a_day_a_transfer_that_was_paid_for_is_found(
    office: WiseOffice, owner: Engine
) -> None:
    payout_id = one(office)
    office.wise.plan({**FUNDING, "fault": "drop_after"})
    payouts.send(office, payout_id)
    age_everything(owner, hours=24)
    office.wise.plan()
    office.work_off()
    assert office.wise.called() == (0, 0, 0, 0)
    assert office.states() == {payout_id: "in_transit"}
    office.assert_paid_once()


def test_no_bank_data_is_in_what_is_stored_of_an_attempt(office: WiseOffice) -> None:
    one(office)
    office.work_off()
    with transaction(office.engine) as tx:
        [params] = tx.execute(text("SELECT params FROM payout_attempts")).scalars()
    assert set(params) == {
        "profile", "sourceCurrency", "targetCurrency", "targetAmount", "targetAccount",
        "customerTransactionId", "reference", "attempt", "since",
    }  # fmt: skip


def test_a_balance_that_suffices_but_for_the_fee_is_asked_for_less_and_less_often(
    engine: Engine, local_stripe: LocalStripe
) -> None:
    account = WiseAccount(local_stripe)
    account.fund(1_020)
    office = WiseOffice(engine, wise=account)
    payout_id = one(office)
    waits = []
    for _ in range(4):
        for actor, args in office.messages():
            office.do(actor, args)
        with transaction(engine) as tx:
            waits.append(
                tx.execute(
                    text(
                        "SELECT extract(epoch FROM probe_at - clock_timestamp()) FROM payout_shortfalls"
                        " WHERE ended_at IS NULL"
                    )
                ).scalar_one()
            )
        assert office.look_for_money() == 1
        payouts.sweep(office)
    assert [round(float(wait) / 15) for wait in waits] == [1, 2, 4, 8]
    account.fund(30)
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    office.assert_paid_once()
    account.close()


def test_a_profile_whose_money_is_on_its_way_is_in_use(office: WiseOffice) -> None:
    payout_id = one(office)
    office.work_off()
    with transaction(office.engine) as tx:
        assert accounts_in_use(tx, office.merchant_id, "wise") == [office.wise.account]
    office.wise.move(office.transfer_of(payout_id), "funds_converted", "outgoing_payment_sent")
    office.look()
    with transaction(office.engine) as tx:
        assert accounts_in_use(tx, office.merchant_id, "wise") == []


def test_a_look_that_dies_at_any_statement_has_booked_once_in_the_end(office: WiseOffice) -> None:
    def sent(payout_id: int) -> Callable[[], object]:
        payouts.send(office, payout_id)
        transfer = office.transfer_of(payout_id)
        office.wise.move(transfer, "funds_converted", "outgoing_payment_sent")
        return lambda: progress.look(office, payout_id)

    died = died_everywhere(office, sent)
    assert died > 6
    office.look()
    assert Counter(office.states().values()) == {"paid": died + 1}
    office.assert_paid_once()


def test_of_eight_lookers_at_a_time_one_books_the_refund(office: WiseOffice) -> None:
    payout_id = one(office)
    office.work_off()
    transfer = office.transfer_of(payout_id)
    office.wise.move(
        transfer, "funds_converted", "outgoing_payment_sent", "bounced_back", "funds_refunded"
    )
    with ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(progress.look, office, payout_id) for _ in range(8)]
        for look in looks:
            look.result(20)
    assert office.states() == {payout_id: "reversed"}
    assert clearing(office) == {"payouts_reversed": 1_000}
    office.whole()


def test_what_came_back_whole_is_let_go_and_paid_again(office: WiseOffice) -> None:
    payout_id = one(office)
    office.work_off()
    transfer = office.transfer_of(payout_id)
    office.wise.move(
        transfer, "funds_converted", "outgoing_payment_sent", "bounced_back", "funds_refunded"
    )
    office.look()
    with transaction(office.engine) as tx:
        service.release(tx, payout_id, reason="a new account", actor=Actor("person", "ann"))
    [again] = office.build("again")
    office.work_off()
    assert office.states() == {payout_id: "reversed", again: "in_transit"}
    assert office.wise.held() == 10_000_000 - 1_050, "the fee of what came back was refunded too"
    office.assert_paid_once()


@pytest.mark.parametrize("stage", ["disputed", "void"])
def test_what_cannot_be_stops_the_payout_until_two_people_looked(
    office: WiseOffice, stage: Any
) -> None:
    payout_id = one(office)
    office.work_off()
    seen = office.wise.gateway().progress(office.transfer_of(payout_id))
    assert seen is not None
    told = replace(seen, stage=stage, standing="charged_back")
    with transaction(office.engine) as tx:
        now = tx.execute(text("SELECT clock_timestamp()")).scalar_one()
        for _ in range(2):
            applied = service.apply_progress(tx, office.merchant_id, told, now)
            assert applied is service.Applied.STOPPED
        frozen = tx.execute(text("SELECT frozen_reason FROM payouts")).scalar_one()
    assert "charged_back" in frozen
    assert office.states() == {payout_id: "in_transit"}
    office.whole()
