"""Webhooks: really posted, signed as Stripe signs, tried again, and spoilt on request."""

import signal
import time

import pytest
import stripe

from sandbox.letters import signature
from tests.sandbox.receiving import until


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
