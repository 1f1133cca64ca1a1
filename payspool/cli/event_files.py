"""Reading files of events: a line that is broken is told by its number, and its neighbours go on."""

import csv
import json
import re
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from domain.errors import Invalid
from payspool_client.events.parse import READABLE_BYTES_MAX

REQUIRED_COLUMNS: Final = frozenset({"id", "source", "merchant", "type", "time"})
ENVELOPE: Final = ("specversion", "id", "source", "merchant", "type", "time")
WHOLE_NUMBERS: Final = frozenset({"amount", "points", "stamps", "purchase_amount"})
"""CSV columns whose text becomes an integer."""
LISTS: Final = frozenset({"category_ids"})
"""CSV columns whose text is a JSON list."""
RECORD_LINES_MAX: Final = 100
"""Lines that one quoted CSV record may span; a quote that is open for longer was never closed."""
LINE_BYTES_MAX: Final = READABLE_BYTES_MAX
"""A line of a file; an event has 64 KiB, and of a larger one up to this its name is still read."""

_WHOLE: Final = re.compile(r"-?[0-9]{1,40}")
_BOOLEANS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Line:
    """What a file says at a line: an event's JSON text, or with ``broken`` a text that is no event and why.

    ``number`` counts the file's lines from 1; ``last`` is the line at which it ends, and ``done`` how many
    bytes of the file are behind it. ``too_large``: it was broken off, being longer than any event.
    """

    number: int
    text: str
    last: int
    done: int
    broken: str | None = None
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read: that many lines, that many bytes."""

    line: int = 0
    done: int = 0


START: Final = Place()


def read(file: Path, after: Place = START, limit: int | None = None) -> Iterator[Line]:
    """The events of a .csv file, or of any other file one a line, behind a place.

    What begins at ``limit`` bytes or later is left out: a file may grow faster than it is read.
    Raises Invalid for a header without need.
    """
    with file.open("rb") as raw:
        end = file.stat().st_size if limit is None else limit
        if file.suffix.lower() == ".csv":
            header = _header(file.name, next(_physical(raw, START, end), None))
            if after != START:
                raw.seek(after.done)
            start = after if after != START else Place(1, raw.tell())
            yield from _records(header, _physical(raw, start, end))
            return
        raw.seek(after.done)
        for line in _physical(raw, after, end):
            if line.broken:
                yield line
            elif text := line.text.strip():
                yield replace(line, text=text)


def _physical(raw: BinaryIO, after: Place, limit: int) -> Iterator[Line]:
    number, done = after.line, after.done
    while done < limit and (line := raw.readline(LINE_BYTES_MAX + 1)):
        number += 1
        done += len(line)
        more, broken = line, None
        while not more.endswith(b"\n") and (more := raw.readline(LINE_BYTES_MAX)):
            done += len(more)
            if broken is None and len(line) + len(more) <= LINE_BYTES_MAX:
                line += more  # the file was still being written
            else:
                broken = f"The line is longer than {LINE_BYTES_MAX // 2**20} MiB."
        known = line.removeprefix(BOM_UTF8) if number == 1 else line
        # Bytes that are no UTF-8 become lone surrogates, which parse_event refuses by name.
        yield Line(
            number,
            known.decode("utf-8", "surrogateescape"),
            number,
            done,
            broken,
            broken is not None,
        )


class _Unclosed(Exception):
    """The text ends inside a quoted field."""


def _records(header: Sequence[str], lines: Iterator[Line]) -> Iterator[Line]:
    ahead: deque[Line] = deque()
    while first := ahead.popleft() if ahead else next(lines, None):
        if not first.text.strip():
            continue
        record, last, broken = _record(first, ahead, lines)
        if broken is None and len(record) != len(header):
            broken = (
                f"The line has {len(record)} fields and the header {len(header)};"
                " put a field that has a comma in it in double quotes."
            )
        if broken is None:
            event = _event_of(dict(zip(header, record, strict=True)))
            yield Line(first.number, json.dumps(event), last.number, last.done)
        else:
            yield replace(first, text=first.text.rstrip("\r\n"), broken=broken)
            continue
        while ahead and ahead[0].number <= last.number:
            ahead.popleft()


def _record(
    first: Line, ahead: deque[Line], lines: Iterator[Line]
) -> tuple[list[str], Line, str | None]:
    """The fields that begin at a line, the line at which they end, and what is wrong with them.

    What was looked at behind ``first`` stays in ``ahead``: after an open quote it is read anew.
    """
    if first.broken:
        return [], first, first.broken
    text, last = first.text, first
    for position in range(RECORD_LINES_MAX):
        # A line without a quote leaves an open one open.
        if last is first or '"' in last.text:
            try:
                return _fields(text), last, None
            except csv.Error as error:
                return [], first, f"The line is no CSV: {error}."
            except _Unclosed:
                pass
        if position == len(ahead) and (following := next(lines, None)):
            ahead.append(following)
        if position == len(ahead):
            break
        last = ahead[position]
        text += last.text
    return [], first, "A double quote in the line is never closed."


def _fields(text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise _Unclosed from None
        raise


def _header(name: str, line: Line | None) -> Sequence[str]:
    try:
        columns = [column.strip() for column in _fields(line.text)] if line else []
    except (csv.Error, _Unclosed):
        raise Invalid("header", f"{name} does not begin with a line of column names") from None
    missing = sorted(REQUIRED_COLUMNS - set(columns))
    if missing:
        raise Invalid("header", f"{name} has no column {missing[0]!r}")
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise Invalid("header", f"{name} has the column {twice[0]!r} twice")
    return columns


def _event_of(row: dict[str, str]) -> dict[str, Any]:
    event: dict[str, Any] = {"specversion": "1.0"}
    data: dict[str, Any] = {}
    for column, value in row.items():
        if column in ENVELOPE:
            event[column] = value
        elif value:
            data[column] = _typed(column, value)
    return event | {"data": data}


def _typed(column: str, value: str) -> Any:
    """An integer, a boolean or a list where one is meant; what is none stays text, and is refused by its
    name."""
    if column in WHOLE_NUMBERS and _WHOLE.fullmatch(value):
        return int(value)
    if column in LISTS and value.startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return _BOOLEANS.get(value, value) if column == "full" else value
