"""The server as a process: starting, dying, starting again, ending."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import stripe

from sandbox.books import Books
from sandbox.server import running, serve
from sandbox.start import Options
from sandbox.store import BooksOfAnotherVersion, Store


class Payer:
    """Pays one key after the other until the server is gone; then says which were answered."""

    def __init__(self, client, payee, round):
        self.client = client
        self.payee = payee
        self.round = round
        self.answered = {}
        self.under_way = threading.Event()
        self.thread = threading.Thread(target=self.pay_all)

    def pay(self, key):
        params = {"amount": 100, "currency": "usd", "destination": self.payee}
        params["metadata"] = {"key": key}
        return self.client.v1.transfers.create(params, {"idempotency_key": key}).id

    def pay_all(self):
        for n in range(5000):
            if n == 30:
                self.under_way.set()
            try:
                self.answered[self.key(n)] = self.pay(self.key(n))
            except stripe.APIConnectionError:
                return

    def key(self, n):
        return f"{self.round}-{n}"


@pytest.mark.parametrize("round", range(3))
def test_what_was_answered_survives_kill_9_and_no_key_pays_twice(own_process, own_platform, round):
    own_platform.fund(90_000_000)
    client = own_platform.connect()
    payer = Payer(client, own_platform.account(client), round)
    payer.thread.start()
    assert payer.under_way.wait(10)
    time.sleep(random.Random(round).random() * 0.02)
    assert own_process.stop(signal.SIGKILL) == -signal.SIGKILL
    payer.thread.join(10)
    with Books(own_process.data) as books:
        assert books.check() == []
        before = books.transfers_by_metadata("key")
    assert {key: [id] for key, id in payer.answered.items()}.items() <= {
        key: [t.id for t in made] for key, made in before.items()
    }.items()
    unanswered = payer.key(len(payer.answered))
    assert set(before) - set(payer.answered) <= {unanswered}

    own_process.start()
    again = {key: payer.pay(key) for key in [*list(payer.answered)[-20:], unanswered]}
    with Books(own_process.data) as books:
        after = books.transfers_by_metadata("key")
        assert books.check() == []
    assert all(len(made) == 1 for made in after.values())
    assert all(after[key][0].id == id for key, id in again.items())


def test_a_restart_keeps_everything(own_process, own_platform):
    client = own_platform.connect()
    own_platform.fund(5000, "eur")
    payee = own_platform.account(client)
    made = client.v1.transfers.create(
        {"amount": 700, "currency": "eur", "destination": payee}, {"idempotency_key": "k"}
    )
    own_platform.admin("POST", "/clock", {"advance_seconds": 5000})
    now = own_platform.admin("GET", "/clock")["now"]
    events = [e.id for e in client.v1.events.list().data]
    assert own_process.stop() == 0
    own_process.start()
    assert client.v1.transfers.retrieve(made.id).to_dict() == made.to_dict()
    replay = client.v1.transfers.create(
        {"amount": 700, "currency": "eur", "destination": payee}, {"idempotency_key": "k"}
    )
    assert replay.id == made.id
    assert [e.id for e in client.v1.events.list().data] == events
    assert client.v1.balance.retrieve().available[0].amount == 4300
    assert 0 <= own_platform.admin("GET", "/clock")["now"] - now < 60


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_two_seconds(own_process, own_platform, signum):
    own_platform.fund(5000)
    started = time.monotonic()
    assert own_process.stop(signum) == 0
    assert time.monotonic() - started < 2
    assert f"listening on {own_process.url}, books in" in own_process.log()


def test_a_signal_does_not_wait_for_a_request_under_way(own_process, own_platform):
    own_platform.plan({"fault": "slow", "ms": 60_000})
    request = urllib.request.Request(
        f"{own_process.url}/v1/balance", headers={"Authorization": "Bearer sk_test_sandbox"}
    )

    def wait_for_ever():
        with pytest.raises((urllib.error.URLError, ConnectionError, http.client.HTTPException)):
            urllib.request.urlopen(request, timeout=20)

    waiting = threading.Thread(target=wait_for_ever)
    waiting.start()
    own_platform.wait_until_injected()
    started = time.monotonic()
    assert own_process.stop() == 0
    assert time.monotonic() - started < 5, "one second of grace, and what a busy machine adds"
    waiting.join(10)


def test_it_starts_with_less_than_a_second_and_a_half_of_cpu(own_process, own_platform):
    assert own_process.running is not None
    fields = Path(f"/proc/{own_process.running.pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    assert ticks / os.sysconf("SC_CLK_TCK") < 1.5


def test_it_imports_no_framework_and_nothing_of_the_project():
    heavy = "fastapi starlette pydantic stripe httpx requests sqlalchemy"
    ours = "payspool domain queues workers web payspool_client"
    probe = (
        "import sys, json, sandbox.server, sandbox.books;"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", probe], cwd=Path.cwd()))
    assert set(f"{heavy} {ours}".split()) & set(loaded) == set()


def test_a_taken_port_is_said_plainly(own_process, own_platform, tmp_path):
    command = [sys.executable, "-m", "sandbox", "--data", str(tmp_path / "other")]
    done = subprocess.run(
        [*command, "--port", str(own_process.port)], capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert b"in use" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_live_key_is_not_accepted_at_the_start(tmp_path):
    command = [sys.executable, "-m", "sandbox", "--data", str(tmp_path / "data")]
    done = subprocess.run(
        [*command, "--key", "sk_live_1234"], capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert b"sk_test_" in done.stderr
    assert b"sk_live_1234" not in done.stderr


def test_books_of_another_version_are_left_alone(tmp_path):
    store = Store(tmp_path)
    store.set_meta("schema", "0")
    store.close()
    with pytest.raises(BooksOfAnotherVersion):
        serve(tmp_path)


def test_it_serves_from_a_thread_too(tmp_path):
    with running(tmp_path, Options(keys=("sk_test_thread",))) as url:
        request = urllib.request.Request(
            f"{url}/v1/balance", headers={"Authorization": "Bearer sk_test_thread"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["object"] == "balance"
    with Books(tmp_path) as books:
        assert books.check() == []


def test_an_answer_does_not_wait_for_an_acknowledgement(platform, client):
    """Without TCP_NODELAY each answer would take the 40 ms of a delayed acknowledgement."""
    taken = []
    for _ in range(15):
        started = time.monotonic()
        client.v1.topups.create({"amount": 100, "currency": "usd"})
        taken.append(time.monotonic() - started)
    assert sorted(taken)[7] < 0.03
