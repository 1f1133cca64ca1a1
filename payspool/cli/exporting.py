"""CSV files of what a command tells: none of their cells is a formula, and none replaces a file."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from domain.errors import Invalid
from domain.sheets import SheetWriter

STDOUT: Final = Path("-")

Csv = Annotated[
    Path | None, typer.Option("--csv", help="write CSV into this new file; - for standard output")
]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write ``rows`` as they come; returns how many. Raises Invalid where the file is there already."""
    written = 0
    with ExitStack() as open_:
        if path == STDOUT:
            out = SheetWriter(sys.stdout, lineterminator="\n")
        else:
            try:
                opened = open_.enter_context(path.open("x", encoding="utf-8", newline=""))
            except FileExistsError:
                raise Invalid("--csv", f"{path} is there already; choose another") from None
            out = SheetWriter(opened)
        out.writerow(columns)
        for row in rows:
            out.writerow([_cell(row[name]) for name in columns])
            written += 1
    return written


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, default=str)
    elif isinstance(value, date):
        value = value.isoformat()
    return value
