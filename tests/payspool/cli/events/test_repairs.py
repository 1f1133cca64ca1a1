"""Retrying and editing events from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.referrals.service import converting
from tests.domain.inbox.shop import (
    PERCENTAGE,
    balance,
    code,
    conversion,
    open_shop,
    refund,
    scalar,
    send,
    standing,
)


@pytest.fixture
def acme(engine: Engine) -> int:
    return open_shop(engine, PERCENTAGE)


def number(engine: Engine, event_id: str) -> str:
    return str(scalar(engine, "SELECT id FROM inbox_events WHERE event_id = :id", id=event_id))


def add_code(engine: Engine, acme: int, name: str) -> None:
    with transaction(engine) as tx:
        code(tx, acme, name)


def test_a_retry_by_number_tells_what_became_of_the_event(
    payspool: Any, engine: Engine, acme: int
) -> None:
    send(engine, conversion("o1", by="NEW-01"), conversion("o2"))
    one = number(engine, "o1/paid")
    assert f"Event {one}: rejected (code_not_found: " in payspool("events", "retry", one).stdout
    add_code(engine, acme, "NEW-01")
    said = payspool("events", "retry", one, number(engine, "o2/paid")).stdout
    assert said.splitlines()[0] == "Retried 1 event: 1 applied."
    assert "is applied and was left alone" in said
    assert balance(engine) == 2_000


def test_a_dry_run_lists_and_changes_nothing(payspool: Any, engine: Engine, acme: int) -> None:
    send(engine, conversion("o1", by="NEW-01"), conversion("o2", by="NEW-02"))
    listed = payspool.json("events", "retry", "--merchant", "acme", "--dry-run")
    assert [(one["id"], one["reason"]) for one in listed] == [
        ("o1/paid", "code_not_found"),
        ("o2/paid", "code_not_found"),
    ]
    assert listed[0]["number"] == int(number(engine, "o1/paid"))
    assert scalar(engine, "SELECT max(attempts) FROM inbox_events") == 1


def test_a_filter_retries_all_that_match_page_by_page_and_leaves_decisions_out(
    payspool: Any, engine: Engine, acme: int
) -> None:
    send(engine, *(conversion(f"o{i}", f"u{i}", by="NEW-01") for i in range(230)))
    send(engine, conversion("self", "ada"))
    add_code(engine, acme, "NEW-01")
    said = payspool("events", "retry", "--merchant", "acme", "--since", "2026-01-01").stdout
    assert said.splitlines() == [
        "Retried 230 events: 230 applied.",
        "Left out 1 event whose refusal was a decision; --reason names one to retry them.",
    ]
    said = payspool("events", "retry", "--reason", "self_referral").stdout
    assert "Retried 1 event: 0 applied." in said


def test_a_bug_stops_its_event_only_and_ends_with_status_one(
    payspool: Any, engine: Engine, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(engine, *(conversion(f"o{i}", f"u{i}", 660 + i, by="NEW-01") for i in range(10)))
    add_code(engine, acme, "NEW-01")
    healthy = converting.reward_for

    def buggy(rule: Any, *, amount: int, history: Any) -> Any:
        if amount == 666:
            raise ValueError("odd")
        return healthy(rule, amount=amount, history=history)

    monkeypatch.setattr(converting, "reward_for", buggy)
    done = payspool("events", "retry", "--merchant", "acme", "--because", "the code was made late")
    assert done.exit_code == 1
    assert "Retried 9 events: 9 applied." in done.stdout
    assert "a bug stopped it (ValueError); it stays as it was." in done.stderr
    assert [i for i, s in standing(engine).items() if s != "applied"] == ["o6/paid"]
    reasons = "SELECT DISTINCT reason FROM audit_entries WHERE action = 'event.retried'"
    assert scalar(engine, reasons) == "the code was made late"


@pytest.mark.parametrize(
    "wrong",
    [[], ["1", "--merchant", "acme"], ["--status", "applied"]],
    ids=["neither", "both", "status"],
)
def test_a_retry_that_does_not_say_what_is_refused(payspool: Any, wrong: list[str]) -> None:
    with pytest.raises(Invalid):
        payspool("events", "retry", *wrong)


def test_a_number_that_no_event_has_is_told(payspool: Any, acme: int) -> None:
    for arguments in (["retry", "999"], ["retry", "999", "--dry-run"]):
        with pytest.raises(NotFound, match="999"):
            payspool("events", *arguments)


def test_an_edit_applies_the_new_data_and_the_status_shows_every_revision(
    payspool: Any, engine: Engine, acme: int, tmp_path: Path
) -> None:
    send(engine, conversion("o1", by="ADA-O1"))
    one = number(engine, "o1/paid")
    file = tmp_path / "data.json"
    file.write_text(json.dumps(json.loads(conversion("o1"))["data"]), encoding="utf-8-sig")
    tried = payspool("events", "edit", one, str(file), "--reason", "mistyped", "--dry-run").stdout
    assert tried == f"Event {one} would become revision 2: applied.\n"
    assert standing(engine) == {"o1/paid": "rejected:code_not_found"}
    done = payspool("events", "edit", one, str(file), "--reason", "mistyped").stdout
    assert done == f"Event {one} is revision 2 now: applied.\n"
    assert balance(engine) == 1_000
    shown = payspool("events", "status", "acme", "shop", "o1/paid").stdout.splitlines()
    assert shown[0] == f"conversion.recorded o1/paid: applied; number {one}"
    assert shown[1].startswith("  revision 1 by producer, ")
    assert '"code": "ADA-O1"' in shown[2]
    assert shown[3].endswith(" UTC: mistyped")
    assert '"code": "ADA-01"' in shown[4]
    with pytest.raises(Forbidden, match=r"send conversion\.refunded"):
        payspool("events", "edit", one, str(file), "--reason", "again")


def test_an_edit_from_standard_input_that_is_refused_says_why_and_ends_with_status_one(
    payspool: Any, engine: Engine, acme: int
) -> None:
    send(engine, conversion("o1", by="WRONG-1"))
    one = number(engine, "o1/paid")
    data = json.dumps({"referred_user_id": "ben", "code": "WRONG-2"})
    done = payspool("events", "edit", one, "-", "--reason", "x", stdin=data)
    assert done.exit_code == 1
    assert f"Event {one} is revision 2 now: rejected (code_not_found: " in done.stdout
    for broken in (b"{", b"\xff"):
        with pytest.raises(Invalid):
            payspool("events", "edit", one, "-", "--reason", "x", stdin=broken)


def test_a_waiting_event_shows_what_it_waits_for(payspool: Any, engine: Engine, acme: int) -> None:
    send(engine, refund("o1"))
    shown = payspool("events", "status", "acme", "shop", "o1/r1").stdout
    assert shown.startswith("conversion.refunded o1/r1: waiting (waits_for_conversion); number ")
