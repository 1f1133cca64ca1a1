"""What the operations on stores, staff PINs and devices answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from web.api import answers
from web.api import shops_schemas as models
from web.api.answers import BAD_HTTP, BUG, DATABASE_AWAY, Responses, error, example
from web.api.referrals_docs import body

_STORE: Final[dict[str, Any]] = {
    "key": "berlin-2",
    "name": "Berlin Mitte",
    "zone": "Europe/Berlin",
    "retired_at": None,
    "created_at": "2026-11-20T09:30:00Z",
}
_PIN: Final[dict[str, Any]] = {
    "key": "ben",
    "store": "berlin-1",
    "name": "Ben B.",
    "failures": 0,
    "locked_until": None,
    "disabled_at": None,
    "created_at": "2026-11-20T09:30:00Z",
}
_DEVICE: Final[dict[str, Any]] = {
    "key": "tablet-3",
    "store": "berlin-1",
    "name": "Counter left",
    "principal": "api_key:acme/desk",
    "paired_at": None,
    "pairing_expires_at": "2026-11-20T09:45:00Z",
    "revoked_at": None,
    "created_at": "2026-11-20T09:30:00Z",
}
_REVOKED: Final[dict[str, Any]] = {
    "paired_at": "2026-11-20T09:40:00Z",
    "pairing_expires_at": None,
    "revoked_at": "2026-11-21T09:30:00Z",
}


def _reading(wrong: str = "limit: Input should be less than or equal to 500.") -> Responses:
    return answers.reading("shops:read", wrong, wrong.split(":")[0])


def _writing(wrong: str) -> Responses:
    return answers.reading("shops:write", wrong, wrong.split(":")[0]) | answers.WITH_BODY


def _taken(what: str, key: str) -> dict[str, Any]:
    message = f"There is already a {what} {key!r}. Give another key."
    return error("`already_exists`.", "already_exists", message)


def _missing(what: str, noun: str, key: str) -> dict[str, Any]:
    field = what.replace(" ", "_").lower()
    code = f"{field}_not_found"
    message = f"There is no {what} {key!r}. `payspool loyalty {noun} list` shows them."
    return error(f"`{code}`: it is not there, or another merchant's.", code, message, field)


_NO_STORE: Final = _missing("store", "stores", "sued")

STORES: Final[Responses] = _reading() | {
    200: example("A page of stores.", models.Stores, {"stores": [_STORE], "next": None})
}
ADD_STORE: Final[Responses] = _writing("zone: 'Mars' is not an IANA time zone.") | {
    200: example("The store.", models.Store, _STORE),
    409: _taken("store", "berlin-2"),
}
ADD_STORE_BODY: Final = body(
    models.StoreRequest,
    "The store's key, as events name it, its name and zone.",
    {"key": "berlin-2", "name": "Berlin Mitte", "zone": "Europe/Berlin"},
)
CHANGE_STORE: Final[Responses] = _writing("zone: 'Mars' is not an IANA time zone.") | {
    200: example("The store as it is now.", models.Store, _STORE | {"name": "Mitte"}),
    404: _NO_STORE,
}
CHANGE_STORE_BODY: Final = body(
    models.StoreChange, "What changes.", {"name": "Mitte", "retired": False}
)
PINS: Final[Responses] = _reading() | {
    200: example("A page of PINs.", models.StaffPins, {"pins": [_PIN], "next": None})
}
ADD_PIN: Final[Responses] = _writing("pin: String should match pattern '^[0-9]{4,12}$'.") | {
    200: example("Who has the PIN.", models.StaffPin, _PIN),
    404: _NO_STORE,
    409: _taken("staff PIN", "ben"),
}
ADD_PIN_BODY: Final = body(
    models.PinRequest,
    "Whose PIN at which store. It is kept as its argon2id hash.",
    {"store": "berlin-1", "key": "ben", "name": "Ben B.", "pin": "4711"},
)
CHANGE_PIN: Final[Responses] = _writing("pin: String should match pattern '^[0-9]{4,12}$'.") | {
    200: example("Who has the PIN.", models.StaffPin, _PIN | {"key": "ann", "name": "Ann A."}),
    404: _missing("staff PIN", "pins", "bob"),
}
CHANGE_PIN_BODY: Final = body(models.PinChange, "What changes.", {"name": "Ann A.", "unlock": True})
DEVICES: Final[Responses] = _reading() | {
    200: example("A page of devices.", models.Devices, {"devices": [_DEVICE], "next": None})
}
ADD_DEVICE: Final[Responses] = _writing("key: String should have at most 100 characters.") | {
    200: example(
        "The device, with its code or token.",
        models.NewDevice,
        _DEVICE | {"code": "K7WQ3MZP9A", "token": None},
    ),
    404: _NO_STORE,
    409: _taken("device", "tablet-3"),
}
ADD_DEVICE_BODY: Final = body(
    models.DeviceRequest,
    "The device, its store, and how it gets its token.",
    {"store": "berlin-1", "key": "tablet-3", "name": "Counter left", "pair_by": "code"},
)
CHANGE_DEVICE: Final[Responses] = _writing("name: String should have at most 255 characters.") | {
    200: example("The device as it is now.", models.Device, _DEVICE | _REVOKED),
    404: _missing("device", "devices", "tablet-9"),
    409: error(
        "`not_allowed`: it is revoked.",
        "not_allowed",
        "The device 'tablet-1' is revoked; it stays as it was.",
    ),
}
CHANGE_DEVICE_BODY: Final = body(models.DeviceChange, "What changes.", {"revoke": True})
PAIR_BODY: Final = body(
    models.PairingCode, "The code, in any case and with hyphens or without.", {"code": "K7WQ3MZP9A"}
)
PAIR: Final[Responses] = answers.WITH_BODY | {
    200: example(
        "The tablet is paired.",
        models.PairedDevice,
        {
            "merchant": "acme",
            "device": "tablet-2",
            "name": "Counter right",
            "store": "berlin-1",
            "token": "pdt_test_Zk3vYw0nq8Rr1t5uXo2bC7dE9fG4hJ6kL8mN0pQ2sTw",
        },
    ),
    400: BAD_HTTP,
    403: error(
        "`pairing_refused`: the code is unknown, used, or older than 15 minutes.",
        "pairing_refused",
        "This code pairs nothing: it is unknown, used, or over. Ask for another.",
        "code",
    ),
    422: error("`invalid_request`: no code.", "invalid_request", "code: Field required.", "code"),
    500: BUG,
    503: DATABASE_AWAY,
}
