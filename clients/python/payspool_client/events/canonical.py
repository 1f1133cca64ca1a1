"""The content hash of an event: SHA-256 over RFC 8785 canonical JSON.

What counts is merchant, type, time and `data` as sent. Key order, spacing, `Z` or `+00:00` and
transport extensions make no difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import rfc8785

_sorted_json = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), check_circular=False
).encode


def canonical_json(value: Any, *, plain: bool = False) -> bytes:
    """Write a JSON value as RFC 8785 wants it.

    `plain` promises that the value holds no floats and only integers within 2^53 - 1: then
    the standard library writes the same bytes several times faster (a property test holds the two
    equal), unless a character beyond U+FFFF shows up, because RFC 8785 sorts keys by UTF-16 units.

    Raises:
        rfc8785.CanonicalizationError: NaN, an integer beyond 2^53 - 1, a lone surrogate.
    """
    if plain:
        text = _sorted_json(value)
        if text.isascii():
            return text.encode()
        try:
            if len(text.encode("utf-16-le")) == 2 * len(text):
                return text.encode()
        except UnicodeEncodeError as error:
            raise rfc8785.CanonicalizationError("lone surrogate") from error
    return rfc8785.dumps(value)


def canonical_time(time: datetime) -> str:
    """A UTC time with exactly six fractional digits and `Z`."""
    return time.isoformat(timespec="microseconds")[:26] + "Z"


def content_hash(
    *,
    merchant: str,
    type: str,
    time: datetime,
    data: Mapping[str, Any],
    plain: bool = False,
) -> bytes:
    """The 32 bytes that tell whether two events with one identity say the same.

    `time` is in UTC. `plain` and errors: see `canonical_json`.
    """
    content = {"data": data, "merchant": merchant, "time": canonical_time(time), "type": type}
    return sha256(canonical_json(content, plain=plain)).digest()
