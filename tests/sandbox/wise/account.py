"""A caller of the sandbox's Wise, with a profile and a balance."""

import http.client
import json
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

IBAN = "DE89370400440532013000"


@dataclass
class Wise:
    """A user of the local Wise: its token and its business profile."""

    platform: object
    token: str
    profile: int = 0
    headers: dict = None

    def ask(self, method, path, body=None, token=None):
        """Make one request; return the status and the decoded body."""
        parts = urlsplit(self.platform.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        try:
            data = None if body is None else json.dumps(body).encode()
            head = {"Authorization": f"Bearer {token or self.token}"}
            connection.request(method, f"/wise{path}", data, head)
            answer = connection.getresponse()
            self.headers = dict(answer.headers)
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def get(self, path):
        status, body = self.ask("GET", path)
        assert status == 200, body
        return body

    def fund(self, amount, currency="EUR"):
        body = {"profile": self.profile, "amount": amount, "currency": currency}
        return self.platform.admin("POST", "/wise/fund", body)

    def held(self, currency="EUR"):
        rows = self.get(f"/v4/profiles/{self.profile}/balances?types=STANDARD")
        return {row["currency"]: row["amount"]["value"] for row in rows}.get(currency, 0)

    def recipient(self, **over):
        body = {
            "currency": "EUR",
            "type": "iban",
            "profile": self.profile,
            "accountHolderName": "Ada Example",
            "details": {"iban": IBAN},
            **over,
        }
        return self.ask("POST", "/v1/accounts", body)

    def quote(self, **over):
        body = {"sourceCurrency": "EUR", "targetCurrency": "EUR", "targetAmount": 20, **over}
        return self.ask("POST", f"/v3/profiles/{self.profile}/quotes", body)

    def transfer(self, key=None, **quote):
        body = {
            "targetAccount": self.recipient()[1]["id"],
            "quoteUuid": self.quote(**quote)[1]["id"],
            "customerTransactionId": key or str(uuid.uuid4()),
            "details": {"reference": "payout 7"},
        }
        return self.ask("POST", "/v1/transfers", body)

    def pay(self, id):
        path = f"/v3/profiles/{self.profile}/transfers/{id}/payments"
        return self.ask("POST", path, {"type": "BALANCE"})

    def status(self, id):
        return self.get(f"/v1/transfers/{id}")["status"]

    def books(self):
        with self.platform.books() as books:
            assert books.check() == []
            mine = [t for t in books.wise_transfers() if t.profile == self.profile]
            received = books.wise_received("EUR")
            return mine, sum(received.get(t.recipient, 0) for t in mine)
