"""Connected accounts (Stripe: `/v1/accounts`, `/v1/account`).

A platform sees itself and the accounts that it created. Deauthorized and deleted accounts are no
longer seen (403 `account_invalid`).
"""

import json

from sandbox import currencies, ids
from sandbox.call import Call, Json, Route
from sandbox.errors import ApiError, InvalidParameter, SandboxError
from sandbox.pagination import conditions, page
from sandbox.params import EXPAND, LIST, Range
from sandbox.resources import account_objects as objects
from sandbox.resources import account_params, external_accounts
from sandbox.resources.metadata import changed, fresh, merged
from sandbox.store import Row, Store, dump

CAPABILITY_STATUSES = ("active", "inactive", "pending")
STATES = ("active", "restricted", "deauthorized", "closed")
# What `metadata[sandbox]` may say when an account is created.
_START_RESTRICTED = "restricted"

_PROFILE = ("business_profile", "business_type", "settings", "tos_acceptance")
_CONTROLLERS: dict[str, Json] = {
    "standard": {
        "fees": {"payer": "account"},
        "losses": {"payments": "stripe"},
        "requirement_collection": "stripe",
        "stripe_dashboard": {"type": "full"},
    },
    "express": {
        "fees": {"payer": "application_express"},
        "losses": {"payments": "application"},
        "requirement_collection": "stripe",
        "stripe_dashboard": {"type": "express"},
    },
    "custom": {
        "fees": {"payer": "application_custom"},
        "losses": {"payments": "application"},
        "requirement_collection": "application",
        "stripe_dashboard": {"type": "none"},
    },
}
_TYPE_OF_DASHBOARD = {"full": "standard", "express": "express", "none": "custom"}


class StateUnknown(SandboxError):
    """An account was asked into a state that does not exist."""

    def __init__(self, state: str) -> None:
        super().__init__(f"An account is one of {', '.join(STATES)}, not {state}.")
        self.state = state


class StatusUnknown(SandboxError):
    """A capability was asked into a status that it cannot have."""

    def __init__(self, name: str, status: str) -> None:
        super().__init__(
            f"A requested capability is one of {', '.join(CAPABILITY_STATUSES)}; "
            f"{name} cannot be {status}."
        )
        self.name = name
        self.status = status


def insert(store: Store, *, platform: str | None, now: int, params: Json) -> str:
    """Write a new account and return its id; without a platform it is one itself."""
    id = ids.new("acct")
    country = params.get("country", "US")
    metadata = fresh(params.get("metadata"))
    type, controller = _controller(params)
    profile = {name: params[name] for name in _PROFILE if params.get(name) is not None}
    store.insert(
        "accounts",
        id=id,
        platform=platform,
        state="restricted" if metadata.get("sandbox") == _START_RESTRICTED else "active",
        country=country,
        default_currency=params.get("default_currency", currencies.OF_COUNTRY.get(country, "usd")),
        type=type,
        email=params.get("email"),
        profile=dump({**_normal(profile), "controller": controller}),
        metadata=dump(metadata),
        created=now,
    )
    if params.get("external_account") is not None:
        external_accounts.add(store, id, params["external_account"], now)
    row = store.one("SELECT * FROM accounts WHERE id = ?", id)
    assert row is not None, "the account was written above"
    _onboard(store, row, now)
    return id


def _onboard(store: Store, row: Row, now: int) -> None:
    """Give what Stripe's own onboarding would have asked for: a bank account.

    Whoever collects the requirements of an account itself brings the bank account too.
    """
    collected = json.loads(row["profile"])["controller"]["requirement_collection"]
    if row["state"] == "active" and collected == "stripe":
        bank = (row["country"], row["default_currency"])
        external_accounts.give_test_bank(store, row["id"], *bank, now)


def _controller(params: Json) -> tuple[str, Json]:
    asked = params.get("controller")
    if asked is None:
        type = params.get("type", "standard")
        return type, {**_CONTROLLERS[type], "is_controller": True, "type": "application"}
    dashboard = (asked.get("stripe_dashboard") or {}).get("type", "full")
    type = _TYPE_OF_DASHBOARD[dashboard]
    controller = objects.overlaid(_CONTROLLERS[type], asked)
    return type, {**controller, "is_controller": True, "type": "application"}


