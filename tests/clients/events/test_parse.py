from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payspool_client import (
    EVENT_TYPES,
    ConversionRecorded,
    Event,
    Identity,
    InvalidEvent,
    PointsEarned,
    PointsVoided,
    RelatedEvent,
    parse_event,
)
from tests.clients.events.refusing import NOW, refusal
from tests.clients.events.valid import VALID, document


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_every_type_is_read_and_keeps_unknown_fields(event_type: str) -> None:
    event = parse_event(json.dumps(document(event_type, campaign={"x": 1.5})), now=NOW)
    assert type(event.data) is EVENT_TYPES[event_type]
    assert event.type == event.data.type == event_type
    assert event.identity == Identity("acme", "shop-eu", "ord-1881/paid")
    assert event.payload == VALID[event_type] | {"campaign": {"x": 1.5}}
    assert event.data.model_extra == {"campaign": {"x": 1.5}}


def test_the_examples_cover_every_type() -> None:
    assert VALID.keys() == EVENT_TYPES.keys()


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_each_required_field_is_named_when_it_is_missing(event_type: str) -> None:
    required = {n for n, f in EVENT_TYPES[event_type].model_fields.items() if f.is_required()}
    for name in required:
        incomplete = document(event_type)
        del incomplete["data"][name]
        found = refusal(incomplete)
        assert (found.reason, found.field) == ("missing_field", f"data.{name}")


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"amount": "5"}, "wrong_type", "data.amount"),
        ({"amount": 5.0}, "wrong_type", "data.amount"),
        ({"amount": True}, "wrong_type", "data.amount"),
        ({"amount": -1}, "negative_amount", "data.amount"),
        ({"amount": 2**53}, "integer_out_of_range", "data.amount"),
        ({"unknown": [-(2**53)]}, "integer_out_of_range", "data.unknown.0"),
        ({"referred_user_id": 42}, "wrong_type", "data.referred_user_id"),
        ({"referred_user_id": ""}, "empty", "data.referred_user_id"),
        ({"referred_user_id": "u" * 101}, "too_long", "data.referred_user_id"),
        ({"transaction_id": "t" * 256}, "too_long", "data.transaction_id"),
        ({"code": "SHORT"}, "too_short", "data.code"),
        ({"code": "C" * 21}, "too_long", "data.code"),
        ({"code": "REF-7K2M9Q "}, "blank", "data.code"),
        ({"code": "      "}, "blank", "data.code"),
        ({"referred_user_id": " "}, "blank", "data.referred_user_id"),
        ({"referred_user_id": "\tu-42"}, "blank", "data.referred_user_id"),
        ({"referred_user_id": "u-42\n"}, "blank", "data.referred_user_id"),
        ({"transaction_id": "t\u3000"}, "blank", "data.transaction_id"),
        ({"transaction_id": "\ufefft"}, "blank", "data.transaction_id"),
        ({"currency": "zzz"}, "invalid_currency", "data.currency"),
        ({"currency": "xau"}, "invalid_currency", "data.currency"),
        ({"currency": "euro"}, "invalid_currency", "data.currency"),
        ({"currency": "€€€"}, "invalid_currency", "data.currency"),
        ({"currency": "eur\n"}, "invalid_currency", "data.currency"),
        ({"note": "a\0b"}, "nul_character", "data.note"),
        ({"no\0te": "a"}, "nul_character", "data.no\\0te"),
        ({"note": "\ud800"}, "invalid_unicode", "data.note"),
        ({"\udfff": 1}, "invalid_unicode", "data.\\udfff"),
        ({"x": float("nan")}, "not_finite", "data.x"),
        ({"x": float("-inf")}, "not_finite", "data.x"),
    ],
)
def test_a_wrong_field_is_refused_by_name(change: dict[str, Any], reason: str, field: str) -> None:
    found = refusal(document(**change))
    assert (found.reason, found.field) == (reason, field)
    assert found.identity == Identity("acme", "shop-eu", "ord-1881/paid")


