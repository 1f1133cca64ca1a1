"""Webhooks: really posted, signed as Stripe signs, tried again, and spoilt on request."""

import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import stripe

from sandbox.letters import signature


class Receiver:
    """An HTTP server that keeps what it is sent and answers as it is told."""

    def __init__(self):
        self.received = []
        self.statuses = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((body, self.headers["Stripe-Signature"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?from=sandbox"

    def events(self, secret=None):
        if secret is None:
            return [json.loads(body) for body, _ in self.received]
        return [
            stripe.Webhook.construct_event(body, header, secret, tolerance=300)
            for body, header in list(self.received)
        ]

    def wait(self, number, seconds=5.0):
        deadline = time.monotonic() + seconds
        while len(self.received) < number:
            assert time.monotonic() < deadline, f"{len(self.received)} of {number} came"
            time.sleep(0.01)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def listen(client, receiver):
    """Register the receiver; the endpoint is removed with the test."""
    ids = []

    def register(*events, **params):
        made = client.v1.webhook_endpoints.create(
            {"url": receiver.url, "enabled_events": list(events) or ["*"], **params}
        )
        ids.append(made.id)
        return made

    yield register
    for id in ids:
        client.v1.webhook_endpoints.delete(id)


def test_events_are_posted_and_the_sdk_accepts_their_signature(platform, client, receiver, listen):
    endpoint = listen("transfer.created", "topup.succeeded")
    platform.fund(5000)
    payee = platform.account(client)
    made = client.v1.transfers.create({"amount": 7, "currency": "usd", "destination": payee})
    receiver.wait(2)
    events = receiver.events(endpoint.secret)
    assert {event.type for event in events} == {"transfer.created", "topup.succeeded"}
    created = next(event for event in events if event.type == "transfer.created")
    assert created.data.object.id == made.id
    assert created.livemode is False
    assert "account" not in created.to_dict()
    assert client.v1.events.retrieve(created.id).data.object.id == made.id


def test_a_signature_is_of_this_secret_this_body_and_this_time():
    header = signature('{"id": "evt_1", "object": "event"}', int(time.time()), "whsec_a")
    body = '{"id": "evt_1", "object": "event"}'
    stripe.Webhook.construct_event(body, header, "whsec_a", tolerance=300)
    for changed, secret in ((body + " ", "whsec_a"), (body, "whsec_b")):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(changed, header, secret, tolerance=300)
    old = signature(body, int(time.time()) - 600, "whsec_a")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, old, "whsec_a", tolerance=300)


def test_events_of_connected_accounts_go_to_connect_endpoints_and_say_whose(
    platform, client, receiver, listen
):
    endpoint = listen("*", connect=True)
    payee = platform.account(client)
    platform.fund(5000)
    platform.admin("POST", f"/accounts/{payee}", {"state": "restricted"})
    receiver.wait(4)
    events = receiver.events(endpoint.secret)
    assert {event.account for event in events} == {payee}
    assert {event.type for event in events} == {"account.updated", "capability.updated"}


def test_a_failed_delivery_is_tried_again_until_it_is_taken(platform, receiver, listen, client):
    listen("topup.succeeded")
    receiver.statuses = [500, 302, 404]
    platform.fund(5000)
    receiver.wait(4)
    assert len({event["id"] for event in receiver.events()}) == 1
    event = receiver.events()[0]["id"]
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        sent = platform.admin("GET", f"/events/{event}/deliveries")["deliveries"]
        if sent[0]["state"] == "succeeded":
            break
        time.sleep(0.01)
    assert [(s["state"], s["attempts"], s["last_status"]) for s in sent] == [("succeeded", 4, 200)]
    assert client.v1.events.retrieve(event).pending_webhooks == 0
    delivered = client.v1.events.list({"delivery_success": True, "type": "topup.succeeded"})
    assert [e.id for e in delivered.data] == [event]


def test_an_unreachable_endpoint_keeps_its_event_pending(platform, client):
    made = client.v1.webhook_endpoints.create(
        {"url": "http://127.0.0.1:1/hook", "enabled_events": ["topup.succeeded"]}
    )
    platform.fund(5000)
    event = client.v1.events.list({"type": "topup.succeeded"}).data[0]
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        sent = platform.admin("GET", f"/events/{event.id}/deliveries")["deliveries"][0]
        if sent["attempts"] > 1:
            break
        time.sleep(0.02)
    assert sent["state"] == "pending"
    assert "refused" in sent["last_error"].lower()
    assert client.v1.events.retrieve(event.id).pending_webhooks == 1
    assert client.v1.events.list({"delivery_success": True, "type": "topup.*"}).data[0].type == (
        "topup.created"
    )
    client.v1.webhook_endpoints.delete(made.id)


def test_an_endpoint_hears_only_what_it_enabled_while_it_is_enabled(
    platform, client, receiver, listen
):
    endpoint = listen("topup.created")
    platform.fund(5000)
    receiver.wait(1)
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    platform.fund(5000)
    client.v1.webhook_endpoints.update(
        endpoint.id, {"disabled": False, "enabled_events": ["topup.succeeded"]}
    )
    platform.fund(5000)
    receiver.wait(2)
    time.sleep(0.1)
    assert [e["type"] for e in receiver.events()] == ["topup.created", "topup.succeeded"]


def until(look, seconds=5.0):
    """Wait until `look` returns something true; return it."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)
    return seen


def test_the_next_try_waits_for_the_sandboxs_clock(platform, client, receiver, listen):
    listen("topup.succeeded")
    receiver.statuses = [500] * 6
    platform.fund(5000)
    event = client.v1.events.list({"type": "topup.succeeded"}).data[0].id

    def sent():
        return platform.admin("GET", f"/events/{event}/deliveries")["deliveries"][0]

    # The pauses double from 0.05 s: after the sixth failure the next is 1.6 s away.
    until(lambda: sent()["attempts"] == 6)
    now = platform.admin("GET", "/clock")["now"]
    assert now < sent()["next_try_at"] <= now + 3
    platform.admin("POST", "/clock", {"advance_seconds": 60})
    receiver.wait(7, seconds=1.0)
    assert until(lambda: sent()["state"] == "succeeded")
    assert [one["status"] for one in sent()["tries"]] == [500] * 6 + [200]


def test_an_endpoint_that_never_answers_is_given_up_after_three_days(platform, client):
    made = client.v1.webhook_endpoints.create(
        {"url": "http://127.0.0.1:1/hook", "enabled_events": ["topup.succeeded"]}
    )
    platform.fund(5000)
    event = client.v1.events.list({"type": "topup.succeeded"}).data[0].id

    def sent():
        return platform.admin("GET", f"/events/{event}/deliveries")["deliveries"][0]

    until(lambda: sent()["attempts"])
    platform.admin("POST", "/clock", {"advance_seconds": 2 * 24 * 3600})
    until(lambda: sent()["attempts"] > 1)
    assert sent()["state"] == "pending"
    platform.admin("POST", "/clock", {"advance_seconds": 24 * 3600})
    assert until(lambda: sent()["state"] == "failed")
    assert sent()["next_try_at"] is None
    client.v1.webhook_endpoints.delete(made.id)


def test_during_a_roll_both_secrets_sign_and_then_only_the_new_one(platform, receiver, listen):
    old = listen("topup.succeeded")
    path = f"/webhook_endpoints/{old.id}/roll"
    new = platform.admin("POST", path, {"expires_in": 3600})["secret"]
    platform.fund(5000)
    receiver.wait(1)
    assert receiver.received[0][1].count("v1=") == 2
    for secret in (old.secret, new):
        assert len(receiver.events(secret)) == 1
    platform.admin("POST", "/clock", {"advance_seconds": 3600})
    receiver.received.clear()
    platform.fund(5000)
    receiver.wait(1)
    assert len(receiver.events(new)) == 1
    with pytest.raises(stripe.SignatureVerificationError):
        receiver.events(old.secret)
    assert "error" in platform.admin("POST", path, {"expires_in": 10**9})
    assert "error" in platform.admin("POST", "/webhook_endpoints/we_1/roll")


def test_a_stale_timestamp_is_signed_right_and_too_old(platform, receiver, listen):
    endpoint = listen("topup.succeeded")
    platform.plan(webhooks=[{"fault": "stale", "seconds": 301}])
    platform.fund(5000)
    receiver.wait(1)
    body, header = receiver.received[0]
    with pytest.raises(stripe.SignatureVerificationError) as caught:
        stripe.Webhook.construct_event(body, header, endpoint.secret, tolerance=300)
    assert "tolerance" in str(caught.value)
    stripe.Webhook.construct_event(body, header, endpoint.secret, tolerance=400)


def test_an_event_of_the_wrong_mode_is_signed_right_and_says_livemode(platform, receiver, listen):
    endpoint = listen("topup.succeeded")
    platform.plan(webhooks=[{"fault": "wrong_mode"}])
    platform.fund(5000)
    receiver.wait(1)
    assert receiver.events(endpoint.secret)[0].livemode is True


def test_a_truncated_body_fails_its_signature_and_the_next_try_is_whole(
    platform, client, receiver, listen
):
    endpoint = listen("topup.succeeded")
    platform.plan(webhooks=[{"fault": "truncated", "tries": 1}])
    receiver.statuses = [400]
    platform.fund(5000)
    receiver.wait(2)
    (cut, header), _ = receiver.received
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(cut)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(cut.decode(), header, endpoint.secret, tolerance=300)
    receiver.received.pop(0)
    event = receiver.events(endpoint.secret)[0]
    tries = until(
        lambda: len(found := _tries(platform, event.id)) == 2 and found,
    )
    assert [(one["status"], one["fault"]) for one in tries] == [(200, None), (400, "truncated")]


def _tries(platform, event):
    return [t for t in platform.admin("GET", "/deliveries")["tries"] if t["event"] == event]


def test_the_same_seed_spoils_the_same_events(platform, receiver, listen):
    listen("topup.succeeded")

    def spoilt(seed):
        platform.plan(
            webhooks=[
                {"fault": "lose", "probability": 0.3},
                {"fault": "duplicate", "probability": 0.3},
            ],
            seed=seed,
        )
        receiver.received.clear()
        for amount in range(100, 120):
            platform.fund(amount)
        injected = platform.admin("GET", "/faults")["injected"]
        receiver.wait(20 - injected.get("lose", 0) + injected.get("duplicate", 0))
        amounts = [e["data"]["object"]["amount"] for e in receiver.events()]
        return sorted(amounts)

    first = spoilt(5)
    assert spoilt(5) == first
    assert spoilt(6) != first
    assert first != sorted(range(100, 120))


def test_payouts_tell_connect_endpoints_and_platforms_tell_their_own(
    platform, client, receiver, listen
):
    connected = listen("payout.paid", "account.application.deauthorized", connect=True)
    listen("payout.paid", "balance.available")
    payee = platform.account(client)
    platform.fund(500)
    client.v1.transfers.create({"amount": 500, "currency": "usd", "destination": payee})
    params = {"amount": 100, "currency": "usd"}
    theirs = client.v1.payouts.create(params, {"stripe_account": payee})
    platform.admin("POST", f"/payouts/{theirs.id}", {"status": "paid"})
    platform.admin("POST", f"/accounts/{payee}", {"state": "deauthorized"})
    receiver.wait(3)
    bodies = receiver.events()
    assert sorted((e["type"], e.get("account")) for e in bodies) == sorted(
        [
            ("balance.available", None),
            ("payout.paid", payee),
            ("account.application.deauthorized", payee),
        ],
        key=lambda pair: pair[0],
    )
    for body, header in receiver.received:
        if b"payout.paid" in body:
            stripe.Webhook.construct_event(body, header, connected.secret, tolerance=300)


def test_duplicates_carry_the_same_event_id(platform, receiver, listen):
    listen("topup.succeeded")
    platform.plan(webhooks=[{"type": "topup.*", "fault": "duplicate", "copies": 3}])
    platform.fund(5000)
    receiver.wait(3)
    assert len({event["id"] for event in receiver.events()}) == 1


def test_a_wrong_secret_is_not_accepted(platform, receiver, listen):
    endpoint = listen("topup.succeeded")
    platform.plan(webhooks=[{"fault": "wrong_secret"}])
    platform.fund(5000)
    receiver.wait(1)
    with pytest.raises(stripe.SignatureVerificationError):
        receiver.events(endpoint.secret)


def test_a_delay_lets_later_events_pass(platform, receiver, listen):
    listen("topup.created", "topup.succeeded")
    platform.plan(webhooks=[{"type": "topup.created", "fault": "delay", "ms": 400}])
    started = time.monotonic()
    platform.fund(5000)
    receiver.wait(2)
    assert time.monotonic() - started >= 0.4
    assert [e["type"] for e in receiver.events()] == ["topup.succeeded", "topup.created"]


def test_reordering_follows_the_seed(platform, client, receiver, listen):
    listen("transfer.created")
    platform.fund(50_000)
    payee = platform.account(client)
    platform.plan(webhooks=[{"fault": "reorder", "ms": 600}], seed=3)
    for amount in range(1, 7):
        client.v1.transfers.create({"amount": amount, "currency": "usd", "destination": payee})
    receiver.wait(6)
    order = [e["data"]["object"]["amount"] for e in receiver.events()]
    assert sorted(order) == [1, 2, 3, 4, 5, 6]
    assert order != sorted(order)


def test_a_lost_event_is_found_in_the_list_of_events(platform, client, receiver, listen):
    listen("topup.succeeded")
    platform.plan(webhooks=[{"fault": "lose", "nth": 1}])
    platform.fund(5000)
    platform.fund(6000)
    receiver.wait(1)
    time.sleep(0.1)
    assert [e["data"]["object"]["amount"] for e in receiver.events()] == [6000]
    listed = client.v1.events.list({"type": "topup.succeeded"}).data
    assert [e.data.object.amount for e in listed] == [6000, 5000]


def test_a_delivery_whose_first_tries_are_lost_arrives_later(platform, client, receiver, listen):
    listen("topup.succeeded")
    platform.plan(webhooks=[{"fault": "lose", "tries": 2}])
    platform.fund(5000)
    receiver.wait(1)
    event = client.v1.events.list({"type": "topup.succeeded"}).data[0].id
    tries = until(lambda: len(found := _tries(platform, event)) == 3 and found)
    assert [(one["status"], one["fault"]) for one in tries] == [
        (200, None),
        (None, "lose"),
        (None, "lose"),
    ]
    assert len(receiver.received) == 1


def test_an_event_whose_answer_is_not_heard_comes_again(platform, receiver, listen):
    listen("topup.succeeded")
    platform.plan(webhooks=[{"fault": "unheard"}])
    platform.fund(5000)
    receiver.wait(2)
    assert len({event["id"] for event in receiver.events()}) == 1
    time.sleep(0.2)
    assert len(receiver.received) == 2


def test_copies_of_an_event_come_apart_at_moments_that_the_seed_decides(
    platform, client, receiver, listen
):
    listen("transfer.created")
    platform.fund(50_000)
    payee = platform.account(client)
    platform.plan(webhooks=[{"fault": "duplicate", "copies": 3, "ms": 400}], seed=3)
    for amount in (1, 2):
        client.v1.transfers.create({"amount": amount, "currency": "usd", "destination": payee})
    receiver.wait(6)
    order = [e["data"]["object"]["amount"] for e in receiver.events()]
    assert sorted(order) == [1, 1, 1, 2, 2, 2]
    assert order != sorted(order), "the copies of one come between those of the other"


def test_the_log_of_faults_names_the_events_that_were_spoilt(platform, client, receiver, listen):
    endpoint = listen("topup.succeeded")
    platform.plan(webhooks=[{"fault": "lose", "nth": 2}])
    platform.fund(5000)
    platform.fund(6000)
    [line] = platform.admin("GET", "/faults")["log"]
    lost = client.v1.events.list({"type": "topup.succeeded"}).data[0]
    assert lost.data.object.amount == 6000
    assert line == {
        "fault": "lose",
        "rule": 0,
        "type": "topup.succeeded",
        "event": lost.id,
        "endpoint": endpoint.id,
    }


def test_an_endpoints_api_version_is_what_its_events_carry(platform, receiver, listen):
    listen("topup.succeeded", api_version="2024-06-20")
    platform.fund(5000)
    receiver.wait(1)
    assert receiver.events()[0]["api_version"] == "2024-06-20"


def test_deliveries_go_on_after_a_restart(own_process, own_platform, receiver):
    client = own_platform.connect()
    client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["topup.created"]})
    own_platform.plan(webhooks=[{"fault": "delay", "ms": 300}])
    own_platform.fund(5000)
    own_process.stop(signal.SIGKILL)
    assert receiver.received == []
    own_process.start()
    receiver.wait(1)
    assert receiver.events()[0]["type"] == "topup.created"
