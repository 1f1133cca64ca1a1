"""Files of other systems: encodings, delimiters, limits, groups of lines, and refusals that are kept."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from domain.errors import Invalid
from payspool.cli.importing.files import LINE_BYTES, Line, Lines, RejectsFile, Shape

SHAPE = Shape(("card", "points"), "read", ("card",), "card", most=3, chunk=4)


def chunks(content: bytes | str, shape: Shape = SHAPE) -> list[list[tuple[str, str]]]:
    raw = content.encode() if isinstance(content, str) else content
    return [
        [(line.row["card"], line.reason or line.row.get("points", "")) for line in chunk]
        for chunk in Lines(io.BytesIO(raw), shape).chunks()
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfcard,points\r\nA,1\r\nB,2\r\n",
        "card;points\nA;1\nB;2\n",
        "Card\tPOINTS \nA\t1\nB\t2",
        'card,points\n\n"A",1\nB,"2",\n,,,\n',
    ],
    ids=["bom", "semicolons", "tabs", "quotes"],
)
def test_what_spreadsheets_write_is_read(content: bytes | str) -> None:
    assert chunks(content) == [[("A", "1"), ("B", "2")]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "header"),
        ("card,colour\nA,1\n", "colour: the columns are card, points"),
        ("points\n1\n", "card: this column is needed"),
        ("card,card\nA,B\n", "twice"),
        (b"card,points\nA,\xff\n", "line 2: is not UTF-8"),
        ("card,points\nA," + "1" * LINE_BYTES + "\n", f"line 2: is over {LINE_BYTES:,} bytes"),
        ('card,points\nA,"' + "1\n" * 100_000, "field larger than field limit"),
        ('card,points\nA,"1"1\n', "line 2: .*; nothing from there on was read"),
        ("card,points\n".encode("utf-16"), "line 1: is not UTF-8"),
    ],
    ids=["empty", "unknown", "missing", "twice", "latin", "long", "open", "quote", "utf16"],
)
def test_a_file_that_cannot_be_is_refused_by_line(content: bytes | str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        chunks(content)


def test_lines_that_belong_together_are_not_cut() -> None:
    lines = "card,points\nA,1\nB,1\nB,2\nB,3\nC,1\nC,2\n,9\n,9\nD,1\n"
    assert chunks(lines) == [
        [("A", "1"), ("B", "1"), ("B", "2"), ("B", "3")],
        [("C", "1"), ("C", "2"), ("", "9"), ("", "9")],
        [("D", "1")],
    ]


def test_a_group_beyond_its_limit_is_refused_whole_and_never_held_whole() -> None:
    content = "card,points\nZ,1\n" + "A,1\n" * 50 + "B,1\n"
    found = chunks(content)
    assert max(map(len, found)) <= 5
    flat = [line for chunk in found for line in chunk]
    assert flat[0] == ("Z", "1")
    assert flat[1:-1] == [("A", "too_many_lines")] * 50
    assert flat[-1] == ("B", "1")


def test_a_line_with_more_fields_than_the_header_is_refused() -> None:
    assert chunks("card,points\nA,1,2\nB\n") == [[("A", "invalid"), ("B", "")]]


def test_refused_lines_never_replace_a_file(tmp_path: Path) -> None:
    file, line = tmp_path / "cards.csv", Line(2, {"card": "=A"}, reason="invalid", message="no")
    for _ in range(2):
        with RejectsFile(file, None, ["card"]) as rejects:
            rejects.add(line)
    names = ["cards.csv.rejects-2.csv", "cards.csv.rejects.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with (tmp_path / names[0]).open(newline="") as text:
        assert list(csv.reader(text)) == [
            ["line", "reason", "message", "card"],
            ["2", "invalid", "no", "'=A"],
        ]
    assert chunks(
        (tmp_path / names[0])
        .read_text()
        .replace("line,reason,message,", "")
        .replace("2,invalid,no,", "")
    ) == [[("=A", "")]], "and it is imported as it was"
    with pytest.raises(Invalid, match="is there already"):
        RejectsFile(file, tmp_path / names[0], ["card"])
    with RejectsFile(file, tmp_path / "none.csv", ["card"]) as rejects:
        pass
    assert rejects.path is None
    assert not (tmp_path / "none.csv").exists()
