"""Faults over HTTP: what the client sees, what was really done, and what a second try finds."""

import random
import time

import pytest
import stripe

from sandbox.faults import Faults, PlanInvalid

TRANSFERS = {"method": "POST", "path": "/v1/transfers"}


@pytest.fixture
def payee(platform, client):
    platform.fund(100_000)
    return platform.account(client)


@pytest.fixture
def send(client, payee):
    def post(key="k", amount=1000):
        params = {"amount": amount, "currency": "usd", "destination": payee}
        return client.v1.transfers.create(params, {"idempotency_key": key})

    return post


def paid(platform, payee):
    with platform.books() as books:
        assert books.check() == []
        return books.paid_by_destination("usd").get(payee, 0)


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_drop_before_execution_does_nothing_and_a_retry_pays(platform, payee, send, how):
    platform.plan({**TRANSFERS, "fault": "drop_before", "how": how, "nth": 1})
    with pytest.raises(stripe.APIConnectionError):
        send()
    assert paid(platform, payee) == 0
    assert "Idempotent-Replayed" not in send().last_response.headers
    assert paid(platform, payee) == 1000


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_drop_after_execution_has_paid_and_a_retry_is_a_replay(platform, payee, send, how):
    platform.plan({**TRANSFERS, "fault": "drop_after", "how": how, "nth": 1})
    with pytest.raises(stripe.APIConnectionError):
        send()
    assert paid(platform, payee) == 1000
    assert send().last_response.headers["Idempotent-Replayed"] == "true"
    assert paid(platform, payee) == 1000


@pytest.mark.parametrize("cut", [None, 0, 10])
def test_a_drop_during_the_answer_has_paid_and_a_retry_is_a_replay(platform, payee, send, cut):
    platform.plan({**TRANSFERS, "fault": "drop_during", "bytes": cut, "nth": 1})
    with pytest.raises(stripe.APIConnectionError):
        send()
    assert paid(platform, payee) == 1000
    assert send().last_response.headers["Idempotent-Replayed"] == "true"


def test_a_reset_is_a_reset_and_a_close_is_a_close(platform, raw):
    platform.plan(
        {"path": "/v1/balance", "fault": "drop_before", "how": "reset", "nth": 1},
        {"path": "/v1/balance", "fault": "drop_before", "how": "close", "nth": 2},
    )
    with pytest.raises(ConnectionResetError):
        raw("GET", "/v1/balance")
    with pytest.raises(ConnectionError) as caught:
        raw("GET", "/v1/balance")
    assert "without response" in str(caught.value)


def test_a_500_that_was_done_is_stored_as_a_500(platform, payee, send):
    platform.plan({**TRANSFERS, "fault": "error_500_done", "nth": 1})
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            send()
        assert (caught.value.http_status, caught.value.error.type) == (500, "api_error")
    assert caught.value.headers["Idempotent-Replayed"] == "true"
    assert paid(platform, payee) == 1000


def test_a_500_that_was_not_done_looks_the_same_and_pays_nothing(platform, payee, send):
    platform.plan({**TRANSFERS, "fault": "error_500_not_done", "nth": 1})
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            send()
        assert caught.value.http_status == 500
    assert caught.value.headers["Idempotent-Replayed"] == "true"
    assert paid(platform, payee) == 0


def test_a_500_from_before_execution_is_not_stored(platform, payee, send):
    platform.plan({**TRANSFERS, "fault": "error_500_not_done", "stored": False, "nth": 1})
    with pytest.raises(stripe.APIError):
        send()
    assert send().amount == 1000
    assert paid(platform, payee) == 1000


def test_a_500_on_a_replay_leaves_the_stored_answer(platform, payee, send):
    made = send()
    platform.plan({**TRANSFERS, "fault": "error_500_done", "nth": 1})
    with pytest.raises(stripe.APIError):
        send()
    assert send().id == made.id


@pytest.mark.parametrize(("retry_after", "header"), [(None, None), (7, "7")])
def test_a_rate_limit_comes_with_or_without_its_header(platform, payee, send, retry_after, header):
    platform.plan({**TRANSFERS, "fault": "rate_limit", "retry_after": retry_after, "nth": 1})
    with pytest.raises(stripe.RateLimitError) as caught:
        send()
    assert (caught.value.http_status, caught.value.error.code) == (429, "rate_limit")
    assert caught.value.headers.get("Retry-After") == header
    assert paid(platform, payee) == 0
    assert send().amount == 1000