@pytest.mark.parametrize(
    ("event_type", "data", "reason", "field"),
    [
        ("conversion.refunded", {"full": None}, "missing_field", "data.amount"),
        ("conversion.refunded", {"full": False, "amount": 5}, "missing_field", "data.currency"),
        ("conversion.refunded", {"amount": 5, "currency": "eur"}, "ambiguous_refund", "data"),
        ("conversion.refunded", {"full": None, "amount": 0}, "not_positive", "data.amount"),
        ("conversion.refunded", {"full": None, "amount": -5}, "negative_amount", "data.amount"),
        ("conversion.disputed", {"outcome": "maybe"}, "invalid_value", "data.outcome"),
        ("loyalty.points_earned", {"purchase_amount": None}, "missing_field", "data.points"),
        ("loyalty.card_created", {"program": "p" * 101}, "too_long", "data.program"),
        ("loyalty.points_earned", {"card": " c"}, "blank", "data.card"),
        ("loyalty.points_earned", {"category_ids": ["a", "b "]}, "blank", "data.category_ids.1"),
        ("payee.updated", {"account": "acct_1 "}, "blank", "data.account"),
        ("loyalty.points_earned", {"points": 0}, "not_positive", "data.points"),
        ("loyalty.points_redeemed", {"points": -1}, "not_positive", "data.points"),
        ("loyalty.points_redeemed", {"reward_id": "r" * 51}, "too_long", "data.reward_id"),
        ("loyalty.points_adjusted", {"points": 0}, "zero", "data.points"),
        ("loyalty.points_adjusted", {"reason": ""}, "empty", "data.reason"),
        ("loyalty.points_voided", {"related_event": 7}, "wrong_type", "data.related_event"),
        ("loyalty.points_voided", {"related_event": ""}, "empty", "data.related_event.id"),
        ("loyalty.points_earned", {"category_ids": "a"}, "wrong_type", "data.category_ids"),
        ("loyalty.points_earned", {"category_ids": [1]}, "wrong_type", "data.category_ids.0"),
        ("loyalty.points_earned", {"ip_address": "1" * 46}, "too_long", "data.ip_address"),
        ("loyalty.points_earned", {"user_agent": "u" * 501}, "too_long", "data.user_agent"),
        ("loyalty.points_earned", {"order_reference": "o" * 101}, "too_long", None),
        ("loyalty.points_earned", {"reward_description": "d" * 256}, "too_long", None),
        ("payee.updated", {"name": "n" * 256}, "too_long", "data.name"),
    ],
)
def test_each_type_has_its_own_rules(
    event_type: str, data: dict[str, Any], reason: str, field: str | None
) -> None:
    found = refusal(document(event_type, **data))
    assert (found.reason, found.field) == (reason, field or f"data.{next(iter(data))}")
    assert found.data == VALID[event_type] | data


@pytest.mark.parametrize(
    ("change", "reason", "identity_is_read"),
    [
        ({"specversion": "0.3"}, "unsupported_specversion", True),
        ({"type": "conversion.imagined"}, "unknown_type", True),
        ({"type": 7}, "wrong_type", True),
        ({"time": "2026-11-20"}, "invalid_time", True),
        ({"time": "2026-11-20T09:30:00"}, "invalid_time", True),
        ({"time": "2026-11-20 09:30:00Z"}, "invalid_time", True),
        ({"time": "2026-02-30T09:30:00Z"}, "invalid_time", True),
        ({"time": "0001-01-01T00:00:00+23:00"}, "invalid_time", True),
        ({"time": "0001-01-01T00:00:00Z"}, "invalid_time", True),
        ({"time": "1969-12-31T23:59:59Z"}, "invalid_time", True),
        ({"time": "2026-W01-1T00:00:00Z"}, "invalid_time", True),
        ({"time": 1795167000}, "wrong_type", True),
        ({"data": None}, "wrong_type", True),
        ({"data": "{}"}, "wrong_type", True),
        ({"id": ""}, "empty", False),
        ({"id": "i" * 256}, "too_long", False),
        ({"id": 1881}, "wrong_type", False),
        ({"source": "s" * 256}, "too_long", False),
        ({"merchant": "m" * 101}, "too_long", False),
        ({"merchant": "a\0"}, "nul_character", False),
    ],
)
def test_a_wrong_attribute_is_refused_by_name(
    change: dict[str, Any], reason: str, identity_is_read: bool
) -> None:
    found = refusal(document() | change)
    (name,) = change
    assert (found.reason, found.field) == (reason, name)
    assert (found.identity is not None) == identity_is_read


