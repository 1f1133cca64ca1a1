"""Bank accounts that payouts go to (Stripe: `/v1/accounts/{account}/external_accounts`).

Of the number only the last four digits are kept, and what becomes of payouts to it: Stripe's test
numbers and tokens fail as they do there. Onboarding gives an account without one the test number
that pays.
"""

import json
from typing import Any

from sandbox import currencies, ids
from sandbox.call import Call, Json, Route
from sandbox.errors import ApiError, InvalidParameter, ResourceMissing
from sandbox.pagination import page
from sandbox.params import (
    EXPAND,
    LIST,
    Boolean,
    Currency,
    Hash,
    Metadata,
    Spec,
    Text,
    TokenOrHash,
    choice,
    refused,
)
from sandbox.resources.metadata import changed, fresh, merged
from sandbox.store import Row, Store, digest, dump

EXPANDABLE = {"account": ("account",)}

_PAYS = "000123456789"
_ROUTING = "110000000"
# Stripe's test numbers of US banks -> what payouts to them fail with.
_NUMBERS: dict[str, str | None] = {
    _PAYS: None,
    "000111111116": "no_account",
    "000111111113": "account_closed",
    "000222222227": "insufficient_funds",
    "000333333335": "debit_not_authorized",
    "000444444440": "invalid_currency",
}
# Stripe's test tokens -> the numbers that they stand for.
TOKENS: dict[str, str] = {
    "btok_us": _PAYS,
    "btok_us_verified": _PAYS,
    "btok_us_verified_noAccount": "000111111116",
    "btok_us_verified_accountClosed": "000111111113",
    "btok_us_verified_insufficientFunds": "000222222227",
    "btok_us_verified_debitNotAuthorized": "000333333335",
    "btok_us_verified_invalidCurrency": "000444444440",
}


def failure_of(token: str) -> str | None:
    """Return what becomes of money moved with a test token: a failure code, or None."""
    return _NUMBERS[TOKENS[token]]


def shape(row: Row) -> Json:
    """Return a bank account as the API shows it."""
    nothing: Json = {"currently_due": [], "errors": [], "past_due": [], "pending_verification": []}
    return {
        "id": row["id"],
        "object": "bank_account",
        "account": row["account"],
        "account_holder_name": row["account_holder_name"],
        "account_holder_type": row["account_holder_type"],
        "account_type": row["account_type"],
        "available_payout_methods": ["standard"],
        "bank_name": "SANDBOX TEST BANK",
        "country": row["country"],
        "currency": row["currency"],
        "default_for_currency": bool(row["is_default"]),
        "fingerprint": row["fingerprint"],
        "future_requirements": nothing,
        "last4": row["last4"],
        "metadata": json.loads(row["metadata"]),
        "requirements": dict(nothing),
        "routing_number": row["routing_number"],
        "status": row["status"],
    }


def of(store: Store, account: str) -> list[Row]:
    """Return the bank accounts of an account, newest first."""
    return store.all(
        "SELECT * FROM external_accounts WHERE account = ? AND deleted = 0 ORDER BY seq DESC",
        account,
    )


def default(store: Store, account: str, currency: str) -> Row | None:
    """Return where payouts in a currency go unless they say otherwise."""
    return store.one(
        "SELECT * FROM external_accounts "
        "WHERE account = ? AND currency = ? AND is_default = 1 AND deleted = 0",
        account,
        currency,
    )


def _details(given: Json) -> Json:
    """Return the country, currency and numbers that a token or a hash stands for."""
    token = given.get("token")
    if token is not None:
        if token not in TOKENS:
            message = f"No such token: '{token}'. The sandbox takes: {', '.join(TOKENS)}."
            raise InvalidParameter(message, "external_account", "resource_missing")
        return {"country": "US", "account_number": TOKENS[token], "routing_number": _ROUTING}
    if given["object"] != "bank_account":
        message = "The sandbox pays out to bank accounts, not to cards."
        raise InvalidParameter(message, "external_account[object]", "sandbox_unsupported")
    for name in ("country", "account_number"):
        if name not in given:
            full = f"external_account[{name}]"
            raise InvalidParameter(f"Missing required param: {full}.", full, "parameter_missing")
    if given["country"] == "US" and "routing_number" not in given:
        raise InvalidParameter(
            "You must provide a routing number for a US bank account.",
            "external_account[routing_number]",
            "routing_number_invalid",
        )
    return given


