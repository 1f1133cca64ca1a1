"""Idempotency keys over HTTP: what is stored, what is not, and for how long."""

import sqlite3
import threading

import pytest
import stripe

from sandbox.idempotency import Keys, Stored
from sandbox.store import Store


@pytest.fixture
def payee(platform, client):
    platform.fund(100_000)
    return platform.account(client)


@pytest.fixture
def send(client, payee):
    def post(key, amount=1000, **options):
        params = {"amount": amount, "currency": "usd", "destination": payee}
        return client.v1.transfers.create(params, {"idempotency_key": key, **options})

    return post


def count(client):
    return len(client.v1.transfers.list({"limit": 100}).data)


def replayed(answer):
    return answer.last_response.headers.get("Idempotent-Replayed")


def test_the_same_key_and_parameters_answer_the_same_and_pay_once(client, send):
    first, second = send("k"), send("k")
    assert (first.last_response.body, first.last_response.code) == (
        second.last_response.body,
        second.last_response.code,
    )
    assert (replayed(first), replayed(second)) == (None, "true")
    headers = second.last_response.headers
    assert headers["Original-Request"] == first.last_response.headers["Request-Id"]
    assert headers["Request-Id"] != headers["Original-Request"]
    assert count(client) == 1


def test_a_replay_answers_as_it_was_even_after_the_object_changed(client, send):
    made = send("k")
    client.v1.transfers.update(made.id, {"metadata": {"later": "1"}})
    assert send("k").metadata.to_dict() == {}


def test_other_parameters_under_the_same_key_are_an_idempotency_error(client, send, payee):
    send("k")
    with pytest.raises(stripe.IdempotencyError) as caught:
        send("k", amount=1001)
    assert (caught.value.http_status, caught.value.error.type) == (400, "idempotency_error")
    with pytest.raises(stripe.IdempotencyError):
        client.v1.topups.create({"amount": 100, "currency": "usd"}, {"idempotency_key": "k"})
    assert count(client) == 1


def test_the_order_of_parameters_does_not_matter(client, raw, payee, platform):
    headers = {"Authorization": f"Bearer {platform.key}", "Idempotency-Key": "k"}
    pairs = [f"destination={payee}", "amount=5", "currency=usd", "metadata[a]=1", "metadata[b]=2"]
    first = raw("POST", "/v1/transfers", "&".join(pairs).encode(), headers)
    second = raw("POST", "/v1/transfers", "&".join(reversed(pairs)).encode(), headers)
    assert first[0] == 200
    assert first[2] == second[2]


def test_a_refusal_of_the_endpoint_is_stored_and_replayed(platform, client, send):
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            send("k", amount=200_000)
        assert caught.value.code == "balance_insufficient"
    assert caught.value.headers["Idempotent-Replayed"] == "true"
    platform.fund(200_000)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        send("k", amount=200_000)
    assert caught.value.code == "balance_insufficient", "the key remembers, whatever changed since"
    assert send("k2", amount=200_000).amount == 200_000


def test_invalid_parameters_are_not_stored(send):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        send("k", amount=0)
    assert "Idempotent-Replayed" not in caught.value.headers
    assert send("k", amount=10).amount == 10


def test_a_refused_api_key_is_not_stored(send):
    with pytest.raises(stripe.AuthenticationError):
        send("k", api_key="sk_test_unknown_to_all")
    assert replayed(send("k")) is None


@pytest.mark.parametrize("fault", ["rate_limit", "lock_timeout", "key_in_use"])
def test_what_lies_in_front_of_the_api_is_not_stored(platform, send, fault):
    platform.plan({"path": "/v1/transfers", "fault": fault, "nth": 1})
    with pytest.raises(stripe.StripeError):
        send("k")
    assert replayed(send("k")) is None


def test_a_concurrent_request_with_the_same_key_conflicts_and_is_not_stored(platform, client, send):
    platform.plan({"path": "/v1/transfers", "fault": "slow", "ms": 800, "nth": 1})
    first = threading.Thread(target=send, args=("k",))
    first.start()
    platform.wait_until_injected()
    with pytest.raises(stripe.APIError) as caught:
        send("k")
    first.join()
    assert (caught.value.http_status, caught.value.error.code) == (409, "idempotency_key_in_use")
    assert replayed(send("k")) == "true"
    assert count(client) == 1


