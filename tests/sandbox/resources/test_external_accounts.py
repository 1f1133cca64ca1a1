"""Bank accounts of connected accounts, as far as payouts need them."""

import pytest
import stripe

DAY = 24 * 3600
IBAN = {"object": "bank_account", "country": "DE", "account_number": "DE89370400440532013000"}


def test_an_onboarded_account_has_the_test_bank_and_a_custom_one_brings_its_own(platform, client):
    express = client.v1.accounts.retrieve(platform.account(client))
    bank = express.external_accounts.data[0]
    assert (bank.last4, bank.currency, bank.default_for_currency) == ("6789", "usd", True)
    custom = {"type": "custom", "capabilities": {"transfers": {"requested": True}}}
    bare = client.v1.accounts.create(custom)
    assert (bare.payouts_enabled, bare.requirements.currently_due) == (False, ["external_account"])
    brought = client.v1.accounts.create({**custom, "external_account": IBAN, "country": "DE"})
    assert (brought.payouts_enabled, brought.requirements.currently_due) == (True, [])
    assert brought.external_accounts.data[0].last4 == "3000"


def test_an_account_restricted_at_first_gets_its_bank_by_onboarding(platform, client):
    id = platform.account(client, metadata={"sandbox": "restricted"})
    assert client.v1.accounts.retrieve(id).external_accounts.total_count == 0
    platform.admin("POST", f"/accounts/{id}", {"state": "active"})
    assert client.v1.accounts.retrieve(id).payouts_enabled is True


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("btok_us_verified", None),
        ("btok_us_verified_noAccount", "no_account"),
        ("btok_us_verified_accountClosed", "account_closed"),
    ],
)
def test_test_tokens_decide_what_becomes_of_payouts(platform, client, token, code):
    id = platform.account(client)
    platform.fund(100)
    client.v1.transfers.create({"amount": 100, "currency": "usd", "destination": id})
    client.v1.accounts.update(id, {"external_account": token})
    assert client.v1.accounts.retrieve(id).external_accounts.total_count == 1
    own = {"stripe_account": id}
    made = client.v1.payouts.create({"amount": 100, "currency": "usd"}, own)
    platform.admin("POST", "/clock", {"advance_seconds": 2 * DAY})
    after = client.v1.payouts.retrieve(made.id, {}, own)
    assert (after.status, after.failure_code) == ("failed" if code else "paid", code)


def test_bank_accounts_are_added_changed_listed_and_removed(platform, client):
    id, banks = platform.account(client), client.v1.accounts.external_accounts
    first = banks.list(id).data[0]
    params = {"external_account": "btok_us", "metadata": {"a": "1"}, "default_for_currency": True}
    second = banks.create(id, params)
    assert (second.default_for_currency, second.metadata["a"]) == (True, "1")
    assert banks.retrieve(id, first.id).default_for_currency is False
    assert [b.id for b in banks.list(id).data] == [second.id, first.id]
    assert banks.list(id, {"object": "card"}).data == []
    with pytest.raises(stripe.InvalidRequestError):
        banks.delete(id, second.id)
    changed = banks.update(id, first.id, {"default_for_currency": True, "metadata": {"b": "2"}})
    assert (changed.default_for_currency, changed.metadata["b"]) == (True, "2")
    assert banks.delete(id, second.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError) as caught:
        banks.retrieve(id, second.id)
    assert caught.value.http_status == 404
    told = [e.type for e in client.v1.events.list({}, {"stripe_account": id}).data]
    assert told[:3] == [
        "account.external_account.deleted",
        "account.external_account.updated",
        "account.external_account.created",
    ]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ("btok_unknown", "external_account", "resource_missing"),
        ({"object": "bank_account"}, "external_account[country]", "parameter_missing"),
        (
            {"object": "bank_account", "country": "US", "account_number": "000123456789"},
            "external_account[routing_number]",
            "routing_number_invalid",
        ),
        (
            {"object": "card", "number": "4000056655665556"},
            "external_account[number]",
            "sandbox_unsupported",
        ),
        ({"object": "card"}, "external_account[object]", "sandbox_unsupported"),
        ({**IBAN, "account_number": "x"}, "external_account[account_number]", None),
    ],
)
def test_what_is_no_bank_account_is_refused_by_name(platform, client, given, param, code):
    id = platform.account(client)
    for ask in (
        lambda: client.v1.accounts.external_accounts.create(id, {"external_account": given}),
        lambda: client.v1.accounts.create({"type": "custom", "external_account": given}),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            ask()
        assert caught.value.param == param
        assert code is None or caught.value.code == code


def test_bank_numbers_are_not_kept(platform, client, process):
    number = "DE02120300000000202051"
    client.v1.accounts.create({"external_account": {**IBAN, "account_number": number}})
    files = [path.read_bytes() for path in process.data.iterdir()]
    assert not any(number.encode() in content for content in files)
