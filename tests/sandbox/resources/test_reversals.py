"""Reversals: partial, repeated, whole, and never more than the whole."""

import pytest
import stripe


@pytest.fixture
def transfer(platform, client):
    platform.fund(10_000)
    payee = platform.account(client)
    return client.v1.transfers.create({"amount": 1000, "currency": "usd", "destination": payee})


def reverse(client, transfer, **params):
    return client.v1.transfers.reversals.create(transfer.id, params)


def test_parts_are_taken_back_until_nothing_is_left(platform, client, transfer):
    first = reverse(client, transfer, amount=300, metadata={"why": "late"})
    second = reverse(client, transfer, amount=300)
    held = client.v1.transfers.retrieve(transfer.id)
    assert (held.amount_reversed, held.reversed) == (600, False)
    assert [r.id for r in held.reversals.data] == [second.id, first.id]
    rest = reverse(client, transfer)
    assert rest.amount == 400
    held = client.v1.transfers.retrieve(transfer.id)
    assert (held.amount, held.amount_reversed, held.reversed) == (1000, 1000, True)
    assert client.v1.balance.retrieve().available[0].amount == 10_000
    with platform.books() as books:
        assert books.transfers()[-1].net == 0
        assert books.check() == []


def test_more_than_is_left_is_refused(client, transfer):
    reverse(client, transfer, amount=900)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        reverse(client, transfer, amount=101)
    assert caught.value.param == "amount"
    reverse(client, transfer, amount=100)
    with pytest.raises(stripe.InvalidRequestError):
        reverse(client, transfer)


def test_what_the_destination_no_longer_has_is_not_taken(platform, client, transfer):
    platform.admin(
        "POST",
        "/drain",
        {"platform": platform.id, "account": transfer.destination, "currency": "usd"},
    )
    with pytest.raises(stripe.InvalidRequestError) as caught:
        reverse(client, transfer, amount=1)
    assert caught.value.code == "balance_insufficient"


def test_both_sides_show_it(client, transfer):
    made = reverse(client, transfer, amount=300)
    line = client.v1.balance_transactions.retrieve(made.balance_transaction)
    assert (line.amount, line.type, line.source) == (300, "transfer_refund", made.id)
    on_behalf = {"stripe_account": transfer.destination}
    payment = client.v1.charges.retrieve(transfer.destination_payment, {}, on_behalf)
    assert (payment.amount_refunded, payment.refunded) == (300, False)
    theirs = client.v1.balance_transactions.list({"type": "payment_refund"}, on_behalf).data
    assert [(t.amount, t.source) for t in theirs] == [(-300, made.destination_payment_refund)]


def test_they_are_read_listed_and_given_metadata(client, transfer):
    made = [reverse(client, transfer, amount=n) for n in (1, 2, 3)]
    v1 = client.v1.transfers.reversals
    assert [r.id for r in v1.list(transfer.id).data] == [r.id for r in made[::-1]]
    assert v1.retrieve(transfer.id, made[0].id).to_dict() == made[0].to_dict()
    changed = v1.update(transfer.id, made[0].id, {"metadata": {"a": "1"}})
    assert changed.metadata.to_dict() == {"a": "1"}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        v1.retrieve(transfer.id, "trr_unknown")
    assert caught.value.http_status == 404


def test_a_reversal_is_told_with_the_transfer_as_it_is(client, transfer):
    reverse(client, transfer, amount=300)
    event = client.v1.events.list({"type": "transfer.reversed"}).data[0]
    assert (event.data.object.id, event.data.object.amount_reversed) == (transfer.id, 300)


def test_a_reversal_obeys_its_idempotency_key(client, transfer):
    for _ in range(2):
        made = client.v1.transfers.reversals.create(
            transfer.id, {"amount": 300}, {"idempotency_key": "back"}
        )
        assert made.amount == 300
    assert client.v1.transfers.retrieve(transfer.id).amount_reversed == 300


def test_there_is_no_application_fee_to_refund(client, transfer):
    assert reverse(client, transfer, amount=1, refund_application_fee=False).amount == 1
    with pytest.raises(stripe.InvalidRequestError):
        reverse(client, transfer, amount=1, refund_application_fee=True)