def check(params: Json) -> None:
    """Refuse an `external_account` that names no bank account, before anything executes."""
    if params.get("external_account") is not None:
        _details(params["external_account"])


def add(store: Store, account: str, given: Json, now: int, *, replace: bool = False) -> str:
    """Write a bank account and return its id; the first of its currency is the default.

    With `replace` it takes the place of the currency's default, which is deleted.
    """
    details = _details(given)
    country, number = details["country"], details["account_number"]
    currency = details.get("currency") or currencies.OF_COUNTRY.get(country, "usd")
    held = default(store, account, currency)
    if replace and held is not None:
        _delete(store, held["id"])
        held = None
    id = ids.new("ba")
    store.insert(
        "external_accounts",
        id=id,
        account=account,
        country=country,
        currency=currency,
        last4=number[-4:],
        routing_number=details.get("routing_number"),
        fingerprint=digest(f"{country}/{details.get('routing_number')}/{number}")[:16],
        account_holder_name=given.get("account_holder_name"),
        account_holder_type=given.get("account_holder_type"),
        metadata=dump(fresh(given.get("metadata"))),
        is_default=held is None,
        status="new",
        failure_code=_NUMBERS.get(number),
        created=now,
    )
    return id


def give_test_bank(store: Store, account: str, country: str, currency: str, now: int) -> None:
    """Give an onboarded account the test bank account that pays, if it has none yet."""
    if not of(store, account):
        number = {"country": country, "currency": currency, "account_number": _PAYS}
        routing = {"routing_number": _ROUTING} if country == "US" else {}
        add(store, account, {"object": "bank_account", **number, **routing}, now)


def _delete(store: Store, id: str) -> None:
    store.run("UPDATE external_accounts SET deleted = 1, is_default = 0 WHERE id = ?", id)


def _make_default(store: Store, row: Row) -> None:
    store.run(
        "UPDATE external_accounts SET is_default = 0 WHERE account = ? AND currency = ?",
        row["account"],
        row["currency"],
    )
    store.run("UPDATE external_accounts SET is_default = 1 WHERE id = ?", row["id"])


def _row(call: Call, account: str, id: str) -> Row:
    row = call.store.one(
        "SELECT * FROM external_accounts WHERE id = ? AND account = ? AND deleted = 0", id, account
    )
    if row is None:
        raise ResourceMissing("external account", id, "id")
    return row


def _find(call: Call) -> Row:
    return _row(call, call.connected(call.path["account"])["id"], call.path["id"])


def _tell(call: Call, type: str, row: Row, previous: Json | None = None) -> None:
    call.emit_for(row["account"], type, shape(row), previous)


def create(call: Call) -> Json:
    """Add a bank account; with `default_for_currency` payouts go there from now on."""
    account = call.connected(call.path["account"])["id"]
    given = {**call.params["external_account"]}
    if "metadata" in call.params:
        given["metadata"] = call.params["metadata"]
    id = add(call.store, account, given, call.now)
    row = _row(call, account, id)
    if call.params.get("default_for_currency"):
        _make_default(call.store, row)
        row = _row(call, account, id)
    _tell(call, "account.external_account.created", row)
    return shape(row)


def load(call: Call, id: str) -> Json | None:
    """Return a bank account, for `expand`; also a deleted one, as a payout may name it."""
    row = call.store.one("SELECT * FROM external_accounts WHERE id = ?", id)
    return None if row is None else shape(row)


def retrieve(call: Call) -> Json:
    """Return one bank account."""
    return shape(_find(call))


