"""The books read from disk: while the server runs, after it died, and when they are wrong."""

import json
import random
import signal
import sqlite3
import urllib.request
import uuid

import pytest
import stripe

from sandbox.books import Books, NoBooks
from sandbox.store import FILE_NAME, Store


@pytest.fixture(scope="module")
def paid(start_sandbox, tmp_path_factory):
    """A sandbox that has paid two people, and took a part back from one of them."""
    process, own_platform = start_sandbox(tmp_path_factory.mktemp("paid"))
    client = own_platform.connect()
    own_platform.fund(10_000)
    own_platform.fund(3_000, "eur")
    one, two = (own_platform.account(client) for _ in range(2))
    for destination, amount, currency, group in (
        (one, 500, "usd", "run-1"),
        (two, 700, "usd", "run-1"),
        (one, 900, "eur", "run-2"),
        (one, 50, "usd", None),
    ):
        made = client.v1.transfers.create(
            {
                "amount": amount,
                "currency": currency,
                "destination": destination,
                "metadata": {"payout": f"p{amount}"},
                **({"transfer_group": group} if group else {}),
            }
        )
        if amount == 700:
            client.v1.transfers.reversals.create(made.id, {"amount": 200})
    client.v1.charges.create({"amount": 4000, "currency": "eur", "source": "tok_visa"})
    for end in ("paid", "failed", "pending"):
        params = {"amount": 50, "currency": "usd"}
        options = {"stripe_account": one, "idempotency_key": end}
        made = client.v1.payouts.create(params, options)
        if end != "pending":
            own_platform.admin("POST", f"/payouts/{made.id}", {"status": end})
    _pay_by_wise(process.url)
    yield process.data, own_platform.id, one, two
    process.stop()


