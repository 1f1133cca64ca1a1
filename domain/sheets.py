"""Files for spreadsheets. All CSV that is written goes through here, so that none of its cells is a formula.

>>> safe_cell("=1+1"), safe_cell("ada"), safe_cell(-5)
("'=1+1", 'ada', -5)
"""

import csv
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What spreadsheets take for the beginning of a formula (OWASP, CSV injection), also in full width."""


class SheetWriter:
    """Writes rows as RFC 4180 has them, each cell a safe one."""

    def __init__(self, file: TextIO, *, lineterminator: str = "\r\n") -> None:
        self._writer = csv.writer(file, lineterminator=lineterminator)

    def writerow(self, cells: Sequence[Any]) -> None:
        """Write one row."""
        self._writer.writerow([safe_cell(cell) for cell in cells])

    def writerows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write rows as they come."""
        for row in rows:
            self.writerow(row)


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: text that begins as one gets an apostrophe. Numbers stay
    as they are."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def kept_cell(value: str) -> str:
    """A safe cell of a file that is read again: `as_kept` gives back exactly ``value``.

    >>> kept_cell("=1"), as_kept(kept_cell("=1")), as_kept(kept_cell("'=1")), as_kept("O'Hara")
    ("'=1", '=1', "'=1", "O'Hara")
    """
    return f"'{value}" if value.lstrip("'").startswith(FORMULA_STARTS) else value


def as_kept(cell: str) -> str:
    """What `kept_cell` made safe, as it was."""
    begins = cell.startswith("'") and cell.lstrip("'").startswith(FORMULA_STARTS)
    return cell[1:] if begins else cell
