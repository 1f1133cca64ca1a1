"""Who pays and who is paid: tokens, profiles, balances and recipients."""

import json
import re
from typing import Any

from sandbox import ledger
from sandbox.errors import SandboxError
from sandbox.store import Row, Store, digest, dump
from sandbox.wise import money
from sandbox.wise.call import Invalid, Json, NotFound, WiseCall, WiseRoute, iso, next_id

DEFAULT_TOKEN = "wise-sandbox-token"  # noqa: S105
_TOKEN = re.compile(r"[A-Za-z0-9._-]{8,200}")
_USERS, _PROFILES, _BALANCES, _RECIPIENTS = 5_000_000, 16_000_000, 30_000_000, 40_000_000


class TokenMalformed(SandboxError):
    """A token was offered that cannot be one."""

    def __init__(self) -> None:
        super().__init__("A Wise token has 8 to 200 letters, digits, dots, dashes and underscores.")


def add_token(store: Store, token: str, now: int) -> Json:
    """Admit a token of a user of its own, with a personal and a business profile.

    Raises:
        TokenMalformed: it cannot be a token.
    """
    if not _TOKEN.fullmatch(token):
        raise TokenMalformed
    held = store.one("SELECT user FROM wise_tokens WHERE digest = ?", digest(token))
    if held is None:
        user = next_id(store, "wise_users", _USERS)
        store.insert("wise_users", id=user, created=now)
        store.insert("wise_tokens", digest=digest(token), user=user)
        for type, name in (("PERSONAL", "Sandbox Person"), ("BUSINESS", "Sandbox Business")):
            id = next_id(store, "wise_profiles", _PROFILES)
            store.insert("wise_profiles", id=id, user=user, type=type, name=name, created=now)
    else:
        user = held["user"]
    return {"user": user, "profiles": [_profile(row) for row in _profiles(store, user)]}


def user_of(store: Store, token: str) -> int | None:
    """Return whose token it is, or None."""
    row = store.one("SELECT user FROM wise_tokens WHERE digest = ?", digest(token))
    return None if row is None else int(row["user"])


def _profiles(store: Store, user: int) -> list[Row]:
    return store.all("SELECT * FROM wise_profiles WHERE user = ? ORDER BY id", user)


def _profile(row: Row) -> Json:
    return {
        "type": row["type"],
        "id": row["id"],
        "userId": row["user"],
        "createdAt": iso(row["created"]),
        "currentState": "VISIBLE",
        "fullName": row["name"],
    }


def me(call: WiseCall) -> Any:
    """Return the user whose token it is."""
    return {"id": call.user, "name": "Sandbox Person", "email": None, "active": True}


def profiles(call: WiseCall) -> Any:
    """List the user's profiles."""
    return [_profile(row) for row in _profiles(call.store, call.user)]


def profiles_v1(call: WiseCall) -> Any:
    """List the user's profiles in the older shape, types in lower case."""
    return [
        {"id": row["id"], "type": row["type"].lower(), "details": {"name": row["name"]}}
        for row in _profiles(call.store, call.user)
    ]


def profile(call: WiseCall) -> Any:
    """Return one profile."""
    return _profile(call.profile(call.path["profile"]))


def ledger_of(profile: int) -> str:
    """Return the ledger account of what a profile holds."""
    return f"wise:{profile}:available"


def held(store: Store, profile: int, currency: str) -> int:
    """Return what a profile holds, in minor units."""
    row = store.one(
        "SELECT amount FROM balances WHERE ledger = ? AND currency = ?",
        ledger_of(profile),
        currency.lower(),
    )
    return 0 if row is None else int(row["amount"])


def open_balance(store: Store, profile: int, currency: str, now: int) -> Row:
    """Return the profile's balance in a currency, opening it if there is none."""
    sql = "SELECT * FROM wise_balances WHERE profile = ? AND currency = ?"
    row = store.one(sql, profile, currency)
    if row is None:
        id = next_id(store, "wise_balances", _BALANCES)
        store.insert("wise_balances", id=id, profile=profile, currency=currency, created=now)
        row = store.one(sql, profile, currency)
    assert row is not None, "it was opened above"
    return row


