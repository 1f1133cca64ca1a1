"""Reading files of events: a line that is broken is told by its number, and its neighbours go on."""

import csv
import json
import re
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from domain.errors import Invalid

REQUIRED_COLUMNS: Final = frozenset({"id", "source", "merchant", "type", "time"})
ENVELOPE: Final = ("specversion", "id", "source", "merchant", "type", "time")
WHOLE_NUMBERS: Final = frozenset({"amount", "points", "purchase_amount"})
"""CSV columns whose text becomes an integer."""
RECORD_LINES_MAX: Final = 100
"""Lines that one quoted CSV record may span; a quote that is open for longer was never closed."""

_WHOLE: Final = re.compile(r"-?[0-9]{1,40}")
_BOOLEANS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Line:
    """What a file says at a line: an event's JSON text, or with ``broken`` a text that is no event and why.

    ``number`` counts the file's lines from 1; ``done`` is how many bytes were read so far.
    """

    number: int
    text: str
    done: int
    broken: str | None = None


def read(file: Path) -> Iterator[Line]:
    """The events of a .csv file, or of any other file one a line. Raises Invalid for a header without need."""
    with file.open("rb") as raw:
        lines = _physical(raw)
        if file.suffix.lower() == ".csv":
            yield from _records(file.name, lines)
            return
        for line in lines:
            if text := line.text.strip():
                yield Line(line.number, text, line.done)


def _physical(raw: BinaryIO) -> Iterator[Line]:
    done = 0
    for number, line in enumerate(raw, start=1):
        done += len(line)
        known = line.removeprefix(BOM_UTF8) if number == 1 else line
        # Bytes that are no UTF-8 become lone surrogates, which parse_event refuses by name.
        yield Line(number, known.decode("utf-8", "surrogateescape"), done)


class _Unclosed(Exception):
    """The text ends inside a quoted field."""


def _records(name: str, lines: Iterator[Line]) -> Iterator[Line]:
    header = _header(name, next(lines, None))
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
            yield Line(first.number, json.dumps(event), last.done)
        else:
            yield Line(first.number, first.text.rstrip("\r\n"), first.done, broken)
            continue
        while ahead and ahead[0].number <= last.number:
            ahead.popleft()


def _record(
    first: Line, ahead: deque[Line], lines: Iterator[Line]
) -> tuple[list[str], Line, str | None]:
    """The fields that begin at a line, the line at which they end, and what is wrong with them.

    What was looked at behind ``first`` stays in ``ahead``: after an open quote it is read anew.
    """
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
    """An integer or a boolean where one is meant; what is none stays text, and is refused by its name."""
    if column in WHOLE_NUMBERS and _WHOLE.fullmatch(value):
        return int(value)
    return _BOOLEANS.get(value, value) if column == "full" else value
