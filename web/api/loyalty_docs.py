"""What the operations on cards take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from web.api import answers, loyalty_schemas, schemas
from web.api.answers import Responses, error, error_value, example

_CARD: Final = "4006381333931"


def _event_schema(data: dict[str, Any]) -> dict[str, Any]:
    """An event whose envelope may leave out what the path and the key say."""
    properties = schemas.EVENT_SCHEMA["properties"] | {"data": data}
    needed = ["id", "source", "time", "data"]
    about = "An event, at most 64 KiB. What the path and the key say may be left out."
    return {"type": "object", "description": about, "required": needed, "properties": properties}


_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 100}
_COUNT: Final = {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}
_AMOUNT: Final = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
_ORDER: Final = {"order_reference": _TEXT, "store_id": _TEXT}
_PURCHASE: Final = {
    "purchase_amount": _AMOUNT | {"description": "In minor units of `purchase_currency`."},
    "purchase_currency": {"type": "string", "pattern": "^[A-Za-z]{3}$"},
}


def _body(about: str, data: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    schema = _event_schema(data)
    content = {"application/json": {"schema": schema, "example": value}}
    return {"requestBody": {"required": True, "description": about, "content": content}}


ENROL_BODY: Final = _body(
    "A `loyalty.card_created` event in UTF-8.",
    {
        "type": "object",
        "required": ["card", "customer_id"],
        "properties": {"card": _TEXT, "customer_id": _TEXT, "program": _TEXT, "store_id": _TEXT},
    },
    {
        "id": "till-7/enrol/881",
        "source": "till-7",
        "time": "2026-11-20T09:30:00Z",
        "data": {"card": _CARD, "customer_id": "u-42", "store_id": "berlin-1"},
    },
)
EARN_BODY: Final = _body(
    "A `loyalty.points_earned` event in UTF-8.",
    {
        "type": "object",
        "description": "`points`, or a `purchase_amount` from which the program computes them.",
        "anyOf": [{"required": ["points"]}, {"required": ["purchase_amount"]}],
        "properties": {"points": _COUNT} | _PURCHASE | _ORDER,
    },
    {
        "id": "till-7/sale/4711",
        "source": "till-7",
        "time": "2026-11-20T09:31:00Z",
        "data": {"points": 129, "order_reference": "sale-4711", "store_id": "berlin-1"},
    },
)
REDEEM_BODY: Final = _body(
    "A `loyalty.points_redeemed` event in UTF-8.",
    {
        "type": "object",
        "required": ["points"],
        "properties": {
            "points": _COUNT,
            "reward_id": {"type": "string", "minLength": 1, "maxLength": 50},
            "reward_description": {"type": "string", "maxLength": 255},
        }
        | _ORDER,
    },
    {
        "id": "till-7/reward/17",
        "source": "till-7",
        "time": "2026-11-20T09:35:00Z",
        "data": {"points": 100, "reward_id": "coffee", "store_id": "berlin-1"},
    },
)
HOLD_BODY: Final = _body(
    "A `loyalty.points_held` event in UTF-8.",
    {
        "type": "object",
        "description": "`points`, or a `reward_id` of the catalogue.",
        "anyOf": [{"required": ["points"]}, {"required": ["reward_id"]}],
        "properties": {
            "points": _COUNT,
            "reward_id": {"type": "string", "minLength": 1, "maxLength": 50},
            "reward_description": {"type": "string", "maxLength": 255},
        }
        | _ORDER,
    },
    {
        "id": "till-7/hold/18",
        "source": "till-7",
        "time": "2026-11-20T09:36:00Z",
        "data": {"points": 50, "reward_id": "coffee", "store_id": "berlin-1"},
    },
)
_OF_HOLD: Final = {
    "related_event": {
        "type": "object",
        "description": "The event that holds; `source` may be left out if it is the same.",
        "required": ["id"],
        "properties": {"source": _TEXT, "id": {"type": "string", "minLength": 1}},
    }
}
CAPTURE_BODY: Final = _body(
    "A `loyalty.hold_captured` event in UTF-8.",
    {
        "type": "object",
        "required": ["related_event"],
        "properties": _OF_HOLD
        | {"points": _COUNT | {"description": "Absent: all that is held."}}
        | _ORDER,
    },
    {
        "id": "till-7/capture/18",
        "source": "till-7",
        "time": "2026-11-20T09:37:00Z",
        "data": {"related_event": {"id": "till-7/hold/18"}, "store_id": "berlin-1"},
    },
)
RELEASE_BODY: Final = _body(
    "A `loyalty.hold_released` event in UTF-8.",
    {"type": "object", "required": ["related_event"], "properties": _OF_HOLD},
    {
        "id": "till-7/release/19",
        "source": "till-7",
        "time": "2026-11-20T09:38:00Z",
        "data": {"related_event": {"id": "till-7/hold/19"}},
    },
)
VOID_BODY: Final = _body(
    "A `loyalty.points_voided` event in UTF-8, or a `loyalty.stamp_voided` one if `type` says so.",
    {
        "type": "object",
        "required": ["related_event"],
        "properties": {
            "related_event": {
                "type": "object",
                "description": "The event that is taken back; `source` may be left out if it is the same.",
                "required": ["id"],
                "properties": {"source": _TEXT, "id": {"type": "string", "minLength": 1}},
            },
            "points": _COUNT | {"description": "Absent: all that is left of it."},
        }
        | _ORDER,
    },
    {
        "id": "till-7/void/3",
        "source": "till-7",
        "time": "2026-11-20T09:40:00Z",
        "data": {"related_event": {"id": "till-7/sale/4711"}, "points": 29, "store_id": "berlin-1"},
    },
)
ADJUST_BODY: Final = _body(
    "A `loyalty.points_adjusted` event in UTF-8, or a `loyalty.stamp_adjusted` one if `type` says so.",
    {
        "type": "object",
        "required": ["points", "reason"],
        "properties": {
            "points": {"type": "integer", "minimum": -(2**53 - 1), "maximum": 2**53 - 1},
            "reason": {"type": "string", "minLength": 1, "maxLength": 500},
        }
        | _ORDER,
    },
    {
        "id": "desk/adjust/9",
        "source": "desk",
        "time": "2026-11-20T09:45:00Z",
        "data": {"points": 20, "reason": "the till was down"},
    },
)


def _lifecycle(about: str, event_id: str, at: str) -> dict[str, Any]:
    properties = {"reason": {"type": "string", "minLength": 1, "maxLength": 500}}
    value = {"id": event_id, "source": "desk", "time": at, "data": {"reason": "lost"}}
    return _body(about, {"type": "object", "properties": properties}, value)


DEACTIVATE_BODY: Final = _lifecycle(
    "A `loyalty.card_deactivated` event in UTF-8.", "desk/lost/1", "2026-11-20T09:50:00Z"
)
REACTIVATE_BODY: Final = _lifecycle(
    "A `loyalty.card_reactivated` event in UTF-8.", "desk/found/1", "2026-11-20T09:55:00Z"
)


def _reply(request: dict[str, Any], kind: str, *rows: tuple[str, int, int]) -> dict[str, Any]:
    body = request["requestBody"]["content"]["application/json"]["example"]
    return {
        "event": {
            "source": body["source"],
            "id": body["id"],
            "type": kind,
            "status": "applied",
        },
        "card": _CARD,
        "transactions": [
            {
                "id": 90 + n,
                "type": type_,
                "points": points,
                "balance": balance,
                "stamps": 0,
                "stamps_balance": 0,
                "at": body["time"],
            }
            for n, (type_, points, balance) in enumerate(rows)
        ],
        "balance": rows[-1][2],
        "stamps_balance": 0,
    }


def _about_hold(request: dict[str, Any], kind: str) -> dict[str, Any]:
    event = _reply(request, kind, ("", 0, 0))["event"]
    held = {
        "points": 50,
        "expires_at": "2026-11-20T09:51:00Z",
        "reward_id": "coffee",
        "reward_description": None,
    }
    return {"event": event, "card": _CARD, "hold": held}


def _responses(
    reply: dict[str, Any],
    code: str,
    message: str,
    *,
    path: bool = True,
    model: Any = schemas.CardReply,
) -> Responses:
    event = {**reply["event"], "status": "rejected"}
    refused = (
        "The rules refused the event (`event` is there: it is kept), or it breaks the contract"
    )
    mismatch = ", or contradicts the path (`mismatch`)" if path else ""
    return {
        200: example(
            "It is applied, now or before (then with `Idempotent-Replayed: true`).",
            model,
            reply,
        )
        | {"headers": {"Idempotent-Replayed": _REPEATED}},
        400: error(
            "The body is no JSON (`invalid_json`), or the request no HTTP (`invalid_http`).",
            "invalid_json",
            "The event is not JSON: Expecting value at character 0.",
        ),
        401: answers.NO_KEY,
        403: error(
            "`missing_scope`; `forbidden_merchant`, `merchant_retired`: the event's merchant is not"
            " the key's, or takes no events.",
            "missing_scope",
            "The API key 'till' has no scope loyalty:write; make one that has it.",
            "Authorization",
        ),
        408: answers.TOO_SLOW,
        409: example(
            "`conflict`: this (source, id) came before with other content, which stands.",
            schemas.CardRefusal,
            {
                "error": error_value("conflict", _CONFLICT),
                "event": {**event, "status": "conflict"},
            },
        ),
        413: error(
            "`body_too_large`.",
            "body_too_large",
            "The body may have at most 64 KiB (65536 bytes). Send one event.",
        ),
        415: error(
            "`unsupported_media_type`, `unsupported_charset`, `unsupported_encoding`.",
            "unsupported_media_type",
            "Send the event as application/json or application/cloudevents+json.",
            "Content-Type",
        ),
        422: example(
            f"{refused}{mismatch}. docs/reference/events.md lists the reasons.",
            schemas.CardRefusal,
            {"error": error_value(code, message), "event": event},
        ),
        429: answers.TOO_MANY,
        500: answers.BUG,
        503: answers.DATABASE_AWAY,
    }


def _waiting(kind: str, event_id: str) -> Responses:
    return {
        202: example(
            "The event that it names has not come yet: this one waits for it.",
            schemas.WaitingReply,
            {
                "event": {
                    "source": "till-7",
                    "id": event_id,
                    "type": kind,
                    "status": "waiting",
                    "reason": "waits_for_original",
                }
            },
        )
    }


_REPEATED: Final = {
    "description": "`true` if the event had come before, over whatever way in.",
    "schema": {"type": "string", "enum": ["true"]},
}
_CONFLICT: Final = (
    "This (source, id) came before with other content, which stands. To correct a wrong amount send"
    " conversion.refunded or an adjustment under a new id; never other content under the same id."
)

ENROL: Final = _responses(
    _reply(
        ENROL_BODY,
        "loyalty.card_created",
        ("card_created", 0, 0),
        ("welcome_bonus", 50, 50),
    ),
    "customer_has_card",
    "customer u-42 already has a card",
    path=False,
)
EARN: Final = _responses(
    _reply(EARN_BODY, "loyalty.points_earned", ("points_earned", 129, 179)),
    "card_unknown",
    f"there is no card {_CARD}",
)
REDEEM: Final = _responses(
    _reply(REDEEM_BODY, "loyalty.points_redeemed", ("points_redeemed", -100, 79)),
    "insufficient_points",
    f"card {_CARD} has 79 spendable points, 100 were asked for",
)
HOLD: Final = _responses(
    _about_hold(HOLD_BODY, "loyalty.points_held"),
    "insufficient_points",
    f"card {_CARD} has 29 spendable points, 50 were asked for",
    model=loyalty_schemas.HoldReply,
)
CAPTURE: Final = _responses(
    _reply(CAPTURE_BODY, "loyalty.hold_captured", ("points_redeemed", -50, 29)),
    "hold_timed_out",
    "its time was over at 2026-11-20T09:51:00+00:00; redeem the points anew",
) | _waiting("loyalty.hold_captured", "till-7/capture/18")
RELEASE: Final = _responses(
    _about_hold(RELEASE_BODY, "loyalty.hold_released"),
    "hold_captured",
    "it was captured before",
    model=loyalty_schemas.HoldReply,
) | _waiting("loyalty.hold_released", "till-7/release/19")
VOID: Final = _responses(
    _reply(VOID_BODY, "loyalty.points_voided", ("points_voided", -29, 50)),
    "already_voided",
    "nothing is left of that event to be voided",
) | _waiting("loyalty.points_voided", "till-7/void/3")
ADJUST: Final = _responses(
    _reply(ADJUST_BODY, "loyalty.points_adjusted", ("points_adjusted", 20, 70)),
    "card_unknown",
    f"there is no card {_CARD}",
)
DEACTIVATE: Final = _responses(
    _reply(DEACTIVATE_BODY, "loyalty.card_deactivated", ("card_deactivated", 0, 70)),
    "card_inactive",
    f"card {_CARD} is deactivated",
)
REACTIVATE: Final = _responses(
    _reply(REACTIVATE_BODY, "loyalty.card_reactivated", ("card_reactivated", 0, 70)),
    "card_active",
    f"card {_CARD} is active",
)
