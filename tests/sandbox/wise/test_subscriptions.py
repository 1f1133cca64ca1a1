"""What the local Wise posts: every change of state, signed with its own key."""

import base64
import json
import secrets
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding


class Receiver:
    """An HTTP server that keeps what it is sent."""

    def __init__(self):
        self.received = []
        self.statuses = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((body, dict(self.headers)))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/wise"

    def wait(self, number):
        deadline = time.monotonic() + 5
        while len(self.received) < number:
            assert time.monotonic() < deadline, f"{len(self.received)} of {number} came"
            time.sleep(0.01)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def wise(platform):
    token = f"wise-{secrets.token_hex(8)}"
    made = platform.admin("POST", "/wise/tokens", {"token": token})
    profile = made["profiles"][1]["id"]
    platform.admin("POST", "/wise/fund", {"profile": profile, "amount": 10_000, "currency": "EUR"})
    head = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{platform.url}/wise", headers=head, trust_env=False) as client:
        client.profile = profile
        yield client


@pytest.fixture
def subscribe(wise, receiver):
    def register(**over):
        body = {
            "name": "test",
            "trigger_on": "transfers#state-change",
            "delivery": {"version": "2.0.0", "url": receiver.url},
            **over,
        }
        return wise.post(f"/v3/profiles/{wise.profile}/subscriptions", json=body)

    return register


@pytest.fixture
def pay(wise):
    def send():
        details = {"iban": "DE89370400440532013000"}
        who = {"currency": "EUR", "type": "iban", "accountHolderName": "Ada", "details": details}
        recipient = wise.post("/v1/accounts", json={**who, "profile": wise.profile}).json()
        amount = {"sourceCurrency": "EUR", "targetCurrency": "EUR", "targetAmount": 5}
        quote = wise.post(f"/v3/profiles/{wise.profile}/quotes", json=amount).json()
        body = {
            "targetAccount": recipient["id"],
            "quoteUuid": quote["id"],
            "customerTransactionId": str(uuid.uuid4()),
        }
        made = wise.post("/v1/transfers", json=body).json()
        path = f"/v3/profiles/{wise.profile}/transfers/{made['id']}/payments"
        assert wise.post(path, json={"type": "BALANCE"}).json()["status"] == "COMPLETED"
        return made

    return send


def verify(platform, body, headers):
    pem = platform.admin("GET", "/wise/public-key")["public_key"]
    key = serialization.load_pem_public_key(pem.encode())
    signed = base64.b64decode(headers["X-Signature-SHA256"], validate=True)
    key.verify(signed, body, padding.PKCS1v15(), hashes.SHA256())


def test_changes_of_state_are_posted_and_signed(platform, wise, receiver, subscribe, pay):
    made = subscribe()
    assert made.status_code == 201
    transfer = pay()
    receiver.wait(2)
    for body, headers in receiver.received:
        verify(platform, body, headers)
        with pytest.raises(InvalidSignature):
            verify(platform, body + b" ", headers)
    events = sorted(
        (json.loads(body) for body, _ in receiver.received),
        key=lambda e: e["data"]["previous_state"] or "",
    )
    assert [(e["data"]["previous_state"], e["data"]["current_state"]) for e in events] == [
        (None, "incoming_payment_waiting"),
        ("incoming_payment_waiting", "processing"),
    ]
    first = events[0]
    assert first["data"]["resource"] == {
        "type": "transfer",
        "id": transfer["id"],
        "profile_id": wise.profile,
        "account_id": transfer["targetAccount"],
    }
    assert (first["subscription_id"], first["event_type"], first["schema_version"]) == (
        made.json()["id"],
        "transfers#state-change",
        "2.0.0",
    )
    ids = [headers["X-Delivery-Id"] for _, headers in receiver.received]
    assert len(set(ids)) == 2


def test_a_refused_delivery_comes_again_with_its_id(platform, receiver, subscribe, pay):
    subscribe()
    receiver.statuses = [500, 500]
    pay()
    receiver.wait(4)
    ids = [headers["X-Delivery-Id"] for _, headers in receiver.received]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("fault", ["wrong_secret", "truncated"])
def test_a_spoilt_delivery_fails_its_signature(platform, receiver, subscribe, pay, fault):
    subscribe()
    platform.plan(webhooks=[{"type": "transfers#*", "fault": fault}])
    pay()
    receiver.wait(2)
    for body, headers in receiver.received[:2]:
        with pytest.raises(InvalidSignature):
            verify(platform, body, headers)


def test_lost_doubled_stale_and_test_notifications(platform, receiver, subscribe, pay):
    subscribe()
    platform.plan(webhooks=[{"fault": "lose", "nth": 1}, {"fault": "duplicate", "nth": 1}])
    pay()
    receiver.wait(2)
    states = [json.loads(body)["data"]["current_state"] for body, _ in receiver.received]
    assert states == ["processing", "processing"]
    receiver.received.clear()
    platform.plan(webhooks=[{"fault": "wrong_mode", "nth": 1}])
    pay()
    receiver.wait(2)
    flags = [headers.get("X-Test-Notification") for _, headers in receiver.received]
    assert sorted(flags, key=str) == [None, "true"]


def test_subscriptions_are_read_listed_deleted_and_refused_by_name(wise, receiver, subscribe, pay):
    made = subscribe().json()
    path = f"/v3/profiles/{wise.profile}/subscriptions"
    assert wise.get(path).json() == [made]
    assert wise.get(f"{path}/{made['id']}").json() == made
    for over, field in (
        ({"trigger_on": "balances#credit"}, "trigger_on"),
        ({"delivery": {"version": "1.0.0", "url": receiver.url}}, "delivery.version"),
        ({"delivery": {"version": "2.0.0", "url": "ftp://x"}}, "delivery.url"),
        ({"name": None}, "name"),
    ):
        answer = subscribe(**over)
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, field)
    assert wise.delete(f"{path}/{made['id']}").status_code == 200
    assert wise.get(f"{path}/{made['id']}").status_code == 404
    pay()
    assert receiver.received == []
