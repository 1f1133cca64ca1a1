"""kill -9 in the middle: what was answered stays, what was done is replayed, nothing is done twice."""

import json
import secrets
import signal
import threading
import urllib.request
import uuid

import pytest
import stripe

DAY = 24 * 3600


class Payer:
    """Makes one payout after the other until the server is gone; keeps what was answered."""

    def __init__(self, client, payee):
        self.client = client
        self.own = {"stripe_account": payee}
        self.answered = {}
        self.tried = []
        self.under_way = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def pay(self, key):
        params = {"amount": 10, "currency": "usd", "metadata": {"key": key}}
        return self.client.v1.payouts.create(params, {**self.own, "idempotency_key": key})

    def run(self):
        for n in range(5000):
            key = f"payout/{n}"
            self.tried.append(key)
            if n == 40:
                self.under_way.set()
            try:
                self.answered[key] = self.pay(key).id
            except stripe.APIConnectionError:
                return


@pytest.mark.parametrize("round", range(2))
def test_answered_payouts_survive_and_unanswered_ones_are_done_once(
    own_process, own_platform, round
):
    client = own_platform.connect()
    payee = own_platform.account(client)
    own_platform.fund(100_000)
    client.v1.transfers.create({"amount": 100_000, "currency": "usd", "destination": payee})
    payer = Payer(client, payee)
    assert payer.under_way.wait(20)
    own_process.stop(signal.SIGKILL)
    payer.thread.join(20)
    own_process.start()
    payer.client = own_platform.connect()
    for key in payer.tried:
        made = payer.pay(key)
        assert payer.answered.get(key, made.id) == made.id
    with own_platform.books() as books:
        assert books.check() == []
        keys = [payout.metadata["key"] for payout in books.payouts(payee)]
    assert sorted(keys) == sorted(set(payer.tried))


def test_a_drop_after_the_commit_and_a_kill_leave_a_call_that_replays(own_process, own_platform):
    client = own_platform.connect()
    payee = own_platform.account(client)
    own_platform.fund(1000)
    client.v1.transfers.create({"amount": 1000, "currency": "usd", "destination": payee})
    own_platform.plan({"path": "/v1/payouts", "fault": "drop_after", "nth": 1})
    options = {"stripe_account": payee, "idempotency_key": "once"}
    params = {"amount": 400, "currency": "usd"}
    with pytest.raises(stripe.APIConnectionError):
        client.v1.payouts.create(params, options)
    own_process.stop(signal.SIGKILL)
    own_process.start()
    again = own_platform.connect().v1.payouts.create(params, options)
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with own_platform.books() as books:
        assert [p.id for p in books.payouts(payee)] == [again.id]
        assert books.check() == []


def test_steps_of_the_clock_that_a_kill_interrupts_are_each_taken_once(own_process, own_platform):
    client = own_platform.connect()
    payee = own_platform.account(client)
    own = {"stripe_account": payee}
    own_platform.fund(10_000)
    client.v1.transfers.create({"amount": 10_000, "currency": "usd", "destination": payee})
    for _ in range(60):
        client.v1.payouts.create({"amount": 10, "currency": "usd"}, own)
    started = threading.Event()

    def move_on():
        body = json.dumps({"advance_seconds": 30 * DAY}).encode()
        request = urllib.request.Request(f"{own_platform.url}/_sandbox/clock", body)
        started.set()
        try:
            urllib.request.urlopen(request, timeout=20).close()
        except OSError:
            return

    moving = threading.Thread(target=move_on)
    moving.start()
    assert started.wait(5)
    own_process.stop(signal.SIGKILL)
    moving.join(20)
    own_process.start()
    own_platform.admin("POST", "/clock", {"advance_seconds": 30 * DAY})
    with own_platform.books() as books:
        assert books.check() == []
        assert books.banked_by_account("usd") == {payee: 600}
    paid = own_platform.connect().v1.events.list({"type": "payout.paid", "limit": 100}, own).data
    assert len({event.data.object.id for event in paid}) == len(paid)


def test_wise_transfers_survive_and_their_keys_are_good_for_one(own_process, own_platform):
    token = f"wise-{secrets.token_hex(8)}"
    made = own_platform.admin("POST", "/wise/tokens", {"token": token})
    profile = made["profiles"][1]["id"]
    body = {"profile": profile, "amount": 10_000, "currency": "EUR"}
    own_platform.admin("POST", "/wise/fund", body)

    def ask(path, body):
        head = {"Authorization": f"Bearer {token}"}
        address = f"{own_platform.url}/wise{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), head)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    details = {"iban": "DE89370400440532013000"}
    who = {"currency": "EUR", "type": "iban", "accountHolderName": "Ada", "details": details}
    recipient = ask("/v1/accounts", {**who, "profile": profile})["id"]
    amount = {"sourceCurrency": "EUR", "targetCurrency": "EUR", "targetAmount": 5}
    quote = ask(f"/v3/profiles/{profile}/quotes", amount)["id"]
    key = {"targetAccount": recipient, "quoteUuid": quote}
    key["customerTransactionId"] = str(uuid.uuid4())
    first = ask("/v1/transfers", key)
    pay = f"/v3/profiles/{profile}/transfers/{first['id']}/payments"
    own_platform.plan({"path": "/wise/v3/*", "fault": "drop_after", "nth": 1})
    with pytest.raises(OSError, match=r"closed|reset|without"):
        ask(pay, {"type": "BALANCE"})
    own_process.stop(signal.SIGKILL)
    own_process.start()
    assert ask("/v1/transfers", key)["id"] == first["id"]
    assert ask(pay, {"type": "BALANCE"})["errorCode"] == "transfer.already_funded"
    own_platform.admin("POST", "/clock", {"advance_seconds": DAY})
    with own_platform.books() as books:
        assert books.check() == []
        assert books.wise_received("EUR") == {recipient: 500}
