"""Events: recorded in the transaction of what they tell, queued for the endpoints that want them.

An event of a connected account goes to the platform's Connect endpoints and carries `account`;
any other goes to the platform's own endpoints.
"""

import json
from collections.abc import Callable
from typing import Any

from sandbox import ids
from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.store import Row, Store, dump

API_VERSION = "2026-10-28.endive"
EVENT_LIFETIME_SECONDS = 30 * 24 * 3600


def wants(enabled: list[str], type: str) -> bool:
    """Return whether an endpoint with these `enabled_events` is sent events of `type`."""
    return "*" in enabled or type in enabled


class Notifier:
    """Writes events and their deliveries; wakes whoever sends them."""

    def __init__(
        self, store: Store, clock: Clock, faults: Faults, wake: Callable[[], None]
    ) -> None:
        self.store = store
        self.clock = clock
        self.faults = faults
        self.wake = wake

    def emit(
        self,
        *,
        platform: str,
        account: str,
        type: str,
        object: dict[str, Any],
        previous: dict[str, Any] | None,
        now: int,
        request_id: str | None,
        idempotency_key: str | None,
    ) -> str:
        """Record one event inside the open transaction and return its id."""
        id = ids.new("evt")
        connected = account != platform
        self.store.run(
            "INSERT INTO events (id, account, connected, type, object, previous, request_id, "
            "idempotency_key, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            id,
            account,
            connected,
            type,
            dump(object),
            None if previous is None else dump(previous),
            request_id,
            idempotency_key,
            now,
        )
        endpoints = self.store.all(
            "SELECT id, enabled_events FROM webhook_endpoints "
            "WHERE account = ? AND connect = ? AND status = 'enabled'",
            platform,
            connected,
        )
        for endpoint in endpoints:
            if wants(json.loads(endpoint["enabled_events"]), type):
                self.queue(id, endpoint["id"], type)
        return id

    def queue(self, event: str, endpoint: str, type: str) -> None:
        """Put down the deliveries of an event to an endpoint: one, unless the plan says otherwise."""
        now = self.clock.exact()
        for copy in self.faults.deliveries(type, event=event, endpoint=endpoint):
            self.store.insert(
                "webhook_deliveries",
                event=event,
                endpoint=endpoint,
                state="pending",
                created=now,
                due=now + copy.delay,
                fault=dump(copy.fault) if copy.fault else None,
            )
        self.wake()


def shape(store: Store, row: Row, api_version: str | None = None) -> dict[str, Any]:
    """Return an event as the API and the webhooks show it."""
    pending = store.one(
        "SELECT count(DISTINCT endpoint) AS n FROM webhook_deliveries "
        "WHERE event = ? AND state = 'pending'",
        row["id"],
    )
    data: dict[str, Any] = {"object": json.loads(row["object"])}
    if row["previous"] is not None:
        data["previous_attributes"] = json.loads(row["previous"])
    event = {
        "id": row["id"],
        "object": "event",
        "api_version": api_version or API_VERSION,
        "created": row["created"],
        "data": data,
        "livemode": False,
        "pending_webhooks": 0 if pending is None else pending["n"],
        "request": {"id": row["request_id"], "idempotency_key": row["idempotency_key"]},
        "type": row["type"],
    }
    if row["connected"]:
        event["account"] = row["account"]
    return event
