"""The local Wise over HTTP: recipients, quotes, transfers by their key, funding, states, books."""

import http.client
import secrets
import uuid

import pytest

from sandbox.wise.api import ROUTES
from tests.sandbox.wise.account import Wise

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600


@pytest.fixture
def wise(platform):
    token = f"wise-{secrets.token_hex(8)}"
    made = platform.admin("POST", "/wise/tokens", {"token": token})
    business = next(p["id"] for p in made["profiles"] if p["type"] == "BUSINESS")
    return Wise(platform, token, business)


def pass_time(platform, seconds):
    platform.admin("POST", "/clock", {"advance_seconds": seconds})


def error(answer):
    status, body = answer
    return status, body["errors"][0]["code"], body["errors"][0].get("path")


def test_a_token_has_two_profiles_and_sees_no_others(wise, platform):
    assert [p["type"] for p in wise.get("/v2/profiles")] == ["PERSONAL", "BUSINESS"]
    assert [p["type"] for p in wise.get("/v1/profiles")] == ["personal", "business"]
    assert wise.get(f"/v2/profiles/{wise.profile}")["id"] == wise.profile
    other = Wise(platform, f"wise-{secrets.token_hex(8)}")
    platform.admin("POST", "/wise/tokens", {"token": other.token})
    id = wise.transfer()[1]["id"]
    for path in (f"/v2/profiles/{wise.profile}", f"/v1/transfers/{id}"):
        assert error(other.ask("GET", path))[:2] == (404, "NOT_FOUND")
    assert wise.ask("GET", "/v2/profiles", token="wise-unknown")[0] == 401
    assert wise.ask("GET", "/v1/nothing")[0] == 404


def test_money_goes_from_the_balance_to_the_recipient_by_the_clock(wise, platform):
    assert wise.fund(10_000) == {"profile": wise.profile, "available": 10_000}
    status, made = wise.transfer()
    assert (status, made["status"]) == (200, "incoming_payment_waiting")
    assert (made["targetValue"], made["targetCurrency"], made["rate"]) == (20.0, "EUR", 1.0)
    assert made["details"] == {"reference": "payout 7"}
    assert wise.pay(made["id"]) == (
        201,
        {"type": "BALANCE", "status": "COMPLETED", "errorCode": None},
    )
    assert wise.held() == 79.5
    assert wise.status(made["id"]) == "processing"
    for seconds, state in ((10 * MINUTE, "funds_converted"), (HOUR, "outgoing_payment_sent")):
        assert wise.books()[1] == 0
        pass_time(platform, seconds)
        assert wise.status(made["id"]) == state
    pass_time(platform, 30 * DAY)
    assert wise.status(made["id"]) == "outgoing_payment_sent"
    (transfer,), received = wise.books()
    assert (received, transfer.target_amount, transfer.fee) == (2000, 2000, 50)
    assert (transfer.source_amount, transfer.funded) == (2050, True)
    assert wise.get(f"/v1/transfers/{made['id']}/payments")[0]["amount"] == 20.5


def test_one_customer_transaction_id_is_one_transfer(wise):
    wise.fund(10_000)
    key = str(uuid.uuid4())
    first, second, other = wise.transfer(key)[1], wise.transfer(key.upper())[1], wise.transfer()[1]
    assert first == second
    assert first["id"] != other["id"]
    assert len(wise.get(f"/v1/transfers?profile={wise.profile}")) == 2
    assert wise.pay(first["id"])[1]["status"] == "COMPLETED"
    again = wise.pay(first["id"])[1]
    assert (again["status"], again["errorCode"]) == ("REJECTED", "transfer.already_funded")
    assert wise.held() == 79.5


def test_too_little_on_the_balance_is_an_answer_and_funding_again_works(wise, platform):
    id = wise.transfer()[1]["id"]
    wise.fund(2049)
    refused = wise.pay(id)[1]
    assert (refused["status"], refused["errorCode"]) == (
        "REJECTED",
        "transfer.insufficient_funds",
    )
    assert (wise.status(id), wise.held()) == ("incoming_payment_waiting", 20.49)
    wise.fund(1)
    platform.plan({"path": "/wise/*/payments", "fault": "balance_dry", "nth": 1})
    assert wise.pay(id)[1]["errorCode"] == "transfer.insufficient_funds"
    assert wise.held() == 0
    wise.fund(5000)
    assert wise.pay(id)[1]["status"] == "COMPLETED"
    wise.books()


