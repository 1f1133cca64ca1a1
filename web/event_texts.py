"""From a body to the exact text of each event in it.

The texts are cut out of the body and never written anew: what is hashed, checked for repeated keys
and large integers, and put on the queue is what the producer sent, byte for byte.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import Final

#: JSON's whitespace (RFC 8259 section 2).
_BLANK: Final = b" \t\n\r"

#: A string as a whole, a bracket, or a comma. All are ASCII, and so never part of a longer UTF-8
#: character. The repetitions are possessive: no backtracking, whatever a stranger sends. The last
#: alternative is a string that does not end.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]|,|"', re.DOTALL)


class TooManyEvents(Exception):
    """A body has more events than allowed."""


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
        BrokenArray: It does not end, or something follows its end.
    """
    body = body.removeprefix(BOM_UTF8).strip(_BLANK)
    texts: list[bytes] = []
    depth = 0
    start = 1
    for token in _TOKEN.finditer(body):
        kind = token[0]
        if kind in b"[{":
            depth += 1
        elif kind in b"]}":
            depth -= 1
        elif kind == b'"':
            raise BrokenArray(f"the string that begins at byte {token.start()} does not end")
        if depth > 1 or (depth == 1 and kind != b","):
            continue
        text = body[start : token.start()].strip(_BLANK)
        start = token.end()
        if depth == 1 or text or texts:
            if len(texts) == most:
                raise TooManyEvents
            texts.append(text)
        if depth == 0:
            break
    if depth or not body.endswith(b"]", 0, start):
        raise BrokenArray("the array does not end")
    if start != len(body):
        raise BrokenArray(f"something follows the end of the array at byte {start}")
    return texts
