"""A till that talks to the running API, for the tests of what it is answered at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from domain.db import transaction
from domain.loyalty import service as loyalty
from tests.web.support import Api

NOW = datetime.now(UTC).replace(microsecond=0)
CARD = "4006381333931"


@dataclass
class Till:
    """A till at a running API, with a program that gives 10 points for an enrolment."""

    api: Api
    key: str

    def send(
        self, path: str, data: Any, *, id: str, time: datetime = NOW, **changes: Any
    ) -> httpx.Response:
        body = {"id": id, "source": "till-7", "time": time.isoformat(), "data": data} | changes
        return self.post(path, json.dumps(body))

    def post(self, path: str, content: str | bytes, **headers: str) -> httpx.Response:
        return self.api.http.post(
            f"/v1/loyalty/cards{path}",
            content=content,
            headers={
                "Authorization": f"Bearer {self.key}",
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    def enrol(self, card: str = CARD, customer: str = "u-42", **event: Any) -> httpx.Response:
        data = {"card": card, "customer_id": customer}
        return self.send("", data, **{"id": f"enrol-{card}"} | event)

    def card(self, card: str = CARD) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.api.http.get(f"/v1/loyalty/cards/{card}", headers=headers)

    def report(self, **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.api.http.get("/v1/loyalty/reports", params=query, headers=headers)

    def history(self, card: str = CARD, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        path = f"/v1/loyalty/cards/{card}/transactions"
        return self.api.http.get(path, params=query, headers=headers).json()

    def notices(self, **query: int) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.api.http.get("/v1/loyalty/notices", params=query, headers=headers).json()

    def tier_changes(self, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.api.http.get("/v1/loyalty/tier-changes", params=query, headers=headers).json()

    def tier_notices(self, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.api.http.get("/v1/loyalty/tier-notices", params=query, headers=headers).json()

    def points(self, card: str = CARD) -> dict[str, Any]:
        answer = self.card(card)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["points"]
        return found

    def books_agree(self) -> bool:
        with transaction(self.api.engine) as tx:
            return loyalty.check_invariants(tx) == []