@pytest.mark.parametrize("status", [429, 400])
def test_a_lock_timeout_executes_nothing(platform, payee, send, status):
    platform.plan({**TRANSFERS, "fault": "lock_timeout", "status": status, "nth": 1})
    with pytest.raises(stripe.StripeError) as caught:
        send()
    assert (caught.value.http_status, caught.value.error.code) == (status, "lock_timeout")
    assert paid(platform, payee) == 0


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [("unauthorized", stripe.AuthenticationError, 401), ("forbidden", stripe.PermissionError, 403)],
)
def test_a_refused_key_executes_nothing(platform, payee, send, fault, error, status):
    platform.plan({**TRANSFERS, "fault": fault, "nth": 1})
    with pytest.raises(error) as caught:
        send()
    assert caught.value.http_status == status
    assert paid(platform, payee) == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_slow_answer_takes_its_time(platform, payee, send, when):
    platform.plan({**TRANSFERS, "fault": "slow", "ms": 300, "when": when, "nth": 1})
    started = time.monotonic()
    send()
    assert time.monotonic() - started >= 0.3


def test_a_slow_request_is_executed_after_its_client_has_gone(platform, payee):
    platform.plan({**TRANSFERS, "fault": "slow", "ms": 1000, "nth": 1})
    hasty = stripe.RequestsClient(timeout=(1, 0.1))
    platform.opened.append(hasty)
    client = stripe.StripeClient(
        platform.key,
        base_addresses={"api": platform.url},
        max_network_retries=0,
        http_client=hasty,
    )
    with pytest.raises(stripe.APIConnectionError):
        client.v1.transfers.create({"amount": 5, "currency": "usd", "destination": payee})
    assert paid(platform, payee) == 0
    deadline = time.monotonic() + 5
    while not paid(platform, payee) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert paid(platform, payee) == 5


def test_garbage_has_paid_and_a_retry_finds_the_answer(platform, payee, send):
    platform.plan({**TRANSFERS, "fault": "garbage", "nth": 1})
    with pytest.raises(stripe.APIError) as caught:
        send()
    assert caught.value.http_status != 500
    assert paid(platform, payee) == 1000
    assert send().last_response.headers["Idempotent-Replayed"] == "true"


def test_an_account_deauthorized_in_the_middle_stays_so(platform, client, payee, send):
    platform.plan({**TRANSFERS, "fault": "account_deauthorized", "nth": 2})
    send("first")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        send("second")
    assert caught.value.code == "resource_missing"
    with pytest.raises(stripe.PermissionError) as gone:
        client.v1.accounts.retrieve(payee)
    assert gone.value.error.code == "account_invalid"
    assert paid(platform, payee) == 1000


def test_a_balance_runs_dry_until_it_is_funded(platform, payee, client, send):
    platform.plan({**TRANSFERS, "fault": "balance_dry", "nth": 2})
    send("1")
    for key in ("2", "3"):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            send(key)
        assert caught.value.code == "balance_insufficient"
    assert client.v1.balance.retrieve().available[0].amount == 0
    platform.fund(5000)
    assert send("4").amount == 1000
    drained = client.v1.balance_transactions.list({"type": "adjustment"}).data
    assert [line.amount for line in drained] == [-99_000]


def test_a_rule_can_be_meant_for_one_idempotency_key(platform, payee, send):
    platform.plan({**TRANSFERS, "key": "payspool/7/*", "fault": "rate_limit"})
    assert send("payspool/6/transfer/1").amount == 1000
    with pytest.raises(stripe.RateLimitError):
        send("payspool/7/transfer/1")


def test_the_report_says_what_was_injected_into_what(platform, payee, send):
    platform.plan(
        {**TRANSFERS, "fault": "rate_limit", "every": 2},
        {**TRANSFERS, "fault": "drop_after", "nth": [3]},
        {"path": "/v1/balance", "fault": "garbage"},
    )
    for key in ("a", "b", "c", "d"):
        try:
            send(key)
        except stripe.StripeError:
            continue
    report = platform.admin("GET", "/faults")
    assert [(r["seen"], r["injected"]) for r in report["rules"]] == [(4, 2), (4, 1), (0, 0)]
    assert report["injected"] == {"rate_limit": 2, "drop_after": 1}
    told = [(line["fault"], line["rule"], line["idempotency_key"]) for line in report["log"]]
    assert told == [("rate_limit", 0, "b"), ("drop_after", 1, "c"), ("rate_limit", 0, "d")]
    cleared = platform.admin("DELETE", "/faults")
    assert (cleared["rules"], cleared["injected"], cleared["log"]) == ([], {}, [])