def _normal(profile: Json) -> Json:
    """Put the schedule's `delay_days` as the API shows it: a number."""
    schedule = ((profile.get("settings") or {}).get("payouts") or {}).get("schedule") or {}
    if "delay_days" in schedule:
        days = schedule["delay_days"]
        schedule["delay_days"] = 2 if days == "minimum" else int(days)
    return profile


def _request(call: Call, row: Row, capabilities: Json | None) -> None:
    """Request or release capabilities, telling what changed as `capability.updated`."""
    for name, asked in (capabilities or {}).items():
        wanted = (asked or {}).get("requested")
        if wanted is not None:
            set_capability(call, row, name, requested=wanted)


def set_capability(call: Call, row: Row, name: str, *, requested: bool) -> Json:
    """Set one capability and return it; an event tells if its status changed."""
    held = call.store.one(
        "SELECT * FROM capabilities WHERE account = ? AND name = ?", row["id"], name
    )
    before = objects.capability(row, name, held)
    if requested != before["requested"]:
        call.store.run(
            "INSERT INTO capabilities VALUES (?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE SET "
            "requested = ?3, requested_at = ?4",
            row["id"],
            name,
            requested,
            call.now if requested else None,
        )
        held = call.store.one(
            "SELECT * FROM capabilities WHERE account = ? AND name = ?", row["id"], name
        )
    after = objects.capability(row, name, held)
    if after["status"] != before["status"]:
        call.emit_for(row["id"], "capability.updated", after, changed(before, after))
    return after


def _check_new(params: Json) -> None:
    external_accounts.check(params)
    if "type" in params and "controller" in params:
        raise InvalidParameter("Send `type` or `controller`, not both.", "type")


def create(call: Call) -> Json:
    """Create a connected account with its requested capabilities."""
    if call.account != call.platform:
        raise ApiError(400, "Only a platform can create accounts; drop the Stripe-Account header.")
    id = insert(call.store, platform=call.platform, now=call.now, params=call.params)
    row = call.connected(id)
    _request(call, row, call.params.get("capabilities"))
    body = objects.account(call.store, row)
    call.emit_for(id, "account.updated", body, {})
    return body


def retrieve(call: Call) -> Json:
    """Return one account: the platform itself, or one of its own."""
    return objects.account(call.store, call.connected(call.path.get("account", call.account)))


def update(call: Call) -> Json:
    """Change an account; nested hashes are changed field by field."""
    row = call.connected(call.path["account"])
    before = objects.account(call.store, row)
    params = call.params
    sent = {name: params[name] for name in _PROFILE if params.get(name) is not None}
    call.store.run(
        "UPDATE accounts SET email = ?, default_currency = ?, profile = ?, metadata = ? "
        "WHERE id = ?",
        params.get("email", row["email"]),
        params.get("default_currency", row["default_currency"]),
        dump(objects.overlaid(json.loads(row["profile"]), _normal(sent))),
        dump(merged(json.loads(row["metadata"]), params)),
        row["id"],
    )
    if params.get("external_account") is not None:
        bank = params["external_account"]
        external_accounts.add(call.store, row["id"], bank, call.now, replace=True)
    _request(call, row, params.get("capabilities"))
    return _tell(call, row["id"], before)


def _tell(call: Call, id: str, before: Json) -> Json:
    """Emit `account.updated` if the account differs from `before`; return it as it is now."""
    row = call.store.one("SELECT * FROM accounts WHERE id = ?", id)
    assert row is not None, "the account was read before it changed"
    after = objects.account(call.store, row)
    previous = changed(before, after)
    if previous:
        call.emit_for(id, "account.updated", after, previous)
    return after


