from __future__ import annotations

import contextlib
import json
import time
from codecs import BOM_UTF8
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.event_texts import (
    BrokenArray,
    TooManyEvents,
    TooTangled,
    elements,
    is_array,
    lines,
    single,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
WRITERS: list[dict[str, Any]] = [
    {"ensure_ascii": True},
    {"ensure_ascii": False, "separators": (",", ":")},
    {"ensure_ascii": False, "indent": 3},
]


@given(values=st.lists(VALUES, max_size=6), style=st.sampled_from(WRITERS))
def test_each_element_of_any_array_is_cut_out_as_it_was_written(
    values: list[Any], style: dict[str, Any]
) -> None:
    texts = [json.dumps(value, **style).encode("utf-8", "surrogatepass") for value in values]
    assert elements(b" [ " + b" ,\n".join(texts) + b"\t]\r\n", most=10) == texts


@given(values=st.lists(VALUES, min_size=1, max_size=6))
def test_each_line_is_cut_out_as_it_was_written(values: list[Any]) -> None:
    texts = [json.dumps(value).encode() for value in values]
    assert lines(b"\r\n\n".join(texts) + b"\n", most=10) == texts


@pytest.mark.parametrize(
    "element",
    [
        b'{"a": NaN, "a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "]}\\",["}',
        b'{"a" 1}',
        b"{'a': 1}",
        b'{"a": "\xff\x00"}',
        b"[" * 5000 + b"]" * 5000,
    ],
)
def test_an_element_that_is_wrong_inside_leaves_its_neighbours_whole(element: bytes) -> None:
    assert elements(b'[{"n":1},' + element + b', {"n":2}]', most=3) == [
        b'{"n":1}',
        element,
        b'{"n":2}',
    ]


@pytest.mark.parametrize(
    "body", [b"[", b"[{}", b"[{},", b'[{"a', b"[[}", b"[]]", b"[] []", b"[]x", b"[{]}", b'["\\"]']
)
def test_an_array_whose_elements_cannot_be_told_apart_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenArray):
        elements(body, most=5)


def test_an_empty_array_has_no_elements_and_a_comma_too_many_makes_an_empty_one() -> None:
    assert elements(b" [ ] ", most=5) == []
    assert elements(b"[1,]", most=5) == [b"1", b""]
    assert elements(b"[,]", most=5) == [b"", b""]


def test_one_event_more_than_allowed_is_told() -> None:
    assert len(elements(b"[1,2,3]", most=3)) == len(lines(b"1\n2\n3\n", most=3)) == 3
    with pytest.raises(TooManyEvents):
        elements(b"[1,2,3,4]", most=3)
    with pytest.raises(TooManyEvents):
        lines(b"1\n2\n3\n4", most=3)


def test_a_byte_order_mark_is_no_part_of_the_events() -> None:
    assert is_array(BOM_UTF8 + b" [1]")
    assert not is_array(BOM_UTF8 + b'{"a": [1]}')
    assert elements(BOM_UTF8 + b"[1]", most=1) == single(BOM_UTF8 + b"1\n") == [b"1"]
    assert lines(BOM_UTF8 + b"1\n", most=1) == [b"1"]


EIGHT_MIB = 8 * 1024 * 1024
TANGLES = [
    b"[",
    b"[]",
    b"[[[[[[]]]]]]",
    b"[x",
    b"[[],",
    b'[{"',
    b'""',
    b'"\\"',
    b'{"a":[',
    b"]",
    b"x",
]


@pytest.mark.parametrize("part", TANGLES)
def test_no_body_takes_long_to_take_apart(part: bytes) -> None:
    body = b"[" + part * (EIGHT_MIB // len(part)) + b"]"
    started = time.process_time()
    with contextlib.suppress(BrokenArray, TooManyEvents, TooTangled):
        elements(body, most=1000)
    assert time.process_time() - started < 2


def test_ordinary_events_are_far_from_tangled() -> None:
    deep = b'{"data": {"a": [[[[[[[[[[[[1]]]]]]]]]]]]}}'
    body = b"[" + b",".join([b"[" + b",".join([deep] * 20) + b"]"] * 1000) + b"]"
    assert len(elements(body, most=1000)) == 1000
    with pytest.raises(TooTangled):
        elements(b"[" + b"[[[[[[x]]]]]]" * 200_000 + b"]", most=1000)
