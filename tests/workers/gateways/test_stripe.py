"""Every answer of the local Stripe becomes the value that the rules expect."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from stripe._api_version import _ApiVersion

from domain.payouts.gateway import Deadline
from domain.payouts.rules import ONE_TRY, GatewayOutcome, Verdict, classify
from tests.workers.gateways.local_stripe import INSTALLATION, Platform, ample, order
from workers.gateways.errors import KeyRefused
from workers.gateways.stripe import (
    API_VERSION,
    StripeGateway,
    close_gateways,
    stripe_gateway,
)


def send(
    gateway: StripeGateway, account: str, deadline: Deadline | None = None, **more: int
) -> GatewayOutcome:
    asked = order(account, **more)
    return gateway.send(
        gateway.params(asked),
        key=asked.key,
        api_version=API_VERSION,
        deadline=deadline or ample(),
    )


@pytest.fixture
def account(platform: Platform) -> str:
    platform.fund(100_000)
    return platform.account()


def test_a_transfer_is_made_and_named(platform: Platform, account: str) -> None:
    outcome = send(platform.gateway(), account)
    [made] = platform.transfers()
    assert outcome.external_id == made.id
    assert (outcome.kind, outcome.http_status, outcome.replayed, outcome.tries) == (
        "response",
        200,
        False,
        1,
    )
    assert outcome.request_id
    assert (made.amount, made.currency, made.destination) == (1_000, "usd", account)
    assert made.transfer_group == f"payspool/{INSTALLATION}/1"
    assert made.metadata == {
        "installation": INSTALLATION,
        "payout": "1",
        "attempt": f"payspool/{INSTALLATION}/1/transfer/1",
        "merchant": "7",
    }


def test_a_replay_from_the_database_is_the_same_request(platform: Platform, account: str) -> None:
    gateway = platform.gateway()
    first = send(gateway, account)
    asked = order(account)
    stored = gateway.params(asked)
    # jsonb keeps its own order of keys.
    shuffled = json.loads(json.dumps(dict(reversed(list(stored.items())))))
    again = gateway.send(shuffled, key=asked.key, api_version=API_VERSION, deadline=ample())
    assert (again.external_id, again.replayed) == (first.external_id, True)
    assert len(platform.transfers()) == 1


def test_a_key_with_other_parameters_freezes(platform: Platform, account: str) -> None:
    send(platform.gateway(), account)
    outcome = send(platform.gateway(), account, amount=999)
    assert classify(outcome, replaying_unknown=False) is Verdict.FREEZE


FAULTS: list[tuple[dict[str, Any], str, Verdict, int]] = [
    # fault, how the outcome reads, its verdict on a first send, transfers that were really made
    ({"fault": "drop_before"}, "reset", Verdict.UNKNOWN, 0),
    ({"fault": "drop_before", "how": "close"}, "reset", Verdict.UNKNOWN, 0),
    ({"fault": "drop_during"}, "reset", Verdict.UNKNOWN, 1),
    ({"fault": "drop_after"}, "reset", Verdict.UNKNOWN, 1),
    ({"fault": "error_500_done"}, "response 500", Verdict.UNKNOWN, 1),
    ({"fault": "error_500_not_done"}, "response 500", Verdict.UNKNOWN, 0),
    ({"fault": "rate_limit"}, "response 429", Verdict.RETRY_SAME_KEY, 0),
    ({"fault": "lock_timeout"}, "response 429 lock_timeout", Verdict.RETRY_SAME_KEY, 0),
    (
        {"fault": "lock_timeout", "status": 400},
        "response 400 lock_timeout",
        Verdict.RETRY_SAME_KEY,
        0,
    ),
    ({"fault": "key_in_use"}, "response 409 idempotency_key_in_use", Verdict.UNKNOWN, 0),
    ({"fault": "unauthorized"}, "response 401", Verdict.OPEN_BREAKER, 0),
    ({"fault": "forbidden"}, "response 403", Verdict.OPEN_BREAKER, 0),
    ({"fault": "slow", "ms": 900, "when": "before"}, "timeout", Verdict.UNKNOWN, 1),
    ({"fault": "slow", "ms": 900, "when": "after"}, "timeout", Verdict.UNKNOWN, 1),
    ({"fault": "garbage"}, "unreadable", Verdict.UNKNOWN, 1),
    ({"fault": "garbage", "body": "[]"}, "unreadable", Verdict.UNKNOWN, 1),
    ({"fault": "garbage", "body": "{}"}, "unreadable", Verdict.UNKNOWN, 1),
    ({"fault": "garbage", "body": ""}, "unreadable", Verdict.UNKNOWN, 1),
    ({"fault": "garbage", "body": "null"}, "unreadable", Verdict.UNKNOWN, 1),
    ({"fault": "garbage", "body": '"tr_1"'}, "unreadable", Verdict.UNKNOWN, 1),
    (
        {"fault": "garbage", "body": '{"object": "transfer", "id": "tr_1", "amount": 1}'},
        "unreadable",
        Verdict.UNKNOWN,
        1,
    ),
    ({"fault": "balance_dry"}, "response 400 balance_insufficient", Verdict.DEFINITE_FAILURE, 0),
]


@pytest.mark.parametrize(("fault", "reads", "verdict", "made"), FAULTS)
def test_each_fault_is_read_for_what_it_proves(
    platform: Platform, account: str, fault: dict[str, Any], reads: str, verdict: Verdict, made: int
) -> None:
    platform.plan(fault)
    gateway = StripeGateway(
        platform.gateway(read_seconds=0.4)._client, "acct_1", pause=lambda _: None
    )
    outcome = send(gateway, account)
    said = [outcome.kind]
    if outcome.kind == "response":
        said += [str(part) for part in (outcome.http_status, outcome.code) if part]
    assert " ".join(said) == reads or " ".join(said).startswith(reads + " ")
    assert classify(outcome, replaying_unknown=False) is verdict
    assert outcome.message
    if fault["fault"] == "slow":
        # The request goes on after we have given up.
        platform.call("GET", "/v1/balance")
    assert len(platform.transfers()) <= made
    if fault["fault"] != "slow":
        assert len(platform.transfers()) == made


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("deauthorized", "resource_missing"),
        ("closed", "account_invalid"),
        ("restricted", "insufficient_capabilities_for_transfer"),
    ],
)
def test_an_account_that_cannot_receive_is_a_definite_failure(
    platform: Platform, account: str, state: str, code: str
) -> None:
    platform.set_state(account, state)
    outcome = send(platform.gateway(), account)
    assert classify(outcome, replaying_unknown=False) is Verdict.DEFINITE_FAILURE
    assert outcome.code == code
    assert platform.transfers() == []


def test_a_connection_that_was_never_made_carried_nothing() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gateway = stripe_gateway(
            "sk_test_x",
            f"http://127.0.0.1:{closed.getsockname()[1]}",
            mode="test",
            account="acct_1",
        )
        quiet = StripeGateway(gateway._client, "acct_1", pause=lambda _: None)
        outcome = send(quiet, "acct_1")
        close_gateways()
    assert (outcome.kind, outcome.tries) == ("not_sent", 3)
    assert classify(outcome, replaying_unknown=False) is Verdict.RETRY_SAME_KEY


def test_what_was_turned_away_is_tried_three_times_under_one_key(
    platform: Platform, account: str
) -> None:
    platform.plan({"fault": "rate_limit", "times": 2})
    pauses: list[float] = []
    outcome = send(
        StripeGateway(platform.gateway()._client, "acct_1", pause=pauses.append), account
    )
    assert (outcome.http_status, outcome.tries) == (200, 3)
    assert len(pauses) == 2
    assert platform.posted() == 3
    assert len(platform.transfers()) == 1


@pytest.mark.parametrize(("asked", "tries"), [(2, 3), (60, 1)])
def test_a_gateway_that_asks_for_a_pause_gets_it_or_the_tries_end(
    platform: Platform, account: str, asked: int, tries: int
) -> None:
    platform.plan({"fault": "rate_limit", "retry_after": asked})
    pauses: list[float] = []
    outcome = send(
        StripeGateway(platform.gateway()._client, "acct_1", pause=pauses.append), account
    )
    assert (outcome.http_status, outcome.tries, outcome.retry_after) == (429, tries, asked)
    assert all(pause >= asked for pause in pauses)
    assert len(pauses) == tries - 1


class RoomForOneTry(Deadline):
    """A lease that ends exactly when one try would, however fast this machine is."""

    def has_room_for(self, seconds: float) -> bool:
        return seconds <= ONE_TRY.total_seconds()


def test_no_try_begins_that_could_outlast_the_lease(platform: Platform, account: str) -> None:
    platform.plan({"fault": "rate_limit"})
    unasked = send(platform.gateway(), account, Deadline.begin(22.9))
    assert (unasked.kind, unasked.called, unasked.tries) == ("not_sent", False, 0)
    assert platform.posted() == 0
    just_enough = RoomForOneTry(0.0, 0.0)
    assert send(platform.gateway(), account, just_enough).tries == 1
    assert platform.posted() == 1


def test_ambiguous_answers_are_never_tried_again_here(platform: Platform, account: str) -> None:
    for fault in ("drop_after", "error_500_done", "garbage", "key_in_use"):
        platform.plan({"fault": fault})
        send(platform.gateway(), account)
        assert platform.posted() == 1, fault


def test_what_a_payout_made_is_found_by_its_group(platform: Platform, account: str) -> None:
    gateway = platform.gateway()
    made = send(gateway, account, payout_id=5)
    send(gateway, account, payout_id=6)
    platform.call(
        "POST",
        "/v1/transfers",
        amount="3",
        currency="usd",
        destination=account,
        transfer_group=f"payspool/{INSTALLATION}/5",
    )
    found = gateway.find(gateway.params(order(account, payout_id=5)))
    assert found is not None
    assert {
        (f.external_id == made.external_id, f.key, f.amount, f.reversed_amount) for f in found
    } == {
        (True, f"payspool/{INSTALLATION}/5/transfer/1", 1_000, 0),
        (False, None, 3, 0),
    }
    assert gateway.find(gateway.params(order(account, payout_id=7))) == []


def test_a_look_up_that_fails_is_not_an_empty_one(platform: Platform, account: str) -> None:
    asked = platform.gateway().params(order(account, payout_id=5))
    platform.plan({"fault": "error_500_not_done", "method": "GET"})
    assert platform.gateway().find(asked) is None
    platform.plan({"fault": "garbage", "method": "GET"})
    assert platform.gateway().find(asked) is None


def test_a_payee_is_ready_when_the_account_may_receive_and_pay_out(
    platform: Platform, account: str
) -> None:
    gateway = platform.gateway()
    ready = gateway.check_payee(account)
    assert ready is not None
    assert ready.ready
    platform.set_state(account, "restricted")
    restricted = gateway.check_payee(account)
    assert restricted is not None
    assert not restricted.ready
    assert restricted.reason
    unknown = gateway.check_payee("acct_nobody")
    assert unknown is not None
    assert not unknown.ready
    platform.plan({"fault": "error_500_not_done", "method": "GET", "path": "/v1/accounts/*"})
    assert gateway.check_payee(account) is None


class _Refusing(BaseHTTPRequestHandler):
    """Stripe, to a restricted key that may not read accounts or payouts."""

    def do_GET(self) -> None:
        said = "The provided key 'rk_test_***' does not have the required permissions for this endpoint."
        body = json.dumps({"error": {"type": "invalid_request_error", "message": said}}).encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_what_our_key_may_not_ask_says_nothing_about_the_account() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        gateway = stripe_gateway("sk_test_x", url, mode="test", account="acct_1")
        asked = (
            gateway.check_payee("acct_2"),
            gateway.bank.account("acct_2"),
            gateway.bank.payout("acct_2", "po_1"),
        )
        close_gateways()
        server.shutdown()
    assert asked == (None, None, None)


def test_a_key_and_address_share_one_client_and_a_wrong_key_makes_none(platform: Platform) -> None:
    assert platform.gateway() is platform.gateway()
    with pytest.raises(KeyRefused):
        stripe_gateway("sk_live_1", platform.stripe.url, mode="live", account="acct_1")


def test_the_version_that_we_send_is_that_of_the_installed_library() -> None:
    assert _ApiVersion.CURRENT == API_VERSION