@pytest.mark.parametrize(
    "name", ["specversion", "id", "source", "merchant", "type", "time", "data"]
)
def test_every_attribute_is_required(name: str) -> None:
    incomplete = document()
    del incomplete[name]
    found = refusal(incomplete)
    assert found.field == name
    assert found.reason in {"missing_field", "unsupported_specversion"}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("{} {}", "invalid_json"),
        ("\ufeff{}", "invalid_json"),
        ('{"a": "\x01"}', "invalid_json"),
        ("[]", "not_an_object"),
        ("7", "not_an_object"),
        (b"\xff\xfe", "invalid_unicode"),
        ('{"a": "\ud800"}', "invalid_unicode"),
        ("9" * 5000, "integer_out_of_range"),
        ("1e999", "not_finite"),
        ("[" * 60_000, "too_deep"),
        ("x" * (2 * 1024 * 1024), "too_large"),
    ],
)
def test_what_is_no_event_at_all_is_refused(raw: str | bytes, reason: str) -> None:
    found = refusal(raw)
    assert found.reason == reason
    assert found.identity is None
    original = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    assert found.content_hash == hashlib.sha256(original).digest()


def test_a_key_that_is_there_twice_is_refused_with_its_path() -> None:
    text = json.dumps(document()).replace('"u-42"', '"u-42", "referred_user_id": "u-43"')
    found = refusal(text)
    assert (found.reason, found.field) == ("duplicate_key", "data.referred_user_id")
    assert found.identity == Identity("acme", "shop-eu", "ord-1881/paid")
    assert found.data is None


def test_two_ids_are_no_identity() -> None:
    text = json.dumps(document()).replace('"id":', '"id": "other", "id":')
    assert refusal(text).identity is None


def test_keys_that_are_equal_once_unescaped_are_equal() -> None:
    text = json.dumps(document()).replace(
        '"data": {', '"data": {"\\u0063ode": "REF-7K2M9Q", "code": null,'
    )
    assert refusal(text).reason == "duplicate_key"


def test_nesting_is_allowed_to_sixteen_levels() -> None:
    def nested(levels: int) -> Any:
        value: Any = []
        for _ in range(levels - 1):
            value = [value]
        return value

    parse_event(json.dumps(document(x=nested(14))))
    found = refusal(document(x=nested(15)))
    assert found.reason == "too_deep"
    assert found.identity is not None


def test_an_event_may_have_64_kib_and_not_a_byte_more() -> None:
    def sized(size: int, filling: str) -> bytes:
        width = len(filling.encode())
        room = size - len(json.dumps(document(note="")).encode())
        text = filling * (room // width) + "x" * (room % width)
        return json.dumps(document(note=text), ensure_ascii=False).encode()

    for filling in ("x", "é", "€"):
        largest = sized(65536, filling)
        assert len(largest) == 65536
        parse_event(largest)
        parse_event(largest.decode())
        for raw in (sized(65537, filling), sized(65537, filling).decode()):
            found = refusal(raw)
            assert found.reason == "too_large"
            assert found.identity is not None


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [
        ("2026-11-20T09:30:00Z", 0),
        ("2026-11-20t09:30:00z", 0),
        ("2026-11-20T10:30:00+01:00", 0),
        ("2026-11-20T09:30:00-00:00", 0),
        ("2026-11-20T09:30:00.5Z", 500_000),
        ("2026-11-20T09:30:00.123456789Z", 123_456),
    ],
)
def test_time_is_kept_to_the_microsecond_in_utc(written: str, microseconds: int) -> None:
    event = parse_event(json.dumps(document() | {"time": written}))
    assert event.time == datetime(2026, 11, 20, 9, 30, 0, microseconds, tzinfo=UTC)
    assert event.time.utcoffset() == timedelta(0)


