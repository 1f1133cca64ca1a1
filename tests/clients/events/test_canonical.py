from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from payspool_client.events import canonical_json, content_hash

MAX = 2**53 - 1
characters = st.characters(exclude_categories=["Cs"])
plain_scalars = st.none() | st.booleans() | st.integers(-MAX, MAX) | st.text(characters)
#: Keys from both sides of where UTF-16 order and code point order part.
keys = st.text(characters) | st.text("az\ue000\uffff\U00010000\U0010ffff")


def documents(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


@given(documents(plain_scalars))
def test_the_fast_path_writes_the_bytes_of_rfc8785(value: Any) -> None:
    assert canonical_json(value, plain=True) == rfc8785.dumps(value)


def test_keys_beyond_the_basic_plane_sort_by_utf16_units() -> None:
    value = {"\uffff": 1, "\U00010000": 2}
    assert canonical_json(value, plain=True) == '{"\U00010000":2,"\uffff":1}'.encode()


def test_half_a_surrogate_pair_has_no_canonical_form() -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_json({"a": "\ud800"}, plain=True)


def test_floats_take_the_careful_path() -> None:
    assert canonical_json({"b": 1e21, "a": 5.0}) == b'{"a":5,"b":1e+21}'


def test_the_hash_covers_merchant_type_time_and_data() -> None:
    base: dict[str, Any] = {
        "merchant": "acme",
        "type": "payee.updated",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "data": {"user_id": "u"},
    }
    others = [
        {"merchant": "bolt"},
        {"type": "conversion.recorded"},
        {"time": datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)},
        {"data": {"user_id": "v"}},
    ]
    hashes = {content_hash(**(base | other)) for other in [{}, *others]}
    assert len(hashes) == 5
    assert {len(value) for value in hashes} == {32}
