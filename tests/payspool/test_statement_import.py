"""Statements of banks: what they settle, once, and what they are refused for, by name."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NotCancelable, NotRetryable
from domain.payouts.rules.statement_csv import CsvForm
from domain.payouts.service.outside import agree_outside, propose_outside
from domain.payouts.service.statements import Done
from domain.payouts.service.unfreezing import agree_unfreeze, propose_unfreeze
from payspool import statement_import
from tests.domain.payouts.house import assert_whole, execute, merchant, rows, scalar
from tests.payspool.bank_desk import ANN, BOX, HEAD, Desk, camt, csv_line, desk, detail, entry

BEN = Actor("command", "ben")


@pytest.fixture
def bank(engine: Engine, tmp_path: Path) -> Desk:
    return desk(engine, tmp_path)


def rejected(bank: Desk) -> list[tuple[str, str]]:
    with (bank.tmp / "rejects.csv").open(newline="") as file:
        return [(row["place"], row["why"]) for row in csv.DictReader(file)]


def test_booked_debits_of_the_exact_amount_pay_their_payouts(bank: Desk) -> None:
    names = bank.names
    made = bank.read(
        camt(entry(detail(names["ada"])) + entry(detail(names["bob"], None), ref="BANK-2"))
    )
    assert (made.entries, made.payouts["paid"], made.rejected) == (2, 2, {})
    assert bank.states == {"ada": "paid", "bob": "paid", "cy": "in_transit"}
    assert rows(
        bank.engine,
        "SELECT external_transaction_id FROM payouts WHERE state = 'paid' ORDER BY id",
    ) == [("BANK-1",), ("BANK-2",)]
    assert scalar(bank.engine, "SELECT DISTINCT booked_on::text FROM bank_statement_entries") == (
        "2026-06-05"
    )
    assert not (bank.tmp / "rejects.csv").exists()
    assert_whole(bank.engine)


@pytest.mark.parametrize("kind", ["camt", "csv"])
def test_the_same_statement_again_changes_nothing(bank: Desk, kind: str) -> None:
    name = bank.names["ada"]
    content = camt(entry(detail(name))) if kind == "camt" else HEAD + csv_line(name, bank="B")
    bank.read(content)
    before = rows(bank.engine, "SELECT p::text FROM payouts p ORDER BY id")
    moved = scalar(bank.engine, "SELECT count(*) FROM ledger_transfers")
    again = bank.read(content)
    assert (again.seen, again.payouts.total(), again.rejected) == (1, 0, {})
    assert rows(bank.engine, "SELECT p::text FROM payouts p ORDER BY id") == before
    assert scalar(bank.engine, "SELECT count(*) FROM ledger_transfers") == moved
    assert scalar(bank.engine, "SELECT count(*) FROM bank_statement_entries") == 1


def test_two_readings_at_once_pay_once(bank: Desk, tmp_path: Path) -> None:
    content = camt("".join(entry(detail(name), ref=name) for name in bank.names.values()))
    places = []
    for n in (1, 2):
        place = tmp_path / f"{n}"
        place.mkdir()
        places.append(Desk(bank.engine, bank.acme, bank.run_id, bank.file, place))
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda one: one.read(content), places))
    assert sum(one.payouts["paid"] for one in made) == 3
    assert sum(one.seen for one in made) == 3
    assert_whole(bank.engine)


def test_a_reading_that_was_killed_is_begun_again_and_does_what_was_left(
    bank: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = camt("".join(entry(detail(name), ref=name) for name in bank.names.values()))
    monkeypatch.setattr(statement_import, "PIECE", 2)
    taken = statement_import._take
    calls = iter(range(9))

    def dies(*given: object) -> object:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return taken(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(statement_import, "_take", dies)
    with pytest.raises(KeyboardInterrupt):
        bank.read(content)
    assert list(bank.states.values()) == ["paid", "paid", "in_transit"]
    made = bank.read(content)
    assert (made.payouts["paid"], made.seen) == (1, 2)
    assert_whole(bank.engine)


def test_what_came_back_before_it_was_seen_booked_is_failed_and_can_be_sent_again(
    bank: Desk,
) -> None:
    name = bank.names["ada"]
    made = bank.read(camt(entry(detail(name, reason="AC04"), way="CRDT")))
    assert made.payouts["refused"] == 1
    assert rows(
        bank.engine, "SELECT state, error_code, error_message FROM payouts WHERE user_id = 'ada'"
    ) == [("failed", "bank_refused", "AC04")]
    assert_whole(bank.engine)
    with transaction(bank.engine) as tx:
        service.retry(tx, bank.id_of("ada"))
    with transaction(bank.engine) as tx:
        again = service.export(tx, bank.acme, bank.run_id, box=BOX, actor=ANN, format="pain.001")
    assert f"{name[:-1]}2".encode() in again.content
    late = bank.read(camt(entry(detail(name), ref="LATE")))
    assert dict(late.rejected) == {"came_back": 1}
    assert bank.states["ada"] == "in_transit"
    assert_whole(bank.engine)


def test_what_the_bank_paid_though_a_person_said_it_refused_is_a_finding(bank: Desk) -> None:
    with transaction(bank.engine) as tx:
        service.mark_failed(tx, bank.id_of("ada"), reason="they said no")
    made = bank.read(HEAD + csv_line(bank.names["ada"]))
    assert dict(made.rejected) == {"paid_though_failed": 1}
    assert bank.states["ada"] == "failed"
    assert_whole(bank.engine)


def test_what_the_bank_paid_though_failed_is_not_paid_again_and_two_people_say_so(
    bank: Desk,
) -> None:
    ada = bank.id_of("ada")
    with transaction(bank.engine) as tx:
        service.mark_failed(tx, ada, reason="they said no")
    statement = HEAD + csv_line(bank.names["ada"])
    bank.read(statement)
    with pytest.raises(NotRetryable, match="failed here, was paid"), transaction(bank.engine) as tx:
        service.retry(tx, ada)
    with pytest.raises(NotCancelable, match="stopped"), transaction(bank.engine) as tx:
        service.cancel(tx, ada, reason="the next run pays it")
    assert dict(bank.read(statement).rejected) == {"stopped": 1}
    with transaction(bank.engine) as tx:
        propose_outside(tx, ada, reference="BANK-1", evidence="the statement", actor=ANN)
        propose_unfreeze(tx, ada, evidence="the statement", actor=ANN)
    with transaction(bank.engine) as tx:
        agree_unfreeze(tx, ada, actor=BEN)
        agree_outside(tx, ada, actor=BEN)
    assert bank.states["ada"] == "paid"
    assert dict(bank.read(statement).rejected) == {"paid_though_failed": 1}
    assert scalar(bank.engine, "SELECT count(*) FROM payouts WHERE frozen_reason IS NOT NULL") == 0
    assert_whole(bank.engine)


def test_a_payout_that_was_sent_again_before_its_statement_came_is_not_stopped_by_it(
    bank: Desk,
) -> None:
    ada, first = bank.id_of("ada"), bank.names["ada"]
    with transaction(bank.engine) as tx:
        service.mark_failed(tx, ada, reason="they said no")
        service.retry(tx, ada)
    with transaction(bank.engine) as tx:
        service.export(tx, bank.acme, bank.run_id, box=BOX, actor=ANN, format="pain.001")
    assert dict(bank.read(HEAD + csv_line(first)).rejected) == {"paid_though_failed": 1}
    assert bank.states["ada"] == "in_transit"
    assert scalar(bank.engine, "SELECT count(*) FROM payouts WHERE frozen_reason IS NOT NULL") == 0


def test_what_was_shown_as_paid_while_another_attempt_was_out_is_not_paid_once_more(
    bank: Desk,
) -> None:
    ada, first = bank.id_of("ada"), bank.names["ada"]
    with transaction(bank.engine) as tx:
        service.mark_failed(tx, ada, reason="they said no")
        service.retry(tx, ada)
    with transaction(bank.engine) as tx:
        service.export(tx, bank.acme, bank.run_id, box=BOX, actor=ANN, format="pain.001")
    for _ in range(2):
        assert dict(bank.read(HEAD + csv_line(first)).rejected) == {"paid_though_failed": 1}
    # The bank refuses the second attempt, which it may have taken for a duplicate: by the first it is paid.
    second = bank.names["ada"]
    assert second != first
    refused = camt(entry(detail(second, reason="AM05"), way="CRDT", ref="NO"))
    assert bank.read(refused).payouts["refused"] == 1
    with pytest.raises(NotRetryable, match="attempt 1, which is failed here, was paid"):
        retry(bank, ada)
    shown = (
        "SELECT jsonb_array_length(jsonb_path_query_array(history, '$[*] ? (@.statement != null)'))"
    )
    assert (
        scalar(bank.engine, f"{shown} FROM payout_attempts WHERE n = 1 AND payout_id = {ada}") == 1
    )
    assert_whole(bank.engine)


def retry(bank: Desk, payout_id: int) -> None:
    with transaction(bank.engine) as tx:
        service.retry(tx, payout_id)


@pytest.mark.parametrize("order", [1, -1], ids=["debit first", "credit first"])
def test_what_comes_back_after_it_was_paid_is_reversed_with_its_reason(
    bank: Desk, order: int
) -> None:
    name = bank.names["ada"]
    both = [entry(detail(name)), entry(detail(name, reason="AC01"), way="CRDT", ref="BACK")]
    made = bank.read(camt("".join(both[::order])))
    assert (made.payouts["paid"], made.payouts["returned"], made.rejected) == (1, 1, {})
    assert rows(
        bank.engine, "SELECT state, error_code, error_message FROM payouts WHERE user_id = 'ada'"
    ) == [("reversed", "bank_returned", "AC01")]
    assert_whole(bank.engine)
    with transaction(bank.engine) as tx:
        service.release(tx, bank.id_of("ada"), reason="another account", actor=ANN)
    assert_whole(bank.engine)


def test_a_debit_after_the_payment_came_back_is_a_second_payment_and_not_the_first(
    bank: Desk,
) -> None:
    """Its earnings can be released by then, and be paid a second time by the next run."""
    name = bank.names["ada"]
    bank.read(camt(entry(detail(name))))
    bank.read(camt(entry(detail(name, reason="AC01"), way="CRDT", ref="BACK")))
    assert bank.states["ada"] == "reversed"
    assert bank.read(camt(entry(detail(name)))).seen == 1
    assert dict(bank.read(camt(entry(detail(name), ref="BANK-2"))).rejected) == {"already_paid": 1}
    assert_whole(bank.engine)


Statement = Callable[[Desk], str]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda b: camt(entry(detail(b.names["ada"], "10.06"), "10.06")), "amount_mismatch"),
        (lambda b: camt(entry(detail(b.names["ada"], None), "10.05", currency="CHF")), "currency_mismatch"),
        (lambda b: camt(entry(detail(b.names["ada"][:-1] + "9"))), "unknown_reference"),
        (lambda b: camt(entry(detail("PS-0123456789ab-1-1"))), "unknown_reference"),
        (lambda b: camt(entry(detail(b.names["ada"][:-4]))), "damaged_reference"),
        (lambda b: camt(entry(detail(f"{b.names['ada']} {b.names['bob']}"))), "several_references"),
        (lambda b: camt(entry(detail(b.names["ada"]), status="<Cd>PDNG</Cd>")), "not_booked"),
        (lambda b: camt(entry(detail(b.names["ada"]), way="CRDT")), "credit_without_reason"),
        (lambda b: camt(entry(detail(b.names["ada"]), "20.10")), "unreadable"),
        (lambda b: camt(entry(detail(b.names["ada"], "1e1"))), "unreadable"),
        (lambda b: camt(entry("", batch=f"<Btch><PmtInfId>{b.file_name}-1</PmtInfId></Btch>")),
         "batch_without_count"),
        (lambda b: HEAD + csv_line(b.names["ada"], "-10.055"), "unreadable"),
        (lambda b: HEAD + csv_line(b.names["ada"]).replace("2026-06-05", "06/05/2026"), "unreadable"),
        (lambda b: HEAD + csv_line(b.names["ada"]).replace("2026-06-05", "2026-W23-5"), "unreadable"),
        (lambda b: HEAD + csv_line(b.names["ada"], "\"-10,05\""), "unreadable"),
        (lambda b: HEAD + csv_line(b.file_name, "-30.16", count="3"), "batch_mismatch"),
        (lambda b: HEAD + csv_line(b.file_name, "-30.15", count="2"), "batch_mismatch"),
        (lambda b: HEAD + csv_line(b.file_name, "30.15", count="3", reason="AC04"), "batch_credit"),
    ],
)  # fmt: skip
def test_what_is_not_exactly_ours_is_named_and_does_nothing(
    bank: Desk, content: Statement, why: str
) -> None:
    made = bank.read(content(bank))
    assert dict(made.rejected) == {why: 1}
    assert [name for _, name in rejected(bank)] == [why]
    assert set(bank.states.values()) == {"in_transit"}
    assert scalar(bank.engine, "SELECT count(*) FROM bank_statement_entries") == 0
    assert_whole(bank.engine)


def test_one_wrong_entry_does_not_hold_up_the_others(bank: Desk) -> None:
    ada, bob, cy = bank.names.values()
    made = bank.read(
        HEAD + csv_line(ada) + csv_line(bob, "-1.00") + csv_line("rent", "-9.00") + csv_line(cy)
    )
    assert (made.payouts["paid"], made.not_ours, dict(made.rejected)) == (
        2,
        1,
        {"amount_mismatch": 1},
    )
    assert rejected(bank) == [("line 3", "amount_mismatch")]
    assert list(bank.states.values()) == ["paid", "in_transit", "paid"]


def test_a_second_debit_is_a_finding_and_the_same_line_twice_a_duplicate(bank: Desk) -> None:
    name = bank.names["ada"]
    made = bank.read(HEAD + csv_line(name, bank="A") * 2 + csv_line(name, bank="B"))
    assert made.payouts["paid"] == 1
    assert rejected(bank) == [("line 3", "duplicate"), ("line 4", "already_paid")]
    assert_whole(bank.engine)


@pytest.mark.parametrize("count", ["", "3"], ids=["single", "batch"])
def test_the_same_line_twice_is_a_duplicate_however_often_the_file_is_read(
    bank: Desk, count: str
) -> None:
    """Whoever reads it again, as after a kill, must not miss that the bank may have paid twice."""
    name, amount = (bank.file_name, "-30.15") if count else (bank.names["ada"], "-10.05")
    content = HEAD + csv_line(name, amount, count=count) * 2
    assert dict(bank.read(content).rejected) == {"duplicate": 1}
    again = bank.read(content)
    assert (again.seen, dict(again.rejected)) == (1, {"duplicate": 1})
    assert_whole(bank.engine)


def test_a_payout_that_a_person_marked_is_not_paid_again(bank: Desk) -> None:
    with transaction(bank.engine) as tx:
        service.mark_paid(tx, bank.id_of("ada"), reference="BANK-0")
    made = bank.read(HEAD + csv_line(bank.names["ada"]))
    assert dict(made.rejected) == {"already_paid": 1}
    assert_whole(bank.engine)


def test_a_stopped_payout_waits_and_the_same_statement_settles_it_later(bank: Desk) -> None:
    content = HEAD + csv_line(bank.names["ada"])
    execute(bank.engine, "UPDATE payouts SET frozen_reason = 'look' WHERE user_id = 'ada'")
    assert dict(bank.read(content).rejected) == {"stopped": 1}
    with transaction(bank.engine) as tx:
        propose_unfreeze(tx, bank.id_of("ada"), evidence="looked", actor=ANN)
    with transaction(bank.engine) as tx:
        agree_unfreeze(tx, bank.id_of("ada"), actor=Actor("command", "bob"))
    assert bank.read(content).payouts["paid"] == 1


def test_another_merchants_reference_is_unknown(bank: Desk, tmp_path: Path) -> None:
    with transaction(bank.engine) as tx:
        other = merchant(tx, "other")
    for content in (
        HEAD + csv_line(bank.names["ada"]),
        HEAD + csv_line(bank.file_name, "-30.15", count="3"),
    ):
        made = bank.read(content, merchant_id=other)
        assert dict(made.rejected) == {"unknown_reference": 1}
    assert set(bank.states.values()) == {"in_transit"}


def test_a_sum_for_a_whole_batch_pays_all_of_it(bank: Desk) -> None:
    batch = f"<Btch><PmtInfId>{bank.file_name}-1</PmtInfId><NbOfTxs>3</NbOfTxs></Btch>"
    content = camt(entry("", "30.15", batch=batch))
    assert bank.read(content).payouts["paid"] == 3
    assert set(bank.states.values()) == {"paid"}
    again = bank.read(content)
    assert (again.seen, again.payouts.total()) == (1, 0)
    assert dict(bank.read(content.replace("BANK-1", "BANK-2")).rejected) == {"already_paid": 1}
    assert_whole(bank.engine)


def test_a_batch_counts_what_a_person_marked_and_stops_at_what_failed(bank: Desk) -> None:
    content = HEAD + csv_line(f"EREF+{bank.file_name.upper()}-1", "-30.15", count="3")
    with transaction(bank.engine) as tx:
        service.mark_paid(tx, bank.id_of("ada"), reference="BANK-0")
        service.mark_failed(tx, bank.id_of("bob"), reason="closed")
    assert dict(bank.read(content).rejected) == {"batch_not_waiting": 1}
    assert bank.states == {"ada": "paid", "bob": "failed", "cy": "in_transit"}
    # The sum is of all three: the bank paid bob too, whatever it said on the telephone.
    with pytest.raises(NotRetryable, match="failed here, was paid"):
        retry(bank, bank.id_of("bob"))
    assert dict(bank.read(content).rejected) == {"stopped": 1}
    assert_whole(bank.engine)


def test_a_batch_of_another_sum_says_nothing_about_what_failed(bank: Desk) -> None:
    with transaction(bank.engine) as tx:
        service.mark_failed(tx, bank.id_of("bob"), reason="closed")
    for amount, payments in (("-20.10", "2"), ("-20.10", "3")):
        content = HEAD + csv_line(f"{bank.file_name}-1", amount, count=payments)
        assert dict(bank.read(content).rejected) == {"batch_mismatch": 1}
    retry(bank, bank.id_of("bob"))
    assert_whole(bank.engine)


def test_a_batch_with_details_goes_by_its_details(bank: Desk) -> None:
    ada, bob, cy = bank.names.values()
    batch = f"<Btch><PmtInfId>{bank.file_name}-1</PmtInfId><NbOfTxs>3</NbOfTxs></Btch>"
    whole = camt(entry(detail(ada) + detail(bob) + detail(cy), "30.15", batch=batch))
    short = camt(entry(detail(ada) + detail(bob), "30.15", batch=batch))
    assert dict(bank.read(short).rejected) == {"unreadable": 2}, "they do not add up"
    assert set(bank.states.values()) == {"in_transit"}
    assert bank.read(whole).payouts["paid"] == 3
    assert_whole(bank.engine)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[: len(text) // 2], "no whole XML"),
        (lambda text: text[:-3], "no whole XML"),
        (lambda text: text.replace("camt.053", "pain.001"), "no camt.053"),
        (lambda text: text.replace("<Document", '<!DOCTYPE Document [<!ENTITY a "aa">]><Document'), "declares"),
        (lambda text: text.replace("<Document", '<!DOCTYPE Document SYSTEM "file:///etc/passwd"><Document'),
         "declares"),
        (lambda text: text.replace("<Bal>", "<Bal>" * 80).replace("</Bal>", "</Bal>" * 80), "deep"),
        (lambda text: "reference;amount\n1;2\n", "has no column 'reference'"),
        (lambda text: "reference,amount\n1,2\n", "has no column 'booked_on'"),
        (lambda text: HEAD.replace(",currency", ""), "--currency"),
        (lambda text: HEAD + csv_line('"PS'), "is no CSV"),
        (lambda text: HEAD.encode() + b"\xff\xfe,1\n", "--encoding"),
        (lambda text: HEAD + "x" * 70_000, "a line of more"),
        (lambda text: "", "has no column"),
    ],
)  # fmt: skip
def test_a_file_that_is_broken_anywhere_does_nothing(
    bank: Desk, damage: Callable[[str], str | bytes], says: str
) -> None:
    sound = camt("".join(entry(detail(name), ref=name) for name in bank.names.values()))
    with pytest.raises(Invalid, match=says):
        bank.read(damage(sound))
    assert set(bank.states.values()) == {"in_transit"}
    assert scalar(bank.engine, "SELECT count(*) FROM bank_statements") == 0


def test_a_file_that_is_too_long_is_refused_unread(
    bank: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement_import, "MAX_BYTES", 100)
    with pytest.raises(Invalid, match="is longer"):
        bank.read(camt(""))


def test_a_dry_run_says_what_the_run_does_and_changes_nothing(bank: Desk) -> None:
    ada, bob, _ = bank.names.values()
    content = HEAD + csv_line(ada) + csv_line(ada, "10.05", reason="AC04") + csv_line(bob, "-1.00")
    tried = bank.read(content, dry_run=True)
    assert set(bank.states.values()) == {"in_transit"}
    assert scalar(bank.engine, "SELECT count(*) FROM bank_statements") == 0
    made = bank.read(content)
    assert (made.payouts, made.rejected) == (tried.payouts, tried.rejected)
    assert made.payouts == {"paid": 1, "returned": 1}


@pytest.mark.parametrize(
    ("version", "part"),
    [("camt.053.001.02", "Stmt"), ("camt.053.001.13", "Stmt"), ("camt.054.001.08", "Ntfctn")],
)
def test_versions_and_notices_are_read_alike(bank: Desk, version: str, part: str) -> None:
    name = bank.names["ada"]
    old = f'<TxDtls><Refs><EndToEndId>{name}</EndToEndId></Refs><AmtDtls><TxAmt><Amt Ccy="EUR">10.05</Amt>'
    old += "</TxAmt></AmtDtls></TxDtls>"
    content = camt(entry(old, status="BOOK"), version=version, part=part)
    assert bank.read(content).payouts["paid"] == 1


def test_a_banks_own_csv_is_read_as_it_is_told(bank: Desk) -> None:
    name = bank.names["ada"]
    content = (
        f"Konto 123\n\nZweck;Betrag;Buchung;Art\nEREF+{name.upper()} Jüni;1.010,05;05.06.2026;x\n"
    )
    form = CsvForm(
        ";",
        ",",
        2,
        "eur",
        {"reference": "Zweck", "amount": "Betrag", "booked_on": "Buchung"},
    )
    made = bank.read(
        content.replace("1.010,05", "-10,05").encode("cp1252"), form=form, encoding="cp1252"
    )
    assert made.payouts["paid"] == 1
    again = bank.read(content.encode("cp1252"), form=form, encoding="cp1252")
    assert dict(again.rejected) == {"amount_mismatch": 1}


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("utf-16", "not written in utf-16"), ("punycode", "not written in"), ("utf-7", "not written in"),
     ("undefined", "--encoding"), ("utf-8\0", "--encoding")],
)  # fmt: skip
def test_an_encoding_that_does_not_fit_is_refused_by_name(
    bank: Desk, encoding: str, says: str
) -> None:
    content = (HEAD + csv_line(bank.names["ada"], bank="+2AA-")).encode()
    with pytest.raises(Invalid, match=says):
        bank.read(content, encoding=encoding)
    assert set(bank.states.values()) == {"in_transit"}
    assert scalar(bank.engine, "SELECT count(*) FROM bank_statements") == 0


def test_what_an_earlier_reading_refused_does_not_stand_beside_a_later_one(bank: Desk) -> None:
    bank.read(HEAD + csv_line(bank.names["ada"], "-1.00"))
    assert rejected(bank) == [("line 2", "amount_mismatch")]
    bank.read(HEAD + csv_line(bank.names["ada"]))
    assert rejected(bank) == []


def test_a_rejects_file_that_cannot_be_written_is_said_before_anything_is_done(bank: Desk) -> None:
    (bank.tmp / "rejects.csv").mkdir()
    with pytest.raises(Invalid, match="--rejects"):
        bank.read(HEAD + csv_line(bank.names["ada"]) + csv_line(bank.names["bob"], "-1.00"))
    assert set(bank.states.values()) == {"in_transit"}


def test_cells_of_the_rejects_file_are_no_formulas(bank: Desk) -> None:
    bank.read(HEAD + csv_line(f"=1+{bank.names['ada']}", "-1.00"))
    written = (bank.tmp / "rejects.csv").read_text()
    assert ",'=1+PS-" in written
    assert written.splitlines()[-1].endswith(",2026-06-05,"), "no reference of the bank's is none"
    assert (bank.tmp / "rejects.csv").stat().st_mode & 0o077 == 0


def test_entries_are_facts_that_nobody_changes(bank: Desk) -> None:
    bank.read(HEAD + csv_line(bank.names["ada"]))
    for statement in (
        "UPDATE bank_statement_entries SET reason = 'x'",
        "DELETE FROM bank_statement_entries",
        "UPDATE bank_statements SET format = 'camt'",
    ):
        with pytest.raises(Exception, match=r"append-only|permission denied|refuse|changed"):
            execute(bank.engine, statement)


@pytest.mark.slow
def test_a_hundred_thousand_entries_take_no_more_memory_than_a_piece(
    bank: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is traced, which is slow, while 20,000 of them are read: what one kept would add up."""
    other = '<Ntry><Amt Ccy="EUR">9</Amt><CdtDbtInd>DBIT</CdtDbtInd><BookgDt><Dt>2026-06-05</Dt></BookgDt>'
    others = f"{other}<AddtlNtryInf>{'rent ' * 40}</AddtlNtryInf></Ntry>" * 1_000
    ours = "".join(entry(detail(name), ref=name) for name in bank.names.values())
    head, _, tail = camt("|").partition("|")
    path = bank.tmp / "long"
    with path.open("w") as file:
        file.write(head)
        for _ in range(100):
            file.write(others)
        file.write(ours + tail)
    taken, pieces, traced = statement_import._take, count(), []

    def traces(*given: Any) -> list[Done]:
        piece = next(pieces)
        if piece == 50:
            tracemalloc.start()
        elif piece == 90:
            traced.append(tracemalloc.get_traced_memory())
            tracemalloc.stop()
        return taken(*given)

    monkeypatch.setattr(statement_import, "_take", traces)
    with path.open("rb") as source:
        made = statement_import.import_statement(
            bank.engine,
            bank.acme,
            source,
            format=None,
            form=CsvForm(),
            encoding="utf-8",
            rejects=bank.tmp / "rejects.csv",
            actor=ANN,
        )
    assert (made.entries, made.not_ours, made.payouts["paid"]) == (100_003, 100_000, 3)
    assert path.stat().st_size > 25_000_000
    [(_, peak)] = traced
    assert peak < 2_000_000