def test_a_bounced_transfer_comes_back_with_its_fee(wise, platform):
    wise.fund(5000)
    platform.plan({"path": "/wise/v1/transfers", "fault": "wise_bounces", "times": 1})
    id = wise.transfer()[1]["id"]
    wise.pay(id)
    pass_time(platform, 10 * MINUTE)
    pass_time(platform, HOUR)
    assert (wise.status(id), wise.books()[1]) == ("outgoing_payment_sent", 2000)
    seen = []
    for seconds in (2 * DAY, 10 * MINUTE, 10 * MINUTE, DAY):
        pass_time(platform, seconds)
        seen.append(wise.status(id))
    assert seen == ["bounced_back", "processing", "cancelled", "funds_refunded"]
    assert (wise.held(), wise.books()[1]) == (50.0, 0)


def test_a_transfer_is_cancelled_until_it_is_sent_and_refunded_if_it_was_paid(wise, platform):
    wise.fund(10_000)
    unpaid, paid, sent = (wise.transfer()[1]["id"] for _ in range(3))
    for id in (paid, sent):
        wise.pay(id)
    for id in (unpaid, paid):
        assert wise.ask("PUT", f"/v1/transfers/{id}/cancel")[1]["status"] == "cancelled"
    assert wise.held() == 59.0
    pass_time(platform, DAY)
    assert (wise.status(unpaid), wise.status(paid)) == ("cancelled", "funds_refunded")
    assert wise.held() == 79.5
    assert wise.status(sent) == "outgoing_payment_sent"
    assert wise.ask("PUT", f"/v1/transfers/{sent}/cancel")[0] == 409
    wise.books()


def test_a_transfer_that_nobody_funds_is_cancelled_after_fourteen_days(wise, platform):
    id = wise.transfer()[1]["id"]
    pass_time(platform, 14 * DAY - HOUR)
    assert wise.status(id) == "incoming_payment_waiting"
    pass_time(platform, HOUR)
    assert wise.status(id) == "cancelled"


def test_a_quote_is_good_for_one_transfer_and_half_an_hour(wise, platform):
    recipient, quote = wise.recipient()[1]["id"], wise.quote()[1]
    body = {"targetAccount": recipient, "quoteUuid": quote["id"]}

    def send():
        key = str(uuid.uuid4())
        return wise.ask("POST", "/v1/transfers", {**body, "customerTransactionId": key})

    assert send()[0] == 200
    assert error(send()) == (422, "error.quote.used", "quoteUuid")
    late = wise.quote()[1]["id"]
    pass_time(platform, 30 * MINUTE)
    body["quoteUuid"] = late
    assert error(send()) == (422, "error.quote.expired", "quoteUuid")
    path = f"/v3/profiles/{wise.profile}/quotes"
    assert wise.get(f"{path}/{late}")["status"] == "EXPIRED"
    assert wise.get(f"{path}/{quote['id']}")["status"] == "ACCEPTED"
    named = wise.ask("PATCH", f"{path}/{late}", {"targetAccount": recipient})[1]
    assert named["targetAccount"] == recipient


