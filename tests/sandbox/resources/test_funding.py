"""Money into the platform's balance: top-ups and charges, and the lines that they leave."""

import pytest
import stripe

DAY = 24 * 3600


def balance(client, bucket="available"):
    return {b.currency: b.amount for b in client.v1.balance.retrieve()[bucket]}


def statuses(client):
    return [t.status for t in client.v1.topups.list().data]


def test_a_topup_is_pending_until_the_bank_has_paid_and_tells_it(platform, client):
    made = client.v1.topups.create(
        {"amount": 5000, "currency": "eur", "description": "June", "metadata": {"a": "1"}}
    )
    assert (made.status, made.amount, made.description) == ("pending", 5000, "June")
    assert (made.balance_transaction, balance(client)) == (None, {"usd": 0})
    assert made.expected_availability_date == made.created + DAY
    platform.admin("POST", "/clock", {"advance_seconds": DAY})
    paid = client.v1.topups.retrieve(made.id)
    assert paid.status == "succeeded"
    assert client.v1.balance_transactions.retrieve(paid.balance_transaction).amount == 5000
    assert balance(client) == {"eur": 5000}
    types = [e.type for e in client.v1.events.list().data]
    assert types == ["balance.available", "topup.succeeded", "topup.created"]
    told = client.v1.events.list({"type": "balance.available"}).data[0].data.object
    assert told.available[0].amount == 5000


@pytest.mark.parametrize("how", ["token", "plan", "admin"])
def test_a_topup_fails_by_its_token_a_plan_or_the_operator(platform, client, how):
    params = {"amount": 5000, "currency": "usd"}
    if how == "token":
        params["source"] = "btok_us_verified_insufficientFunds"
    if how == "plan":
        platform.plan({"path": "/v1/topups", "fault": "topup_fails", "code": "account_closed"})
    made = client.v1.topups.create(params)
    if how == "admin":
        platform.admin("POST", f"/topups/{made.id}", {"status": "failed"})
    else:
        platform.admin("POST", "/clock", {"advance_seconds": DAY})
    failed = client.v1.topups.retrieve(made.id)
    assert (failed.status, failed.balance_transaction) == ("failed", None)
    assert failed.failure_code == ("account_closed" if how == "plan" else "insufficient_funds")
    assert failed.failure_message
    assert balance(client) == {"usd": 0}
    assert [e.type for e in client.v1.events.list().data] == ["topup.failed", "topup.created"]
    with platform.books() as books:
        assert books.check() == []


def test_a_topup_is_canceled_while_it_is_pending(platform, client):
    made = [client.v1.topups.create({"amount": n, "currency": "usd"}) for n in (100, 200)]
    assert client.v1.topups.cancel(made[0].id).status == "canceled"
    platform.admin("POST", "/clock", {"advance_seconds": DAY})
    assert statuses(client) == ["succeeded", "canceled"]
    for topup in made:
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.topups.cancel(topup.id)
    answer = platform.admin("POST", f"/topups/{made[0].id}", {"status": "succeeded"})
    assert "canceled" in answer["error"]["message"]
    assert balance(client) == {"usd": 200}


def test_an_unknown_source_of_a_topup_is_refused_by_name(client):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.topups.create({"amount": 500, "currency": "usd", "source": "src_1"})
    assert (caught.value.code, caught.value.param) == ("resource_missing", "source")


def test_topups_are_read_listed_and_changed(client):
    made = [client.v1.topups.create({"amount": n, "currency": "usd"}) for n in (100, 200, 300)]
    assert client.v1.topups.retrieve(made[0].id).to_dict() == made[0].to_dict()

    def found(**params):
        return [t.amount for t in client.v1.topups.list(params).data]

    assert found() == [300, 200, 100]
    assert found(amount={"gte": 200}) == [300, 200]
    assert found(amount=200) == [200]
    assert found(status="failed") == []
    changed = client.v1.topups.update(made[0].id, {"description": "late", "metadata": {"b": "2"}})
    assert (changed.description, changed.metadata.to_dict()) == ("late", {"b": "2"})


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (49, "amount_too_small"),
        (0, "parameter_invalid_integer"),
        (100_000_000, "amount_too_large"),
    ],
)
def test_a_topup_has_bounds(client, amount, code):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.topups.create({"amount": amount, "currency": "usd"})
    assert (caught.value.code, caught.value.param) == (code, "amount")


