"""Deliveries under faults: duplicated, reordered, delayed, lost, signed wrongly; and what the log says of them."""

import json
import time

import pytest
import stripe

from tests.sandbox.receiving import until


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
