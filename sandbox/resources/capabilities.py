"""Capabilities of an account (Stripe: `/v1/accounts/{account}/capabilities`)."""

from sandbox.call import Call, Json, Route
from sandbox.errors import ResourceMissing
from sandbox.params import EXPAND, Boolean
from sandbox.resources import account_objects as objects
from sandbox.resources.account_params import CAPABILITIES
from sandbox.resources.accounts import set_capability
from sandbox.store import Row

EXPANDABLE = {"account": ("account",)}


def _held(call: Call, account: str, name: str) -> Row | None:
    return call.store.one(
        "SELECT * FROM capabilities WHERE account = ? AND name = ?", account, name
    )


def _name(call: Call) -> str:
    name = call.path["capability"]
    if name not in CAPABILITIES:
        raise ResourceMissing("capability", name, "capability")
    return name


def retrieve(call: Call) -> Json:
    """Return one capability, requested or not."""
    account, name = call.connected(call.path["account"]), _name(call)
    return objects.capability(account, name, _held(call, account["id"], name))


def update(call: Call) -> Json:
    """Request or release a capability."""
    account, name = call.connected(call.path["account"]), _name(call)
    requested = call.params.get("requested")
    if requested is None:
        return retrieve(call)
    return set_capability(call, account, name, requested=requested)


def index(call: Call) -> Json:
    """List every capability that was ever requested; the list has one page, as Stripe's."""
    account = call.connected(call.path["account"])
    rows = call.store.all(
        "SELECT * FROM capabilities WHERE account = ? ORDER BY name", account["id"]
    )
    return {
        "object": "list",
        "data": [objects.capability(account, row["name"], row) for row in rows],
        "has_more": False,
        "url": f"/v1/accounts/{account['id']}/capabilities",
    }


_ALL = "/v1/accounts/{account}/capabilities"
_ONE = "/v1/accounts/{account}/capabilities/{capability}"
_UPDATE = {"expand": EXPAND, "requested": Boolean()}

ROUTES = (
    Route("GET", _ALL, {"expand": EXPAND}, index, "capability", lists=True),
    Route("GET", _ONE, {"expand": EXPAND}, retrieve, "capability"),
    Route("POST", _ONE, _UPDATE, update, "capability"),
)