@pytest.mark.parametrize(
    ("given", "source", "fee", "target"),
    [
        ({"sourceAmount": 100}, 100.0, 0.5, 99.5),
        ({"targetAmount": 100}, 100.5, 0.5, 100.0),
        ({"sourceAmount": 100, "targetCurrency": "USD"}, 100.0, 0.9, 109.01),
        ({"targetAmount": 1000, "targetCurrency": "JPY"}, 6.78, 0.53, 1000.0),
    ],
)
def test_quotes_add_the_fee_and_convert(wise, given, source, fee, target):
    quote = wise.quote(**{"targetAmount": None, **given})[1]
    assert (quote["sourceAmount"], quote["targetAmount"]) == (source, target)
    assert quote["paymentOptions"][0]["fee"]["total"] == fee


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sourceAmount": 5}, (400, "error.quote.amount.onlySingle", "sourceAmount")),
        ({"targetAmount": None}, (400, "error.quote.amount.onlySingle", "sourceAmount")),
        ({"targetAmount": 0}, (422, "error.greaterThanZero", "targetAmount")),
        ({"targetAmount": -1}, (422, "error.greaterThanZero", "targetAmount")),
        ({"targetAmount": 1.001}, (422, "ERROR", "targetAmount")),
        ({"targetAmount": "20"}, (422, "ERROR", "targetAmount")),
        ({"targetAmount": True}, (422, "ERROR", "targetAmount")),
        ({"targetCurrency": "XXX"}, (422, "CurrencyCode", "targetCurrency")),
        ({"targetCurrency": "KES"}, (422, "error.route.not.supported", "targetCurrency")),
        ({"payOut": "SWIFT"}, (422, "NOT_VALID", "payOut")),
        ({"guaranteedTargetAmount": True}, (422, "sandbox.unsupported", "guaranteedTargetAmount")),
    ],
)
def test_a_quote_that_makes_no_sense_is_refused_by_name(wise, given, expected):
    assert error(wise.quote(**given)) == expected


def test_recipients_are_made_read_listed_and_deleted(wise):
    status, made = wise.recipient()
    assert (status, made["active"], made["country"]) == (200, True, "DE")
    assert made["details"]["iban"] == "*" * 18 + "3000"
    assert wise.get(f"/v1/accounts/{made['id']}") == made
    assert wise.get(f"/v1/accounts?profile={wise.profile}&currency=EUR") == [made]
    assert wise.get(f"/v1/accounts?profile={wise.profile}&currency=GBP") == []
    quote = wise.quote()[1]["id"]
    assert wise.ask("DELETE", f"/v1/accounts/{made['id']}")[1]["active"] is False
    assert wise.get(f"/v1/accounts?profile={wise.profile}") == []
    body = {"targetAccount": made["id"], "quoteUuid": quote}
    answer = wise.ask("POST", "/v1/transfers", {**body, "customerTransactionId": str(uuid.uuid4())})
    assert error(answer) == (422, "NOT_VALID", "targetAccount")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"details": {"iban": "DE88370400440532013000"}}, "iban"),
        ({"details": {}}, "iban"),
        ({"details": "iban"}, "details"),
        ({"type": "carrier_pigeon"}, "type"),
        ({"accountHolderName": "A"}, "accountHolderName"),
        ({"currency": None}, "currency"),
        ({"type": "sort_code", "details": {"sortCode": "231470"}}, "accountNumber"),
        ({"type": "aba", "details": {"abartn": "1"}}, "abartn"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_no_recipient_is_refused_by_name(wise, given, path):
    status, body = wise.recipient(**given)
    assert (status, body["errors"][0]["path"]) == (422, path)


@pytest.mark.parametrize(
    ("type", "currency", "details"),
    [
        ("sort_code", "GBP", {"sortCode": "23-14-70", "accountNumber": "28821822"}),
        (
            "aba",
            "USD",
            {"abartn": "111000025", "accountNumber": "12345678", "accountType": "CHECKING"},
        ),
        ("email", "EUR", {"email": "ada@example.com"}),
        ("swift_code", "USD", {"swiftCode": "BUKBGB22", "accountNumber": "12345678"}),
    ],
)
def test_recipients_are_of_several_types(wise, type, currency, details):
    status, made = wise.recipient(type=type, currency=currency, details=details)
    assert (status, made["type"], set(made["details"])) == (200, type, set(details))


def test_transfers_are_listed_by_state_date_and_currency(wise, platform):
    wise.fund(10_000)
    ids = [wise.transfer()[1]["id"] for _ in range(3)]
    wise.pay(ids[0])

    def found(query):
        rows = wise.get(f"/v1/transfers?profile={wise.profile}&{query}")
        return [row["id"] for row in rows]

    assert found("") == ids[::-1]
    assert found("limit=2&offset=1") == ids[1::-1]
    assert found("status=processing,cancelled") == ids[:1]
    assert found("sourceCurrency=EUR&targetCurrency=USD") == []
    assert found("createdDateEnd=2020-01-01") == []
    assert found("createdDateStart=2020-01-01T00:00:00.000Z") == ids[::-1]
    for query in ("limit=x", "limit=101", "createdDateStart=soon"):
        answer = wise.ask("GET", f"/v1/transfers?profile={wise.profile}&{query}")
        assert error(answer)[0] == 422


def test_wises_own_simulation_moves_transfers_and_tops_balances_up(wise):
    wise.fund(10_000)
    balance = wise.get(f"/v4/profiles/{wise.profile}/balances?types=STANDARD")[0]["id"]
    body = {"profileId": wise.profile, "balanceId": balance, "currency": "EUR", "amount": 12.5}
    assert wise.ask("POST", "/v1/simulation/balance/topup", body)[0] == 200
    assert wise.held() == 112.5
    id = wise.transfer()[1]["id"]
    assert wise.ask("GET", f"/v1/simulation/transfers/{id}/processing")[0] == 409
    wise.pay(id)
    path = ("processing", "funds_converted", "outgoing_payment_sent", "bounced_back")
    for status in (*path, "funds_refunded"):
        assert wise.get(f"/v1/simulation/transfers/{id}/{status}")["status"] == status
    assert wise.ask("GET", f"/v1/simulation/transfers/{id}/processing")[0] == 409
    assert (wise.held(), wise.books()[1]) == (112.5, 0)
    other = wise.transfer()[1]["id"]
    answer = wise.platform.admin("POST", f"/wise/transfers/{other}", {"status": "bounced_back"})
    assert "does not follow" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "paid"),
    [
        ({"fault": "drop_before"}, False),
        ({"fault": "drop_after"}, True),
        ({"fault": "drop_during"}, True),
        ({"fault": "error_500_done"}, True),
        ({"fault": "error_500_not_done"}, False),
        ({"fault": "garbage"}, True),
        ({"fault": "slow", "ms": 1}, True),
        ({"fault": "rate_limit", "retry_after": 3}, False),
        ({"fault": "lock_timeout"}, False),
        ({"fault": "unauthorized"}, False),
        ({"fault": "forbidden"}, False),
    ],
)
def test_under_each_fault_a_repeated_call_makes_and_pays_one_transfer(wise, platform, fault, paid):
    wise.fund(10_000)
    key = str(uuid.uuid4())
    platform.plan({**fault, "method": "POST", "path": "/wise/v1/transfers", "key": key, "nth": 1})
    seen = _try(lambda: wise.transfer(key))
    assert len(wise.get(f"/v1/transfers?profile={wise.profile}")) == int(paid)
    if fault["fault"] == "rate_limit":
        assert (seen[0], wise.headers.get("Retry-After", "3")) == (429, "3")
    made = wise.transfer(key)[1]
    assert [t["id"] for t in wise.get(f"/v1/transfers?profile={wise.profile}")] == [made["id"]]
    platform.plan({**fault, "path": "/wise/v3/*/payments", "nth": 1})
    _try(lambda: wise.pay(made["id"]))
    assert wise.held() == (79.5 if paid else 100.0)
    wise.pay(made["id"])
    assert wise.held() == 79.5
    wise.books()


