"""What only Wise's gateway does: several calls for one payment."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from domain.payouts.gateway import Deadline
from domain.payouts.rules import GatewayOutcome, Verdict, classify
from tests.workers.gateways.local_stripe import ample
from tests.workers.gateways.local_wise import (
    FUNDING,
    LOOK,
    QUOTE,
    TRANSFER,
    WiseAccount,
    wise_order,
)
from workers.gateways.errors import KeyRefused
from workers.gateways.wise import API_VERSION, wise_gateway
from workers.gateways.wise_http import Reply, WiseHttp
from workers.gateways.wise_objects import NotATransfer, read_transfer, reference_of, to_minor


def send(
    wise: WiseAccount, recipient: str, deadline: Deadline | None = None, **more: int
) -> GatewayOutcome:
    asked = wise_order(recipient, **more)
    gateway = wise.gateway()
    return gateway.send(
        json.loads(json.dumps(gateway.params(asked))),
        key=asked.key,
        api_version=API_VERSION,
        deadline=deadline or ample(),
    )


@pytest.fixture
def recipient(wise: WiseAccount) -> str:
    wise.fund(100_000)
    return wise.recipient()


def test_a_transfer_is_quoted_made_and_paid_for_with_three_calls(
    wise: WiseAccount, recipient: str
) -> None:
    wise.plan()
    outcome = send(wise, recipient)
    [made] = wise.transfers()
    assert wise.called() == (1, 1, 1, 0)
    assert outcome.external_id == str(made.id)
    assert (outcome.began, outcome.arrived, outcome.replayed) == (True, False, False)
    assert (made.target_amount, made.target_currency, made.status) == (1_000, "EUR", "processing")
    assert made.customer_transaction_id == reference_of(wise_order(recipient).key)
    assert UUID(made.customer_transaction_id).version == 5
    assert wise.held() == 100_000 - 1_050, "the fee comes on top"


def test_a_replay_after_it_was_paid_for_looks_and_pays_nothing(
    wise: WiseAccount, recipient: str
) -> None:
    send(wise, recipient)
    wise.plan()
    outcome = send(wise, recipient)
    assert wise.called() == (1, 1, 0, 0)
    assert outcome.replayed
    assert wise.held() == 100_000 - 1_050


@pytest.mark.parametrize(
    "status", ["funds_converted", "outgoing_payment_sent", "bounced_back", "funds_refunded"]
)
def test_a_replay_of_a_transfer_that_has_gone_on_pays_nothing(
    wise: WiseAccount, recipient: str, status: str
) -> None:
    made = send(wise, recipient)
    path = ["funds_converted", "outgoing_payment_sent", "bounced_back", "funds_refunded"]
    wise.move(str(made.external_id), *path[: path.index(status) + 1])
    wise.plan()
    outcome = send(wise, recipient)
    assert wise.called()[2] == 0
    assert classify(outcome, replaying_unknown=True) is Verdict.SUCCEEDED
    assert outcome.external_id == made.external_id


def test_a_transfer_that_was_canceled_by_hand_is_refused_for_good(
    wise: WiseAccount, recipient: str
) -> None:
    wise.plan({**FUNDING, "fault": "drop_before"})
    send(wise, recipient)
    [waiting] = wise.transfers()
    wise.call("PUT", f"/v1/transfers/{waiting.id}/cancel")
    wise.plan()
    outcome = send(wise, recipient)
    assert (outcome.code, outcome.refused) == ("transfer_canceled", True)
    assert classify(outcome, replaying_unknown=True) is Verdict.DEFINITE_FAILURE
    assert wise.held() == 100_000


def test_one_that_was_canceled_after_it_was_paid_for_is_not_called_unpaid(
    wise: WiseAccount, recipient: str
) -> None:
    made = send(wise, recipient)
    wise.call("PUT", f"/v1/transfers/{made.external_id}/cancel")
    outcome = send(wise, recipient)
    assert classify(outcome, replaying_unknown=True) is Verdict.SUCCEEDED
    progress = wise.gateway().progress(str(made.external_id))
    assert progress is not None
    assert (progress.stage, progress.standing) == ("returned", "cancelled")


def test_one_that_another_sender_paid_for_just_before_it_was_canceled_is_not_called_unpaid(
    wise: WiseAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that was held up for longer than its lease meets the one that took over."""
    recipient = wise.recipient()
    call = WiseHttp.call

    def meets(self: WiseHttp, method: str, path: str, **more: Any) -> Reply:
        if method == "PUT":
            [waiting] = wise.transfers()
            wise.fund(100_000)
            paying = f"/v3/profiles/{wise.profile}/transfers/{waiting.id}/payments"
            assert wise.call("POST", paying, {"type": "BALANCE"})["status"] == "COMPLETED"
        return call(self, method, path, **more)

    monkeypatch.setattr(WiseHttp, "call", meets)
    outcome = send(wise, recipient)
    [made] = wise.transfers()
    assert (made.funded, made.status) == (True, "cancelled")
    assert classify(outcome, replaying_unknown=False) is Verdict.SUCCEEDED
    progress = wise.gateway().progress(str(outcome.external_id))
    assert progress is not None
    assert progress.stage == "returned"


def test_a_name_that_pays_something_else_freezes(wise: WiseAccount, recipient: str) -> None:
    send(wise, recipient)
    outcome = send(wise, recipient, amount=2_000)
    assert classify(outcome, replaying_unknown=True) is Verdict.FREEZE
    assert len(wise.transfers()) == 1


