from __future__ import annotations

import json
from typing import Any

import pytest
from dramatiq import Message
from hypothesis import given
from hypothesis import strategies as st

from payspool_client import UndecodableMessage
from payspool_client.wire import (
    EVENTS_PER_MESSAGE_MAX,
    MESSAGE_BYTES_MAX,
    decode_message,
    encode_messages,
)

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), min_size=1)


@given(texts)
def test_what_is_packed_is_unpacked_as_it_was_in_order(sent: list[str]) -> None:
    messages = [decode_message(raw) for _, raw in encode_messages(sent)]
    assert [text for message in messages for text in message.texts] == sent


def test_a_message_is_one_that_dramatiq_reads() -> None:
    ((redis_message_id, raw),) = encode_messages(['{"id": "é"}'])
    message: Message[Any] = Message.decode(raw)
    assert message.queue_name == "events"
    assert message.actor_name == "events.ingest"
    assert message.args == (['{"id": "é"}'],)
    assert message.kwargs == {}
    assert message.options == {
        "redis_message_id": redis_message_id,
        "payspool": {"v": 1, "n": 1},
    }
    ours = decode_message(message.encode())
    assert (ours.message_id, ours.timestamp) == (message.message_id, message.message_timestamp)


def test_messages_stay_within_a_hundred_events_and_a_mebibyte() -> None:
    small = [decode_message(raw) for _, raw in encode_messages(["{}"] * 250)]
    assert [len(message.texts) for message in small] == [EVENTS_PER_MESSAGE_MAX] * 2 + [50]
    # The worst that escaping does to the largest event: every character a quote.
    large = [raw for _, raw in encode_messages(['"' * 65536] * 40)]
    assert all(len(raw) <= MESSAGE_BYTES_MAX for raw in large)
    assert len(large) == 6


GOOD: dict[str, Any] = {
    "queue_name": "events",
    "actor_name": "events.ingest",
    "message_id": "m",
    "message_timestamp": 1,
    "options": {"payspool": {"v": 1, "n": 1}},
    "args": [["{}"]],
    "kwargs": {},
}


@pytest.mark.parametrize(
    "change",
    [
        {"actor_name": "payouts.send"},
        {"options": {}},
        {"options": {"payspool": {"v": 2, "n": 1}}},
        {"options": {"payspool": {"v": 1, "n": 2}}},
        {"options": None},
        {"args": []},
        {"args": [[]]},
        {"args": [["{}"], 1]},
        {"args": [[{}]]},
        {"args": ["{}"]},
        {"args": None},
        {"message_id": None},
        {"message_timestamp": "now"},
        {"message_timestamp": -1},
        {"message_timestamp": 2**53},
        {"message_timestamp": 10**400},
    ],
)
def test_a_message_of_another_shape_is_undecodable(change: dict[str, Any]) -> None:
    decode_message(json.dumps(GOOD).encode())
    with pytest.raises(UndecodableMessage):
        decode_message(json.dumps(GOOD | change).encode())


@given(st.binary() | st.text().map(str.encode))
def test_noise_is_undecodable(raw: bytes) -> None:
    with pytest.raises(UndecodableMessage):
        decode_message(raw)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"null", b"[]", b'"x"'])
def test_other_json_is_undecodable(raw: bytes) -> None:
    with pytest.raises(UndecodableMessage):
        decode_message(raw)
