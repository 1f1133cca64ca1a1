"""Events (Stripe: `/v1/events`): what happened to an account in the last thirty days."""

from typing import Any

from sandbox import notify
from sandbox.call import Call, Json, Route
from sandbox.errors import InvalidParameter, ResourceMissing
from sandbox.pagination import conditions, page
from sandbox.params import EXPAND, LIST, Boolean, Many, Range, Text

MAX_TYPES = 20
# An event was delivered when every endpoint that wanted it has taken it.
_DELIVERED = (
    "NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE event = events.id "
    "AND state <> 'succeeded') = ?"
)


def _check(params: Json) -> None:
    if "type" in params and "types" in params:
        raise InvalidParameter("Send `type` or `types`, not both.", "types")


def retrieve(call: Call) -> Json:
    """Return one event, if it is not older than thirty days."""
    row = call.find("events", call.path["id"], "event", "id")
    if row["created"] <= call.now - notify.EVENT_LIFETIME_SECONDS:
        raise ResourceMissing("event", row["id"], "id")
    return notify.shape(call.store, row)


def index(call: Call) -> Json:
    """List events, newest first; a type may end in `*`."""
    params = call.params
    where: list[tuple[str, Any]] = [
        ("account = ?", call.account),
        ("created > ?", call.now - notify.EVENT_LIFETIME_SECONDS),
        *conditions("created", params.get("created")),
    ]
    if "type" in params:
        where.append(("type GLOB ?", params["type"]))
    if "types" in params:
        # One condition for all: which of the types it is does not matter, as none holds a space.
        wanted = " ".join(("", *params["types"], ""))
        where.append(("instr(?, ' ' || type || ' ') > 0", wanted))
    if "delivery_success" in params:
        where.append((_DELIVERED, params["delivery_success"]))
    return page(
        call,
        "events",
        lambda row: notify.shape(call.store, row),
        where,
        url="/v1/events",
        kind="event",
    )


_TYPE = r"[a-z0-9_.]+(\.\*)?|\*"
_INDEX = {
    **LIST,
    "created": Range(),
    "delivery_success": Boolean(),
    "type": Text(pattern=_TYPE),
    "types": Many(of=Text(pattern=r"[a-z0-9_.]+"), most=MAX_TYPES),
}

ROUTES = (
    Route("GET", "/v1/events", _INDEX, index, "event", lists=True, check=_check),
    Route("GET", "/v1/events/{id}", {"expand": EXPAND}, retrieve, "event"),
)
