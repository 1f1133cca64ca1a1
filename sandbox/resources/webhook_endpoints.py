"""Webhook endpoints (Stripe: `/v1/webhook_endpoints`); the secret is shown once, on creation."""

import json

from sandbox import ids
from sandbox.call import Call, Json, Route
from sandbox.errors import ResourceMissing
from sandbox.pagination import page
from sandbox.params import EXPAND, LIST, Boolean, Many, Metadata, Text
from sandbox.resources.metadata import fresh, merged
from sandbox.store import Row, Store, dump


def shape(row: Row) -> Json:
    """Return an endpoint as the API shows it, without its secret."""
    return {
        "id": row["id"],
        "object": "webhook_endpoint",
        "api_version": row["api_version"],
        "application": "ca_sandbox" if row["connect"] else None,
        "created": row["created"],
        "description": row["description"],
        "enabled_events": json.loads(row["enabled_events"]),
        "livemode": False,
        "metadata": json.loads(row["metadata"]),
        "status": row["status"],
        "url": row["url"],
    }


def _find(call: Call) -> Row:
    id = call.path["webhook_endpoint"]
    return call.find("webhook_endpoints", id, "webhook endpoint", "webhook_endpoint")


def create(call: Call) -> Json:
    """Register an endpoint; from now on it is sent the events that it enables."""
    params = call.params
    id, secret = ids.new("we"), ids.new_secret()
    call.store.insert(
        "webhook_endpoints",
        id=id,
        account=call.account,
        url=params["url"],
        enabled_events=dump(params["enabled_events"]),
        description=params.get("description"),
        metadata=dump(fresh(params.get("metadata"))),
        connect=params.get("connect", False),
        api_version=params.get("api_version"),
        secret=secret,
        status="enabled",
        created=call.now,
    )
    row = call.find("webhook_endpoints", id, "webhook endpoint", "webhook_endpoint")
    return {**shape(row), "secret": secret}


def retrieve(call: Call) -> Json:
    """Return one endpoint."""
    return shape(_find(call))


def update(call: Call) -> Json:
    """Change where, what and whether events are sent."""
    before, params = retrieve(call), call.params
    status = {True: "disabled", False: "enabled", None: before["status"]}[params.get("disabled")]
    after = {
        **before,
        "description": params.get("description", before["description"]),
        "enabled_events": params.get("enabled_events", before["enabled_events"]),
        "metadata": merged(before["metadata"], params),
        "status": status,
        "url": params.get("url", before["url"]),
    }
    call.store.run(
        "UPDATE webhook_endpoints SET description = ?, enabled_events = ?, metadata = ?, "
        "status = ?, url = ? WHERE id = ?",
        after["description"],
        dump(after["enabled_events"]),
        dump(after["metadata"]),
        after["status"],
        after["url"],
        after["id"],
    )
    return after


def roll(store: Store, id: str, now: int, expires_in: int) -> Json:
    """Give an endpoint a new secret; the old one signs too for `expires_in` more seconds.

    Raises:
        ResourceMissing: there is no such endpoint.
    """
    row = store.one("SELECT * FROM webhook_endpoints WHERE id = ?", id)
    if row is None:
        raise ResourceMissing("webhook endpoint", id, "webhook_endpoint")
    secret = ids.new_secret()
    store.run(
        "UPDATE webhook_endpoints SET secret = ?, old_secret = ?, old_secret_until = ? "
        "WHERE id = ?",
        secret,
        row["secret"],
        now + expires_in,
        id,
    )
    return {"id": id, "secret": secret, "old_secret_until": now + expires_in}


def delete(call: Call) -> Json:
    """Remove an endpoint; what was still to be sent to it fails."""
    row = _find(call)
    call.store.run("DELETE FROM webhook_endpoints WHERE id = ?", row["id"])
    return {"id": row["id"], "object": "webhook_endpoint", "deleted": True}


def index(call: Call) -> Json:
    """List endpoints, newest first."""
    where = [("account = ?", call.account)]
    url = "/v1/webhook_endpoints"
    return page(call, "webhook_endpoints", shape, where, url=url, kind="webhook endpoint")


_EVENTS = Many(of=Text(pattern=r"\*|[a-z0-9_]+(\.[a-z0-9_]+)+"), most=500)
_URL = Text(pattern=r"https?://[^\s/]+\S*")
_CREATE = {
    "api_version": Text(pattern=r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?"),
    "connect": Boolean(),
    "description": Text(unsets=True),
    "enabled_events": _EVENTS.must(),
    "expand": EXPAND,
    "metadata": Metadata(),
    "url": _URL.must(),
}
_UPDATE = {
    "description": Text(unsets=True),
    "disabled": Boolean(),
    "enabled_events": _EVENTS,
    "expand": EXPAND,
    "metadata": Metadata(),
    "url": _URL,
}
_ALL, _ONE = "/v1/webhook_endpoints", "/v1/webhook_endpoints/{webhook_endpoint}"

ROUTES = (
    Route("POST", _ALL, _CREATE, create, "webhook_endpoint"),
    Route("GET", _ALL, LIST, index, "webhook_endpoint", lists=True),
    Route("GET", _ONE, {"expand": EXPAND}, retrieve, "webhook_endpoint"),
    Route("POST", _ONE, _UPDATE, update, "webhook_endpoint"),
    Route("DELETE", _ONE, {}, delete, "webhook_endpoint"),
)
