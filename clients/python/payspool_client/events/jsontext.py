"""Reading JSON that a stranger wrote: what PostgreSQL, other readers or a hash would trip over
is refused with its path, before anything else looks at it.

The usual, clean text is decoded once and scanned once. Only a text in which something is wrong is
read a second time, leniently, to name the place and to save what is readable.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from payspool_client.events.fields import MAX_INTEGER

#: Levels of objects and arrays, the event itself being the first.
NESTING_MAX: Final = 16
_PATH_PART_MAX: Final = 50


class Flaw(Exception):
    """What is wrong with a text, where, and as much of the document as could be read."""

    def __init__(
        self, reason: str, message: str, field: str | None = None, document: Any = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message
        self.field = field
        self.document = document


class _NotPlainlyClean(Exception):
    """The fast reading met something that the careful one has to name."""


class _Object(dict[str, Any]):
    """An object as read leniently: the last of equal keys wins, and they are remembered."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.repeated = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _NotPlainlyClean
    return result


def _refuse_constant(_: str) -> float:
    raise _NotPlainlyClean


def _lenient_integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts (sys.set_int_max_str_digits)
        return MAX_INTEGER + 1


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant).decode
_decode_leniently = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_lenient_integer, parse_constant=lambda _: math.nan
).decode


def read_json(text: str) -> tuple[Any, bool]:
    """Decode a JSON text.

    Returns:
        The value, and whether it is plain (see `canonical_json`).

    Raises:
        Flaw: invalid_json, duplicate_key, too_deep, nul_character, invalid_unicode,
            integer_out_of_range, not_finite.
    """
    try:
        value = _decode(text)
        return value, _scan(value, 1, escapes="\\u" in text)
    except (_NotPlainlyClean, ValueError, RecursionError):
        pass
    raise _flaw_of(text)


def _scan(value: Any, depth: int, *, escapes: bool) -> bool:
    """Whether the value is plain. Strings are looked at only if the text has `\\u` escapes:
    unescaped, neither NUL (JSON) nor lone surrogates (UTF-8) can be in it."""
    kind = type(value)
    if kind is dict:
        if escapes and not all(map(is_clean, value)):
            raise _NotPlainlyClean
        children = value.values()
    elif kind is list:
        children = value
    else:
        children = (value,)
        depth -= 1
    if depth > NESTING_MAX:
        raise _NotPlainlyClean
    plain = True
    for child in children:
        kind = type(child)
        if kind is str:
            if escapes and not is_clean(child):
                raise _NotPlainlyClean
        elif kind is int:
            if not -MAX_INTEGER <= child <= MAX_INTEGER:
                raise _NotPlainlyClean
        elif kind is float:
            if not math.isfinite(child):
                raise _NotPlainlyClean
            plain = False
        elif kind is dict or kind is list:
            plain = _scan(child, depth + 1, escapes=escapes) and plain
    return plain


def is_clean(text: str) -> bool:
    """Whether a string has neither NUL (PostgreSQL cannot store it) nor lone surrogates."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _flaw_of(text: str) -> Flaw:
    """Name what is wrong with a text that the fast reading refused."""
    try:
        document = _decode_leniently(text)
    except RecursionError:
        return Flaw("too_deep", _TOO_DEEP)
    except ValueError as error:
        return Flaw("invalid_json", f"Send one valid JSON object: {error}.")
    flaw = _first_flaw(document, (), 1)
    assert flaw is not None, "the fast reading refuses only what the careful one can name"
    flaw.document = document
    return flaw


_TOO_DEEP: Final = f"Nest objects and lists at most {NESTING_MAX} levels deep, the event included."


def _first_flaw(value: Any, path: tuple[str, ...], depth: int) -> Flaw | None:
    if isinstance(value, str):
        return _string_flaw(value, path)
    if isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
        return _flaw("integer_out_of_range", path, "must be an integer within ±(2^53 - 1)")
    if isinstance(value, float) and not math.isfinite(value):
        return _flaw("not_finite", path, "must be a finite number")
    if not isinstance(value, dict | list):
        return None
    if depth > NESTING_MAX:
        return _flaw("too_deep", path, f"is nested too deep. {_TOO_DEEP}")
    if isinstance(value, _Object) and value.repeated:
        key = (*path, value.repeated[0])
        return _flaw("duplicate_key", key, "is there more than once; send each key once")
    keys = list(value) if isinstance(value, dict) else [str(i) for i in range(len(value))]
    children = value.values() if isinstance(value, dict) else value
    for name, child in zip(keys, children, strict=True):
        inner = (*path, name)
        found = _string_flaw(name, inner) or _first_flaw(child, inner, depth + 1)
        if found is not None:
            return found
    return None


def _string_flaw(text: str, path: tuple[str, ...]) -> Flaw | None:
    if "\0" in text:
        return _flaw("nul_character", path, "holds a NUL character (U+0000); remove it")
    if not is_clean(text):
        return _flaw(
            "invalid_unicode", path, "holds half of a surrogate pair; send whole characters"
        )
    return None


def _flaw(reason: str, path: tuple[str, ...], sentence: str) -> Flaw:
    field = dotted(path)
    return Flaw(reason, f"{field or 'The event'} {sentence}.", field)


def dotted(path: tuple[str, ...]) -> str | None:
    """A path for people: `data.items.3`. Parts are shortened and safe to store and show."""
    parts = (part[:_PATH_PART_MAX].encode("utf-8", "backslashreplace").decode() for part in path)
    return ".".join(parts).replace("\0", "\\0") or None
