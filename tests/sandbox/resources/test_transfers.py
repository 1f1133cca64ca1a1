"""Transfers over the real SDK: what is paid, what is refused, what is found again."""

import pytest
import stripe


@pytest.fixture
def payee(platform, client):
    platform.fund(100_000)
    return platform.account(client)


def transfer(client, destination, amount=1000, options=None, **params):
    return client.v1.transfers.create(
        {"amount": amount, "currency": "usd", "destination": destination, **params}, options or {}
    )


def refusal(client, destination, **params):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        transfer(client, destination, **params)
    return caught.value


def test_a_transfer_moves_the_amount_from_the_platform_to_the_destination(platform, client, payee):
    made = transfer(client, payee, transfer_group="june", metadata={"payout": "p1"})
    assert (made.object, made.amount, made.currency, made.destination) == (
        "transfer",
        1000,
        "usd",
        payee,
    )
    assert made.livemode is False
    assert client.v1.balance.retrieve().available[0].amount == 99_000
    theirs = client.v1.balance.retrieve({}, {"stripe_account": payee})
    assert theirs.available[0].amount == 1000
    with platform.books() as books:
        paid = books.transfers_by_metadata("payout")["p1"]
        assert [(t.id, t.net, t.destination) for t in paid] == [(made.id, 1000, payee)]
        assert books.check() == []


def test_each_side_has_its_balance_transaction(client, payee):
    made = transfer(client, payee, description="June")
    ours = client.v1.balance_transactions.list({"source": made.id}).data
    assert [(t.id, t.amount, t.net, t.type, t.description) for t in ours] == [
        (made.balance_transaction, -1000, -1000, "transfer", "June")
    ]
    theirs = client.v1.balance_transactions.list(
        {"source": made.destination_payment}, {"stripe_account": payee}
    ).data
    assert [(t.amount, t.type, t.reporting_category) for t in theirs] == [
        (1000, "payment", "charge")
    ]


def test_a_transfer_is_read_back_as_it_was_answered(client, payee):
    made = transfer(client, payee, transfer_group="g", metadata={"a": "b"})
    assert client.v1.transfers.retrieve(made.id).to_dict() == made.to_dict()


def test_only_metadata_and_description_change_and_an_event_tells(client, payee):
    made = transfer(client, payee, metadata={"a": "1", "b": "2"})
    changed = client.v1.transfers.update(
        made.id, {"metadata": {"a": "", "c": "3"}, "description": "late"}
    )
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    assert changed.description == "late"
    told = client.v1.events.list({"type": "transfer.updated"}).data[0]
    assert told.data.previous_attributes.to_dict() == {
        "description": None,
        "metadata": {"a": "1", "c": None},
    }
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.update(made.id, {"amount": 1})
    assert (caught.value.code, caught.value.param) == ("parameter_unknown", "amount")
    assert client.v1.transfers.update(made.id, {"metadata": ""}).metadata.to_dict() == {}


def test_transfers_are_found_by_group_destination_and_date(platform, client, payee):
    other = platform.account(client)
    first = transfer(client, payee, transfer_group="g1")
    second = transfer(client, other, transfer_group="g1")
    third = transfer(client, payee, transfer_group="g2")

    def found(**params):
        return [t.id for t in client.v1.transfers.list(params).data]

    assert found() == [third.id, second.id, first.id]
    assert found(transfer_group="g1") == [second.id, first.id]
    assert found(destination=payee) == [third.id, first.id]
    assert found(destination=payee, transfer_group="g1") == [first.id]
    assert found(created={"gte": first.created, "lte": third.created}) == found()
    assert found(created={"gt": third.created}) == []
    assert found(created=third.created + 1) == []


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (0, "parameter_invalid_integer"),
        (-5, "parameter_invalid_integer"),
        ("ten", "parameter_invalid_integer"),
        ("1.5", "parameter_invalid_integer"),
        (10**13, "amount_too_large"),
    ],
)
def test_an_amount_that_is_no_positive_integer_is_refused(client, payee, amount, code):
    error = refusal(client, payee, amount=amount)
    assert (error.http_status, error.code, error.param) == (400, code, "amount")