def test_a_limit_turns_away_what_finds_its_bucket_empty_and_nothing_else():
    now = [0.0]
    faults = Faults()
    faults.replace({"rules": [{**TRANSFERS, "fault": "rate_limit", "per_second": 4}]})
    faults.rules[0].clock = lambda: now[0]

    def passed(at: float, calls: int) -> int:
        now[0] = at
        return sum(faults.draw("POST", "/v1/transfers") is None for _ in range(calls))

    assert passed(0.0, 6) == 4, "a second's worth at once"
    assert passed(0.125, 1) == 0
    assert passed(0.25, 2) == 1, "what was turned away took nothing"
    assert passed(1.0, 5) == 3
    assert passed(9.0, 9) == 4, "it holds no more than a second's worth"


def test_times_bounds_how_often_a_fault_is_injected(platform, payee, send):
    platform.plan({**TRANSFERS, "fault": "rate_limit", "times": 2})
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            send()
    assert send().amount == 1000


def drawn(seed, probability=0.3, calls=200):
    faults = Faults()
    rules = [{"fault": "drop_after", "probability": probability}]
    faults.replace({"seed": seed, "rules": rules})
    return [faults.draw("POST", "/v1/transfers") is not None for _ in range(calls)]


def test_the_same_seed_injects_the_same_faults():
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert 30 < sum(drawn(7)) < 90
    assert sum(drawn(7, probability=0)) == 0
    assert sum(drawn(7, probability=1)) == 200


@pytest.mark.parametrize(
    "plan",
    [
        [],
        {"rule": []},
        {"rules": [{"fault": "explode"}]},
        {"rules": [{"fault": "slow", "ms": -1}]},
        {"rules": [{"fault": "rate_limit", "per_second": 0}]},
        {"rules": [{"fault": "rate_limit", "per_second": 25, "nth": 1}]},
        {"rules": [{"fault": "slow", "when": "never"}]},
        {"rules": [{"fault": "rate_limit", "ms": 5}]},
        {"rules": [{"fault": "drop_after", "nth": 1, "every": 2}]},
        {"rules": [{"fault": "drop_after", "nth": 0}]},
        {"rules": [{"fault": "drop_after", "probability": 1.5}]},
        {"rules": [{"fault": "drop_after", "how": "gently"}]},
        {"rules": [{"fault": "drop_after", "path": 5}]},
        {"rules": ["drop_after"]},
        {"rules": [{"fault": "duplicate"}]},
        {"webhooks": [{"fault": "drop_after"}]},
        {"webhooks": [{"fault": "duplicate", "copies": 1}]},
        {"seed": "seven"},
    ],
)
def test_a_plan_that_says_nothing_sensible_is_refused_and_changes_nothing(plan):
    faults = Faults()
    faults.replace({"rules": [{"fault": "drop_after"}]})
    with pytest.raises(PlanInvalid):
        faults.replace(plan)
    assert [rule.fault for rule in faults.rules] == ["drop_after"]


def test_under_every_fault_at_once_a_payer_that_keeps_its_keys_pays_nobody_twice(
    platform, client, payee, send
):
    """The sandbox's own promise, which payers are tested against: one key, at most one transfer."""
    some = ("drop_before", "drop_during", "drop_after", "garbage", "rate_limit", "lock_timeout")
    stored = ("error_500_done", "error_500_not_done")
    rules = [{**TRANSFERS, "fault": name, "probability": 0.12} for name in some]
    rules += [{**TRANSFERS, "fault": name, "probability": 0.04} for name in stored]
    platform.plan(*rules, seed=20261121)
    draws = random.Random(5)
    answered: dict[str, str] = {}
    failed: set[str] = set()
    keys = [f"payout-{n}" for n in range(60)]
    for _ in range(12):
        for key in draws.sample(keys, len(keys)):
            if key in answered or key in failed:
                continue
            try:
                answered[key] = send(key, amount=100).id
            except stripe.APIError as error:
                if error.http_status == 500:
                    failed.add(key)
            except stripe.StripeError:
                continue
    assert set(answered) | failed == set(keys)
    assert len(set(answered.values())) == len(answered)
    assert len(answered) > 30
    done = platform.admin("GET", "/faults")["injected"].get("error_500_done", 0)
    assert len(answered) <= paid(platform, payee) // 100 <= len(answered) + min(done, len(failed))
    assert len(client.v1.transfers.list({"limit": 100}).data) == paid(platform, payee) // 100