def _pay_by_wise(url):
    def ask(method, path, body=None):
        head = {"Authorization": "Bearer wise-sandbox-token"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{url}/wise{path}", data, head, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    profile = ask("GET", "/v2/profiles")[0]["id"]
    body = json.dumps({"profile": profile, "amount": 5000, "currency": "GBP"}).encode()
    urllib.request.urlopen(f"{url}/_sandbox/wise/fund", body, timeout=10).close()
    numbers = {"sortCode": "231470", "accountNumber": "28821822"}
    who = {"currency": "GBP", "type": "sort_code", "accountHolderName": "Ada", "details": numbers}
    amount = {"sourceCurrency": "GBP", "targetCurrency": "GBP", "targetAmount": 10}
    made = ask(
        "POST",
        "/v1/transfers",
        {
            "targetAccount": ask("POST", "/v1/accounts", {**who, "profile": profile})["id"],
            "quoteUuid": ask("POST", f"/v3/profiles/{profile}/quotes", amount)["id"],
            "customerTransactionId": str(uuid.uuid4()),
        },
    )
    ask("POST", f"/v3/profiles/{profile}/transfers/{made['id']}/payments", {"type": "BALANCE"})
    for status in ("funds_converted", "outgoing_payment_sent"):
        ask("GET", f"/v1/simulation/transfers/{made['id']}/{status}")


def test_they_answer_what_was_paid_while_the_server_runs(paid):
    data, platform, one, two = paid
    with Books(data) as books:
        assert books.paid_by_destination("usd") == {one: 550, two: 500}
        assert books.paid_by_destination("eur") == {one: 900}
        assert books.paid_by_destination("chf") == {}
        assert books.net_by_transfer_group() == {("run-1", "usd"): 1000, ("run-2", "eur"): 900}
        assert [t.amount for t in books.transfers()] == [500, 700, 900, 50]
        assert [t.net for t in books.transfers(platform)] == [500, 500, 900, 50]
        assert books.transfers("acct_other") == []
        assert list(books.transfers_by_metadata("payout")) == ["p500", "p700", "p900", "p50"]
        assert books.platforms() == [platform]
        usd, eur = books.balance()["usd"], books.balance()["eur"]
        assert (usd.available, usd.pending) == (10_000 - 1050, 0)
        assert (eur.available, eur.pending) == (2_100, 4_000)
        assert books.balance(two)["usd"].available == 500
        assert books.balance(one)["usd"].available == 450
        assert books.banked_by_account("usd") == {one: 50}
        assert books.banked_by_account("eur") == {}
        assert [(p.amount, p.status) for p in books.payouts(one)] == [
            (50, "paid"),
            (50, "failed"),
            (50, "pending"),
        ]
        assert books.payouts(two) == []
        assert list(books.wise_received("GBP").values()) == [1000]
        assert books.wise_received("USD") == {}
        assert books.check() == []


def test_they_are_read_after_the_server_was_killed_and_from_the_file_itself(
    own_process, own_platform
):
    own_platform.fund(500)
    own_process.stop(signal.SIGKILL)
    assert (own_process.data / f"{FILE_NAME}-wal").stat().st_size > 0
    with Books(own_process.data / FILE_NAME) as books:
        assert books.balance()["usd"].available == 500
        assert books.check() == []


def test_a_reader_cannot_write(paid):
    with Books(paid[0]) as books, pytest.raises(sqlite3.OperationalError, match="readonly"):
        books._db.execute("DELETE FROM transfers")


def test_books_that_are_not_there_are_not_made(tmp_path):
    with pytest.raises(NoBooks):
        Books(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_postings_are_never_changed(tmp_path):
    store = Store(tmp_path)
    store.insert(
        "postings",
        debit="world:bank",
        credit="acct:available",
        amount=1,
        currency="usd",
        kind="topup",
        source="tu",
        created=1,
    )
    for sql in ("UPDATE postings SET amount = 2", "DELETE FROM postings"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            store.run(sql)
    store.close()


FORGERIES = {
    "all balances in usd": "UPDATE balances SET amount = amount + 1 WHERE ledger = 'world:bank'",
    "its postings say": "UPDATE balances SET amount = amount + 7 WHERE ledger LIKE 'acct%'",
    "its balance transactions say": "UPDATE balance_transactions SET net = net + 1 WHERE seq = 1",
    "postings of its amount, not one": "UPDATE transfers SET amount = amount + 1 WHERE seq = 1",
    "which is no transfer": "DELETE FROM transfers WHERE seq = 1",
    "reversal trr": "UPDATE reversals SET amount = amount + 1",
    "its reversals say": "UPDATE transfers SET amount_reversed = 1 WHERE seq = 1",
    "which does not exist": "DELETE FROM transfers WHERE seq = 4",
    "payout po": "UPDATE payouts SET amount = amount + 1 WHERE status = 'paid'",
    "arrived 1, failed 0": "UPDATE payouts SET status = 'in_transit' WHERE status = 'paid'",
    "arrived 0, failed 1": "UPDATE payouts SET status = 'paid' WHERE status = 'failed'",
    "arrived 0, failed 0": "UPDATE payouts SET status = 'canceled' WHERE status = 'pending'",
    "which is no payout": "DELETE FROM payouts WHERE status = 'paid'",
    "answers with payout": "DELETE FROM payouts WHERE status = 'pending'",
    "top-up tu": "UPDATE topups SET status = 'failed' WHERE seq = 1",
    "Wise transfer": "UPDATE wise_quotes SET target_amount = target_amount + 1",
    "received 1000": "UPDATE wise_transfers SET stage = 7, status = 'funds_refunded'",
    "is overdrawn": "UPDATE balances SET amount = -1 WHERE ledger LIKE 'acct%:available'",
    "belongs to an account that is no platform": (
        "UPDATE accounts SET platform = (SELECT max(id) FROM accounts WHERE platform IS NOT NULL) "
        "WHERE id = (SELECT min(id) FROM accounts WHERE platform IS NOT NULL)"
    ),
    "has 0 postings": (
        "INSERT INTO transfers SELECT 99, 'tr_forged', account, destination, amount, 0, currency, "
        "description, metadata, transfer_group, source_transaction, source_type, "
        "destination_payment, balance_transaction, created FROM transfers WHERE seq = 1"
    ),
}


@pytest.fixture
def forgery(paid, tmp_path):
    """A copy of the books that may be spoilt."""
    genuine, copy = (sqlite3.connect(path / FILE_NAME) for path in (paid[0], tmp_path))
    genuine.backup(copy)
    genuine.close()
    yield copy
    copy.close()


@pytest.mark.parametrize("violation", FORGERIES)
def test_a_forged_line_is_found(forgery, tmp_path, violation):
    with Books(tmp_path) as books:
        assert books.check() == []
    with forgery:
        forgery.execute(FORGERIES[violation])
    with Books(tmp_path) as books:
        found = books.check()
    assert any(violation in line for line in found), found


def test_they_agree_with_a_simple_model_after_many_random_moves(platform, client):
    """An independent model: what each account should hold, kept in a dictionary."""
    draws = random.Random(11)
    currencies = ("usd", "eur", "jpy")
    payees = [platform.account(client) for _ in range(4)]
    held = {(who, c): 0 for who in ("platform", *payees) for c in currencies}
    transfers: list[tuple[str, str, str, int]] = []
    for _ in range(150):
        move, currency = draws.choice(("fund", "pay", "pay", "reverse")), draws.choice(currencies)
        amount = draws.randrange(50, 2000)
        if move == "fund":
            platform.fund(amount, currency)
            held["platform", currency] += amount
        elif move == "pay":
            payee = draws.choice(payees)
            params = {"amount": amount, "currency": currency, "destination": payee}
            if amount > held["platform", currency]:
                with pytest.raises(stripe.InvalidRequestError):
                    client.v1.transfers.create(params)
                continue
            transfers.append((client.v1.transfers.create(params).id, payee, currency, amount))
            held["platform", currency] -= amount
            held[payee, currency] += amount
        elif transfers:
            id, payee, currency, left = transfers.pop(draws.randrange(len(transfers)))
            part = draws.randint(1, left)
            client.v1.transfers.reversals.create(id, {"amount": part})
            held["platform", currency] += part
            held[payee, currency] -= part
            if part < left:
                transfers.append((id, payee, currency, left - part))
    with platform.books() as books:
        assert books.check() == []
        for (who, currency), amount in held.items():
            account = platform.id if who == "platform" else who
            balance = books.balance(account).get(currency)
            assert (balance.available if balance else 0) == amount
        for currency in currencies:
            paid = books.paid_by_destination(currency)
            for payee in payees:
                assert paid.get(payee, 0) == held[payee, currency]


def test_the_books_are_their_owners_alone(tmp_path) -> None:
    (tmp_path / FILE_NAME).touch(0o644)
    for _ in range(2):
        store = Store(tmp_path)
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        store.close()
        assert len(modes) == 3, "the file, its log and its index"
        assert set(modes.values()) == {0o600}


class Model:
    """What each account and each bank should hold in USD, kept in dictionaries."""

    def __init__(self, platform, client):
        self.platform = platform
        self.client = client
        self.payees = [platform.account(client) for _ in range(3)]
        self.held = dict.fromkeys((platform.id, *self.payees), 0)
        self.banked = dict.fromkeys(self.payees, 0)
        self.payouts = {}

    def own(self, payee):
        return {"stripe_account": payee}

    def fund(self, draws):
        amount = draws.randrange(100, 3000)
        self.platform.fund(amount)
        self.held[self.platform.id] += amount

    def transfer(self, draws):
        payee = draws.choice(self.payees)
        amount = min(draws.randrange(1, 900), self.held[self.platform.id])
        if amount:
            params = {"amount": amount, "currency": "usd", "destination": payee}
            self.client.v1.transfers.create(params)
            self.held[self.platform.id] -= amount
            self.held[payee] += amount

    def pay_out(self, draws):
        payee = draws.choice(self.payees)
        amount = draws.randrange(1, 300)
        params = {"amount": amount, "currency": "usd"}
        if amount > self.held[payee]:
            with pytest.raises(stripe.InvalidRequestError):
                self.client.v1.payouts.create(params, self.own(payee))
            return
        made = self.client.v1.payouts.create(params, self.own(payee))
        self.payouts[made.id] = [payee, amount, "pending"]
        self.held[payee] -= amount

    def move(self, draws):
        if not self.payouts:
            return
        id = draws.choice(list(self.payouts))
        payee, amount, status = self.payouts[id]
        wanted = draws.choice(("in_transit", "paid", "failed"))
        allowed = {
            "pending": ("in_transit", "paid", "failed"),
            "in_transit": ("paid", "failed"),
            "paid": ("failed",),
        }
        answer = self.platform.admin("POST", f"/payouts/{id}", {"status": wanted})
        if wanted not in allowed.get(status, ()):
            assert "error" in answer
            return
        self.payouts[id][2] = wanted
        if wanted == "paid":
            self.banked[payee] += amount
        if wanted == "failed":
            self.held[payee] += amount
            self.banked[payee] -= amount if status == "paid" else 0

    def cancel(self, draws):
        pending = [id for id, (_, _, status) in self.payouts.items() if status == "pending"]
        if pending:
            id = draws.choice(pending)
            payee, amount, _ = self.payouts[id]
            self.client.v1.payouts.cancel(id, {}, self.own(payee))
            self.payouts[id][2] = "canceled"
            self.held[payee] += amount

    def compare(self):
        with self.platform.books() as books:
            assert books.check() == []
            for account, amount in self.held.items():
                balance = books.balance(account).get("usd")
                assert (balance.available if balance else 0) == amount
            banked = books.banked_by_account("usd")
            assert {p: banked.get(p, 0) for p in self.payees} == self.banked
            for payee in self.payees:
                shown = {p.id: p.status for p in books.payouts(payee)}
                held = {i: s for i, (p, _, s) in self.payouts.items() if p == payee}
                assert shown == held


@pytest.mark.parametrize("seed", [3, 11])
def test_they_agree_with_a_simple_model_of_payouts_too(platform, client, seed):
    draws, model = random.Random(seed), Model(platform, client)
    moves = (model.fund, model.transfer, model.pay_out, model.pay_out, model.move, model.cancel)
    for _ in range(120):
        draws.choice(moves)(draws)
    model.compare()