def test_a_key_is_in_use_until_its_slow_answer_is_sent(platform, client, send):
    platform.plan({"path": "/v1/transfers", "fault": "slow", "ms": 800, "when": "after", "nth": 1})
    first = threading.Thread(target=send, args=("k",))
    first.start()
    platform.wait_until_injected()
    assert count(client) == 1, "it is committed, though not answered"
    with pytest.raises(stripe.APIError) as caught:
        send("k")
    first.join()
    assert caught.value.error.code == "idempotency_key_in_use"


def test_a_key_is_forgotten_after_24_hours_of_the_sandboxs_clock(platform, client, send):
    first = send("k")
    platform.admin("POST", "/clock", {"advance_seconds": 24 * 3600 - 60})
    assert send("k").id == first.id
    platform.admin("POST", "/clock", {"advance_seconds": 60})
    second = send("k")
    assert second.id != first.id
    assert replayed(second) is None
    assert second.created >= first.created + 24 * 3600
    assert count(client) == 2
    assert send("k").id == second.id


def test_keys_belong_to_an_account_and_a_platform(platform, client, payee, send):
    first = send("k")
    other = f"{platform.key}_other"
    platform.admin("POST", "/keys", {"key": other})
    theirs = platform.connect(other)
    platform.admin("POST", "/fund", {"key": other, "amount": 5000, "currency": "usd"})
    account = platform.account(theirs)
    second = theirs.v1.transfers.create(
        {"amount": 1000, "currency": "usd", "destination": account}, {"idempotency_key": "k"}
    )
    assert second.id != first.id
    charge = {"amount": 100, "currency": "usd", "source": "tok_visa"}
    on_behalf = {"idempotency_key": "k", "stripe_account": payee}
    assert client.v1.charges.create(charge, on_behalf).amount == 100


def test_keys_have_up_to_255_characters(raw, platform, payee):
    body = f"amount=5&currency=usd&destination={payee}".encode()
    head = {"Authorization": f"Bearer {platform.key}"}
    longest = raw("POST", "/v1/transfers", body, {**head, "Idempotency-Key": "k" * 255})
    longer = raw("POST", "/v1/transfers", body, {**head, "Idempotency-Key": "k" * 256})
    assert (longest[0], longer[0]) == (200, 400)


def test_requests_without_a_key_each_execute(raw, platform, payee, client):
    body = f"amount=5&currency=usd&destination={payee}".encode()
    for _ in range(2):
        assert raw("POST", "/v1/transfers", body)[0] == 200
    assert count(client) == 2


def test_reading_ignores_the_key(raw, platform):
    head = {"Authorization": f"Bearer {platform.key}", "Idempotency-Key": "k"}
    for path in ("/v1/balance", "/v1/transfers"):
        status, headers, _ = raw("GET", path, None, head)
        assert (status, headers.get("Idempotent-Replayed")) == (200, None)


def test_forgotten_keys_are_deleted_when_the_clock_moves(platform, send, process):
    send("k")

    def kept():
        with sqlite3.connect(process.data / "books.sqlite3") as db:
            scope = f"{platform.id}/{platform.id}"
            found = db.execute("SELECT count(*) FROM idempotency_keys WHERE scope = ?", [scope])
            number = found.fetchone()[0]
        db.close()
        return number

    platform.admin("POST", "/clock", {"advance_seconds": 24 * 3600 - 60})
    before = kept()
    platform.admin("POST", "/clock", {"advance_seconds": 60})
    assert before > 0
    assert kept() == 0


def test_a_key_that_was_not_deleted_yet_is_forgotten_all_the_same(tmp_path):
    store = Store(tmp_path)
    keys = Keys(store)
    keys.save("scope", "k", "mark", Stored(200, "{}", "req_1"), now=1000)
    day = 24 * 3600
    assert keys.find("scope", "k", "mark", 1000 + day - 1) == Stored(200, "{}", "req_1")
    assert keys.find("scope", "k", "other", 1000 + day) is None
    keys.save("scope", "k", "other", Stored(400, "{1}", "req_2"), now=1000 + day)
    assert keys.find("scope", "k", "other", 1000 + day + 5) == Stored(400, "{1}", "req_2")
    store.close()


def test_a_parameter_that_only_the_object_shows_to_be_wrong_is_not_stored(client, send):
    made = send("k")
    full = {f"k{n}": "v" for n in range(50)}
    client.v1.transfers.update(made.id, {"metadata": full})
    key = {"idempotency_key": "u"}
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.transfers.update(made.id, {"metadata": {"one more": "v"}}, key)
    changed = client.v1.transfers.update(made.id, {"metadata": {"k0": "", "other": "v"}}, key)
    assert len(changed.metadata.to_dict()) == 50