def set_capability_status(call: Call, id: str, name: str, status: str) -> Json:
    """Give a requested capability a status of its own, telling what changed as Stripe would.

    Raises:
        StatusUnknown: there is no such status, or the capability was never requested.
    """
    row = call.connected(id)
    sql = "SELECT * FROM capabilities WHERE account = ? AND name = ? AND requested = 1"
    held = call.store.one(sql, id, name)
    if held is None or status not in CAPABILITY_STATUSES:
        raise StatusUnknown(name, status)
    account, before = objects.account(call.store, row), objects.capability(row, name, held)
    call.store.run(
        "UPDATE capabilities SET status = ? WHERE account = ? AND name = ?", status, id, name
    )
    after = objects.capability(row, name, call.store.one(sql, id, name))
    if after["status"] != before["status"]:
        call.emit_for(id, "capability.updated", after, changed(before, after))
    _tell(call, id, account)
    return after


def set_state(call: Call, id: str, state: str, asked: list[str] | None = None) -> Json:
    """Put an account into a state, telling what changed as Stripe would.

    `asked` names the requirements of a restricted account; without it, a document is due.

    Raises:
        StateUnknown: there is no such state.
        AccountInvalid: there is no such account of this platform.
    """
    if state not in STATES:
        raise StateUnknown(state)
    row = call.store.one("SELECT * FROM accounts WHERE id = ?", id)
    if row is None or row["state"] != "deauthorized":
        row = call.connected(id)
    before = objects.account(call.store, row)
    requested = call.store.all(
        "SELECT * FROM capabilities WHERE account = ? AND requested = 1 ORDER BY name", id
    )
    was = {held["name"]: objects.capability(row, held["name"], held) for held in requested}
    call.store.run(
        "UPDATE accounts SET state = ?, asked = ? WHERE id = ?",
        state,
        None if asked is None else dump(asked),
        id,
    )
    if state == "deauthorized":
        application = {"id": "ca_sandbox", "object": "application", "name": "Sandbox"}
        call.emit_for(id, "account.application.deauthorized", application)
        return {**before, "capabilities": {}}
    moved = call.store.one("SELECT * FROM accounts WHERE id = ?", id)
    assert moved is not None, "the account was read above"
    _onboard(call.store, moved, call.now)
    for held in requested:
        after = objects.capability(moved, held["name"], held)
        if after["status"] != was[held["name"]]["status"]:
            previous = changed(was[held["name"]], after)
            call.emit_for(id, "capability.updated", after, previous)
    return _tell(call, id, before)


def delete(call: Call) -> Json:
    """Delete an account that holds no money; it is no longer seen, its books stay."""
    row = call.connected(call.path["account"])
    if row["id"] == call.platform:
        raise ApiError(400, "A platform cannot delete itself.", param="account")
    held = call.store.one(
        "SELECT 1 FROM balances WHERE ledger IN (?, ?) AND amount <> 0",
        f"{row['id']}:available",
        f"{row['id']}:pending",
    )
    if held is not None:
        message = f"Account {row['id']} still has a balance; reverse its transfers first."
        raise ApiError(400, message, param="account")
    call.store.run("UPDATE accounts SET deleted = 1 WHERE id = ?", row["id"])
    return {"id": row["id"], "object": "account", "deleted": True}


def index(call: Call) -> Json:
    """List the platform's connected accounts, newest first."""
    where = [
        ("platform = ?", call.account),
        ("deleted = ?", 0),
        ("state <> ?", "deauthorized"),
        *conditions("created", call.params.get("created")),
    ]
    return page(
        call,
        "accounts",
        lambda row: objects.account(call.store, row),
        where,
        url="/v1/accounts",
        kind="account",
    )


_ONE = "/v1/accounts/{account}"

ROUTES = (
    Route("GET", "/v1/account", {"expand": EXPAND}, retrieve, "account"),
    Route("POST", "/v1/accounts", account_params.CREATE, create, "account", check=_check_new),
    Route("GET", "/v1/accounts", {**LIST, "created": Range()}, index, "account", lists=True),
    Route("GET", _ONE, {"expand": EXPAND}, retrieve, "account"),
    Route(
        "POST",
        _ONE,
        account_params.UPDATE,
        update,
        "account",
        check=external_accounts.check,
    ),
    Route("DELETE", _ONE, {}, delete, "account"),
)
