"""From the text that a producer sent to an `Event`, or to an `InvalidEvent` that says why not."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from pydantic import ValidationError

from payspool_client.errors import InvalidEvent
from payspool_client.events import conversions, loyalty, payees
from payspool_client.events.canonical import content_hash
from payspool_client.events.event import Event, Identity
from payspool_client.events.fields import EVENT_ID_MAX, MERCHANT_MAX, SOURCE_MAX, EventData
from payspool_client.events.jsontext import Flaw, dotted, is_clean, read_json
from payspool_client.events.refusals import sentence_of

#: The UTF-8 text of one event.
EVENT_BYTES_MAX: Final = 64 * 1024
#: A text up to this size is still read for its identity, so that its refusal can be found by it.
READABLE_BYTES_MAX: Final = 1024 * 1024
#: The first year of `time`, as written: rules reckon with days and months before it.
YEAR_MIN: Final = "1970"
#: How far a producer's clock may be ahead of the receiver's.
TIME_AHEAD_MAX: Final = timedelta(minutes=10)
SPEC_VERSION: Final = "1.0"
TYPE_MAX: Final = 255

#: Every type that an event can have, with the model of its data.
EVENT_TYPES: Final[dict[str, type[EventData]]] = {
    model.type: model
    for model in (
        conversions.ConversionAttributed,
        conversions.ConversionRecorded,
        conversions.ConversionRefunded,
        conversions.ConversionDisputed,
        loyalty.CardCreated,
        loyalty.CardDeactivated,
        loyalty.CardReactivated,
        loyalty.PointsEarned,
        loyalty.PointsRedeemed,
        loyalty.PointsHeld,
        loyalty.HoldCaptured,
        loyalty.HoldReleased,
        loyalty.PointsVoided,
        loyalty.PointsAdjusted,
        loyalty.StampEarned,
        loyalty.StampRedeemed,
        loyalty.StampVoided,
        loyalty.StampAdjusted,
        loyalty.PurchaseRefunded,
        loyalty.CustomerAnonymized,
        payees.PayeeUpdated,
    )
}
_VALIDATORS: Final = {
    name: model.__pydantic_validator__.validate_python for name, model in EVENT_TYPES.items()
}

#: RFC 3339 section 5.6. `fromisoformat` alone would also take week dates and missing offsets.
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def parse_event(raw: str | bytes, *, now: datetime | None = None) -> Event:
    """Read one event.

    Parameters:
        raw: Its JSON text (UTF-8 if bytes).
        now: The receiver's clock (aware). With it, events more than `TIME_AHEAD_MAX` ahead are
            refused; a producer leaves it out, because its clock decides nothing.

    Raises:
        InvalidEvent: It breaks the contract; the error carries what could be read of it.
    """
    document = None
    sound = False
    try:
        text = _text_of(raw)
        document, plain = read_json(text)
        sound = True
        _check_size(text)
        return _event(document, plain, now)
    except Flaw as flaw:
        if not sound:
            document = flaw.document
        raise _refusal(raw, flaw, document, sound=sound) from None


_TOO_LARGE: Final = f"Keep an event within {EVENT_BYTES_MAX // 1024} KiB of UTF-8 text."


def _text_of(raw: str | bytes) -> str:
    if len(raw) > READABLE_BYTES_MAX:
        raise Flaw("too_large", _TOO_LARGE)
    try:
        if isinstance(raw, str):
            if not raw.isascii():
                raw.encode()
            return raw
        return raw.decode()
    except UnicodeError:
        raise Flaw("invalid_unicode", "Send the event as valid UTF-8 text.") from None


def _check_size(text: str) -> None:
    if len(text) > EVENT_BYTES_MAX or (not text.isascii() and len(text.encode()) > EVENT_BYTES_MAX):
        raise Flaw("too_large", _TOO_LARGE)


def _event(document: Any, plain: bool, now: datetime | None) -> Event:
    if type(document) is not dict:
        raise Flaw("not_an_object", "Send each event as one JSON object.")
    merchant = _attribute(document, "merchant", MERCHANT_MAX)
    source = _attribute(document, "source", SOURCE_MAX)
    event_id = _attribute(document, "id", EVENT_ID_MAX)
    if document.get("specversion") != SPEC_VERSION:
        raise Flaw("unsupported_specversion", 'specversion must be "1.0".', "specversion")
    event_type = _attribute(document, "type", TYPE_MAX)
    validate = _VALIDATORS.get(event_type)
    if validate is None:
        raise Flaw("unknown_type", f"There is no event type {event_type[:100]!r}.", "type")
    time = _time(document)
    if now is not None and time - now > TIME_AHEAD_MAX:
        raise Flaw(
            "time_in_future",
            f"time is more than {TIME_AHEAD_MAX.seconds // 60} minutes ahead of the receiver's "
            "clock; check the clock that wrote it.",
            "time",
        )
    payload = document.get("data")
    if type(payload) is not dict:
        if "data" not in document:
            raise Flaw("missing_field", "data is needed.", "data")
        raise Flaw("wrong_type", "data must be an object.", "data")
    try:
        data = validate(payload)
    except ValidationError as error:
        raise _data_flaw(error) from None
    digest = content_hash(merchant=merchant, type=event_type, time=time, data=payload, plain=plain)
    return Event(merchant, source, event_id, event_type, time, data, payload, digest)


def _attribute(document: dict[str, Any], name: str, longest: int) -> str:
    value = document.get(name)
    if type(value) is str and 0 < len(value) <= longest:
        return value
    if name not in document:
        raise Flaw("missing_field", f"{name} is needed.", name)
    if not isinstance(value, str):
        raise Flaw("wrong_type", f"{name} must be a string.", name)
    if not value:
        raise Flaw("empty", f"{name} must not be empty.", name)
    raise Flaw("too_long", f"{name} must have at most {longest} characters.", name)


def _time(document: dict[str, Any]) -> datetime:
    value = document.get("time")
    if type(value) is not str:
        if "time" not in document:
            raise Flaw("missing_field", "time is needed: when it happened.", "time")
        raise Flaw("wrong_type", "time must be a string.", "time")
    try:
        if _RFC3339.fullmatch(value) is None:
            raise ValueError(value)  # noqa: TRY301 (one refusal for all that is no time)
        if value < YEAR_MIN:
            raise ValueError(value)  # noqa: TRY301
        time = datetime.fromisoformat(value.upper())
        return time if time.tzinfo is UTC else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Flaw(
            "invalid_time",
            "time must be a date and time with an offset (RFC 3339), "
            f'since {YEAR_MIN}, such as "2026-11-20T09:30:00Z".',
            "time",
        ) from None


def _data_flaw(error: ValidationError) -> Flaw:
    first = error.errors(include_url=False)[0]
    path = ("data", *(str(part) for part in first["loc"]))
    context = first.get("ctx", {})
    if "field" in context:
        path = (*path, context["field"])
    reason, sentence = sentence_of(first)
    field = dotted(path)
    return Flaw(reason, f"{field} {sentence}.", field)


def _refusal(raw: str | bytes, flaw: Flaw, document: Any, *, sound: bool) -> InvalidEvent:
    """All that can be told of an event that is refused. `sound`: only its meaning is wrong, so
    that what it says can be hashed and stored."""
    original = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    digest = sha256(original).digest()
    if not isinstance(document, dict):
        return InvalidEvent(flaw.reason, flaw.message, field=flaw.field, content_hash=digest)
    identity = _readable_identity(document)
    event_type = _readable(document, "type", TYPE_MAX)
    data = document.get("data") if sound else None
    time: datetime | None = None
    with suppress(Flaw):
        time = _time(document)
    if not isinstance(data, dict):
        data = None
    elif identity is not None and event_type is not None and time is not None:
        digest = content_hash(merchant=identity.merchant, type=event_type, time=time, data=data)
    return InvalidEvent(
        flaw.reason,
        flaw.message,
        field=flaw.field,
        identity=identity,
        content_hash=digest,
        type=event_type,
        time=time,
        data=data,
    )


def _readable_identity(document: dict[str, Any]) -> Identity | None:
    merchant = _readable(document, "merchant", MERCHANT_MAX)
    source = _readable(document, "source", SOURCE_MAX)
    event_id = _readable(document, "id", EVENT_ID_MAX)
    if merchant is None or source is None or event_id is None:
        return None
    return Identity(merchant, source, event_id)


def _readable(document: dict[str, Any], name: str, longest: int) -> str | None:
    """A string attribute that is what the producer meant: valid, and there once."""
    value = document.get(name)
    if name in getattr(document, "repeated", ()) or not isinstance(value, str):
        return None
    return value if 0 < len(value) <= longest and is_clean(value) else None


def unparsable(message: str) -> InvalidEvent:
    """The refusal of something that is not even a text."""
    return InvalidEvent("invalid_json", message, content_hash=sha256(b"").digest())