def fund(store: Store, profile: int, currency: str, amount: int, now: int) -> Row:
    """Put money on a profile's balance (minor units), and return it."""
    row = open_balance(store, profile, currency, now)
    ledger.shift(
        store,
        debit="world:wise_payin",
        credit=ledger_of(profile),
        amount=amount,
        currency=currency.lower(),
        kind="wise_topup",
        source=f"wise/balances/{row['id']}",
        now=now,
    )
    return row


def _balance(store: Store, row: Row) -> Json:
    amount = money.shown(held(store, row["profile"], row["currency"]), row["currency"])
    nothing = {"value": 0, "currency": row["currency"]}
    return {
        "id": row["id"],
        "currency": row["currency"],
        "type": "STANDARD",
        "name": None,
        "icon": None,
        "investmentState": "NOT_INVESTED",
        "amount": {"value": amount, "currency": row["currency"]},
        "reservedAmount": nothing,
        "cashAmount": {"value": amount, "currency": row["currency"]},
        "totalWorth": {"value": amount, "currency": row["currency"]},
        "creationTime": iso(row["created"]),
        "modificationTime": iso(row["created"]),
        "visible": True,
    }


def balances(call: WiseCall) -> Any:
    """List a profile's balances; all of them are of type STANDARD."""
    profile = call.profile(call.path["profile"])["id"]
    if "STANDARD" not in call.query.get("types", "").split(","):
        raise Invalid("types", "Send `types=STANDARD`: the sandbox has no other balances.")
    rows = call.store.all("SELECT * FROM wise_balances WHERE profile = ? ORDER BY id", profile)
    return [_balance(call.store, row) for row in rows]


def balance(call: WiseCall) -> Any:
    """Return one balance."""
    row = call.mine("wise_balances", "balance", call.path["balance"])
    if row["profile"] != call.profile(call.path["profile"])["id"]:
        raise NotFound("balance", call.path["balance"])
    return _balance(call.store, row)


def simulate_topup(call: WiseCall) -> Any:
    """Put money on a balance, as Wise's own sandbox offers it."""
    body = call.take("channel", must=("profileId", "balanceId", "currency", "amount"))
    profile = call.profile(body["profileId"])["id"]
    row = call.mine("wise_balances", "balance", body["balanceId"])
    currency = money.currency_of(body["currency"], "currency")
    if row["profile"] != profile or row["currency"] != currency:
        raise Invalid("balanceId", "The balance is another profile's or in another currency.")
    fund(call.store, profile, currency, money.minor(body["amount"], currency, "amount"), call.now)
    return {"state": "COMPLETED", "balanceAfter": _balance(call.store, row)["amount"]}


# What each type of recipient needs to say, and how it must look.
_DETAILS: dict[str, dict[str, str]] = {
    "iban": {"iban": r"[A-Z]{2}\d{2}[A-Z0-9]{10,30}"},
    "sort_code": {"sortCode": r"\d{6}", "accountNumber": r"\d{8}"},
    "aba": {
        "abartn": r"\d{9}",
        "accountNumber": r"\d{4,17}",
        "accountType": r"CHECKING|SAVINGS|checking|savings",
    },
    "email": {"email": r"[^@\s]+@[^@\s]+"},
    "swift_code": {"swiftCode": r"[A-Z0-9]{8,11}", "accountNumber": r"[A-Za-z0-9]{4,34}"},
}
_ALSO = ("legalType", "address", "email", "dateOfBirth", "phoneNumber")


def _iban_is_sound(iban: str) -> bool:
    """Return whether the check digits are right (ISO 13616: the remainder by 97 is 1)."""
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def _details(type: str, given: Any) -> Json:
    wanted = _DETAILS[type]
    if not isinstance(given, dict):
        raise Invalid("details", "`details` is an object.")
    for name in given:
        if name not in wanted and name not in _ALSO:
            raise Invalid(name, f"The sandbox does not act on `{name}`.", "sandbox.unsupported")
    kept = {}
    for name, pattern in wanted.items():
        value = given.get(name)
        bare = value.replace(" ", "").replace("-", "") if isinstance(value, str) else ""
        if name == "email":
            bare = str(value or "")
        if not re.fullmatch(pattern, bare) or (name == "iban" and not _iban_is_sound(bare)):
            raise Invalid(name, f"Send a valid `{name}`.")
        numbers = name in ("iban", "accountNumber")
        kept[name] = f"{'*' * (len(bare) - 4)}{bare[-4:]}" if numbers else bare
    return kept


