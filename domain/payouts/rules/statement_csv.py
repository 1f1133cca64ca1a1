"""Statements of banks as CSV: no two banks write them alike, so that nothing is guessed.

Columns are found by name, in any order, and others are passed over; a name can be mapped to the bank's
own. The delimiter and the decimal sign are said, not sniffed.

>>> decimal_text("-1.234,50", ","), decimal_text("1,234.50", "."), decimal_text("1.234", ",")
('-1234.50', '1234.50', None)
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from domain.errors import Invalid
from domain.money import is_currency
from domain.payouts.rules.statements import Entry, minor

REQUIRED: Final = ("reference", "amount", "booked_on")
OPTIONAL: Final = ("currency", "bank_reference", "reason", "direction", "count", "account")
_DEBIT: Final = {"debit": True, "dbit": True, "d": True, "credit": False, "crdt": False, "c": False}


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a bank writes its CSV. ``columns``: our name to the bank's; ``currency``: where none is told."""

    delimiter: str = ","
    decimal: str = "."
    skip_lines: int = 0
    currency: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises Invalid, naming the option."""
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise Invalid("--delimiter", "is one character, as ; or a tab")
        if self.decimal not in (".", ","):
            raise Invalid("--decimal", "is . or ,")
        if self.currency is not None and not is_currency(self.currency):
            raise Invalid("--currency", "is a lower-case currency code, as eur")
        unknown = sorted(set(self.columns) - {*REQUIRED, *OPTIONAL})
        if unknown:
            raise Invalid("--column", f"{unknown[0]!r} is none of {', '.join(REQUIRED + OPTIONAL)}")


def entries(lines: Iterable[str], form: CsvForm) -> Iterator[Entry]:
    """The entries of a file, line by line. Raises Invalid if its columns or quotes are wrong."""
    rest = iter(lines)
    for _ in range(form.skip_lines):
        next(rest, "")
    rows = csv.reader(rest, delimiter=form.delimiter, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        places = _places(header, form)
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            place = f"line {form.skip_lines + rows.line_num}"
            if len(cells) != len(header):
                yield Entry(place, problem=f"it has {len(cells)} cells, the header {len(header)}")
                continue
            if "\0" in "".join(cells):
                yield Entry(place, problem="it holds a NUL character")
                continue
            yield _made(place, {name: cells[at].strip() for name, at in places.items()}, form)
    except csv.Error as error:
        raise Invalid("FILE", f"is no CSV: {error}, line {rows.line_num}") from None


def _places(header: list[str], form: CsvForm) -> dict[str, int]:
    places = {}
    for name in REQUIRED + OPTIONAL:
        wanted = form.columns.get(name, name)
        if header.count(wanted) > 1:
            raise Invalid("FILE", f"has several columns {wanted!r}")
        if wanted in header:
            places[name] = header.index(wanted)
        elif name in REQUIRED or name in form.columns:
            raise Invalid("FILE", f"has no column {wanted!r}; --column {name}=… names the bank's")
    if "currency" not in places and form.currency is None:
        raise Invalid("FILE", "has no column 'currency'; give --currency")
    return places


def _made(place: str, told: dict[str, str], form: CsvForm) -> Entry:
    currency = told.get("currency", "").lower() or form.currency or ""
    number = decimal_text(told["amount"], form.decimal)
    amount = minor(number, currency) if number is not None and is_currency(currency) else None
    if not amount:
        return Entry(place, problem="its amount is missing, or is none of its currency")
    debit = amount < 0
    if told.get("direction"):
        said = _DEBIT.get(told["direction"].lower())
        if said is None or (debit and not said):
            return Entry(place, problem="its direction is debit or credit, and fits its sign")
        debit = said
    booked_on = _day(told["booked_on"])
    if booked_on is None:
        return Entry(place, problem="booked_on is as 2026-06-05 or 05.06.2026")
    count = told.get("count", "")
    if count and not re.fullmatch(r"[0-9]{1,9}", count):
        return Entry(place, problem="its count is a number of payments")
    return Entry(
        place,
        told["reference"],
        abs(amount),
        currency,
        debit,
        booked_on,
        told.get("bank_reference", "")[:200],
        told.get("account", ""),
        told.get("reason", "")[:500] or None,
        int(count) if count else None,
    )


def decimal_text(given: str, decimal: str) -> str | None:
    """An amount with a decimal point, or None. Thousands may be marked where decimals follow them."""
    mark = "," if decimal == "." else "."
    found = re.fullmatch(
        rf"([+-]?)([0-9]+|[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+(?={re.escape(decimal)}))"
        rf"(?:{re.escape(decimal)}([0-9]+))?",
        given.replace("\u2212", "-"),
    )
    if found is None:
        return None
    sign, whole, rest = found.groups()
    made = whole.replace(mark, "") + (f".{rest}" if rest else "")
    return f"-{made}" if sign == "-" else made


def _day(text: str) -> date | None:
    german = re.fullmatch(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})", text)
    if german:
        text = "-".join(reversed(german.groups()))
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
