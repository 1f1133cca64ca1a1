"""Files of events: what is broken is told by its line, and costs no other line."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Invalid
from payspool.cli.event_files import Line, read
from payspool_client import parse_event

HEADER = "id,source,merchant,type,time,code,amount,notes"


def row(number: int, amount: str = "12900", notes: str = "") -> str:
    return (
        f"o-{number},shop,acme,conversion.recorded,2026-11-20T09:30:00Z,ADA-2026,{amount},{notes}"
    )


@pytest.fixture
def lines_of(tmp_path: Path) -> Any:
    def read_all(name: str, *lines: str | bytes, end: str = "\n") -> list[Line]:
        file = tmp_path / name
        raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
        file.write_bytes(b"".join(line + end.encode() for line in raw))
        return list(read(file))

    return read_all


def data(line: Line) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line.text)["data"]
    return found


def test_columns_become_an_event_with_whole_numbers_and_without_empty_fields(lines_of: Any) -> None:
    [line] = lines_of("a.csv", HEADER, row(1))
    event = json.loads(line.text)
    assert event == {
        "specversion": "1.0",
        "id": "o-1",
        "source": "shop",
        "merchant": "acme",
        "type": "conversion.recorded",
        "time": "2026-11-20T09:30:00Z",
        "data": {"code": "ADA-2026", "amount": 12900},
    }
    assert line.number == 2


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        # A thousands comma, or a line that was cut: either would be another amount.
        (row(2, "1,290"), "has 9 fields and the header 8"),
        ("o-2,shop,acme,conversion.recorded,2026-11-20T09:30:00Z,ADA-2026,12", "has 7 fields"),
        (row(2, '"129'), "never closed"),
        (row(2, '"129"00'), "no CSV"),
        (row(2, notes="x" * 140_000), "no CSV: field larger than field limit"),
    ],
)
def test_a_broken_csv_line_is_refused_alone(lines_of: Any, broken: str, why: str) -> None:
    lines = lines_of("a.csv", HEADER, row(1), broken, row(3), row(4))
    assert [line.number for line in lines] == [2, 3, 4, 5]
    assert [line.broken is None for line in lines] == [True, False, True, True]
    assert why in lines[1].broken
    assert lines[1].text == broken


def test_a_quote_that_another_lines_quote_seems_to_close_costs_its_own_line_only(
    lines_of: Any,
) -> None:
    lines = lines_of("a.csv", HEADER, row(1, '"129'), row(2), row(3, notes='"a, b"'), row(4))
    assert [line.broken is None for line in lines] == [False, True, True, True]
    assert data(lines[2])["notes"] == "a, b"


def test_a_quoted_field_may_have_commas_quotes_and_line_breaks(lines_of: Any) -> None:
    lines = lines_of("a.csv", HEADER, row(1, notes='"a, ""b""\nc\n"'), row(2))
    assert [(line.number, line.broken) for line in lines] == [(2, None), (5, None)]
    assert data(lines[0])["notes"] == 'a, "b"\nc\n'


def test_windows_line_ends_a_byte_order_mark_and_blank_lines_do_not_matter(lines_of: Any) -> None:
    bom = b"\xef\xbb\xbf"
    lines = lines_of("a.csv", bom + HEADER.encode(), row(1), "", row(2), end="\r\n")
    assert [(line.number, line.broken) for line in lines] == [(2, None), (4, None)]
    lines = lines_of("a.jsonl", bom + b'{"id": 1}', "  ", '{"id": 2}', end="\r\n")
    assert [(line.number, line.text) for line in lines] == [(1, '{"id": 1}'), (3, '{"id": 2}')]
    assert lines[-1].done == 29


@pytest.mark.parametrize("amount", ["12.90", "1e3", "--5", "٣", " 5", "0x1", "9" * 5000])
def test_what_is_no_whole_number_stays_text_to_be_refused_by_its_name(
    lines_of: Any, amount: str
) -> None:
    [line] = lines_of("a.csv", HEADER, row(1, amount))
    assert data(line)["amount"] == amount


def test_a_flag_is_true_or_false_and_nothing_else(lines_of: Any) -> None:
    header = "id,source,merchant,type,time,full"
    fixed = "r,shop,acme,conversion.refunded,2026-11-20T09:30:00Z,"
    lines = lines_of("a.csv", header, fixed + "true", fixed + "false", fixed + "yes")
    assert [data(line)["full"] for line in lines] == [True, False, "yes"]


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("id,source,merchant,type,code", "no column 'time'"),
        ("id,source,merchant,type,time,amount, amount", "the column 'amount' twice"),
        ('id,"source', "does not begin with a line of column names"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_by_name(
    lines_of: Any, header: str, why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        lines_of("a.csv", header, row(1))


def test_an_empty_csv_file_says_what_it_needs(lines_of: Any) -> None:
    with pytest.raises(Invalid, match="no column 'id'"):
        lines_of("a.csv")


def test_bytes_that_are_no_utf_8_stay_visible_and_cost_their_own_line_only(lines_of: Any) -> None:
    lines = lines_of("a.jsonl", '{"id": 1}', b'{"id": "\xff"}', '{"id": 3}')
    assert [line.text for line in lines] == ['{"id": 1}', '{"id": "\udcff"}', '{"id": 3}']


def test_every_kind_of_value_that_an_event_has_can_stand_in_a_column(lines_of: Any) -> None:
    header = "id,source,merchant,type,time,card,stamps,category_ids,related_event"
    line = 's-1,shop,acme,loyalty.stamp_earned,2026-11-20T09:30:00Z,C1,3,"[""a"", ""b""]",o-1'
    broken = line.replace('"[""a"", ""b""]"', "[a")
    found = [data(one) for one in lines_of("a.csv", header, line, broken)]
    assert (found[0]["stamps"], found[0]["category_ids"]) == (3, ["a", "b"])
    assert parse_event(lines_of("b.csv", header, line)[0].text).data.stamps == 3
    assert found[1]["category_ids"] == "[a"
