"""Who may ask: keys, versions, accounts."""

import base64
import json
import signal

import pytest
import stripe

from sandbox.notify import API_VERSION


def error(answer):
    return answer[0], json.loads(answer[2])["error"]


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_a_key_is_taken_as_bearer_and_as_basic(platform, raw):
    assert raw("GET", "/v1/balance")[0] == 200
    assert raw("GET", "/v1/balance", None, basic(f"{platform.key}:"))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Digest x"},
        {"Authorization": "Basic ???"},
        {"Authorization": "Bearer sk_test_nobody_knows_me"},
        {"Authorization": "Bearer x"},
        basic("sk_test_nobody_knows_me:"),
    ],
)
def test_a_missing_or_wrong_key_is_a_401_in_stripes_shape(raw, headers):
    answer = raw("GET", "/v1/balance", None, headers)
    status, body = error(answer)
    assert (status, body["type"]) == (401, "invalid_request_error")
    assert "nobody_knows" not in body["message"]
    assert answer[1]["Request-Id"].startswith("req_")


def test_the_sdk_raises_its_authentication_error(platform):
    with pytest.raises(stripe.AuthenticationError):
        platform.connect("sk_test_wrong").v1.balance.retrieve()


@pytest.mark.parametrize("key", ["sk_live_1234567890", "rk_live_1234567890"])
def test_a_live_key_is_refused_for_being_live(raw, key):
    status, body = error(raw("GET", "/v1/balance", None, {"Authorization": f"Bearer {key}"}))
    assert (status, body["code"]) == (401, "livemode_mismatch")
    assert key not in body["message"]


def test_each_key_has_a_platform_of_its_own(platform, client):
    key = f"{platform.key}_other"
    other = platform.admin("POST", "/keys", {"key": key})["platform"]
    assert other != platform.id
    platform.fund(5000)
    assert platform.connect(key).v1.balance.retrieve().available[0].amount == 0
    assert platform.connect(key).v1.accounts.retrieve_current().id == other
    mine = platform.account(client)
    with pytest.raises(stripe.PermissionError):
        platform.connect(key).v1.accounts.retrieve(mine)
    with pytest.raises(stripe.PermissionError) as caught:
        platform.connect(key).v1.balance.retrieve({}, {"stripe_account": mine})
    assert caught.value.error.code == "account_invalid"


def test_a_platforms_account_id_is_the_keys_and_outlives_a_restart(own_process, own_platform):
    other = "sk_test_second_platform"
    own_platform.admin("POST", "/keys", {"key": other})
    keys = (own_platform.key, other)
    before = [own_platform.connect(k).v1.accounts.retrieve_current().id for k in keys]
    own_process.stop(signal.SIGKILL)
    own_process.start()
    after = [own_platform.connect(k).v1.accounts.retrieve_current().id for k in keys]
    assert after == before
    assert len(set(after)) == 2


def test_keys_are_rolled_without_a_new_platform(platform):
    rolled = f"{platform.key}_rolled"
    added = platform.admin("POST", "/keys", {"key": rolled, "platform": platform.id})
    assert added["platform"] == platform.id
    assert platform.admin("DELETE", "/keys", {"key": platform.key}) == {"removed": True}
    assert platform.connect(rolled).v1.balance.retrieve().object == "balance"
    with pytest.raises(stripe.AuthenticationError):
        platform.connect().v1.balance.retrieve()
    platform.admin("POST", "/keys", {"key": platform.key, "platform": platform.id})


def test_keys_are_not_kept_in_the_books(platform, process):
    files = [path.read_bytes() for path in process.data.iterdir()]
    assert not any(platform.key.encode() in content for content in files)


def test_the_version_is_echoed_and_a_malformed_one_is_an_error(platform, raw):
    head = {"Authorization": f"Bearer {platform.key}"}
    assert raw("GET", "/v1/balance")[1]["Stripe-Version"] == API_VERSION
    for version in ("2024-06-20", "2025-09-30.clover"):
        answer = raw("GET", "/v1/balance", None, {**head, "Stripe-Version": version})
        assert (answer[0], answer[1]["Stripe-Version"]) == (200, version)
    status, body = error(raw("GET", "/v1/balance", None, {**head, "Stripe-Version": "latest"}))
    assert status == 400
    assert "latest" in body["message"]


def test_stripe_account_acts_as_a_connected_account(platform, client):
    payee = platform.account(client)
    for options in ({"stripe_account": payee}, {"stripe_context": payee}):
        answer = client.v1.accounts.retrieve_current({}, options)
        assert answer.id == payee
        assert answer.last_response.headers["Stripe-Account"] == payee


@pytest.mark.parametrize("state", ["deauthorized", "closed"])
def test_an_account_that_is_gone_cannot_be_acted_for(platform, client, state):
    payee = platform.account(client)
    platform.admin("POST", f"/accounts/{payee}", {"state": state})
    with pytest.raises(stripe.PermissionError) as caught:
        client.v1.balance.retrieve({}, {"stripe_account": payee})
    assert (caught.value.http_status, caught.value.error.code) == (403, "account_invalid")


def test_an_unknown_address_is_a_404_that_names_it(raw):
    for method, path in (("GET", "/v1/nothing"), ("DELETE", "/v1/transfers"), ("GET", "/")):
        status, body = error(raw(method, path))
        assert status == 404
        assert f"{method}: {path}" in body["message"]


def test_a_body_over_a_megabyte_is_refused(raw):
    status, body = error(raw("POST", "/v1/topups", b"description=" + b"x" * 1_000_000))
    assert status == 413
    assert "1000000" in body["message"]
