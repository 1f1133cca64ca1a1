"""Connected accounts, their capabilities and their onboarding."""

import urllib.error
import urllib.request

import pytest
import stripe


def capabilities(account):
    return account.capabilities.to_dict()


def test_a_requested_capability_is_active_at_once(client):
    made = client.v1.accounts.create(
        {"type": "express", "country": "DE", "capabilities": {"transfers": {"requested": True}}}
    )
    assert capabilities(made) == {"transfers": "active"}
    assert (made.payouts_enabled, made.charges_enabled, made.details_submitted) == (
        True,
        False,
        True,
    )
    assert made.requirements.disabled_reason is None
    assert (made.country, made.default_currency, made.type) == ("DE", "eur", "express")


def test_an_account_can_start_restricted(client):
    made = client.v1.accounts.create(
        {
            "type": "express",
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {"sandbox": "restricted"},
        }
    )
    assert capabilities(made) == {"transfers": "inactive"}
    assert made.payouts_enabled is False
    due = ["individual.verification.document", "external_account"]
    assert made.requirements.currently_due == due


@pytest.mark.parametrize(
    ("params", "type", "dashboard", "payer"),
    [
        ({}, "standard", "full", "account"),
        ({"type": "custom"}, "custom", "none", "application_custom"),
        ({"type": "express"}, "express", "express", "application_express"),
        (
            {"controller": {"stripe_dashboard": {"type": "express"}}},
            "express",
            "express",
            "application_express",
        ),
        (
            {"controller": {"stripe_dashboard": {"type": "none"}, "fees": {"payer": "account"}}},
            "custom",
            "none",
            "account",
        ),
    ],
)
def test_type_and_controller_say_the_same(client, params, type, dashboard, payer):
    made = client.v1.accounts.create(params)
    assert made.type == type
    assert made.controller.stripe_dashboard.type == dashboard
    assert made.controller.fees.payer == payer


def test_type_and_controller_are_not_sent_together(client):
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.accounts.create(
            {"type": "express", "controller": {}, "country": "DE"}
            | {"controller": {"losses": {"payments": "stripe"}}}
        )


def test_personal_data_is_refused_by_name_with_the_reason(client):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.accounts.create({"individual": {"first_name": "Ada"}})
    assert (caught.value.code, caught.value.param) == ("sandbox_unsupported", "individual")
    assert "personal data" in str(caught.value)


def test_an_update_changes_field_by_field_and_tells_what_was(platform, client):
    made = client.v1.accounts.create(
        {"business_profile": {"name": "Shop", "mcc": "5734"}, "metadata": {"a": "1"}}
    )
    after = client.v1.accounts.update(
        made.id,
        {
            "email": "shop@example.com",
            "business_profile": {"name": "Better shop"},
            "settings": {"payouts": {"schedule": {"interval": "manual", "delay_days": 7}}},
            "metadata": {"b": "2"},
        },
    )
    assert (after.business_profile.name, after.business_profile.mcc) == ("Better shop", "5734")
    assert after.settings.payouts.schedule.to_dict() == {"delay_days": 7, "interval": "manual"}
    assert after.metadata.to_dict() == {"a": "1", "b": "2"}
    assert client.v1.accounts.retrieve(made.id).to_dict() == after.to_dict()
    event = client.v1.events.list({}, {"stripe_account": made.id}).data[0]
    assert (event.type, event.account) == ("account.updated", made.id)
    previous = event.data.previous_attributes.to_dict()
    assert previous["business_profile"] == {"name": "Shop"}
    assert previous["email"] is None


def test_capabilities_are_requested_and_released(client):
    made = client.v1.accounts.create({"type": "express"})
    one = client.v1.accounts.capabilities.update(made.id, "transfers", {"requested": True})
    assert (one.id, one.account, one.requested, one.status) == (
        "transfers",
        made.id,
        True,
        "active",
    )
    assert client.v1.accounts.capabilities.retrieve(made.id, "transfers").status == "active"
    assert [c.id for c in client.v1.accounts.capabilities.list(made.id).data] == ["transfers"]
    gone = client.v1.accounts.update(made.id, {"capabilities": {"transfers": {"requested": False}}})
    assert capabilities(gone) == {}
    released = client.v1.accounts.capabilities.retrieve(made.id, "transfers")
    assert (released.status, released.requested_at) == ("unrequested", None)
    types = [e.type for e in client.v1.events.list({}, {"stripe_account": made.id}).data]
    assert types.count("capability.updated") == 2
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.accounts.capabilities.retrieve(made.id, "levitation")
    assert caught.value.http_status == 404


def test_accounts_are_listed_newest_first_without_the_platform(platform, client):
    ids = [client.v1.accounts.create().id for _ in range(3)]
    assert [a.id for a in client.v1.accounts.list().data] == ids[::-1]
    assert client.v1.accounts.retrieve_current().id == platform.id


