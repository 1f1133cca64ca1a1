"""Names, locks and texts of the inbox, without a database."""

from hypothesis import given
from hypothesis import strategies as st

from domain.inbox.rules import (
    MAX_MESSAGE_ID,
    Delivery,
    correlation_of,
    lock_key,
    message_key,
    parse,
    storable,
)
from tests.domain.inbox.shop import attributed, conversion, refund

any_text = st.text(st.characters(categories=None))


@given(any_text)
def test_what_is_storable_is_utf8_without_nul(text: str) -> None:
    kept = storable(text)
    assert "\0" not in kept
    kept.encode()
    if "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert kept == text


@given(any_text)
def test_a_message_key_fits_its_column(message_id: str) -> None:
    key = message_key(message_id)
    assert len(key) <= MAX_MESSAGE_ID
    assert storable(key) == key


@given(st.sets(any_text, min_size=2, max_size=5))
def test_messages_with_other_ids_have_other_keys(ids: set[str]) -> None:
    assert len({message_key(one) for one in ids}) == len(ids)
    long = {"m" * 300 + one for one in ids}
    assert len({message_key(one) for one in long}) == len(ids)


@given(st.integers(1, 2**62), st.text())
def test_a_lock_key_is_a_signed_64_bit_number_of_merchant_and_correlation(
    merchant: int, correlation: str
) -> None:
    key = lock_key(merchant, correlation)
    assert -(2**63) <= key < 2**63
    assert key == lock_key(merchant, correlation)
    assert key != lock_key(merchant + 1, correlation)


def test_all_events_of_one_transaction_share_a_correlation() -> None:
    texts = [
        conversion("o1"),
        refund("o1", 5),
        refund("o1", id_="r2"),
        conversion("o2"),
        attributed(),
    ]
    events = [one.event for one in parse(Delivery("m", i, t) for i, t in enumerate(texts))]
    found = [correlation_of(e.type, e.data) for e in events if e]
    assert found == ["transaction:o1"] * 3 + ["transaction:o2", None]


def test_a_conversion_without_a_transaction_is_tied_to_nothing() -> None:
    [one] = parse([Delivery("m", 0, conversion("o1").replace('"transaction_id": "o1", ', ""))])
    assert one.event is not None
    assert correlation_of(one.event.type, one.event.data) is None


def test_what_is_wrong_with_one_delivery_is_its_own() -> None:
    read = parse([Delivery("m", 0, "not json"), Delivery("m", 1, conversion("o1"))])
    assert [(one.event is None, one.error is None) for one in read] == [
        (True, False),
        (False, True),
    ]
