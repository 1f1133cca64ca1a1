"""What breaks the contract is kept: with its reason, by its message, or byte for byte."""

from typing import Any

import pytest
from sqlalchemy import text

from domain.db import transaction
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse, storable
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    PERCENTAGE,
    conversion,
    event,
    open_shop,
    read,
    rows,
    said,
    scalar,
    send,
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"referred_user_id": "ben", "amount": -1}, "negative_amount"),
        ({"referred_user_id": "ben", "amount": "1"}, "wrong_type"),
        ({"amount": 1}, "missing_field"),
        ({"referred_user_id": "b" * 101}, "too_long"),
        ({"referred_user_id": "ben", "currency": "dollars"}, "invalid_currency"),
    ],
)
def test_an_event_that_breaks_the_contract_is_kept_with_its_reason(
    db: Rolled, data: dict[str, Any], reason: str
) -> None:
    open_shop(db, PERCENTAGE)
    bad = event("conversion.recorded", "bad", **data)
    assert said(send(db, bad, conversion("o1"))) == [f"rejected:{reason}", "applied"]
    assert said(send(db, bad)) == [f"rejected:{reason}"]
    [(kept, attempts)] = rows(db, "SELECT data, attempts FROM inbox_events WHERE event_id = 'bad'")
    assert kept == data
    assert attempts == 2, "each replay is another try"


@pytest.mark.parametrize("odd", ["\U000e0001", "\ue000", "é", "\u0085"])
def test_an_unknown_type_of_any_characters_is_refused_without_holding_up_the_batch(
    db: Rolled, odd: str
) -> None:
    open_shop(db, PERCENTAGE)
    outcomes = send(db, event(odd * 255, "odd"), conversion("o1"))
    assert said(outcomes) == ["rejected:unknown_type", "applied"]


def test_an_event_of_an_unknown_or_retired_merchant_is_kept_by_its_message(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    stranger = event("conversion.recorded", "1", to="nobody", referred_user_id="ben")
    deliveries = read(stranger, conversion("o1"))
    for _ in range(2):  # the message comes again: kept once
        with transaction(db) as tx:
            outcomes = inbox.apply(tx, deliveries)
    assert said(outcomes) == ["unreadable:unknown_merchant", "duplicate"]
    [(reason, detail, raw)] = rows(db, "SELECT reason, detail, raw FROM rejected_messages")
    assert (reason, detail) == ("unknown_merchant", "the merchant 'nobody' does not exist")
    assert bytes(raw).decode() == stranger
    with transaction(db) as tx:
        tx.execute(text("UPDATE merchants SET retired_at = now()"))
    assert said(send(db, conversion("o2"))) == ["unreadable:merchant_retired"]


UNREADABLE = [
    "",
    "not json",
    "[]",
    "null",
    '{"specversion": "1.0"',
    '{"merchant": "acme", "source": "shop"}',
    '{"merchant": "acme", "source": "shop", "id": 5}',
    '{"merchant": "ac\\u0000me", "source": "shop", "id": "1"}',
    '{"merchant": "acme", "source": "sh\\ud800op", "id": "1"}',
    '{"merchant": "acme", "source": "shop", "id": "1", "id": "2"}',
    "lone \ud800 surrogate",
    "a \0 NUL",
    "{" * 5_000,
]


@pytest.mark.parametrize("raw", UNREADABLE, ids=lambda raw: repr(raw[:30]))
def test_what_has_no_readable_identity_is_kept_byte_for_byte_and_once(db: Rolled, raw: str) -> None:
    open_shop(db, PERCENTAGE)
    deliveries = read(raw, conversion("o1"), raw)
    for _ in range(2):
        with transaction(db) as tx:
            outcomes = inbox.apply(tx, deliveries)
    assert [o.status for o in outcomes] == ["unreadable", "duplicate", "unreadable"]
    kept = rows(db, "SELECT raw, position FROM rejected_messages ORDER BY position")
    assert [(bytes(r).decode("utf-8", "surrogatepass"), at) for r, at in kept] == [(raw, 0)]


def test_two_unreadable_texts_of_messages_with_one_name_are_both_kept(db: Rolled) -> None:
    """Producers name their messages: one that repeats itself must not hide what the next one said."""
    open_shop(db, PERCENTAGE)
    for raw in ("first", "second", "first"):
        with transaction(db) as tx:
            outcomes = inbox.apply(tx, parse([Delivery("always the same", 0, raw)]))
        assert [o.status for o in outcomes] == ["unreadable"]
    kept = rows(db, "SELECT raw FROM rejected_messages ORDER BY id")
    assert [bytes(raw) for (raw,) in kept] == [b"first", b"second"]


def test_the_same_unreadable_text_in_another_message_stays_one_row(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, "not json")
    send(db, conversion("o1"), "not json")
    assert rows(db, "SELECT position, reason FROM rejected_messages") == [(0, "invalid_json")]


@pytest.mark.parametrize(
    "message_id",
    ["m" * 10_000, "with \0 in it", "with \ud800 in it", ""],
    ids=lambda m: repr(m[:12]),
)
def test_a_message_may_call_itself_anything(db: Rolled, message_id: str) -> None:
    open_shop(db, PERCENTAGE)
    deliveries = parse(
        [Delivery(message_id, 0, "not json"), Delivery(message_id, 1, conversion("o1"))]
    )
    for _ in range(2):
        with transaction(db) as tx:
            outcomes = inbox.apply(tx, deliveries)
    assert [o.status for o in outcomes] == ["unreadable", "duplicate"]
    assert scalar(db, "SELECT count(*) FROM rejected_messages") == 1


def test_long_message_ids_that_begin_alike_are_told_apart(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    for tail in "ab":
        with transaction(db) as tx:
            inbox.apply(tx, parse([Delivery("m" * 300 + tail, 0, f"not json {tail}")]))
    assert scalar(db, "SELECT count(DISTINCT message_id) FROM rejected_messages") == 2


def test_an_identity_that_is_readable_in_a_broken_text_names_its_row(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    broken = (
        '{"specversion": "1.0", "merchant": "acme", "source": "shop", "id": "nul", "time": "never",'
        ' "type": "conversion.recorded", "data": {"referred_user_id": "b\\u0000n"}}'
    )
    assert said(send(db, broken)) == ["rejected:nul_character"]
    [(raw, data, detail)] = rows(db, "SELECT raw, data, detail FROM inbox_events")
    assert (raw, data) == (storable(broken), None)
    assert "NUL" in detail


def test_the_first_content_stands_even_where_it_was_broken(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    broken = conversion("o1").replace('"ben"', '"b\\u0000n"')
    assert said(send(db, broken)) == ["rejected:nul_character"]
    assert said(send(db, conversion("o1"), broken)) == [
        "conflict:conflict",
        "rejected:nul_character",
    ]