def _try(call):
    try:
        return call()
    except (OSError, http.client.HTTPException, ValueError):
        return None


def test_no_request_is_answered_by_a_crash(wise):
    """Odd bodies and ids to every endpoint: a refusal, never a 500."""
    odd = (
        [],
        {"details": []},
        {"type": {}, "currency": 5, "accountHolderName": [], "details": None},
        {"quoteUuid": {}, "targetAccount": "x" * 5000, "customerTransactionId": 5},
        {"sourceCurrency": "EUR", "targetCurrency": "EUR", "sourceAmount": 1e300},
        {"name": 1, "trigger_on": [], "delivery": {"url": 5, "version": {}}},
        {"accountHolderName": "\ud800 Ada", "currency": "EUR", "type": "iban", "details": {}},
        {"profileId": 10**30, "balanceId": -1, "currency": "EUR", "amount": 10**30},
    )
    for route in ROUTES:
        for id in ("0", "x" * 70, "%00", "9" * 30):
            path = route.path
            for name in ("balance", "account", "quote", "transfer", "subscription", "status"):
                path = path.replace(f"{{{name}}}", id)
            path = path.replace("{profile}", str(wise.profile))
            for body in odd if route.method in ("POST", "PATCH") else (None,):
                status, answer = wise.ask(route.method, path, body)
                assert status < 500, (route, id, body, answer)