@pytest.mark.parametrize(
    ("destination", "code"),
    [("999", "quote_refused"), ("usd", "account_invalid")],
)
def test_what_wise_does_not_make_is_a_definite_failure_of_a_first_send(
    wise: WiseAccount, recipient: str, destination: str, code: str
) -> None:
    if destination == "usd":
        destination = wise.recipient("usd")
    outcome = send(wise, destination)
    assert outcome.code == code
    assert classify(outcome, replaying_unknown=False) is Verdict.DEFINITE_FAILURE
    assert classify(outcome, replaying_unknown=True) is Verdict.UNKNOWN
    assert wise.paid() == []


@pytest.mark.parametrize("call", [QUOTE, TRANSFER])
@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ("rate_limit", Verdict.RETRY_SAME_KEY),
        ("unauthorized", Verdict.OPEN_BREAKER),
        ("garbage", Verdict.UNKNOWN),
    ],
)
def test_before_a_transfer_was_made_a_fault_is_read_as_of_one_call(
    wise: WiseAccount, recipient: str, call: dict[str, str], fault: str, verdict: Verdict
) -> None:
    wise.plan({**call, "fault": fault})
    assert classify(send(wise, recipient), replaying_unknown=False) is verdict
    assert wise.paid() == []


@pytest.mark.parametrize("fault", ["rate_limit", "unauthorized", "forbidden"])
def test_after_it_was_made_a_fault_leaves_it_unknown(
    wise: WiseAccount, recipient: str, fault: str
) -> None:
    wise.plan({**FUNDING, "fault": fault})
    outcome = send(wise, recipient)
    assert outcome.began
    assert classify(outcome, replaying_unknown=False) is Verdict.UNKNOWN


def test_between_two_calls_the_lease_is_looked_at(wise: WiseAccount, recipient: str) -> None:
    wise.plan({**TRANSFER, "fault": "slow", "ms": 1_100})
    outcome = send(wise, recipient, Deadline.begin(24.0))
    assert (outcome.kind, outcome.began, outcome.called) == ("not_sent", True, False)
    assert classify(outcome, replaying_unknown=False) is Verdict.UNKNOWN
    assert wise.called()[2] == 0


def test_a_look_up_reads_every_page(wise: WiseAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    import workers.gateways.wise as module

    monkeypatch.setattr(module, "FIND_PAGE", 2)
    wise.fund(100_000)
    recipient = wise.recipient()
    first = send(wise, recipient)
    for number in range(2, 7):
        send(wise, recipient, payout_id=number)
    gateway = wise.gateway()
    [found] = gateway.find(gateway.params(wise_order(recipient))) or []
    assert found.external_id == first.external_id
    monkeypatch.setattr(module, "FIND_PAGES", 2)
    assert gateway.find(gateway.params(wise_order(recipient))) is None, "not all was read"


@pytest.mark.parametrize("destination", ["", "acct_1", "040000001", "9" * 30, "1/../2"])
def test_what_is_no_number_is_no_recipient(wise: WiseAccount, destination: str) -> None:
    check = wise.gateway().check_payee(destination)
    assert check is not None
    assert not check.ready


def test_the_recipient_of_another_profile_is_not_paid(wise: WiseAccount, recipient: str) -> None:
    other = wise_gateway(wise.token, wise.url, mode="test", account="1/2")
    check = other.check_payee(recipient)
    assert check is not None
    assert "another profile" in check.reason


def test_a_balance_that_may_not_be_asked_for_and_a_token_that_is_refused_are_told_apart(
    wise: WiseAccount,
) -> None:
    gateway = wise.gateway()
    wise.plan({"path": "/wise/v4/*", "fault": "unauthorized"})
    assert gateway.balance().answer == "refused"
    wise.plan({"path": "/wise/v4/*", "fault": "forbidden"})
    assert gateway.balance().answer == "forbidden"


def test_progress_that_is_not_told_is_none(wise: WiseAccount, recipient: str) -> None:
    made = send(wise, recipient)
    gateway = wise.gateway()
    assert gateway.progress("1") is None
    wise.plan({**LOOK, "fault": "garbage", "body": "{}"})
    assert gateway.progress(str(made.external_id)) is None


@pytest.mark.parametrize(
    ("token", "url", "mode"),
    [
        ("a-token-of-ours", "https://api.wise.com", "test"),
        ("a-token-of-ours", "https://api.sandbox.transferwise.tech", "live"),
        ("a-token-of-ours", "http://127.0.0.1:1/wise", "live"),
        ("a-token-of-ours", "http://api.wise.com", "live"),
        ("a-token-of-ours", "https://api.wise.com.example.org", "live"),
        ("wise-sandbox-token", "https://api.wise.com", "live"),
        ("short", "http://127.0.0.1:1/wise", "test"),
    ],
)
def test_a_token_goes_nowhere_but_where_it_belongs(token: str, url: str, mode: Any) -> None:
    with pytest.raises(KeyRefused) as refused:
        wise_gateway(token, url, mode=mode, account="1/2")
    assert token not in str(refused.value)


@pytest.mark.parametrize("amount", [True, None, "ten", 1.005, "NaN", "Infinity", [], "1e400"])
def test_what_is_no_amount_is_refused(amount: Any) -> None:
    with pytest.raises(NotATransfer):
        to_minor(amount, "eur")


@pytest.mark.parametrize(
    "body", [None, [], {}, "x", {"id": True}, {"id": 1, "status": "processing"}]
)
def test_what_is_no_transfer_is_refused(body: Any) -> None:
    with pytest.raises(NotATransfer):
        read_transfer(body)
