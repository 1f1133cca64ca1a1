"""What is read of a statement: never a crash, never a guess."""

import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.payouts.rules import statement_csv, statements
from domain.payouts.rules.camt import CamtReader
from domain.payouts.rules.statement_csv import CsvForm
from domain.payouts.rules.statements import REJECTS, Act, Entry, Known, Reject, judge, judge_batch
from tests.payspool.bank_desk import HEAD, camt, csv_line, detail, entry

NAME = "PS-3f2a91c04be7-12-1"
XML = camt(
    entry(detail(NAME) + detail(NAME[:-1] + "2", reason="AC04", ref="X"), "20.10")
    + entry("", batch="<Btch><PmtInfId>PS-3f2a91c04be7-F1-1</PmtInfId><NbOfTxs>3</NbOfTxs></Btch>")
).encode()
CSV = HEAD + csv_line(NAME, bank="B", reason="AC04", count="3")


def read(content: bytes, size: int = 7) -> list[Entry]:
    chunks = (content[at : at + size] for at in range(0, len(content), size))
    return list(CamtReader().entries(chunks))


def lines(content: str) -> Iterator[str]:
    return iter(content.splitlines(keepends=True))


def test_the_examples_in_the_rules_are_true() -> None:
    for module in (statements, statement_csv):
        failed, tried = doctest.testmod(module)
        assert (failed, tried > 0) == (0, True), module


def test_the_documentation_explains_every_refusal_and_no_other() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/payouts.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## Statements")
    rows = section.partition("\n## ")[0].splitlines()
    named = {row.split("`")[1]: row.split("|")[2].strip() for row in rows if row.startswith("| `")}
    assert named == REJECTS


def test_a_file_is_read_alike_in_pieces_of_any_size() -> None:
    whole = read(XML, len(XML))
    assert [one.reference for one in whole] == [
        NAME,
        NAME[:-1] + "2",
        "PS-3f2a91c04be7-F1-1",
    ]
    assert [one.count for one in whole] == [None, None, 3]
    assert {one.account for one in whole} == {"GB82WEST12345698765432"}
    for size in (1, 2, 13, 64):
        assert read(XML, size) == whole


@given(st.integers(0, len(XML) - 1), st.binary(max_size=4), st.integers(0, 40))
def test_a_damaged_xml_is_read_or_refused(at: int, put: bytes, gone: int) -> None:
    try:
        found = read(XML[:at] + put + XML[at + gone :], 4_096)
    except Invalid:
        return
    for one in found:
        assert one.problem or (one.amount > 0 and one.booked_on and one.currency)


@given(st.integers(0, len(CSV) - 1), st.text(max_size=4), st.integers(0, 40))
def test_a_damaged_csv_is_read_or_refused(at: int, put: str, gone: int) -> None:
    try:
        found = list(statement_csv.entries(lines(CSV[:at] + put + CSV[at + gone :]), CsvForm()))
    except Invalid:
        return
    for one in found:
        assert one.problem or (one.amount > 0 and one.booked_on and one.currency)


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1"])
def test_other_encodings_that_the_file_names_are_read(encoding: str) -> None:
    text = XML.decode().replace('encoding="UTF-8"', f'encoding="{encoding}"')
    assert read(text.encode(encoding)) == read(XML)


@pytest.mark.parametrize("encoding", ["utf-7", "klingon", "hex", "utf-32"])
def test_an_encoding_that_is_not_read_is_refused(encoding: str) -> None:
    with pytest.raises(Invalid):
        read(XML.replace(b"UTF-8", encoding.encode()))


STATES = [
    ("in_transit", "sending"),
    ("paid", "succeeded"),
    ("failed", "failed"),
    ("reversed", "reversed"),
    ("canceled", "failed"),
]


@given(
    st.sampled_from(STATES),
    st.booleans(),
    st.sampled_from([None, "AC04"]),
    st.integers(999, 1_001),
    st.sampled_from(["eur", "usd"]),
    st.sampled_from([None, "look"]),
)
def test_only_the_exact_amount_of_what_waits_or_was_paid_moves_anything(
    states: tuple[str, str],
    debit: bool,
    reason: str | None,
    amount: int,
    currency: str,
    frozen: str | None,
) -> None:
    known = Known(12, 5, 1_000, "eur", *states, frozen)
    told = Entry("line 2", NAME, amount, currency, debit, reason=reason)
    did = judge(told, known)
    if isinstance(did, Reject):
        assert did.code in REJECTS
        return
    assert (amount, currency, frozen) == (1_000, "eur", None)
    expected = Act.PAY if debit else Act.REFUSE if states[0] == "in_transit" else Act.RETURN
    assert did is expected
    assert states in STATES[: 1 if debit else 2]


def test_a_batch_is_paid_whole_or_not_at_all() -> None:
    known = [Known(n, n, 1_000, "eur", "in_transit", "sending", None) for n in (1, 2)]
    told = Entry("line 2", NAME, 2_000, "eur", count=2)
    assert judge_batch(told, known) is Act.PAY
    others = [*known[:1], Known(2, 2, 1_000, "usd", "in_transit", "sending", None)]
    stopped = [*known[:1], Known(2, 2, 1_000, "eur", "in_transit", "sending", "look")]
    for wrong, code in ((others, "currency_mismatch"), (stopped, "stopped")):
        did = judge_batch(told, wrong)
        assert isinstance(did, Reject)
        assert did.code == code


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PS-3f2a91c04be7-12-1x", "damaged"),
        ("xPS-3f2a91c04be7-12-1", None),
        ("TIPS-3 for you", None),
        ("PS-3f2a91c04be7-12-1 PS-3F2A91C04BE7-12-1", "one"),
        ("PS-3f2a91c04be7-12-1 PS-3f2a91c04be7-12-2", "several"),
        ("PS-3f2a91c04be7-9999999999999999999-1", "damaged"),
    ],
)
def test_references_are_whole_words_of_ours(text: str, said: str | None) -> None:
    found = statements.reference_in(text)
    assert (found if found is None or isinstance(found, str) else "one") == said