def update(call: Call) -> Json:
    """Change the holder, the metadata, or make it the default of its currency."""
    row, params = _find(call), call.params
    before = shape(row)
    call.store.run(
        "UPDATE external_accounts SET account_holder_name = ?, account_holder_type = ?, "
        "account_type = ?, metadata = ? WHERE id = ?",
        params.get("account_holder_name", row["account_holder_name"]),
        params.get("account_holder_type", row["account_holder_type"]),
        params.get("account_type", row["account_type"]),
        dump(merged(before["metadata"], params)),
        row["id"],
    )
    if params.get("default_for_currency"):
        _make_default(call.store, row)
    row = _find(call)
    previous = changed(before, shape(row))
    if previous:
        _tell(call, "account.external_account.updated", row, previous)
    return shape(row)


def delete(call: Call) -> Json:
    """Remove a bank account; the default of a currency only if it is the currency's last."""
    row = _find(call)
    others = [o for o in of(call.store, row["account"]) if o["currency"] == row["currency"]]
    if row["is_default"] and len(others) > 1:
        message = (
            f"{row['id']} is the default for {row['currency']}; make another one the default first."
        )
        raise ApiError(400, message, param="id")
    _delete(call.store, row["id"])
    _tell(call, "account.external_account.deleted", row)
    return {"id": row["id"], "object": "bank_account", "deleted": True}


def index(call: Call) -> Json:
    """List bank accounts, newest first; there are no cards."""
    account = call.connected(call.path["account"])["id"]
    where: list[tuple[str, Any]] = [("account = ?", account), ("deleted = ?", 0)]
    if call.params.get("object") == "card":
        where.append(("0 = ?", 1))
    url = f"/v1/accounts/{account}/external_accounts"
    return page(call, "external_accounts", shape, where, url=url, kind="external account")


_NO_CARDS = refused("it pays out to bank accounts, not to cards")
_HOLDER_TYPE = choice("company", "individual")
_BANK_ACCOUNT: Spec = {
    "object": choice("bank_account", "card").must(),
    "account_holder_name": Text(),
    "account_holder_type": _HOLDER_TYPE,
    "account_number": Text(pattern=r"[0-9A-Za-z]{4,34}"),
    "country": Text(pattern="[A-Z]{2}"),
    "currency": Currency(),
    "routing_number": Text(pattern=r"[0-9A-Za-z-]{3,20}"),
}
_ADDRESS = tuple(
    f"address_{part}" for part in ["city", "country", "line1", "line2", "state", "zip"]
)
_CARD: Spec = dict.fromkeys(
    (*_ADDRESS, "cvc", "exp_month", "exp_year", "name", "number", "token"), _NO_CARDS
)
IN_ACCOUNT = TokenOrHash(
    spec={**_BANK_ACCOUNT, **_CARD, "default_for_currency": _NO_CARDS, "metadata": Metadata()}
)
_CREATE: Spec = {
    "default_for_currency": Boolean(),
    "expand": EXPAND,
    "external_account": TokenOrHash(spec={**_BANK_ACCOUNT, **_CARD, "metadata": Metadata()}).must(),
    "metadata": Metadata(),
}
_UPDATE: Spec = {
    "account_holder_name": Text(unsets=True),
    "account_holder_type": _HOLDER_TYPE,
    "account_type": choice("checking", "futsu", "savings", "toza"),
    **dict.fromkeys((*_ADDRESS, "exp_month", "exp_year", "name"), _NO_CARDS),
    "default_for_currency": Boolean(),
    "documents": Hash(
        spec={
            "bank_account_ownership_verification": refused("it takes no files"),
        }
    ),
    "expand": EXPAND,
    "metadata": Metadata(),
}
_INDEX: Spec = {**LIST, "object": choice("bank_account", "card")}
_ALL = "/v1/accounts/{account}/external_accounts"
_ONE = "/v1/accounts/{account}/external_accounts/{id}"

ROUTES = (
    Route("POST", _ALL, _CREATE, create, "bank_account", check=check),
    Route("GET", _ALL, _INDEX, index, "bank_account", lists=True),
    Route("GET", _ONE, {"expand": EXPAND}, retrieve, "bank_account"),
    Route("POST", _ONE, _UPDATE, update, "bank_account"),
    Route("DELETE", _ONE, {}, delete, "bank_account"),
)
