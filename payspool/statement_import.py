"""Reading a bank's statement from a file: checked to its end first, then done in pieces.

A file that is broken anywhere is refused before anything is done. Then each piece is a transaction: a
reading that was killed is begun again, and does only what was left.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import Tx, transaction, trial
from domain.errors import Invalid
from domain.payouts.rules import statement_csv
from domain.payouts.rules.bank_files import decimal
from domain.payouts.rules.camt import CamtReader
from domain.payouts.rules.statement_csv import CsvForm
from domain.payouts.rules.statements import NOT_OURS, SEEN, Act, Entry
from domain.payouts.service import statements
from domain.payouts.service.statements import Done
from domain.sheets import SheetWriter

MAX_BYTES: Final = 256 * 1024 * 1024
"""Longest file that is read: a hundred thousand entries of camt.053 are about 100 MB."""

PIECE: Final = 500
"""Entries of one transaction."""

_CHUNK: Final = 64 * 1024
_MAX_LINE: Final = 64 * 1024
"""Longest line of a CSV, in characters."""

COLUMNS: Final = (
    "place", "why", "detail", "reference", "amount", "currency", "direction", "booked_on", "bank_reference",
)  # fmt: skip
"""Of the rejects file."""

Read = Callable[[], Iterator[Entry]]


@dataclass(slots=True)
class Report:
    """What became of a statement. ``payouts``: how many, by what was done to them; ``rejected``: entries
    by name; ``shown``: the first of those, as the rejects file has them."""

    statement_id: int = 0
    format: str = "csv"
    entries: int = 0
    payouts: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    not_ours: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    shown: list[dict[str, Any]] = field(default_factory=list)


SHOWN: Final = 20


def import_statement(
    engine: Engine,
    merchant_id: int,
    source: io.BufferedReader,
    *,
    format: str | None,
    form: CsvForm,
    encoding: str,
    rejects: Path,
    actor: Actor,
    dry_run: bool = False,
) -> Report:
    """Read a statement of a merchant's bank and do what it says of payouts.

    What is refused goes to ``rejects``: one of an earlier reading is replaced, a new one made only if
    there is any. Raises Invalid for a file that is too long, broken, or of another form, or if ``rejects``
    cannot be written; then nothing is done.
    """
    if not os.access(rejects.absolute().parent, os.W_OK):
        raise Invalid("--rejects", f"{rejects} cannot be written; name another file")
    if os.fstat(source.fileno()).st_size > MAX_BYTES:
        raise Invalid(
            "FILE", f"is longer than {MAX_BYTES // 2**20} MiB; ask the bank for shorter ones"
        )
    report = Report(format=_format(source, format))
    read = _camt(source) if report.format == "camt" else _csv(source, form, encoding)
    for _ in read():
        report.entries += 1
    source.seek(0)
    digest = hashlib.file_digest(source, "sha256").digest()
    met: set[bytes] = set()
    with _Rejects(rejects, report) as refused:
        if dry_run:
            # One transaction for all, so that it tells what the run would do; whoever else settles these
            # payouts waits for it.
            with trial(engine) as tx:
                report.statement_id = _open(tx, merchant_id, report.format, digest, actor)
                for piece in _pieces(read()):
                    done = _take(tx, merchant_id, report.statement_id, piece, met)
                    _note(report, refused, done)
            return report
        with transaction(engine) as tx:
            report.statement_id = _open(tx, merchant_id, report.format, digest, actor)
        for piece in _pieces(read()):
            with transaction(engine) as tx:
                done = _take(tx, merchant_id, report.statement_id, piece, met)
            _note(report, refused, done)
    return report


def _open(tx: Tx, merchant_id: int, format: str, digest: bytes, actor: Actor) -> int:
    return statements.open_statement(tx, merchant_id, format=format, sha256=digest, actor=actor)


def _pieces(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Up to PIECE entries each; one that is of a whole batch stands alone."""
    piece: list[Entry] = []
    for entry in entries:
        alone = statements.names_batch(entry)
        if piece and (alone or len(piece) == PIECE):
            yield piece
            piece = []
        piece.append(entry)
        if alone:
            yield piece
            piece = []
    if piece:
        yield piece


def _take(
    tx: Tx, merchant_id: int, statement_id: int, piece: list[Entry], met: set[bytes]
) -> list[Done]:
    if statements.names_batch(piece[0]):
        return [statements.take_batch(tx, merchant_id, statement_id, piece[0], met)]
    return statements.take(tx, merchant_id, statement_id, piece, met)


def _note(report: Report, refused: "_Rejects", done: list[Done]) -> None:
    for one in done:
        if isinstance(one.did, Act):
            report.payouts[one.did.value] += one.payouts
        elif one.did.code == SEEN:
            report.seen += 1
        elif one.did.code == NOT_OURS:
            report.not_ours += 1
        else:
            report.rejected[one.did.code] += 1
            refused.add(one.entry, one.did.code, one.did.detail)


class _Rejects:
    """The rejects file, made when there is something for it."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path, self._report = path, report
        self._file: io.TextIOWrapper | None = None

    def __enter__(self) -> "_Rejects":
        if self._path.exists():
            # What an earlier reading refused must not be taken for what this one did.
            self._open()
        return self

    def __exit__(self, *_raised: object) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> io.TextIOWrapper:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise Invalid("--rejects", f"cannot be written: {error.strerror}") from None
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        SheetWriter(self._file).writerow(COLUMNS)
        return self._file

    def add(self, entry: Entry, why: str, detail: str) -> None:
        file = self._file or self._open()
        read = entry.problem is None
        cells = (
            entry.place,
            why,
            detail,
            entry.reference,
            decimal(entry.amount, entry.currency) if read else "",
            entry.currency.upper(),
            ("debit" if entry.debit else "credit") if read else "",
            "" if entry.booked_on is None else entry.booked_on.isoformat(),
            entry.bank_reference,
        )
        SheetWriter(file).writerow(cells)
        if len(self._report.shown) < SHOWN:
            self._report.shown.append(dict(zip(COLUMNS, cells, strict=True)))


def _format(source: io.BufferedReader, given: str | None) -> str:
    if given is None:
        # XML begins with `<`, in whatever encoding, after a mark of the byte order.
        begins = source.read(64).lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
        return "camt" if begins.startswith(b"<") else "csv"
    if given not in ("csv", "camt"):
        raise Invalid("--format", "is csv or camt")
    return given


def _camt(source: io.BufferedReader) -> Read:
    reader = CamtReader()

    def read() -> Iterator[Entry]:
        source.seek(0)
        return reader.entries(iter(lambda: source.read(_CHUNK), b""))

    return read


def _csv(source: io.BufferedReader, form: CsvForm, encoding: str) -> Read:
    form.check()
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise Invalid("--encoding", "is a character encoding, as utf-8 or cp1252") from None

    def read() -> Iterator[Entry]:
        source.seek(0)
        text = io.TextIOWrapper(source, encoding, newline="")
        try:
            yield from statement_csv.entries(_lines(text, encoding), form)
        finally:
            text.detach()

    return read


def _lines(text: io.TextIOWrapper, encoding: str) -> Iterator[str]:
    try:
        for line in iter(lambda: text.readline(_MAX_LINE), ""):
            if len(line) == _MAX_LINE:
                raise Invalid("FILE", f"has a line of more than {_MAX_LINE} characters")
            # Some encodings can write halves of characters, which no database keeps.
            line.encode()
            yield line
    except UnicodeError:
        raise Invalid("FILE", f"is not written in {encoding}; --encoding says in what") from None
