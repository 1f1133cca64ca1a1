"""Files for spreadsheets: none of their cells is a formula, whoever wrote it, and no file is made elsewhere."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.sheets import FORMULA_STARTS, SheetWriter, as_kept, kept_cell, safe_cell

ROOT = Path(__file__).parents[2]
SHIPPED = ("domain", "payspool", "queues", "web", "workers", "clients/python")


def written(*rows: list[object]) -> list[list[str]]:
    out = io.StringIO()
    SheetWriter(out).writerows(rows)
    return list(csv.reader(io.StringIO(out.getvalue(), newline="")))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert start in FORMULA_STARTS
    assert written(["ada", f"{start}1+1"], [f"{start}1+1", 5]) == [
        ["ada", f"'{start}1+1"],
        [f"'{start}1+1", "5"],
    ]


def test_numbers_and_other_text_stay_as_they_are() -> None:
    assert written([-5, None, "O'Hara", "a=b", "", "'quoted'"]) == [
        ["-5", "", "O'Hara", "a=b", "", "'quoted'"]
    ]


@given(st.text(alphabet="'=+-@\t\r\n＝ab ", max_size=6))
def test_what_is_read_again_is_what_was_kept_and_is_no_formula_meanwhile(value: str) -> None:
    assert as_kept(kept_cell(value)) == value
    assert not kept_cell(value).startswith(FORMULA_STARTS)
    assert safe_cell(kept_cell(value)) == kept_cell(value), "writing it makes it no other"


def test_no_other_module_writes_csv() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in SHIPPED
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"csv\.writer|csv\.DictWriter|import (DictW|w)riter\b", path.read_text())
    }
    assert found == {"domain/sheets.py"}, "use domain.sheets.SheetWriter: its cells are no formulas"