def _recipient(row: Row) -> Json:
    return {
        "id": row["id"],
        "business": None,
        "profile": row["profile"],
        "accountHolderName": row["name"],
        "currency": row["currency"],
        "country": row["country"],
        "type": row["type"],
        "details": json.loads(row["details"]),
        "user": None,
        "active": bool(row["active"]),
        "ownedByCustomer": bool(row["owned"]),
    }


def create_recipient(call: WiseCall) -> Any:
    """Write down somebody to pay; of numbers the last four digits are kept."""
    must = ("currency", "type", "accountHolderName", "details")
    body = call.take("profile", "ownedByCustomer", "country", must=must)
    currency, type = money.currency_of(body["currency"], "currency"), body["type"]
    if type not in _DETAILS:
        raise Invalid("type", f"The sandbox takes recipients of type {', '.join(_DETAILS)}.")
    name = body["accountHolderName"]
    if not isinstance(name, str) or not 2 <= len(name.strip()) <= 140:
        raise Invalid("accountHolderName", "Send the recipient's name, of 2 to 140 characters.")
    own = body.get("profile") or _profiles(call.store, call.user)[0]["id"]
    details = _details(type, body["details"])
    id = next_id(call.store, "wise_recipients", _RECIPIENTS)
    country = body.get("country")
    if type == "iban":
        country = str(body["details"]["iban"]).replace(" ", "")[:2]
    call.store.insert(
        "wise_recipients",
        id=id,
        profile=call.profile(own)["id"],
        currency=currency,
        country=country if isinstance(country, str) else None,
        type=type,
        name=name.strip(),
        details=dump(details),
        owned=body.get("ownedByCustomer") is True,
        active=True,
        created=call.now,
    )
    return _recipient(call.mine("wise_recipients", "recipient", id))


def recipient(call: WiseCall) -> Any:
    """Return one recipient."""
    return _recipient(call.mine("wise_recipients", "recipient", call.path["account"]))


def recipients(call: WiseCall) -> Any:
    """List active recipients, of one profile and currency or of all."""
    ids = [row["id"] for row in _profiles(call.store, call.user)]
    wanted = [call.profile(call.query["profile"])["id"]] if "profile" in call.query else ids
    rows = call.store.all("SELECT * FROM wise_recipients WHERE active = 1 ORDER BY id")
    currency = call.query.get("currency")
    return [
        _recipient(row)
        for row in rows
        if row["profile"] in wanted and currency in (None, row["currency"])
    ]


def delete_recipient(call: WiseCall) -> Any:
    """Deactivate a recipient; nothing more can be sent to it."""
    row = call.mine("wise_recipients", "recipient", call.path["account"])
    call.store.run("UPDATE wise_recipients SET active = 0 WHERE id = ?", row["id"])
    return _recipient(call.mine("wise_recipients", "recipient", row["id"]))


ROUTES = (
    WiseRoute("GET", "/v1/me", me),
    WiseRoute("GET", "/v1/profiles", profiles_v1),
    WiseRoute("GET", "/v2/profiles", profiles),
    WiseRoute("GET", "/v2/profiles/{profile}", profile),
    WiseRoute("GET", "/v4/profiles/{profile}/balances", balances),
    WiseRoute("GET", "/v4/profiles/{profile}/balances/{balance}", balance),
    WiseRoute("POST", "/v1/simulation/balance/topup", simulate_topup),
    WiseRoute("POST", "/v1/accounts", create_recipient),
    WiseRoute("GET", "/v1/accounts", recipients),
    WiseRoute("GET", "/v1/accounts/{account}", recipient),
    WiseRoute("DELETE", "/v1/accounts/{account}", delete_recipient),
)
