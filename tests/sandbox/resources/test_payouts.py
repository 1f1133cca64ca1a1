"""Payouts of connected accounts: money from their balance to a bank, and what becomes of it."""

import pytest
import stripe

HOUR, DAY = 3600, 24 * 3600


@pytest.fixture
def payee(platform, client):
    """A connected account that holds 10.00 USD."""
    id = platform.account(client)
    platform.fund(1000)
    client.v1.transfers.create({"amount": 1000, "currency": "usd", "destination": id})
    return id


@pytest.fixture
def own(payee):
    return {"stripe_account": payee}


@pytest.fixture
def pay_out(client, own):
    def send(amount=400, **params):
        return client.v1.payouts.create({"amount": amount, "currency": "usd", **params}, own)

    return send


def pass_time(platform, seconds):
    platform.admin("POST", "/clock", {"advance_seconds": seconds})


def held(client, own):
    return client.v1.balance.retrieve({}, own).available[0].amount


def told(client, own, *types):
    wanted = list(types) or ["payout.*"]
    events = client.v1.events.list({"type": wanted[0]}, own).data
    return [event.type for event in reversed(events)]


def banked(platform, payee):
    with platform.books() as books:
        assert books.check() == []
        return books.banked_by_account("usd").get(payee, 0)


def test_a_payout_debits_the_account_at_once_and_arrives_by_the_clock(
    platform, client, payee, own, pay_out
):
    made = pay_out(metadata={"payout": "7"}, statement_descriptor="PAYSPOOL")
    assert (made.status, made.amount, made.type, made.automatic) == (
        "pending",
        400,
        "bank_account",
        False,
    )
    assert made.arrival_date == made.created + 2 * DAY
    assert (held(client, own), banked(platform, payee)) == (600, 0)
    pass_time(platform, HOUR)
    assert client.v1.payouts.retrieve(made.id, {}, own).status == "in_transit"
    assert banked(platform, payee) == 0
    pass_time(platform, 2 * DAY)
    paid = client.v1.payouts.retrieve(made.id, {}, own)
    assert (paid.status, paid.trace_id.status) == ("paid", "supported")
    assert (held(client, own), banked(platform, payee)) == (600, 400)
    assert told(client, own) == ["payout.created", "payout.updated", "payout.paid"]
    event = client.v1.events.list({"type": "payout.paid"}, own).data[0]
    assert (event.account, event.data.object.id, event.request.id) == (payee, made.id, None)
    line = client.v1.balance_transactions.list({"source": made.id}, own).data[0]
    assert (line.type, line.amount, line.reporting_category) == ("payout", -400, "payout")


def test_all_steps_are_taken_when_the_clock_jumps_over_them(platform, client, own, pay_out):
    made = [pay_out(100) for _ in range(3)]
    pass_time(platform, 30 * DAY)
    assert {client.v1.payouts.retrieve(p.id, {}, own).status for p in made} == {"paid"}
    assert {p.status for p in client.v1.payouts.list({}, own).data} == {"paid"}


@pytest.mark.parametrize(
    ("after", "steps"),
    [
        ("in_transit", ["payout.created", "payout.updated", "payout.failed"]),
        ("paid", ["payout.created", "payout.updated", "payout.paid", "payout.failed"]),
    ],
)
def test_a_plan_makes_a_payout_fail_in_transit_or_after_it_was_paid(
    platform, client, payee, own, pay_out, after, steps
):
    plan = {"path": "/v1/payouts", "fault": "payout_fails", "code": "account_closed"}
    platform.plan({**plan, "after": after, "times": 1})
    made, other = pay_out(), pay_out(100)
    pass_time(platform, 2 * DAY)
    if after == "paid":
        assert client.v1.payouts.retrieve(made.id, {}, own).status == "paid"
        assert banked(platform, payee) == 500
        pass_time(platform, 3 * DAY)
    failed = client.v1.payouts.retrieve(made.id, {}, own)
    assert (failed.status, failed.failure_code) == ("failed", "account_closed")
    back = client.v1.balance_transactions.retrieve(failed.failure_balance_transaction, {}, own)
    assert (back.type, back.amount) == ("payout_failure", 400)
    assert (held(client, own), banked(platform, payee)) == (900, 100)
    assert client.v1.payouts.retrieve(other.id, {}, own).status == "paid"
    mine = [
        e.type
        for e in reversed(client.v1.events.list({"type": "payout.*"}, own).data)
        if e.data.object.id == made.id
    ]
    assert mine == steps


