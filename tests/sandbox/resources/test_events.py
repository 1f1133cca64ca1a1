"""Events and webhook endpoints as objects of the API."""

import pytest
import stripe

DAY = 24 * 3600


def test_an_event_says_which_request_caused_it(client):
    made = client.v1.topups.create({"amount": 500, "currency": "usd"}, {"idempotency_key": "k"})
    event = client.v1.events.list({"type": "topup.created"}).data[0]
    assert event.request.id == made.last_response.headers["Request-Id"]
    assert event.request.idempotency_key == "k"
    assert event.data.object.to_dict() == made.to_dict()
    assert client.v1.events.retrieve(event.id).to_dict() == event.to_dict()


def test_events_are_filtered(platform, client):
    platform.fund(500)

    def found(**params):
        return [e.type for e in client.v1.events.list(params).data]

    everything = ["balance.available", "topup.succeeded", "topup.created"]
    assert found() == everything
    assert found(type="topup.*") == everything[1:]
    assert found(type="topup.created") == ["topup.created"]
    assert found(types=["topup.created", "balance.available"]) == [
        "balance.available",
        "topup.created",
    ]
    assert found(type="topup") == []
    now = platform.admin("GET", "/clock")["now"]
    assert found(created={"gte": now - 60}) == everything
    assert found(created={"lt": now - 60}) == []
    with pytest.raises(stripe.InvalidRequestError):
        found(type="topup.*", types=["topup.created"])


def test_events_are_kept_for_thirty_days(platform, client):
    platform.fund(500)
    event = client.v1.events.list({"type": "topup.created"}).data[0].id
    platform.admin("POST", "/clock", {"advance_seconds": 30 * DAY - 60})
    assert client.v1.events.retrieve(event).id == event
    platform.admin("POST", "/clock", {"advance_seconds": 60})
    assert client.v1.events.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.events.retrieve(event)
    assert caught.value.http_status == 404


def test_a_refused_request_causes_no_event(platform, client):
    payee = platform.account(client)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.transfers.create({"amount": 5, "currency": "usd", "destination": payee})
    assert client.v1.events.list().data == []


def test_an_endpoint_shows_its_secret_once(client):
    made = client.v1.webhook_endpoints.create(
        {
            "url": "https://shop.example/hook",
            "enabled_events": ["transfer.created", "account.updated"],
            "connect": True,
            "description": "ours",
            "metadata": {"a": "1"},
        }
    )
    assert made.secret.startswith("whsec_")
    held = client.v1.webhook_endpoints.retrieve(made.id)
    assert "secret" not in held.to_dict()
    assert held.to_dict() == {k: v for k, v in made.to_dict().items() if k != "secret"}
    assert held.enabled_events == ["transfer.created", "account.updated"]
    changed = client.v1.webhook_endpoints.update(
        made.id, {"disabled": True, "url": "https://shop.example/new", "description": ""}
    )
    assert (changed.status, changed.url, changed.description) == (
        "disabled",
        "https://shop.example/new",
        None,
    )
    assert [e.id for e in client.v1.webhook_endpoints.list().data] == [made.id]
    gone = client.v1.webhook_endpoints.delete(made.id)
    assert gone.to_dict() == {"id": made.id, "object": "webhook_endpoint", "deleted": True}
    assert client.v1.webhook_endpoints.list().data == []


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"url": "shop.example", "enabled_events": ["*"]}, "url"),
        ({"url": "https://shop.example"}, "enabled_events"),
        ({"enabled_events": ["*"]}, "url"),
        ({"url": "https://shop.example", "enabled_events": ["Nonsense"]}, "enabled_events[0]"),
    ],
)
def test_an_endpoint_that_cannot_be_reached_is_refused(client, params, name):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.webhook_endpoints.create(params)
    assert caught.value.param == name
