"""The JSON Schema accepts what `parse_event` accepts, and refuses what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from payspool_client import EVENT_TYPES, InvalidEvent, parse_event, schemas
from payspool_client.currencies import CURRENCIES
from payspool_client.wire import decode_message, encode_messages
from tests.clients.events.valid import VALID, document

EVENT = Draft202012Validator(schemas.event_schema())
MESSAGE = Draft202012Validator(schemas.message_schema())


def parses(event: Any) -> bool:
    try:
        parse_event(json.dumps(event))
    except InvalidEvent:
        return False
    return True


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_a_valid_event_of_every_type_is_valid_by_the_schema(name: str) -> None:
    EVENT.validate(document(name))


BAD: list[dict[str, Any]] = [
    {"specversion": "0.3"},
    {"id": ""},
    {"id": "i" * 256},
    {"source": None},
    {"merchant": "m" * 101},
    {"merchant": "a\0"},
    {"type": "conversion.imagined"},
    {"time": "2026-11-20"},
    {"time": "2026-11-20T09:30:00"},
    {"time": "2026-11-20T09:30:00Z\n"},
    {"time": "٢٠٢٦-11-20T09:30:00Z"},
    {"data": []},
    {"extension": ["a\0"]},
    {"ex\0tension": 1},
    *(
        {"data": VALID["conversion.recorded"] | change}
        for change in [
            {"referred_user_id": " u"},
            {"referred_user_id": "u\n"},
            {"referred_user_id": "u\x1c"},
            {"referred_user_id": "u\u0085"},
            {"referred_user_id": "u\ufeff"},
            {"referred_user_id": ""},
            {"referred_user_id": 5},
            {"referred_user_id": "u" * 101},
            {"code": "SHORT"},
            {"amount": -1},
            {"amount": True},
            {"amount": "5"},
            {"amount": 2**53},
            {"currency": "zzz"},
            {"currency": "eur\n"},
            {"currency": "e"},
            {"note": {"deep": ["a\0"]}},
            {"note": {"a\0": 1}},
        ]
    ),
    {"type": "conversion.refunded", "data": {"transaction_id": "t", "refund_id": "r"}},
    *(
        {"type": "conversion.refunded", "data": VALID["conversion.refunded"] | change}
        for change in [
            {"amount": 5},
            {"currency": "eur"},
            {"full": False},
            {"full": None, "amount": 5},
            {"full": None, "amount": 0, "currency": "eur"},
            {"full": 1},
        ]
    ),
    {"type": "loyalty.points_earned", "data": {"card": "c"}},
    {"type": "loyalty.points_earned", "data": {"card": "c", "points": None}},
    {"type": "loyalty.points_redeemed", "data": {"card": "c", "reward_id": None}},
    {"type": "loyalty.points_adjusted", "data": {"card": "c", "points": 0, "reason": "x"}},
    {"type": "loyalty.points_voided", "data": {"card": "c", "related_event": ""}},
    {"type": "loyalty.points_voided", "data": {"card": "c", "related_event": {}}},
    {"type": "loyalty.points_earned", "data": {"card": "c", "points": 1, "category_ids": ["a "]}},
    {"type": "payee.updated", "data": {"user_id": "u", "method": "cash"}},
]


@pytest.mark.parametrize("change", BAD, ids=repr)
def test_what_is_refused_is_refused_by_the_schema(change: dict[str, Any]) -> None:
    wrong = document() | change
    assert not parses(wrong)
    assert not EVENT.is_valid(wrong)


@pytest.mark.parametrize("missing", document())
def test_what_is_missing_is_refused_by_the_schema(missing: str) -> None:
    incomplete = document()
    del incomplete[missing]
    assert not EVENT.is_valid(incomplete)


def test_every_currency_in_any_case_is_taken_by_both() -> None:
    for code in CURRENCIES:
        for written in (code, code.upper(), code.title()):
            event = document(amount=1, currency=written)
            assert parses(event)
            assert EVENT.is_valid(event)


UNSAID: list[str] = [
    json.dumps(document(note="x" * 70_000)),
    json.dumps(document(note=json.loads("[" * 20 + "]" * 20))),
    json.dumps(document()).replace('"u-42"', '"u-42", "referred_user_id": "u-43"'),
    json.dumps(document(amount=5.0)),
    json.dumps(document(note=2**60)),
    json.dumps(document() | {"time": "2026-02-30T09:30:00Z"}),
]


@pytest.mark.parametrize("text", UNSAID, ids=lambda text: text[:60])
def test_what_a_schema_cannot_say_is_refused_all_the_same_and_listed(text: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_event(text)
    assert EVENT.is_valid(json.loads(text))
    assert len(schemas.UNSAID) >= 5


names = st.sampled_from(
    sorted({name for model in EVENT_TYPES.values() for name in model.model_fields} | {"note"})
)
blanks = st.sampled_from(
    ["", " ", "\n", "\x1f", "\x85", "\u200b", "\ufeff", "\0", "\x7f", "\u180e"]
)
strings = (
    st.builds("{}{}{}".format, blanks, st.text("aZ9é👟-", max_size=12), blanks)
    | st.sampled_from(
        ["eur", "EUR", "zzz", "won", "stripe", "x" * 50, "x" * 51, "x" * 101, "x" * 256]
    )
    | st.sampled_from(["x" * 501, "x" * 20, "x" * 21, "x" * 6, "x" * 5])
)
integers = st.sampled_from([-(2**53), -(2**53) + 1, -1, 0, 1, 2**53 - 1, 2**53])
floats = st.floats(allow_nan=False, allow_infinity=False, width=16).filter(
    lambda x: math.floor(x) != x
)
values = st.recursive(
    st.none() | st.booleans() | integers | floats | strings,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "source", "x", "y\0"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def beyond(value: Any) -> bool:
    """Whether an integer beyond 2^53 - 1 is in it: of those in unknown fields a schema cannot say it."""
    if isinstance(value, dict | list):
        return any(map(beyond, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and abs(value) >= 2**53


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(EVENT_TYPES)),
    st.dictionaries(names, values, max_size=3),
    st.dictionaries(st.sampled_from(["id", "source", "merchant", "x"]), values, max_size=1),
    st.sets(names, max_size=2),
)
def test_schema_and_parser_agree(
    name: str, change: dict[str, Any], envelope: dict[str, Any], gone: set[str]
) -> None:
    event = document(name, **change) | envelope
    for field in gone:
        event["data"].pop(field, None)
    if parses(event) != EVENT.is_valid(event):
        assert beyond(event), [str(error.message) for error in EVENT.iter_errors(event)]


def test_what_the_publisher_writes_is_a_message_by_the_schema() -> None:
    texts = [json.dumps(document(note=i)) for i in range(150)]
    for redis_message_id, raw in encode_messages(texts):
        message = json.loads(raw)
        MESSAGE.validate(message)
        assert message["options"]["redis_message_id"] == redis_message_id
        assert decode_message(raw).texts


@pytest.mark.parametrize(
    "change",
    [
        {"queue_name": "payouts"},
        {"actor_name": "other"},
        {"message_id": 5},
        {"message_timestamp": "now"},
        {"message_timestamp": -1},
        {"message_timestamp": 10**400},
        {"args": []},
        {"args": [[]]},
        {"args": [[5]]},
        {"args": [["{}"], ["{}"]]},
        {"args": [["{}"] * 101]},
        {"kwargs": {"x": 1}},
        {"options": {"redis_message_id": "r", "payspool": {"v": 2, "n": 1}}},
        {"options": {"redis_message_id": "r"}},
    ],
    ids=str,
)
def test_another_message_is_none_by_the_schema(change: dict[str, Any]) -> None:
    ((_, raw),) = encode_messages(["{}"])
    MESSAGE.validate(json.loads(raw))
    assert not MESSAGE.is_valid(json.loads(raw) | change)


def test_the_command_writes_the_files(tmp_path: Path) -> None:
    schemas.write(tmp_path / "new")
    assert {file.name: file.read_text() for file in (tmp_path / "new").iterdir()} == schemas.files()
