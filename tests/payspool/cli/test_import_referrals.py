"""Files of another system: taken once, refused line by line, and what was paid is not paid again."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.inbox import service as inbox
from domain.payouts import service as payouts
from domain.payouts.service import PayeeUpdate, RunSpec
from domain.referrals import answers
from domain.referrals.rules.importing import read_conversion
from payspool.cli.importing import referrals
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TIERED,
    balance,
    code,
    conversion,
    dispute,
    open_shop,
    program,
    refund,
    rows,
    said,
    scalar,
    send,
    together,
)
from tests.domain.payouts import house
from tests.payspool.cli.conftest import Command

PAST = (
    "transaction_id,code,referred_user_id,converted_at,amount,currency,amount_earned,paid_reference"
)
PAID = "old-1,ADA-01,ben,2025-03-01T10:00:00Z,12900,usd,1290,bank 2025-04"
OWED = "old-2,ADA-01,cyd,2025-03-02T10:00:00Z,5000,USD,500,"


@pytest.fixture
def take(command: Command, tmp_path: Path) -> Any:
    """Imports lines of a kind; returns counts, and the rejects by line."""

    def run(kind: str, *lines: str, dry: bool = False) -> tuple[list[int], dict[int, str]]:
        file = tmp_path / f"{kind}.csv"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        kept = tmp_path / f"{kind}.csv.rejects.csv"
        kept.unlink(missing_ok=True)
        done = command("import", kind, "acme", str(file), "--json", *(["--dry-run"] if dry else []))
        told = json.loads(done.stdout)
        assert done.exit_code == (1 if told["rejected"] else 0), done.output
        refused = {}
        if kept.exists():
            with kept.open(newline="") as text:
                refused = {int(row["line"]): row["reason"] for row in csv.DictReader(text)}
        return [told["new"], told["known"], told["rejected"]], refused

    return run


def test_programs_and_codes_are_taken_once_and_refused_by_line(take: Any, engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    rule = '"{""kind"": ""percentage"", ""basis_points"": 800}"'
    programs = (
        "key,name,rule,currency,hold_days,ends_at",
        f"old,Old friends,{rule},EUR,14,2030-01-01T00:00:00+01:00",
        f"bad,,{rule},eur,99,",
        "worse,,{},eur,,",
        f",,{rule},eur,,",
    )
    assert take("programs", *programs, dry=True)[0] == [1, 0, 3]
    assert scalar(engine, "SELECT count(*) FROM programs") == 1
    assert take("programs", *programs) == ([1, 0, 3], {3: "invalid", 4: "invalid", 5: "invalid"})
    assert take("programs", *programs)[0] == [0, 1, 3]
    changed = programs[1].replace(",14,", ",15,")
    assert take("programs", programs[0], changed)[1] == {2: "already_exists"}

    codes = (
        "code,program,user_id,max_uses",
        "REF_ABC123,old,ada,5",
        "ADA-01,old,bea,",
        "SHORT,old,ada,",
        "GOOD-01,nope,ada,",
        "REF_ABC123,old,cyd,",
        "GOOD-02,old,dan,",
    )
    refused = {3: "already_exists", 4: "invalid", 5: "program_not_found", 6: "already_exists"}
    assert take("codes", *codes, dry=True) == ([2, 0, 4], refused)
    assert take("codes", *codes) == ([2, 0, 4], refused)
    assert take("codes", *codes)[0] == [0, 2, 4]
    assert rows(
        engine,
        "SELECT code, user_id, max_uses FROM codes WHERE user_id <> 'ada' OR max_uses > 0 ORDER BY 1",
    ) == [
        ("GOOD-02", "dan", None),
        ("REF_ABC123", "ada", 5),
    ]


def test_what_was_paid_is_never_paid_again_and_what_was_not_is(take: Any, engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    assert take("conversions", PAST, PAID, OWED, dry=True)[0] == [2, 0, 0]
    assert scalar(engine, "SELECT count(*) FROM trackings") == 0
    assert take("conversions", PAST, PAID, OWED)[0] == [2, 0, 0]
    assert take("conversions", PAST, PAID, OWED)[0] == [0, 2, 0]
    with transaction(engine) as tx:
        payouts.put_payees(tx, [PayeeUpdate(acme, "ada", "stripe", JUNE, "acct_ada")])
    payouts.build_run(engine, RunSpec(acme, "june", JUNE))
    assert rows(engine, "SELECT amount FROM payouts") == [(500,)]
    assert rows(
        engine, "SELECT transaction_id, payout_status FROM tracking_details ORDER BY 1"
    ) == [
        ("old-1", "paid"),
        ("old-2", "processing"),
    ]
    with transaction(engine) as tx:
        told = answers.explain_tracking(tx, acme, answers.tracking_of(tx, acme, "old-1"))
        made = inbox.status(tx, acme, "payspool-import", "old-1")
    assert "paid before Payspool (bank 2025-04): nothing of it is paid again" in " ".join(told.why)
    assert "-12.90 USD, for what was paid before Payspool, in payout" in " ".join(told.why)
    assert [one.amount for one in told.earnings] == [1_290, -1_290]
    assert made
    assert [one["amount"] for one in made["made"]["earnings"]] == [1_290, -1_290]
    house.assert_whole(engine)


@pytest.mark.parametrize("claimed", [False, True])
def test_a_refund_of_what_was_paid_before_is_owed(take: Any, engine: Engine, claimed: bool) -> None:
    acme = open_shop(engine, PERCENTAGE)
    with transaction(engine) as tx:
        payouts.put_payees(tx, [PayeeUpdate(acme, "ada", "stripe", JUNE, "acct_ada")])
    take("conversions", PAST, PAID, *([OWED] if claimed else []))
    if claimed:
        payouts.build_run(engine, RunSpec(acme, "one", JUNE))
    assert said(send(engine, refund("old-1", 6_450))) == ["applied"]
    assert balance(engine) == -645
    send(engine, conversion("new", "dan", 20_000))
    payouts.build_run(engine, RunSpec(acme, "two", JUNE + DAY))
    assert rows(engine, "SELECT amount FROM payouts ORDER BY id DESC LIMIT 1") == [(2_000 - 645,)]
    house.assert_whole(engine)


def test_a_dispute_of_what_was_paid_before_holds_both_halves(take: Any, engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    with transaction(engine) as tx:
        payouts.put_payees(tx, [PayeeUpdate(acme, "ada", "stripe", JUNE, "acct_ada")])
    take("conversions", PAST, PAID)
    send(engine, dispute("old-1"), conversion("new", "dan", 20_000))
    payouts.build_run(engine, RunSpec(acme, "one", JUNE + DAY))
    assert rows(engine, "SELECT amount FROM payouts") == [(2_000,)], (
        "and nothing is taken for the other"
    )
    house.assert_whole(engine)


def test_lines_that_cannot_be_are_refused_with_a_reason_and_can_come_again(
    take: Any, engine: Engine
) -> None:
    open_shop(engine, PERCENTAGE, max_uses=2)
    send(engine, conversion("seen"))
    lines = [
        PAID,
        "x1,NOBODY1,ben,2025-03-01T10:00:00Z,1,usd,1,",
        "x2,ADA-01,ada,2025-03-01T10:00:00Z,1,usd,1,",
        "x3,ADA-01,ben,2025-03-01T10:00:00Z,1,eur,1,",
        "seen,ADA-01,ben,2025-03-01T10:00:00Z,1,usd,1,",
        "x4,ADA-01,ben,2025-03-01T10:00:00Z,1,usd,1,",
        "x5,ADA-01,ben,2025-03-01T10:00:00,1,usd,1,",
        "x6,ADA-01,ben,2025-03-01T10:00:00Z,1.5,usd,1,",
        "x7,ADA-01,ben,2025-03-01T10:00:00Z,1,usd,,",
        PAID.replace("1290,", "1291,"),
        PAID,
        "x8,ADA-01,ben,2025-03-01T10:00:00Z,1,usd,1,,too,many",
    ]
    counts, refused = take("conversions", PAST, *lines)
    assert counts == [1, 1, 10]
    assert refused == {
        3: "code_not_found",
        4: "self_referral",
        5: "currency_mismatch",
        6: "duplicate_transaction",
        7: "code_exhausted",
        8: "invalid",
        9: "invalid",
        10: "invalid",
        11: "conflict",
        13: "invalid",
    }
    assert take("conversions", PAST, lines[1].replace("NOBODY1", "ADA-01"))[1] == {
        2: "code_exhausted"
    }
    assert scalar(engine, "SELECT count(*) FROM inbox_events") == 2, (
        "what is refused leaves nothing"
    )
    assert said(send(engine, conversion("old-1"))) == ["rejected:duplicate_transaction"]
    house.assert_whole(engine)


def test_what_is_imported_counts_for_tiers_and_first_conversions(take: Any, engine: Engine) -> None:
    acme = open_shop(engine, TIERED)
    with transaction(engine) as tx:
        program(tx, acme, ONE_TIME, "once")
        code(tx, acme, "ONCE-01", "bea", "once")
    take(
        "conversions",
        PAST,
        *(f"o{i},ADA-01,u{i},2025-03-01T10:00:00Z,100,usd,9," for i in range(3)),
        "first,ONCE-01,ben,2025-03-01T10:00:00Z,100,usd,400,",
    )
    assert said(send(engine, conversion("n1"), conversion("n2", by="ONCE-01"))) == [
        "applied",
        "rejected:already_rewarded",
    ]
    assert rows(engine, "SELECT amount_earned FROM trackings WHERE transaction_id = 'n1'") == [
        (1_000,)
    ]
    assert scalar(engine, "SELECT sum(conversions) FROM program_days") == 5


def test_a_refund_that_waited_follows_an_imported_conversion(take: Any, engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    assert said(send(engine, refund("old-2", 2_500))) == ["waiting:waits_for_conversion"]
    take("conversions", PAST, OWED)
    assert balance(engine) == 250
    house.assert_whole(engine)


def test_two_who_import_one_file_at_once_import_it_once(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    names = PAST.split(",")
    past = [
        read_conversion(dict(zip(names, PAID.replace("old-1", f"old-{i}").split(","), strict=True)))
        for i in range(40)
    ]

    def one() -> list[str]:
        with transaction(engine) as tx:
            return [o.status for o in inbox.import_conversions(tx, acme, "acme", past)]

    outcomes = [status for result in together([one] * 4) for status in result]
    assert (outcomes.count("applied"), outcomes.count("duplicate")) == (40, 120)
    assert balance(engine) == 0
    house.assert_whole(engine)


def test_another_header_is_refused_by_name(
    command: Command, tmp_path: Path, engine: Engine
) -> None:
    open_shop(engine, PERCENTAGE)
    file = tmp_path / "x.csv"
    file.write_text("order,code\n1,2\n")
    assert "order: the columns are" in str(
        command("import", "conversions", "acme", str(file)).exception
    )


def test_a_file_of_nothing_but_bad_lines_is_refused_line_by_line(take: Any, engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    assert take("conversions", PAST, PAID.replace("1290", "12.9")) == ([0, 0, 1], {2: "invalid"})


@pytest.mark.parametrize("dry", [False, True])
def test_a_file_that_breaks_off_says_how_far_it_was_imported(
    command: Command,
    tmp_path: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    dry: bool,
) -> None:
    open_shop(engine, PERCENTAGE)
    shape = replace(referrals._CONVERSIONS, chunk=2)
    monkeypatch.setattr(referrals, "_CONVERSIONS", shape)
    file = tmp_path / "x.csv"
    lines = [PAST, *(OWED.replace("old-2", f"o{n}") for n in range(3)), "\xff", OWED]
    file.write_bytes("\n".join(lines).encode("latin-1"))
    how = ["--dry-run"] if dry else []
    told = str(command("import", "conversions", "acme", str(file), *how).exception)
    which = "nothing is" if dry else "lines up to 3 are"
    assert f"line 5: is not UTF-8; {which} imported. Mend it" in told
    assert scalar(engine, "SELECT count(*) FROM trackings") == (0 if dry else 2)
