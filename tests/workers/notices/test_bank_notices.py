"""What Stripe tells of payouts to banks: applied after it was asked again, in any order, once."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from domain.db import transaction
from domain.payouts import service, webhooks
from domain.payouts.webhooks import GatewayNotice
from tests.workers.notices.desk import Desk
from tests.workers.payouts.bank_office import BankOffice


@dataclass
class BankDesk(Desk, BankOffice):
    """A desk of a merchant with the second leg."""

    def tell(self, type_: str, account: str | None, told: dict[str, object], name: str) -> None:
        """A notice that the sandbox does not send by itself, as if it had been verified."""
        payload = json.dumps({"data": {"object": told}, "account": account})
        with transaction(self.engine) as tx:
            notice = GatewayNotice(name, type_, account, payload, live=False)
            webhooks.receive(tx, self.merchant_id, "stripe", notice, mode="test")

    def work_off_once(self) -> None:
        """Run the messages that are there, not what they ask for."""
        for actor, args in self.messages():
            self.do(actor, args)

    def due(self) -> bool:
        """Whether the sweep asks for the payout now."""
        return self.rows("SELECT look_at <= clock_timestamp() FROM payouts") == [(True,)]


@pytest.fixture
def bank(desk: Desk) -> BankDesk:
    made = BankDesk(desk.engine, desk.platform, url=desk.url, box=desk.box)
    made.platform.fund(1_000_000)
    return made


def on_its_way(bank: BankDesk) -> tuple[int, str]:
    """A payout on its way to the bank, and its name at Stripe; what happens to it is told."""
    payout_id = bank.transfer_only()
    bank.listen(connect=True)
    bank.work_off()
    assert bank.states() == {payout_id: "in_transit"}
    bank.told("payout.created")
    bank.work_off()
    return payout_id, bank.bank_payouts()[-1].id


def test_a_payout_is_paid_when_stripe_tells_so_however_often(bank: BankDesk) -> None:
    payout_id, made = on_its_way(bank)
    bank.spoil(fault="duplicate", type="payout.paid", copies=3)
    bank.move(made, "in_transit")
    bank.move(made, "paid")
    bank.told("payout.paid")
    first = bank.messages()
    for actor, args in first * 2:
        bank.do(actor, args)
    bank.work_off()
    assert bank.states() == {payout_id: "paid"}
    assert bank.notices("payout.paid") == [("applied", None)]
    assert bank.rows("SELECT count(*) FROM ledger_transfers WHERE kind = 'payout_paid'") == [(1,)]
    bank.assert_paid_once()


def test_the_news_that_the_bank_gave_it_back_may_come_before_that_it_was_paid(
    bank: BankDesk,
) -> None:
    payout_id, made = on_its_way(bank)
    bank.move(made, "paid")
    bank.told("payout.paid")
    earlier = bank.messages()
    bank.move(made, "failed", failure_code="account_closed")
    bank.told("payout.failed")
    bank.work_off()
    for actor, args in earlier:
        bank.do(actor, args)
    assert bank.states() == {payout_id: "returned"}
    assert [state for state, _ in bank.notices("payout.paid")] == ["applied"]
    bank.assert_paid_once()


def test_a_new_bank_account_lets_what_was_returned_go_there(bank: BankDesk) -> None:
    payout_id, made = on_its_way(bank)
    bank.move(made, "paid")
    bank.move(made, "failed", failure_code="account_closed")
    bank.told("payout.failed")
    bank.work_off()
    assert bank.states() == {payout_id: "returned"}
    # News of the account that is not a new bank account changes nothing.
    bank.tell("account.updated", bank.account(), {"object": "account", "id": bank.account()}, "e1")
    bank.work_off()
    bank.sweep()
    assert bank.states() == {payout_id: "returned"}
    bank.platform.call(
        "POST",
        f"/v1/accounts/{bank.account()}/external_accounts",
        external_account="btok_us_verified",
        default_for_currency="true",
    )
    bank.told("account.external_account.created")
    bank.work_off()
    bank.sweep()
    assert bank.states() == {payout_id: "in_transit"}
    again = bank.bank_payouts()[-1]
    assert again.destination != bank.bank_payouts()[0].destination
    assert bank.attempts()[1:] == [("bank", 1, "reversed"), ("bank", 2, "succeeded")]
    bank.assert_paid_once()


def test_funds_that_become_available_there_let_it_go_on_and_those_of_others_do_not(
    bank: BankDesk,
) -> None:
    payout_id = bank.transfer_only()
    bank.plan({"fault": "balance_dry", "times": 1})
    bank.work_off_once()
    assert bank.rows("SELECT parked_reason FROM payouts") == [("bank_balance_insufficient",)]
    told = {"object": "balance", "available": [{"currency": "usd", "amount": 1_000}]}
    bank.tell("balance.available", "acct_other", told, "e1")
    bank.tell("balance.available", bank.account(), told, "e2")
    bank.work_off_once()
    assert bank.rows("SELECT state FROM gateway_events ORDER BY id") == [("ignored",), ("applied",)]
    assert not bank.due(), "Stripe was asked, and there is nothing there"
    bank.platform.call(
        "POST", "/v1/transfers", amount="1000", currency="usd", destination=bank.account(),
        **{"metadata[payout]": str(payout_id)},
    )  # fmt: skip
    bank.tell("balance.available", bank.account(), told, "e3")
    bank.work_off_once()
    assert bank.due()
    bank.sweep()
    assert bank.attempts()[1:] == [("bank", 1, "failed"), ("bank", 2, "succeeded")]


def test_a_restricted_account_keeps_the_money_until_it_is_mended(bank: BankDesk) -> None:
    payout_id = bank.transfer_only()
    bank.listen(connect=True)
    bank.platform.set_state(bank.account(), "restricted")
    bank.told("account.updated")
    bank.work_off()
    bank.sweep()
    assert bank.states() == {payout_id: "in_transit"}
    assert bank.bank_payouts() == []
    bank.platform.set_state(bank.account(), "active")
    bank.told("account.updated", 2)
    bank.work_off()
    assert bank.due()
    bank.sweep()
    assert len(bank.bank_payouts()) == 1
    bank.assert_paid_once()


def test_payouts_of_others_are_ignored_by_name(bank: BankDesk) -> None:
    payout_id, _ = on_its_way(bank)
    bank.platform.call(
        "POST", "/v1/transfers", amount="500", currency="usd", destination=bank.account(),
        **{"metadata[payout]": str(payout_id)},
    )  # fmt: skip
    made = bank.platform_acting("POST", "/v1/payouts", amount="500", currency="usd")
    bank.told("payout.created", 2)
    bank.work_off()
    assert bank.notices("payout.created")[-1] == (
        "ignored",
        f"{made['id']}: no attempt of ours made it",
    )
    bank.tell("payout.paid", None, {"object": "payout", "id": "po_own"}, "e1")
    bank.work_off()
    assert bank.notices("payout.paid") == [
        ("ignored", "it is about the merchant's own bank account")
    ]
    assert bank.states() == {payout_id: "in_transit"}


def test_news_of_an_attempt_that_is_not_settled_waits_for_it(bank: BankDesk) -> None:
    payout_id = bank.transfer_only()
    bank.listen(connect=True)
    bank.plan({"fault": "drop_after", "times": 1})
    bank.work_off_once()
    assert bank.states() == {payout_id: "unknown"}
    bank.told("payout.created")
    [created] = [args for actor, args in bank.messages() if actor == "webhooks.apply"]
    assert bank.do("webhooks.apply", created) == "waits"
    with transaction(bank.engine) as tx:
        assert service.check_invariants(tx) == []
    bank.execute("UPDATE payouts SET look_at = now()")
    bank.sweep()
    assert bank.states() == {payout_id: "in_transit"}
    assert bank.do("webhooks.apply", created) == "applied"
    bank.assert_paid_once()
