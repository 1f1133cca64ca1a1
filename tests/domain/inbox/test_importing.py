"""Conversions of the past: what they count for, whatever their lines look like and in which order they stand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from domain import clock
from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.inbox import service as inbox
from domain.referrals import admin
from domain.referrals.admin import Terms
from domain.referrals.rules.importing import PastConversion, read_conversion
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TESTER,
    assert_whole,
    code,
    conversion,
    open_shop,
    rows,
    said,
    scalar,
    send,
)

OLD = PastConversion("old", "ADA-01", "ben", JUNE - 90 * DAY, 10_000, "usd", 500, 0, "bank")
YEARLY = {"kind": "recurring", "basis_points": 800, "duration_days": 365}


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


def take(db: Any, acme: int, *past: PastConversion, **how: bool) -> list[str]:
    with transaction(db) as tx:
        return said(inbox.import_conversions(tx, acme, "acme", past, **how))


@pytest.mark.parametrize("closed", ["paused", "suspended", "before its start", "expired"])
def test_a_first_conversion_counts_as_one_though_nobody_could_use_its_code_then(
    db: Rolled, closed: str
) -> None:
    starts = JUNE - 9 * DAY if closed == "before its start" else None
    acme = open_shop(db, ONE_TIME, starts_at=starts)
    with transaction(db) as tx:
        code(tx, acme, "ADA-02", expires_at=OLD.converted_at)
        if closed == "paused":
            admin.set_program_status(tx, acme, "refer", "paused", actor=TESTER)
        if closed == "suspended":
            admin.set_code_status(tx, acme, "ADA-01", "suspended", actor=TESTER, reason="x")
    old = replace(OLD, code="ADA-02") if closed == "expired" else OLD
    assert take(db, acme, old) == ["applied"]
    with transaction(db) as tx:
        admin.set_program_status(tx, acme, "refer", "active", actor=TESTER)
        admin.set_code_status(tx, acme, "ADA-01", "active", actor=TESTER, reason="x")
    assert said(send(db, conversion("new"))) == ["rejected:already_rewarded"]
    assert_whole(db)


def test_a_line_that_is_refused_leaves_no_attribution_behind(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        code(tx, acme, "BOB-01", "bob")
    wrong = replace(OLD, code="BOB-01", currency="eur")
    assert take(db, acme, wrong) == ["rejected:currency_mismatch"]
    assert scalar(db, "SELECT count(*) FROM attributions") == 0
    assert take(db, acme, OLD) == ["applied"]
    send(db, conversion("new", by=None))
    assert rows(db, "SELECT referrer_user_id FROM trackings") == [("ada",)] * 2


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("rule", "terms"), [(YEARLY, {}), (PERCENTAGE, {"window_days": 365})], ids=["span", "window"]
)
def test_the_order_of_the_lines_prolongs_nothing(
    db: Rolled, rule: dict[str, Any], terms: dict[str, Any], newest_first: bool, apart: bool
) -> None:
    acme = open_shop(db, rule, **terms)
    lines = [
        replace(OLD, transaction_id=f"old-{days}", converted_at=JUNE - days * DAY)
        for days in (370, 180, 5)
    ]
    if newest_first:
        lines.reverse()
    for batch in [[one] for one in lines] if apart else [lines]:
        assert take(db, acme, *batch) == ["applied"] * len(batch)
    assert said(send(db, conversion("new"))) == ["rejected:outside_window"]
    with transaction(db) as tx:
        admin.change_program(tx, acme, "refer", Terms(rule, "usd", **terms), actor=TESTER)
    assert said(send(db, conversion("newer"))) == ["rejected:outside_window"], "counted anew"


def test_a_line_that_is_refused_is_not_in_the_way_of_a_later_one(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    wrong = replace(OLD, code="NOBODY1")
    assert take(db, acme, wrong, wrong, OLD, OLD, replace(OLD, amount_earned=501), wrong) == [
        "rejected:code_not_found",
        "rejected:code_not_found",
        "applied",
        "duplicate",
        "conflict:conflict",
        "rejected:code_not_found",
    ]
    assert_whole(db)


def test_what_has_not_happened_yet_is_refused(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE, hold_days=90)
    with transaction(db) as tx:
        now = clock.business_now(tx)
    ahead = [
        replace(OLD, transaction_id=f"o{n}", converted_at=at)
        for n, at in enumerate((now + DAY, datetime(9999, 12, 31, tzinfo=UTC)))
    ]
    assert take(db, acme, *ahead, OLD) == ["rejected:time_in_future"] * 2 + ["applied"]
    said_then = {
        "transaction_id": "o",
        "code": "ADA-01",
        "referred_user_id": "ben",
        "converted_at": "0025-03-01T10:00:00Z",
        "currency": "usd",
        "amount_earned": "1",
    }
    with pytest.raises(Invalid, match=r"converted_at: .*1970"):
        read_conversion(said_then)


def test_lines_none_of_which_can_be_read_are_no_error(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    assert take(db, acme) == []


def test_a_dry_run_takes_no_lock_for_each_of_its_lines(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    lines = [replace(OLD, transaction_id=f"o{n}") for n in range(50)]
    count = text(
        "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
    )
    before = db.tx.execute(count).scalar_one()
    assert take(db, acme, *lines, dry_run=True) == ["applied"] * 50
    assert db.tx.execute(count).scalar_one() <= before + 1, "that of the program's terms"