def test_the_operator_moves_a_payout_on_and_never_back(platform, client, payee, own, pay_out):
    made = pay_out()

    def move(status, **rest):
        return platform.admin("POST", f"/payouts/{made.id}", {"status": status, **rest})

    assert move("in_transit")["status"] == "in_transit"
    assert move("paid")["status"] == "paid"
    assert banked(platform, payee) == 400
    assert "not in_transit" in move("in_transit")["error"]["message"]
    assert "not bad_luck" in move("failed", failure_code="bad_luck")["error"]["message"]
    assert move("failed", failure_code="no_account")["failure_code"] == "no_account"
    assert "nothing may follow" in move("paid")["error"]["message"]
    assert (held(client, own), banked(platform, payee)) == (1000, 0)
    assert (
        "po_nothing"
        in platform.admin("POST", "/payouts/po_nothing", {"status": "paid"})["error"]["message"]
    )


def test_a_pending_payout_is_canceled_and_no_other(platform, client, payee, own, pay_out):
    made = pay_out()
    canceled = client.v1.payouts.cancel(made.id, {}, own)
    assert (canceled.status, held(client, own)) == ("canceled", 1000)
    pass_time(platform, 10 * DAY)
    assert client.v1.payouts.retrieve(made.id, {}, own).status == "canceled"
    assert told(client, own) == ["payout.created", "payout.canceled"]
    late = pay_out()
    pass_time(platform, HOUR)
    for id in (made.id, late.id):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.payouts.cancel(id, {}, own)
    assert banked(platform, payee) == 0


def test_a_paid_payout_is_reversed_once_and_comes_back_when_it_arrives(
    platform, client, payee, own, pay_out
):
    made = pay_out()
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payouts.reverse(made.id, {}, own)
    pass_time(platform, 2 * DAY)
    back = client.v1.payouts.reverse(made.id, {"metadata": {"why": "wrong payee"}}, own)
    assert (back.amount, back.original_payout, back.status) == (-400, made.id, "pending")
    assert client.v1.payouts.retrieve(made.id, {}, own).reversed_by == back.id
    assert (held(client, own), banked(platform, payee)) == (600, 0)
    for id in (made.id, back.id):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.payouts.reverse(id, {}, own)
    assert "error" in platform.admin("POST", f"/payouts/{made.id}", {"status": "failed"})
    pass_time(platform, 2 * DAY)
    assert client.v1.payouts.retrieve(back.id, {}, own).status == "paid"
    assert (held(client, own), banked(platform, payee)) == (1000, 0)


def test_a_payout_over_the_balance_is_refused_and_changes_nothing(client, own, pay_out):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay_out(1001)
    assert (caught.value.code, caught.value.http_status) == ("balance_insufficient", 400)
    assert held(client, own) == 1000
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay_out(1, source_type="bank_account")
    assert caught.value.code == "balance_insufficient"


def test_a_restricted_account_may_not_pay_out_until_it_is_active(platform, client, payee, pay_out):
    platform.admin("POST", f"/accounts/{payee}", {"state": "restricted"})
    assert client.v1.accounts.retrieve(payee).payouts_enabled is False
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay_out()
    assert (caught.value.code, caught.value.http_status) == ("payouts_not_allowed", 400)
    platform.admin("POST", f"/accounts/{payee}", {"state": "active"})
    assert pay_out().status == "pending"


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("account_deauthorized", stripe.PermissionError, "account_invalid"),
        ("account_restricted", stripe.InvalidRequestError, "payouts_not_allowed"),
        ("balance_dry", stripe.InvalidRequestError, "balance_insufficient"),
    ],
)
def test_the_world_changes_just_before_a_payout(platform, pay_out, payee, fault, error, code):
    platform.plan({"path": "/v1/payouts", "fault": fault, "nth": 1})
    with pytest.raises(error) as caught:
        pay_out()
    assert caught.value.error.code == code
    assert banked(platform, payee) == 0