def test_a_charge_is_pending_for_two_days_of_the_sandboxs_clock(platform, client):
    charge = client.v1.charges.create({"amount": 900, "currency": "usd", "source": "tok_visa"})
    assert (charge.status, charge.paid, charge.captured) == ("succeeded", True, True)
    assert (balance(client), balance(client, "pending")) == ({"usd": 0}, {"usd": 900})
    line = client.v1.balance_transactions.retrieve(charge.balance_transaction)
    assert (line.status, line.available_on - line.created) == ("pending", 2 * DAY)
    platform.admin("POST", "/clock", {"advance_seconds": 2 * DAY})
    assert (balance(client), balance(client, "pending")) == ({"usd": 900}, {"usd": 0})
    settled = client.v1.balance_transactions.retrieve(charge.balance_transaction)
    assert settled.status == "available"
    types = [e.type for e in client.v1.events.list().data]
    assert types == ["balance.available", "charge.succeeded"]
    with platform.books() as books:
        assert books.check() == []


def test_test_tokens_decide_what_becomes_of_a_charge(client):
    at_once = {"amount": 900, "currency": "usd", "source": "tok_bypassPending"}
    client.v1.charges.create(at_once)
    assert balance(client) == {"usd": 900}
    with pytest.raises(stripe.CardError) as caught:
        client.v1.charges.create({**at_once, "source": "tok_chargeDeclined"})
    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        client.v1.charges.create({**at_once, "source": "tok_unheard_of"})
    assert unknown.value.param == "source"
    assert balance(client) == {"usd": 900}


def test_charges_are_read_listed_and_changed(client):
    params = {"amount": 900, "currency": "usd", "source": "tok_visa"}
    one = client.v1.charges.create({**params, "transfer_group": "order"})
    two = client.v1.charges.create(params)
    assert client.v1.charges.retrieve(one.id).to_dict() == one.to_dict()
    assert [c.id for c in client.v1.charges.list().data] == [two.id, one.id]
    assert [c.id for c in client.v1.charges.list({"transfer_group": "order"}).data] == [one.id]
    changed = client.v1.charges.update(two.id, {"transfer_group": "late", "description": "d"})
    assert (changed.transfer_group, changed.description) == ("late", "d")
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.charges.update(one.id, {"transfer_group": "other"})


def test_balance_transactions_are_filtered(platform, client):
    platform.fund(5000, "usd")
    platform.fund(6000, "eur")
    charge = client.v1.charges.create({"amount": 900, "currency": "usd", "source": "tok_visa"})

    def found(**params):
        return [t.amount for t in client.v1.balance_transactions.list(params).data]

    assert found() == [900, 6000, 5000]
    assert found(currency="eur") == [6000]
    assert found(type="topup") == [6000, 5000]
    assert found(source=charge.id) == [900]
    assert found(payout="po_any") == []
    assert found(created={"lt": charge.created - 60}) == []
    assert found(created={"gte": charge.created - 60}) == found()


def test_a_line_of_another_account_is_not_seen(platform, client):
    platform.fund(5000)
    payee = platform.account(client)
    made = client.v1.transfers.create({"amount": 5, "currency": "usd", "destination": payee})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.balance_transactions.retrieve(
            made.balance_transaction, {}, {"stripe_account": payee}
        )
    assert caught.value.http_status == 404


def test_connected_accounts_are_not_topped_up(platform, client):
    payee = platform.account(client)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.topups.create({"amount": 500, "currency": "usd"}, {"stripe_account": payee})


def test_a_charge_costs_what_the_operator_says_and_the_rest_is_pending(platform, client):
    platform.admin("POST", "/fees", {"key": platform.key, "basis_points": 290, "fixed": 30})
    charge = client.v1.charges.create({"amount": 1000, "currency": "usd", "source": "tok_visa"})
    line = client.v1.balance_transactions.retrieve(charge.balance_transaction)
    assert (line.amount, line.fee, line.net) == (1000, 59, 941)
    assert [(d.amount, d.type) for d in line.fee_details] == [(59, "stripe_fee")]
    assert balance(client, "pending") == {"usd": 941}
    payee = platform.account(client)
    move = {"currency": "usd", "destination": payee, "source_transaction": charge.id}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create({**move, "amount": 942})
    assert caught.value.code == "balance_insufficient"
    assert client.v1.transfers.create({**move, "amount": 900}).amount == 900
    platform.admin("POST", "/clock", {"advance_seconds": 2 * DAY})
    assert balance(client) == {"usd": 41}
    small = client.v1.charges.create(
        {"amount": 50, "currency": "usd", "source": "tok_bypassPending"}
    )
    assert client.v1.balance_transactions.retrieve(small.balance_transaction).fee == 31
    platform.admin("POST", "/fees", {"key": platform.key})
    free = client.v1.charges.create(
        {"amount": 50, "currency": "usd", "source": "tok_bypassPending"}
    )
    assert client.v1.balance_transactions.retrieve(free.balance_transaction).fee == 0
    with platform.books() as books:
        assert books.check() == []
