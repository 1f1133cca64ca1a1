"""The admin API: shapes that others drive, and refusals that say what to do."""

import json
import re
from pathlib import Path

import pytest
import stripe

from sandbox.api import ROUTES
from sandbox.faults import REQUEST_FAULTS, WEBHOOK_FAULTS
from sandbox.wise.api import ROUTES as WISE_ROUTES

ADMIN_PATHS = (
    "fund",
    "drain",
    "fees",
    "clock",
    "accounts/acct_…",
    "accounts/acct_…/capabilities/transfers",
    "payouts/po_…",
    "topups/tu_…",
    "keys",
    "events/evt_…/deliveries",
    "deliveries",
    "webhook_endpoints/we_…/roll",
    "wise/tokens",
    "wise/fund",
    "wise/transfers/",
    "wise/public-key",
    "check",
    "endpoints",
    "faults",
)


def test_the_status_says_where_the_books_are_and_what_the_time_is(platform, process):
    status = platform.admin("GET", "")
    assert status["object"] == "sandbox"
    assert status["books"] == str(process.data.resolve() / "books.sqlite3")
    assert platform.id in [p["id"] for p in status["platforms"]]
    assert isinstance(status["now"], int)


def test_funding_is_a_real_topup(platform, client):
    answer = platform.admin(
        "POST", "/fund", {"platform": platform.id, "amount": 5000, "currency": "EUR"}
    )
    assert answer["available"] == {"eur": 5000}
    assert client.v1.topups.retrieve(answer["topup"]).amount == 5000


def test_draining_takes_all_or_a_part(platform, client):
    platform.fund(5000)
    named = {"platform": platform.id, "currency": "usd"}
    assert platform.admin("POST", "/drain", {**named, "amount": 1000})["taken"] == 1000
    assert platform.admin("POST", "/drain", named) == {"taken": 4000, "available": {"usd": 0}}
    assert platform.admin("POST", "/drain", named)["taken"] == 0
    assert platform.admin("POST", "/drain", {**named, "amount": 1})["status"] == 400
    with platform.books() as books:
        assert books.check() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/fund", {"amount": 5000, "currency": "usd"}),
        ("POST", "/fund", {"platform": "acct_unknown", "amount": 5000, "currency": "usd"}),
        ("POST", "/fund", {"key": "sk_test_unknown", "amount": 5000, "currency": "usd"}),
        ("POST", "/keys", {"key": "sk_live_12345678"}),
        ("POST", "/keys", {"key": "sk_test_12345678", "platform": "acct_unknown"}),
        ("POST", "/keys", {}),
        ("POST", "/accounts/acct_unknown", {"state": "closed"}),
        ("PUT", "/faults", {"rules": [{"fault": "explode"}]}),
        ("PUT", "/faults", []),
    ],
)
def test_a_refusal_says_what_is_wrong(platform, method, path, body):
    answer = platform.admin(method, path, body)
    assert answer["status"] == 400
    assert answer["error"]["message"]


@pytest.mark.parametrize("amount", [0, -5, None, "100"])
def test_only_a_positive_whole_amount_is_funded(platform, amount):
    body = {"platform": platform.id, "amount": amount, "currency": "usd"}
    assert platform.admin("POST", "/fund", body)["status"] == 400


def test_what_is_not_json_and_not_there_is_refused(platform, raw):
    assert raw("PUT", "/_sandbox/faults", b"{")[0] == 400
    assert raw("GET", "/_sandbox/nothing")[0] == 404


def test_states_follow_one_another_and_tell_it(platform, client):
    payee = platform.account(client)

    def state(name):
        return platform.admin("POST", f"/accounts/{payee}", {"state": name})

    assert state("restricted")["capabilities"] == {"transfers": "inactive"}
    held = client.v1.accounts.retrieve(payee)
    assert (held.payouts_enabled, held.requirements.disabled_reason) == (
        False,
        "requirements.past_due",
    )
    assert state("active")["capabilities"] == {"transfers": "active"}
    assert client.v1.accounts.retrieve(payee).requirements.disabled_reason is None
    assert state("deauthorized")["capabilities"] == {}
    assert [a.id for a in client.v1.accounts.list().data] == []
    assert state("active")["capabilities"] == {"transfers": "active"}
    assert state("closed")["capabilities"] == {"transfers": "inactive"}
    assert state("open")["status"] == 400
    told = [
        event["type"]
        for event in client.v1.events.list(
            {"limit": 100}, {"stripe_account": platform.account(client)}
        ).data
    ]
    assert told[-1] == "capability.updated"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/fund", {"amount": 10**30, "currency": "usd"}),
        ("/fund", {"amount": "5", "currency": "usd"}),
        ("/drain", {"amount": 10**30, "currency": "usd"}),
        ("/fees", {"basis_points": 5001}),
        ("/fees", {"fixed": -1}),
        ("/clock", {"advance_seconds": 10**30}),
        ("/clock", {"advance_seconds": 253_370_764_799}),
        ("/clock", {"now": 10**30}),
        ("/wise/fund", {"profile": 10**30, "amount": 1, "currency": "EUR"}),
        ("/wise/fund", {"profile": 1, "amount": 1, "currency": "EUR"}),
        ("/wise/tokens", {"token": "\ud800" * 9}),
        ("/wise/transfers/x", {"status": "processing"}),
        ("/keys", {"key": "\ud800"}),
        ("/accounts/acct_1", {"state": "active"}),
        ("/payouts/po_1", {"status": {}}),
        ("/topups/tu_1", {"status": "succeeded"}),
        ("/webhook_endpoints/we_1/roll", {"expires_in": 10**30}),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(platform, path, body):
    before = platform.admin("GET", "/clock")["offset_seconds"]
    named = {"key": platform.key, **body} if path in ("/fund", "/drain", "/fees") else body
    answer = platform.admin("POST", path, named)
    assert (answer["status"], bool(answer["error"]["message"])) == (400, True)
    assert platform.admin("GET", "/clock")["offset_seconds"] == before


def test_the_books_are_checked_while_it_runs(platform):
    assert platform.admin("GET", "/check") == {"ok": True, "violations": []}


def test_the_admin_api_needs_no_key_and_the_api_does(platform, raw):
    assert raw("GET", "/_sandbox", None, {})[0] == 200
    assert raw("GET", "/v1/balance", None, {})[0] == 401


def test_faults_do_not_reach_the_admin_api(platform, raw, client):
    platform.plan({"fault": "drop_before"})
    assert json.loads(raw("GET", "/_sandbox/clock")[2])["now"]
    with pytest.raises(stripe.APIConnectionError):
        client.v1.balance.retrieve()


def test_the_reference_names_every_fault_option_and_path():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md").read_text()
    for faults in (REQUEST_FAULTS, WEBHOOK_FAULTS):
        for name, options in faults.items():
            assert f"`{name}`" in page
            assert all(f"`{option}`" in page for option in options), name
    for action in ADMIN_PATHS:
        assert f"$S/{action}" in page


def test_the_reference_lists_every_endpoint_that_is_served_and_no_other():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md").read_text()
    stripe_part, _, rest = page.partition("## Wise")
    wise_part = rest.partition("## The books")[0]
    for part, routes in ((stripe_part, ROUTES), (wise_part, WISE_ROUTES)):
        listed = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /v\d[^`]*)`", part)
        served = {f"{route.method} {route.path}" for route in routes}
        assert served - set(listed) == set()
        assert set(listed) - served == set()