def test_a_payout_needs_a_bank_account_in_its_currency(platform, client, payee, own):
    platform.fund(500, "eur")
    client.v1.transfers.create({"amount": 500, "currency": "eur", "destination": payee})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payouts.create({"amount": 100, "currency": "eur"}, own)
    assert "external account in that currency" in str(caught.value)
    usd = client.v1.accounts.retrieve(payee).external_accounts.data[0]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payouts.create({"amount": 9, "currency": "eur", "destination": usd.id}, own)
    assert caught.value.param == "destination"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payouts.create({"amount": 9, "currency": "usd", "destination": "ba_1"}, own)
    assert caught.value.code == "resource_missing"
    bank = {"object": "bank_account", "country": "DE", "account_number": "DE89370400440532013000"}
    iban = client.v1.accounts.external_accounts.create(payee, {"external_account": bank})
    made = client.v1.payouts.create(
        {"amount": 100, "currency": "eur", "expand": ["destination"]}, own
    )
    assert (made.destination.id, made.destination.last4) == (iban.id, "3000")


def test_instant_payouts_and_amounts_that_no_bank_takes_are_refused(client, own, pay_out):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay_out(method="instant")
    assert caught.value.code == "instant_payouts_unsupported"
    for currency in ("huf", "twd"):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.payouts.create({"amount": 150, "currency": currency}, own)
        assert (caught.value.param, "100" in str(caught.value)) == ("amount", True)


def test_payouts_are_listed_and_filtered_for_their_account_alone(
    platform, client, payee, own, pay_out
):
    made = [pay_out(amount) for amount in (10, 20, 30)]
    client.v1.payouts.cancel(made[2].id, {}, own)
    changed = client.v1.payouts.update(made[0].id, {"metadata": {"note": "a"}}, own)
    assert changed.metadata["note"] == "a"

    def found(**params):
        return [p.amount for p in client.v1.payouts.list(params, own).data]

    assert found() == [30, 20, 10]
    assert found(status="canceled") == [30]
    assert found(limit=1, starting_after=made[1].id) == [10]
    assert found(arrival_date={"gt": made[0].arrival_date + DAY}) == []
    assert found(created={"gte": made[0].created}) == [30, 20, 10]
    assert found(destination=made[0].destination) == [30, 20, 10]
    assert client.v1.payouts.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payouts.retrieve(made[0].id)
    assert caught.value.http_status == 404
    line = client.v1.balance_transactions.list({"type": "payout", "expand": ["data.source"]}, own)
    assert line.data[0].source.object == "payout"


def test_one_key_is_another_key_for_each_connected_account(platform, client, payee):
    other = platform.account(client)
    platform.fund(500)
    client.v1.transfers.create({"amount": 500, "currency": "usd", "destination": other})
    params = {"amount": 50, "currency": "usd"}
    made = [
        client.v1.payouts.create(params, {"stripe_account": a, "idempotency_key": "payspool/1"})
        for a in (payee, other, payee)
    ]
    assert made[0].id == made[2].id != made[1].id
    assert made[2].last_response.headers["Idempotent-Replayed"] == "true"
    assert len({m.id for m in made}) == 2


def test_the_platform_pays_out_to_its_own_bank(platform, client):
    platform.fund(500)
    made = client.v1.payouts.create({"amount": 200, "currency": "usd"})
    pass_time(platform, 3 * DAY)
    assert client.v1.payouts.retrieve(made.id).status == "paid"
    assert client.v1.balance.retrieve().available[0].amount == 300
    event = client.v1.events.list({"type": "payout.paid"}).data[0]
    assert "account" not in event.to_dict()