def test_time_may_be_ten_minutes_ahead_and_any_time_ago() -> None:
    def at(moment: datetime) -> dict[str, Any]:
        return document() | {"time": moment.isoformat()}

    parse_event(json.dumps(at(NOW + timedelta(minutes=10))), now=NOW)
    parse_event(json.dumps(at(NOW - timedelta(days=4000))), now=NOW)
    late = at(NOW + timedelta(minutes=10, microseconds=1))
    assert refusal(late, now=NOW).reason == "time_in_future"
    parse_event(json.dumps(late))


def test_currency_is_taken_in_any_case_and_kept_as_sent_for_the_hash() -> None:
    event = parse_event(json.dumps(document(amount=5, currency="EuR")))
    assert isinstance(event.data, ConversionRecorded)
    assert event.data.currency == "eur"
    assert event.payload["currency"] == "EuR"


def test_a_name_may_have_blanks_inside_and_any_length_from_one() -> None:
    for name in ("u", "a b", "a\n\tb", "ü\u3000ü"):
        event = parse_event(json.dumps(document(referred_user_id=name)))
        assert event.payload["referred_user_id"] == name


def test_a_program_is_no_part_of_a_conversion_and_stays_with_its_data_like_any_other_field() -> (
    None
):
    event = parse_event(json.dumps(document(program="refer")))
    assert "program" not in ConversionRecorded.model_fields
    assert event.payload["program"] == "refer"


def test_a_related_event_is_an_id_or_an_id_with_its_source() -> None:
    event = parse_event(json.dumps(document("loyalty.points_voided")))
    assert isinstance(event.data, PointsVoided)
    assert event.data.related_event == RelatedEvent(id="e-1")
    event = parse_event(json.dumps(document("loyalty.stamp_voided")))
    assert event.data.model_dump()["related_event"] == {"id": "e-1", "source": "till"}


def test_typed_data_makes_the_event_that_its_text_makes() -> None:
    event = Event.of(
        PointsEarned(card="c-1", purchase_amount=900, purchase_currency="EUR"),
        merchant="acme",
        source="till-7",
        id="r-1",
        time=NOW,
    )
    assert isinstance(event.data, PointsEarned)
    assert event.payload == {"card": "c-1", "purchase_amount": 900, "purchase_currency": "eur"}
    assert parse_event(event.to_json()) == event


def test_typed_data_needs_an_aware_time() -> None:
    with pytest.raises(ValueError, match="offset"):
        Event.of(
            ConversionRecorded(referred_user_id="u"),
            merchant="acme",
            source="s",
            id="1",
            time=datetime(2026, 1, 1),  # noqa: DTZ001
        )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_nothing_but_an_invalid_event_comes_out_of_noise(raw: str | bytes) -> None:
    refusal(raw)


@given(
    st.sampled_from([*VALID["conversion.recorded"], "amount", "currency", "code", "x"]),
    json_values,
    st.sampled_from(["specversion", "id", "source", "merchant", "type", "time", "data", "y"]),
    json_values,
)
def test_any_field_may_hold_anything(name: str, value: Any, attribute: str, other: Any) -> None:
    noisy = document(**{name: value}) | {attribute: other}
    try:
        event = parse_event(json.dumps(noisy))
    except InvalidEvent as refused:
        # What is told of it can be stored: JSON without NaN, in characters that have an encoding.
        json.dumps([refused.field, refused.data, refused.type], allow_nan=False).encode()
    else:
        assert parse_event(event.to_json()).content_hash == event.content_hash
