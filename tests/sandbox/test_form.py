"""Decoding forms with nested keys."""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import ApiError
from sandbox.form import MAX_PARAMETERS, decode

NAMES = st.text("abcdefgh_0123", min_size=1, max_size=6)
TREES = st.recursive(
    st.text(max_size=12),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4),
    max_leaves=12,
)


def encode(tree, within=""):
    """Write a nested dictionary as a form, as Stripe's libraries do."""
    pairs = []
    for key, value in tree.items():
        name = f"{within}[{key}]" if within else key
        pairs += encode(value, name) if isinstance(value, dict) else [(name, value)]
    if within:
        return pairs
    return "&".join(f"{quote(k, safe='[]')}={quote(v)}" for k, v in pairs).encode()


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, TREES, max_size=5))
def test_what_is_encoded_is_decoded(tree):
    assert decode(encode(tree)) == tree


def test_lists_are_read_with_and_without_numbers():
    assert decode(b"expand[]=a&expand[]=b") == {"expand": {"0": "a", "1": "b"}}
    assert decode(b"expand[0]=a&expand[1]=b") == {"expand": {"0": "a", "1": "b"}}


def test_query_and_body_are_read_together_and_the_later_wins():
    assert decode(b"a=1&b=2", b"b=3") == {"a": "1", "b": "3"}


def test_an_empty_value_is_kept():
    assert decode(b"metadata=&a[b]=") == {"metadata": "", "a": {"b": ""}}


@pytest.mark.parametrize(
    "text",
    [
        b"a[b=1",
        b"[a]=1",
        b"a=1&a[b]=2",
        b"a[b]=2&a=1",
        b"a[b][c]=1&a[b]=2",
        b"a" + b"[b]" * 9 + b"=1",
        b"a=%ff",
        b"\xff=1",
        b"&".join(b"a%d=1" % n for n in range(MAX_PARAMETERS + 1)),
    ],
)
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(ApiError) as caught:
        decode(text)
    assert caught.value.status == 400
