"""Files of another system, read a chunk of lines at a time, and the file of what is refused of them."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from domain.errors import Invalid
from domain.sheets import SheetWriter, as_kept, kept_cell

CHUNK: Final = 1_000
"""Lines of one transaction."""
LINE_BYTES: Final = 64 * 1024
"""Longest line: no field that is taken is nearly as long, and a file without line ends is none of lines."""
DELIMITERS: Final = (",", ";", "\t")
"""What may part the columns: spreadsheets write semicolons where the comma is in numbers."""
REJECTS_TRIED: Final = 1_000
"""Files of refused lines that may stand beside one another."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a file, and what the audit trail says of its import. A line says on its own what it
    means, or with the lines beside it that have the same value of ``group``, of which there are at most
    ``most``."""

    columns: Sequence[str]
    action: str
    needed: Sequence[str] = ()
    group: str | None = None
    most: int = 1
    chunk: int = CHUNK


@dataclass(slots=True)
class Line:
    """A line of the file, by its number, and what became of it: new, there already, or why not."""

    number: int
    row: dict[str, str]
    status: str = ""
    reason: str = ""
    message: str = ""

    def refuse(self, reason: str, message: str) -> None:
        """Say why it is not taken."""
        self.status, self.reason, self.message = "rejected", reason, message


class Lines:
    """The lines of an open file: a header, then chunks of which no group of lines is cut.

    Raises Invalid for what is not UTF-8, not CSV, or not of the shape's columns. The memory that it takes
    depends on the shape, not on the file.
    """

    def __init__(self, raw: BinaryIO, shape: Shape) -> None:
        self._shape = shape
        self._texts = _texts(raw)
        first = next(self._texts, "")
        mark = max(DELIMITERS, key=first.count)
        self._reader = csv.reader(_with(first, self._texts), delimiter=mark, strict=True)
        self.header = [name.strip().lower() for name in self._next() or ()]
        _check_header(self.header, shape)

    def chunks(self) -> Iterator[list[Line]]:
        """The lines, so many at a time."""
        chunk: list[Line] = []
        group: list[Line] = []
        name, over = None, False
        for line in self._lines():
            key = line.row.get(self._shape.group or "", "").strip() or None
            if key is None or key != name:
                chunk += group
                group, name, over = [], key, False
                if len(chunk) >= self._shape.chunk:
                    yield chunk
                    chunk = []
            group.append(line)
            over = over or len(group) > self._shape.most
            if over:
                # Nothing of the group is taken, so that it may be cut: what is kept of it is bounded too.
                for one in group:
                    one.refuse(
                        "too_many_lines", f"at most {self._shape.most:,} lines belong together"
                    )
                chunk += group
                group = []
                if len(chunk) >= self._shape.chunk:
                    yield chunk
                    chunk = []
        chunk += group
        if chunk:
            yield chunk

    def _lines(self) -> Iterator[Line]:
        width = len(self.header)
        while (fields := self._next()) is not None:
            if not any(map(str.strip, fields)):
                continue  # spreadsheets leave empty rows behind
            values = [*map(as_kept, fields[:width]), *[""] * (width - len(fields))]
            line = Line(self._reader.line_num, dict(zip(self.header, values, strict=True)))
            if len(fields) > width and any(fields[width:]):
                line.refuse("invalid", "the line has more fields than the header")
            yield line

    def _next(self) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise Broken(self._reader.line_num, str(error)) from None


class Broken(Invalid):
    """A line from which on a file cannot be read."""

    def __init__(self, number: int, fault: str) -> None:
        self.fault = fault
        super().__init__(f"line {number}", f"{fault}; nothing from there on was read")


class RejectsFile:
    """The file of the lines that are refused, made with the first of them. It never replaces one."""

    def __init__(self, file: Path, wanted: Path | None, header: Sequence[str]) -> None:
        self._file, self._wanted, self._header = file, wanted, header
        self._open = ExitStack()
        self._writer: Any = None
        self.path: Path | None = None
        if wanted is not None and wanted.exists():
            raise Invalid("--rejects", f"{wanted} is there already; choose another")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def add(self, line: Line) -> None:
        """Write a refused line with its reason: it is to be corrected and imported again, and then read as it was."""
        if self._writer is None:
            opened = self._make()
            self._writer = SheetWriter(self._open.enter_context(opened))
            self._writer.writerow(["line", "reason", "message", *self._header])
        cells = map(kept_cell, line.row.values())
        self._writer.writerow([line.number, line.reason, line.message, *cells])

    def _make(self) -> Any:
        for path in self._names():
            try:
                opened = path.open("x", encoding="utf-8", newline="")
            except FileExistsError:
                continue
            self.path = path
            return opened
        raise Invalid(
            "--rejects", "name a file that is not there; those of earlier imports are many"
        )

    def _names(self) -> Iterator[Path]:
        if self._wanted is not None:
            yield self._wanted
            return
        yield self._file.with_suffix(self._file.suffix + ".rejects.csv")
        for number in range(2, REJECTS_TRIED):
            yield self._file.with_suffix(f"{self._file.suffix}.rejects-{number}.csv")


def _texts(raw: BinaryIO) -> Iterator[str]:
    number = 0
    while line := raw.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            raise Broken(number, f"is over {LINE_BYTES:,} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise Broken(number, "is not UTF-8") from None


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _check_header(names: Sequence[str], shape: Shape) -> None:
    unknown = [name for name in names if name not in shape.columns]
    if unknown or not names:
        columns = ", ".join(shape.columns)
        raise Invalid(unknown[0] if unknown else "header", f"the columns are {columns}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise Invalid(twice[0], "the header names it twice")
    missing = [name for name in shape.needed if name not in names]
    if missing:
        raise Invalid(missing[0], "this column is needed")
