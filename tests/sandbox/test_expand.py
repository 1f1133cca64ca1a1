"""`expand`: ids replaced by objects, up to four levels, and only where Stripe can."""

import pytest
import stripe


@pytest.fixture
def transfer(platform, client):
    platform.fund(10_000)
    made = client.v1.transfers.create(
        {"amount": 500, "currency": "usd", "destination": platform.account(client)}
    )
    client.v1.transfers.reversals.create(made.id, {"amount": 100})
    return made


def test_ids_become_objects(client, transfer):
    paths = [
        "balance_transaction",
        "destination",
        "destination_payment.balance_transaction.source.source_transfer",
        "destination_payment.refunds",
    ]
    full = client.v1.transfers.retrieve(transfer.id, {"expand": paths})
    assert full.balance_transaction.id == transfer.balance_transaction
    assert full.destination.id == transfer.destination
    assert full.destination_payment.id == transfer.destination_payment
    line = full.destination_payment.balance_transaction
    assert (line.object, line.net) == ("balance_transaction", 500)
    assert line.source.source_transfer.id == transfer.id
    assert [r.amount for r in full.destination_payment.refunds.data] == [100]


def test_lists_expand_their_data(client, transfer):
    listed = client.v1.transfers.list(
        {"expand": ["data.balance_transaction", "data.reversals.data.destination_payment_refund"]}
    ).data[0]
    assert listed.balance_transaction.amount == -500
    assert listed.reversals.data[0].destination_payment_refund.amount == 100


def test_null_stays_null(client, transfer):
    full = client.v1.transfers.retrieve(transfer.id, {"expand": ["source_transaction"]})
    assert full.source_transaction is None


@pytest.mark.parametrize(
    "path",
    ["amount", "nothing", "destination.individual", "data.destination", "metadata", "a.b.c.d.e"],
)
def test_what_cannot_be_expanded_is_refused(client, transfer, path):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.retrieve(transfer.id, {"expand": [path]})
    assert (caught.value.http_status, caught.value.param) == (400, "expand")


def test_a_list_wants_data_in_front(client, transfer):
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.transfers.list({"expand": ["destination"]})


def test_a_refused_expansion_executes_nothing(platform, client, transfer):
    payee = transfer.destination
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.transfers.create(
            {"amount": 5, "currency": "usd", "destination": payee, "expand": ["nothing"]}
        )
    assert len(client.v1.transfers.list().data) == 1


def test_a_topup_and_its_line_name_each_other(platform, client):
    platform.fund(5000)
    topup = client.v1.topups.list({"expand": ["data.balance_transaction"]}).data[0]
    assert topup.balance_transaction.source == topup.id
    line = client.v1.balance_transactions.retrieve(
        topup.balance_transaction.id, {"expand": ["source"]}
    )
    assert line.source.object == "topup"
