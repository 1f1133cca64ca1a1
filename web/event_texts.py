"""From a body to the exact text of each event in it.

The texts are cut out of the body and never written anew: what is hashed, checked for repeated keys
and large integers, and put on the queue is what the producer sent, byte for byte.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from functools import reduce
from typing import Final

#: JSON's whitespace (RFC 8259 section 2).
_BLANK: Final = b" \t\n\r"

#: Levels of objects and arrays that one step goes over, so that an ordinary event costs a step or
#: two, and not one for each of its fields.
_LEVELS: Final = 4
#: Steps for one array: half a second of work, and far more than any contract-abiding events need.
_STEPS_MAX: Final = 250_000

# All that these patterns look for is ASCII, and so never part of a longer UTF-8 character. Their
# repetitions are possessive: no backtracking, whatever a stranger sends.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT: Final = rb'[^"\[\]{}]++|%b' % _STRING
_NESTED: Final = reduce(
    lambda inner, _: rb"%b|[\[{](?:%b)*+[\]}]" % (_FLAT, inner), range(_LEVELS), _FLAT
)
#: Inside of an element, up to a bracket that a step does not go over.
_INSIDE: Final = re.compile(rb"(?:%b)*+" % _NESTED, re.DOTALL)
#: The same among elements, up to a comma as well.
_AMONG: Final = re.compile(
    rb'(?:[^"\[\]{},]++|%b|[\[{](?:%b)*+[\]}])*+' % (_STRING, _NESTED), re.DOTALL
)
_OPENING: Final = re.compile(rb"[\[{]++")
_CLOSING: Final = re.compile(rb"[\]}]++")


class TooManyEvents(Exception):
    """A body has more events than allowed."""


class TooTangled(Exception):
    """An array has so many brackets that taking it apart was given up."""


class BrokenArray(Exception):
    """An array whose elements cannot be told apart; `str()` says why."""


def is_array(body: bytes) -> bool:
    """Whether a JSON body begins as an array."""
    return body.removeprefix(BOM_UTF8).lstrip(_BLANK).startswith(b"[")


def single(body: bytes) -> list[bytes]:
    """A body that is one event."""
    return [body.removeprefix(BOM_UTF8).strip(_BLANK)]


def lines(body: bytes, most: int) -> list[bytes]:
    """The events of an NDJSON body: one a line, blank lines left out.

    >>> lines(b'{"id": 1}\\r\\n\\n{broken\\n', most=1000)
    [b'{"id": 1}', b'{broken']

    Raises:
        TooManyEvents: There are more than `most`.
    """
    body = body.removeprefix(BOM_UTF8)
    texts: list[bytes] = []
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        if text := body[start:end].strip(_BLANK):
            if len(texts) == most:
                raise TooManyEvents
            texts.append(text)
        start = end + 1
    return texts


def elements(body: bytes, most: int) -> list[bytes]:
    """The elements of a JSON array, each as its own text.

    Only strings and brackets are looked at, so that an element which is no valid JSON inside is its
    own affair and its neighbours still count.

    >>> elements(b'[{"a": "],["}, {"b": NaN}]', most=1000)
    [b'{"a": "],["}', b'{"b": NaN}']

    Raises:
        TooManyEvents: There are more than `most`.
        TooTangled: It takes more than `_STEPS_MAX` steps.
        BrokenArray: It does not end, or something follows its end.
    """
    body = body.removeprefix(BOM_UTF8).strip(_BLANK)
    texts: list[bytes] = []
    depth = start = position = 1
    for _ in range(_STEPS_MAX):
        position = _end_of(_AMONG if depth == 1 else _INSIDE, body, position)
        mark = body[position : position + 1]
        if mark in (b"[", b"{"):
            end = _end_of(_OPENING, body, position)
            depth += end - position
            position = end
        elif depth > 1 and mark in (b"]", b"}"):
            end = min(_end_of(_CLOSING, body, position), position + depth - 1)
            depth -= end - position
            position = end
        elif depth > 1 or mark not in (b",", b"]"):
            what = "a string in it" if mark == b'"' else "the array"
            raise BrokenArray(f"{what} does not end")
        else:
            text = body[start:position].strip(_BLANK)
            start = position = position + 1
            if mark == b"," or text or texts:
                if len(texts) == most:
                    raise TooManyEvents
                texts.append(text)
            if mark == b"]":
                break
    else:
        raise TooTangled
    if start != len(body):
        raise BrokenArray(f"something follows its end at byte {start}")
    return texts


def _end_of(pattern: re.Pattern[bytes], body: bytes, position: int) -> int:
    found = pattern.match(body, position)
    return position if found is None else found.end()
