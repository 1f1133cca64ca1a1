"""An event that is applied while its sender waits: the same apply as from the queue, under the same key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi.responses import JSONResponse

from domain.access.service import ApiKey
from domain.db import Tx
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, Parsed
from domain.loyalty import service as loyalty
from payspool_client import Event, InvalidEvent, parse_event
from payspool_client.events.jsontext import Flaw, read_json
from web.errors import ApiError, error_object

SPEC_VERSION: Final = "1.0"
#: Tells a client that its event had come before.
REPEATED: Final = "Idempotent-Replayed"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the event.

    Attributes:
        repeated: Whether it had come before, over whatever way in.
        status: applied, rejected or waiting, as `GET /v1/events` tells it; conflict, if its (source, id) came
            before with other content; or unreadable, if its merchant retired meanwhile.
        reason, detail: Why, unless it is applied.
        transactions: What it did to the card.
        hold: The points that it reserved or let go, if it is about a hold.
    """

    event: Event
    repeated: bool
    status: str
    reason: str | None
    detail: str | None
    transactions: list[Any]
    hold: Any = None


def read_event(body: bytes, key: ApiKey, types: Sequence[str], *, card: str | None = None) -> Event:
    """The event of a body, with what the path and the key say filled in; its type is one of ``types``,
    the first one where the body says none.

    It is the same event, with the same content hash, as the one that is published with all of it
    written out. Raises ApiError: 400 if it is no JSON, 403 for another merchant's, 422 if it breaks
    the contract or contradicts the path.
    """
    try:
        document, _ = read_json(body.decode())
    except UnicodeDecodeError:
        raise ApiError(422, "invalid_unicode", "Send the event as valid UTF-8 text.") from None
    except Flaw as flaw:
        status = 400 if flaw.reason == "invalid_json" else 422
        raise ApiError(status, flaw.reason, flaw.message, field=flaw.field) from None
    if not isinstance(document, dict):
        raise ApiError(422, "not_an_object", "Send the event as one JSON object.")
    if document.get("merchant", key.merchant_key) != key.merchant_key:
        message = f"This is a {key.mode} key of the merchant {key.merchant_key!r}."
        raise ApiError(403, "forbidden_merchant", message, field="merchant")
    _fill(document, "merchant", key.merchant_key)
    _fill(document, "specversion", SPEC_VERSION)
    if document.setdefault("type", types[0]) not in types:
        message = (
            f"type must be {' or '.join(map(repr, types))} here; {types[0]!r} may be left out."
        )
        raise ApiError(422, "mismatch", message, field="type")
    if card is not None and isinstance(document.setdefault("data", {}), dict):
        _fill(document["data"], "card", card, path="data.card")
    try:
        return parse_event(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    except InvalidEvent as error:
        raise ApiError(422, error.reason, error.message, field=error.field) from None


def _fill(document: dict[str, Any], name: str, value: str, *, path: str | None = None) -> None:
    said = document.setdefault(name, value)
    if said != value:
        message = f"{path or name} must be {value!r} here, or be left out."
        raise ApiError(422, "mismatch", message, field=path or name)


def apply(
    tx: Tx, key: ApiKey, event: Event, request_id: str, act: loyalty.Act | None = None
) -> Result:
    """Apply an event in the request's transaction, once, however often and by whatever way it comes.

    Everything that is returned is to be committed: a refusal and a conflict are kept too. ``act``: who
    stands behind it at a till; it is no part of the event, which stays the same from anywhere.
    """
    delivery = Delivery(f"http:{request_id}", 0, event.to_json())
    [outcome] = inbox.apply(tx, [Parsed(delivery, event, None)], act=act)
    if outcome.status not in ("applied", "rejected", "waiting", "duplicate"):
        return Result(event, False, outcome.status, outcome.reason, outcome.detail, [])
    assert outcome.inbox_id is not None, "what has an identity is claimed"
    told = inbox.status(tx, key.merchant_id, event.source, event.id)
    assert told is not None, "what was claimed is there"
    # Read back, for the first reply as for every repeated one, so that they are the same.
    return Result(
        event,
        outcome.status == "duplicate",
        told["status"],
        told["reason"],
        told["detail"],
        loyalty.transactions_of(tx, outcome.inbox_id),
        loyalty.touched_by(tx, outcome.inbox_id),
    )


def answer(result: Result) -> JSONResponse:
    """The reply to who waited. A repeated request hears the same, and that it was repeated."""
    event = result.event
    named = {"source": event.source, "id": event.id, "type": event.type}
    headers = {REPEATED: "true"} if result.repeated else {}
    if result.status == "applied":
        rows = result.transactions
        if not rows:
            return JSONResponse(_about_hold(result, named), HTTPStatus.OK, headers)
        last = rows[-1]
        body = {
            "event": named | {"status": "applied"},
            "card": last.card,
            "transactions": [_transaction(row) for row in rows],
            "balance": last.balance,
            "stamps_balance": last.stamps_balance,
        }
        return JSONResponse(body, HTTPStatus.OK, headers)
    if result.status == "waiting":
        waits = {"event": named | {"status": "waiting", "reason": result.reason}}
        return JSONResponse(waits, HTTPStatus.ACCEPTED, headers)
    status = _STATUS.get(result.status, HTTPStatus.UNPROCESSABLE_ENTITY)
    reason = str(result.reason)
    body = {
        "error": error_object(reason, str(result.detail or reason)),
        "event": named | {"status": result.status},
    }
    return JSONResponse(body, status, headers)


def _about_hold(result: Result, named: dict[str, str]) -> dict[str, Any]:
    held = result.hold
    told = None
    if held is not None:
        told = {
            "points": held.points,
            "expires_at": _utc(held.expires_at),
            "reward_id": held.reward_id,
            "reward_description": held.reward_description,
        }
    card = result.event.payload["card"]
    return {"event": named | {"status": "applied"}, "card": card, "hold": told}


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


_STATUS: Final = {"conflict": HTTPStatus.CONFLICT, "unreadable": HTTPStatus.FORBIDDEN}


def _transaction(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": row.type,
        "points": row.points,
        "balance": row.balance,
        "stamps": row.stamps,
        "stamps_balance": row.stamps_balance,
        "at": _utc(row.transaction_at),
    }