def test_required_parameters_are_asked_for_by_name(client, payee):
    for params, name in (
        ({"currency": "usd", "destination": payee}, "amount"),
        ({"amount": 1, "destination": payee}, "currency"),
        ({"amount": 1, "currency": "usd"}, "destination"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.transfers.create(params)
        assert (caught.value.code, caught.value.param) == ("parameter_missing", name)


def test_unknown_parameters_are_refused_by_name(client, payee):
    error = refusal(client, payee, id="tr_of_my_own")
    assert (error.code, error.param) == ("parameter_unknown", "id")


def test_currencies_are_checked_and_their_steps_kept(platform, client, payee):
    assert refusal(client, payee, currency="zzz").param == "currency"
    assert refusal(client, payee, currency="kwd", amount=15).param == "amount"
    platform.fund(1000, "kwd")
    assert transfer(client, payee, currency="KWD", amount=20).currency == "kwd"


def test_metadata_is_limited_as_stripe_limits_it(client, payee):
    fits = {f"{'k' * 37}{n:03}": "v" * 500 for n in range(50)}
    assert len(transfer(client, payee, metadata=fits).metadata.to_dict()) == 50
    for metadata in ({**fits, "one more": "v"}, {"k" * 41: "v"}, {"k": "v" * 501}):
        assert refusal(client, payee, metadata=metadata).param.startswith("metadata")


def test_more_than_the_balance_is_refused_and_nothing_moves(platform, client, payee):
    error = refusal(client, payee, amount=100_001)
    assert (error.http_status, error.code) == (400, "balance_insufficient")
    assert client.v1.transfers.list().data == []
    assert client.v1.balance.retrieve().available[0].amount == 100_000


def test_a_balance_in_one_currency_pays_nothing_in_another(client, payee):
    assert refusal(client, payee, currency="eur").code == "balance_insufficient"


def test_funds_of_another_source_type_are_not_there(client, payee):
    assert refusal(client, payee, source_type="bank_account").code == "balance_insufficient"
    assert transfer(client, payee, source_type="card").source_type == "card"


def test_an_unknown_destination_is_a_missing_resource(client, payee):
    error = refusal(client, "acct_unknown")
    assert (error.http_status, error.code, error.param) == (400, "resource_missing", "destination")


def test_another_platforms_account_cannot_be_paid(platform, client, payee):
    key = f"{platform.key}_other"
    platform.admin("POST", "/keys", {"key": key})
    strange = platform.account(platform.connect(key))
    assert refusal(client, strange).code == "resource_missing"


def test_a_destination_without_an_active_capability_cannot_be_paid(platform, client, payee):
    bare = client.v1.accounts.create({"type": "express"}).id
    restricted = platform.account(client, metadata={"sandbox": "restricted"})
    for destination in (bare, restricted):
        error = refusal(client, destination)
        assert (error.http_status, error.code) == (400, "insufficient_capabilities_for_transfer")


def test_a_closed_destination_is_an_invalid_account(platform, client, payee):
    platform.admin("POST", f"/accounts/{payee}", {"state": "closed"})
    with pytest.raises(stripe.PermissionError) as caught:
        transfer(client, payee)
    assert (caught.value.http_status, caught.value.error.code) == (403, "account_invalid")


def test_a_deauthorized_destination_is_no_longer_there(platform, client, payee):
    platform.admin("POST", f"/accounts/{payee}", {"state": "deauthorized"})
    assert refusal(client, payee).code == "resource_missing"


def test_a_restricted_platform_may_not_transfer(platform, client, payee):
    platform.admin("POST", f"/accounts/{platform.id}", {"state": "restricted"})
    assert refusal(client, payee).code == "transfers_not_allowed"


def test_a_charge_that_is_still_pending_can_be_passed_on(platform, client, payee):
    charge = client.v1.charges.create(
        {"amount": 5000, "currency": "eur", "source": "tok_visa", "transfer_group": "order"}
    )
    made = transfer(client, payee, amount=2000, currency="eur", source_transaction=charge.id)
    assert (made.source_transaction, made.transfer_group) == (charge.id, "order")
    line = client.v1.balance_transactions.retrieve(made.balance_transaction)
    assert line.status == "pending"
    pending = client.v1.balance.retrieve().pending
    assert [p.amount for p in pending if p.currency == "eur"] == [3000]
    rest = client.v1.transfers.create(
        {"currency": "eur", "destination": payee, "source_transaction": charge.id}
    )
    assert rest.amount == 3000
    error = refusal(client, payee, amount=1, currency="eur", source_transaction=charge.id)
    assert error.code == "balance_insufficient"
    with platform.books() as books:
        assert books.check() == []


def test_a_missing_transfer_is_a_404(client):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.retrieve("tr_unknown")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert caught.value.param == "transfer"
