"""Many values on their way to PostgreSQL: lists and COPY, column by column, in its binary formats.

A batch of ingest sends some forty values an event. Dumped one by one they cost more than the rules; a
column of one kind is packed by a few calls for all of it, and the server reads what it would store.
(PostgreSQL's documentation: COPY, Binary Format; the wire form of an array is that of its input
function ``array_recv``.)
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import repeat
from struct import Struct
from typing import Any, Final

import psycopg
from psycopg.abc import Buffer, DumperKey
from psycopg.adapt import PyFormat
from psycopg.types.array import BaseListDumper, ListBinaryDumper
from sqlalchemy import BigInteger, Boolean, DateTime, Integer, LargeBinary, String
from sqlalchemy.dialects.postgresql import JSONB

_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL's zero of time."""
_length: Final = Struct("!i").pack
_int4: Final = Struct("!ii").pack
_int8: Final = Struct("!iq").pack
_TRUE: Final = b"\0\0\0\1\1"
_FALSE: Final = b"\0\0\0\1\0"

Pack = Callable[[Sequence[Any]], list[bytes]]
"""Values of one kind, none of them None → each with its length in front."""


def _integers(values: Sequence[Any]) -> list[bytes]:
    return list(map(_int4, repeat(4), values))


def _bigints(values: Sequence[Any]) -> list[bytes]:
    return list(map(_int8, repeat(8), values))


def _booleans(values: Sequence[Any]) -> list[bytes]:
    return [_TRUE if value else _FALSE for value in values]


def _texts(values: Sequence[Any]) -> list[bytes]:
    return [_length(len(encoded)) + encoded for encoded in map(str.encode, values)]


def _bytes(values: Sequence[Any]) -> list[bytes]:
    return [_length(len(value)) + value for value in values]


def _json_texts(values: Sequence[Any]) -> list[bytes]:
    # jsonb begins with the version of its form: 1, as text.
    return [_length(len(encoded) + 1) + b"\1" + encoded for encoded in map(str.encode, values)]


def _times(values: Sequence[Any]) -> list[bytes]:
    packed = []
    for value in values:
        since = value - _EPOCH
        micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        packed.append(_int8(8, micros))
    return packed


def _packed(values: Sequence[Any], pack: Pack) -> list[bytes]:
    """Each value with its length in front, or as NULL."""
    first = values[0]
    if first == values[-1] and values.count(first) == len(values):
        return (pack([first]) if first is not None else [_NULL]) * len(values)
    if None not in values:
        return pack(values)
    there = iter(pack([value for value in values if value is not None]))
    return [_NULL if value is None else next(there) for value in values]


class ListDumper(ListBinaryDumper):
    """Sends a flat list of one kind in one piece; anything else as psycopg does.

    Integers always travel as bigint: the statement casts them, and one statement stays one statement to
    the server, whatever the largest number in a list is.
    """

    pack: Pack | None = None

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:
        kind = _kind(obj)
        if kind is None or kind not in _KINDS:
            return super().get_key(obj, format)
        return (self.cls, kind)

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:
        known = _KINDS.get(_kind(obj))
        if known is None:
            return super().upgrade(obj, format)
        dumper = type(self)(self.cls, self._tx)
        dumper.oid, dumper.element_oid, dumper.pack = known
        return dumper

    def dump(self, obj: list[Any]) -> Buffer | None:
        if self.pack is None:
            return super().dump(obj)
        elements = _packed(obj, self.pack)
        head = _array_head(1, int(None in obj), self.element_oid, len(elements), 1)
        return head + b"".join(elements)


_array_head: Final = Struct("!iiIii").pack
_KINDS: Final[dict[type | None, tuple[int, int, Pack]]] = {
    int: (1016, 20, _bigints),
    str: (1009, 25, _texts),
    datetime: (1185, 1184, _times),
    bytes: (1001, 17, _bytes),
    bool: (1000, 16, _booleans),
}
"""By the kind of its elements: an array's type, theirs (pg_type.oid; these never change), and how."""


def _kind(values: list[Any]) -> type | None:
    kinds = set(map(type, values))
    kinds.discard(type(None))
    return kinds.pop() if len(kinds) == 1 else None


def send_lists_packed(connection: "psycopg.Connection[Any]") -> None:
    """Let a connection send its lists so."""
    connection.adapters.register_dumper(list, ListDumper)


_COLUMN_PACKS: Final[tuple[tuple[type, Pack], ...]] = (
    (BigInteger, _bigints),
    (Integer, _integers),
    (Boolean, _booleans),
    (DateTime, _times),
    (JSONB, _json_texts),
    (LargeBinary, _bytes),
    (String, _texts),
)
"""The first that a column's type is one of. JSONB takes texts."""
_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"


def copy_block(types: Sequence[Any], values: Sequence[Sequence[Any]]) -> bytes:
    """Rows as binary COPY takes them: types of columns, and the values of each (not empty)."""
    count = Struct("!h").pack(len(types))
    packed = [
        _packed(given, _pack_of(column_type))
        for column_type, given in zip(types, values, strict=True)
    ]
    rows = map(b"".join, zip(repeat(count, len(packed[0])), *packed, strict=True))
    return _SIGNATURE + b"".join(rows) + _END


def _pack_of(column_type: Any) -> Pack:
    for known, pack in _COLUMN_PACKS:
        if isinstance(column_type, known):
            return pack
    raise TypeError(f"no binary form of {column_type!r} is known here; add it to _COLUMN_PACKS")