def test_an_account_without_money_is_deleted_and_no_longer_seen(platform, client):
    made = platform.account(client)
    assert client.v1.accounts.delete(made).to_dict() == {
        "id": made,
        "object": "account",
        "deleted": True,
    }
    for attempt in (
        lambda: client.v1.accounts.retrieve(made),
        lambda: client.v1.transfers.create({"amount": 1, "currency": "usd", "destination": made}),
    ):
        with pytest.raises(stripe.PermissionError) as caught:
            attempt()
        assert caught.value.error.code == "account_invalid"


def test_an_account_with_money_is_not_deleted(platform, client):
    platform.fund(1000)
    made = platform.account(client)
    client.v1.transfers.create({"amount": 100, "currency": "usd", "destination": made})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.accounts.delete(made)
    assert client.v1.accounts.retrieve(made).id == made


class Stay(urllib.request.HTTPRedirectHandler):
    """Answer a redirect instead of following it."""

    def redirect_request(self, *arguments):
        return None


def visit(url):
    try:
        with urllib.request.build_opener(Stay).open(url, timeout=10) as answer:
            return answer.status, None
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers["Location"]


def test_an_onboarding_link_makes_a_restricted_account_active_once(platform, client):
    made = platform.account(client, metadata={"sandbox": "restricted"})
    link = client.v1.account_links.create(
        {
            "account": made,
            "type": "account_onboarding",
            "return_url": "https://shop.example/back?a=1",
            "refresh_url": "https://shop.example/again",
        }
    )
    assert link.expires_at == link.created + 300
    assert link.url.startswith(platform.url)
    assert visit(link.url) == (303, "https://shop.example/back?a=1")
    assert capabilities(client.v1.accounts.retrieve(made)) == {"transfers": "active"}
    assert visit(link.url) == (303, "https://shop.example/again")
    types = [e.type for e in client.v1.events.list({}, {"stripe_account": made}).data]
    assert types[:2] == ["account.updated", "capability.updated"]


def test_an_onboarding_link_grows_old(platform, client):
    made = platform.account(client, metadata={"sandbox": "restricted"})
    link = client.v1.account_links.create({"account": made, "type": "account_onboarding"})
    platform.admin("POST", "/clock", {"advance_seconds": 300})
    assert visit(link.url) == (200, None)
    assert capabilities(client.v1.accounts.retrieve(made)) == {"transfers": "inactive"}


def test_a_restricted_account_says_what_it_is_asked_for(platform, client):
    payee = platform.account(client)
    due = ["external_account", "individual.dob.day"]
    platform.admin("POST", f"/accounts/{payee}", {"state": "restricted", "currently_due": due})
    held = client.v1.accounts.retrieve(payee)
    assert held.requirements.currently_due == due
    assert (held.requirements.disabled_reason, held.payouts_enabled) == (
        "requirements.past_due",
        False,
    )
    told = client.v1.events.list({"type": "account.updated"}, {"stripe_account": payee}).data[0]
    assert told.data.object.requirements.currently_due == due
    assert told.data.previous_attributes["requirements"]["currently_due"] == []
    platform.admin("POST", f"/accounts/{payee}", {"state": "active"})
    assert client.v1.accounts.retrieve(payee).requirements.currently_due == []
    wrong = platform.admin(
        "POST", f"/accounts/{payee}", {"state": "restricted", "currently_due": 1}
    )
    assert wrong["status"] == 400


@pytest.mark.parametrize("status", ["inactive", "pending"])
def test_a_capability_can_have_a_status_of_its_own(platform, client, status):
    payee = platform.account(client)
    platform.fund(500)
    path = f"/accounts/{payee}/capabilities/transfers"
    assert platform.admin("POST", path, {"status": status})["status"] == status
    assert client.v1.accounts.retrieve(payee).capabilities.transfers == status
    params = {"amount": 5, "currency": "usd", "destination": payee}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create(params)
    assert caught.value.code == "insufficient_capabilities_for_transfer"
    types = [e.type for e in client.v1.events.list({}, {"stripe_account": payee}).data]
    assert types[:2] == ["account.updated", "capability.updated"]
    platform.admin("POST", path, {"status": "active"})
    assert client.v1.transfers.create(params).amount == 5
    for wrong in ({"status": "gone"}, {}):
        assert platform.admin("POST", path, wrong)["status"] == 400
    never = f"/accounts/{payee}/capabilities/card_payments"
    assert "cannot be" in platform.admin("POST", never, {"status": "active"})["error"]["message"]


def test_an_account_is_deauthorized_in_the_middle_and_its_money_stays_in_the_books(
    platform, client
):
    payee = platform.account(client)
    platform.fund(500)
    client.v1.transfers.create({"amount": 300, "currency": "usd", "destination": payee})
    own = {"stripe_account": payee}
    paid = client.v1.payouts.create({"amount": 100, "currency": "usd"}, own)
    platform.admin("POST", f"/accounts/{payee}", {"state": "deauthorized"})
    with pytest.raises(stripe.PermissionError):
        client.v1.payouts.retrieve(paid.id, {}, own)
    platform.admin("POST", "/clock", {"advance_seconds": 3 * 24 * 3600})
    with platform.books() as books:
        assert books.check() == []
        assert [p.status for p in books.payouts(payee)] == ["paid"]
        assert books.balance(payee)["usd"].available == 200
