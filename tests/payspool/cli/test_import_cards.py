"""Cards of another system: taken over once, with lots and deadlines, and nothing is gone on arrival."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain import clock
from domain.db import Tx, transaction
from domain.ledger import service as ledger
from domain.loyalty import service as loyalty
from domain.loyalty.rules.importing import read_card
from domain.loyalty.service import importing as takes
from domain.loyalty.service.importing import import_cards
from payspool.cli.importing import cards as importing
from tests.domain.inbox.shop import event, merchant, rows, said, scalar, send
from tests.payspool.cli.conftest import Command

HEADER = "card,customer,program,enrolled_at,status,last_activity_at,stamps,points,earned_at,available_at,expires_at"
ADA = (
    "A1,ada,p,2024-01-05,active,2026-05-20T10:00:00Z,3,100,2026-01-10,,2026-12-31",
    "A1,,,,,,,20,2026-05-20T10:00:00Z,,",
    "A1,ada,p,,,,,7,2026-05-20,2026-06-10,never",
)
BEN = "B1,ben,,,inactive,,,50,,,"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
YEAR = [{"kind": "rolling", "months": 12}]


@pytest.fixture
def acme(engine: Engine) -> int:
    """A shop whose points live a year, and go after a year without activity; it is 1 June 2026 there."""
    with transaction(engine) as tx:
        made = merchant(tx)
        clock.simulate(tx, NOW, sandbox=True)
        loyalty.create_program(
            tx,
            made,
            "p",
            name="P",
            currency="eur",
            zone="Europe/Berlin",
            kind="hybrid",
            stamp_target=5,
            inactivity_days=365,
            expiration=YEAR,
        )
    return made


@pytest.fixture
def take(command: Command, tmp_path: Path) -> Any:
    """Imports lines; returns what the command told, and the reasons of refused lines."""

    def run(
        *lines: str, dry: bool = False, header: str = HEADER
    ) -> tuple[dict[str, Any], dict[int, str]]:
        file = tmp_path / "cards.csv"
        file.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
        done = command(
            "import", "cards", "acme", str(file), "--json", *(["--dry-run"] if dry else [])
        )
        assert done.exit_code in (0, 1), done.output
        told = json.loads(done.stdout)
        refused = {}
        if told["rejects"]:
            with Path(told["rejects"]).open(newline="") as text:
                refused = {int(row["line"]): row["reason"] for row in csv.DictReader(text)}
        return told, refused

    return run


def lines(told: dict[str, Any]) -> list[int]:
    return [told["new"], told["known"], told["rejected"]]


def assert_whole(engine: Engine) -> None:
    with transaction(engine) as tx:
        assert loyalty.check_invariants(tx) == []
        assert ledger.check_invariants(tx) == []


def test_a_card_comes_with_its_lots_deadlines_and_stamps(
    take: Any, engine: Engine, acme: int
) -> None:
    told, refused = take(*ADA, BEN)
    assert (lines(told), refused) == ([4, 0, 0], {})
    assert (told["cards"], told["points"], told["stamps"]) == (2, 177, 3)
    with transaction(engine) as tx:
        ada, ben = (loyalty.card(tx, acme, number, NOW) for number in ("A1", "B1"))
        history = loyalty.history(tx, acme, "A1") or []
        (program,) = loyalty.summary(tx, acme)
    assert ada is not None
    assert ben is not None
    assert (ada.points.balance, ada.points.spendable, ada.points.pending, ada.stamps) == (
        127,
        120,
        7,
        3,
    )
    by = [(at.isoformat(), points) for at, points in ada.points.by_deadline if at is not None]
    # The day that the file gives in the program's zone; a year after it was earned; a year of inactivity.
    assert by == [("2026-12-31T23:00:00+00:00", 100), ("2027-05-20T22:00:00+00:00", 27)]
    assert (ben.status, ben.points.balance) == ("inactive", 50)
    assert [(r.type, r.points, r.balance, r.stamps, r.reason) for r in reversed(history)] == [
        ("card_created", 0, 0, 0, None),
        ("points_adjustment", 127, 127, 0, "imported from another system"),
        ("stamp_adjustment", 0, 127, 3, "imported from another system"),
    ]
    assert history[1].explanation == {
        "rule": "imported",
        "lots": 3,
        "earned_from": "2026-01-09T23:00:00+00:00",
    }
    assert (program.issued, program.outstanding) == (177, 177)
    assert rows(engine, "SELECT DISTINCT kind FROM ledger_transfers") == [("points_imported",)]
    assert_whole(engine)


def test_imported_points_are_spent_soonest_to_expire_first_and_expire_when_promised(
    take: Any, engine: Engine, acme: int
) -> None:
    take(*ADA)
    redeem = event("loyalty.points_redeemed", "r1", NOW, card="A1", points=110)
    assert said(send(engine, redeem)) == ["applied"]
    left = "SELECT remaining FROM point_lots ORDER BY id"
    assert rows(engine, left) == [(0,), (10,), (7,)]
    with transaction(engine) as tx:
        assert loyalty.plan_expiry(tx, acme, NOW, 100) == [], "nothing is gone on arrival"
        day = datetime(2027, 6, 3, tzinfo=UTC)
        for one in loyalty.plan_expiry(tx, acme, day, 100):
            loyalty.expire_range(tx, acme, one.first_id, one.last_id, day)
    assert rows(engine, "SELECT points_balance FROM cards") == [(0,)]
    assert_whole(engine)


def test_a_file_again_changes_nothing_whatever_happened_since(
    take: Any, engine: Engine, acme: int, command: Command
) -> None:
    take(*ADA, BEN)
    assert said(
        send(engine, event("loyalty.points_redeemed", "r1", NOW, card="A1", points=110))
    ) == ["applied"]
    assert command("cards", "replace", "acme", "B1", "--reason", "lost").exit_code == 0
    told, _ = take(*ADA, BEN)
    assert (lines(told), told["points"]) == ([0, 4, 0], 0)
    changed = take(ADA[0].replace(",100,", ",900,"), BEN.replace("ben", "bea"))
    assert (lines(changed[0]), changed[1]) == ([0, 0, 2], {2: "conflict", 3: "conflict"})
    assert scalar(engine, "SELECT sum(points_balance) FROM cards") == 67
    assert_whole(engine)


def test_a_dry_run_tells_what_would_happen_and_leaves_nothing(
    take: Any, engine: Engine, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_CARDS", replace(importing._CARDS, chunk=2))
    file = (*ADA, BEN, "C1,ada,,,,,,1,,,", BEN, "D1,dan,,,,,,8,2020-01-01,,", "B1,ben,,,,,,51,,,")
    before = rows(engine, "SELECT last_value FROM cards_id_seq")
    told, refused = take(*file, dry=True)
    assert scalar(engine, "SELECT count(*) FROM cards") == 0
    assert scalar(engine, "SELECT count(*) FROM imported_cards") == 0
    assert rows(engine, "SELECT last_value FROM cards_id_seq") == before
    assert told["dry_run"] is True
    done, then = take(*file)
    assert refused == then == {6: "customer_has_card", 8: "lot_expired", 9: "conflict"}
    assert lines(told) == lines(done) == [4, 1, 3]
    assert told["points"] == done["points"] == 177
    assert_whole(engine)


def test_what_cannot_be_is_refused_by_line_with_a_reason_and_leaves_nothing(
    take: Any, engine: Engine, acme: int
) -> None:
    with transaction(engine) as tx:
        loyalty.create_program(tx, acme, "over", name="Over", currency="eur")
        loyalty.set_status(tx, acme, "over", "ended")
        loyalty.create_program(tx, acme, "stamps", name="S", currency="eur", kind="stamps")
    send(engine, event("loyalty.card_created", "1", NOW, card="X1", customer_id="xan", program="p"))
    wrong = {
        ",ada,p,,,,,1,,,": "invalid",
        "A 1,ada,p,,,,,1,,,": "invalid",
        "4.00638E+12,ada,p,,,,,1,,,": "invalid",
        "C1,,p,,,,,1,,,": "invalid",
        "C2,cyd,p,,asleep,,,1,,,": "invalid",
        "C3,cyd,p,,,,,-1,,,": "invalid",
        "C4,cyd,p,,,,,1.5,,,": "invalid",
        'C5,cyd,p,,,,,"1,000",,,': "invalid",
        "C6,cyd,p,,,,,1,01/02/2026,,": "invalid",
        "C7,cyd,p,,,,,1,2026-02-30,,": "invalid",
        "C8,cyd,p,,,,,,2026-02-01,,": "invalid",
        "C9,cyd,,,,,,1,,,": "program_ambiguous",
        "D1,cyd,none,,,,,1,,,": "program_unknown",
        "D2,cyd,over,,,,,1,,,": "program_inactive",
        "D3,cyd,stamps,,,,,1,,,": "program_without_points",
        "D4,cyd,p,,,,,1,2026-06-02T00:00:00Z,,": "time_in_future",
        "D5,cyd,p,1900-01-00T00:00:00Z,,,,1,,,": "invalid",
        "D6,cyd,p,0001-01-01,,,,1,,,": "time_implausible",
        "D7,cyd,p,9999-12-31,,,,1,,,": "time_in_future",
        "D8,cyd,p,,,,,1,2025-05-31,,": "lot_expired",
        "D9,cyd,p,,,,,1,,,2026-05-31": "lot_expired",
        "E1,cyd,p,,,,,1,,,9999-12-31": "time_implausible",
        "E2,cyd,p,,,,,1,,2026-08-01,2026-07-31": "dates_crossed",
        "E3,cyd,p,,,,,1,2026-03-01,2026-02-01,": "dates_crossed",
        "E4,cyd,p,,,2025-05-01,,1,2026-01-01,,": "card_expired",
        "X1,cyd,p,,,,,1,,,": "card_exists",
        "E5,xan,p,,,,,1,,,": "customer_has_card",
        "E6,cyd,p,,,,,9007199254740992,,,": "invalid",
        "E7,cyd,p,,,,,1,,,,more": "invalid",
    }
    told, refused = take(*wrong)
    assert list(refused.values()) == list(wrong.values())
    assert lines(told) == [0, 0, len(wrong)]
    assert scalar(engine, "SELECT count(*) FROM cards") == 1
    # A card is taken with all of its lines or not at all.
    halves = ("F1,cyd,p,,,,,5,,,", "F1,,,,,,,x,,,", "F2,dan,p,,,,,5,,,", "F2,dora,,,,,,5,,,")
    assert set(take(*halves)[1]) == {2, 3, 4, 5}
    assert lines(take("F1,cyd,p,,,,,5,,,", "F1,,,,,,,6,,,")[0]) == [2, 0, 0], "corrected, it comes"
    assert scalar(engine, "SELECT sum(points_balance) FROM cards") == 11
    assert_whole(engine)


def test_an_import_that_was_stopped_is_started_again_and_every_card_comes_once(
    take: Any, engine: Engine, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = [f"C{i},u{i},,,,,1,{i + 1},,," for i in range(40)]
    monkeypatch.setattr(importing, "_CARDS", replace(importing._CARDS, chunk=10))
    real, calls = takes.import_cards, []

    def dies(tx: Tx, *arguments: Any, **more: Any) -> Any:
        calls.append(1)
        done = real(tx, *arguments, **more)
        if len(calls) == 3:
            raise KeyboardInterrupt  # all of the chunk is written, and nothing of it committed
        return done

    with monkeypatch.context() as patched:
        patched.setattr(takes, "import_cards", dies)
        with pytest.raises((AssertionError, KeyboardInterrupt)):
            take(*file)
    assert scalar(engine, "SELECT count(*) FROM cards") == 20
    assert_whole(engine)
    told, _ = take(*file)
    assert lines(told) == [20, 20, 0]
    assert scalar(engine, "SELECT sum(points_balance) FROM cards") == sum(range(1, 41))
    assert_whole(engine)


def past(number: str, customer: str, points: int = 10) -> Any:
    return read_card([{"card": number, "customer": customer, "points": str(points)}])


def test_two_imports_beside_each_other_take_each_card_once(engine: Engine, acme: int) -> None:
    cards = [past(f"C{i}", f"u{i}") for i in range(60)]

    def import_all(order: int) -> list[str]:
        told = []
        chunks = [cards[first : first + 5] for first in range(0, 60, 5)]
        for chunk in chunks[::order]:
            with transaction(engine) as tx:
                told += [one.status for one in import_cards(tx, acme, chunk[::order])]
        return told

    with ThreadPoolExecutor(2) as pool:
        told = [one for done in pool.map(import_all, (1, -1)) for one in done]
    assert sorted(told) == ["known"] * 60 + ["new"] * 60
    assert scalar(engine, "SELECT sum(points_balance) FROM cards") == 600
    assert_whole(engine)


@contextmanager
def waiting(engine: Engine, work: Callable[[], Any]) -> Iterator[Any]:
    """Has ``work`` done in a thread that waits for the lock of the block; its future."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        with engine.connect() as look:
            for _ in range(2_000):
                waits = look.execute(
                    text(
                        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                        " AND datname = current_database()"
                    )
                ).scalar_one()
                look.rollback()
                if waits or future.done():
                    break
        yield future


def test_who_is_enrolled_beside_the_import_keeps_the_card_and_the_line_is_refused(
    engine: Engine, acme: int
) -> None:
    def bring() -> Any:
        with transaction(engine) as tx:
            return import_cards(tx, acme, [past("C1", "cyd"), past("C2", "dan"), past("C3", "eve")])

    with engine.connect() as other:
        other.execute(
            text(
                "INSERT INTO cards (merchant_id, program_id, number, customer_id, last_activity_at)"
                " SELECT :m, id, n, c, now() FROM loyalty_programs,"
                " (VALUES ('C1', 'xan'), ('Y1', 'dan')) AS v (n, c)"
            ),
            {"m": acme},
        )
        with waiting(engine, bring) as future:
            other.commit()
            told = [(one.status, one.reason) for one in future.result()]
    refused = [("rejected", "card_exists"), ("rejected", "customer_has_card")]
    assert told == [*refused, ("new", "")]
    assert rows(engine, "SELECT number FROM cards WHERE points_balance > 0") == [("C3",)]


def test_a_first_inactivity_policy_beside_the_import_finds_every_card(
    engine: Engine, acme: int
) -> None:
    with transaction(engine) as tx:
        loyalty.change_program(tx, acme, "p", NOW, inactivity_days=None)

    def bring() -> Any:
        with transaction(engine) as tx:
            return import_cards(tx, acme, [past("C1", "cyd")])

    with engine.connect() as other:
        loyalty.change_program(other, acme, "p", NOW, inactivity_days=30)
        with waiting(engine, bring) as future:
            other.commit()
            future.result()
    assert scalar(engine, "SELECT inactivity_deadline FROM cards") is not None
    assert_whole(engine)


def test_the_database_takes_a_card_over_once_and_keeps_that(engine: Engine, acme: int) -> None:
    with transaction(engine) as tx:
        import_cards(tx, acme, [past("C1", "cyd")])
        card = tx.execute(text("SELECT id FROM cards")).scalar_one()
        # The card gets another number, and somebody else its own.
        tx.execute(text("UPDATE cards SET number = 'Z1'"))
        other = tx.execute(
            text(
                "INSERT INTO cards (merchant_id, program_id, number, customer_id, last_activity_at)"
                " SELECT merchant_id, program_id, 'C1', 'dan', now() FROM cards RETURNING id"
            )
        ).scalar_one()
    insert = "INSERT INTO imported_cards (merchant_id, number, card_id, content_hash) VALUES"
    for statement in (
        f"{insert} ({acme}, 'C1', {other}, sha256('x'))",
        f"{insert} ({acme}, 'Z1', {card}, sha256('x'))",
        f"{insert} ({acme}, 'C9', {other}, sha256('x'))",
        f"{insert} ({acme + 1}, 'C1', {card}, sha256('x'))",
        "UPDATE imported_cards SET number = 'C2'",
        "DELETE FROM imported_cards",
    ):
        with pytest.raises(DBAPIError), transaction(engine) as tx:
            tx.execute(text(statement))


def test_a_card_of_many_lots_is_taken_and_one_of_too_many_is_not(
    take: Any, engine: Engine, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_CARDS", replace(importing._CARDS, most=5))
    many = ["C1,cyd,,,,,,1,,,"] * 5 + ["C2,dan,,,,,,1,,,"] * 6 + ["C3,eve,,,,,,1,,,"]
    told, refused = take(*many)
    assert lines(told) == [6, 0, 6]
    assert refused == dict.fromkeys(range(7, 13), "too_many_lines")
    assert scalar(engine, "SELECT count(*) FROM point_lots") == 6


def test_an_import_is_in_the_audit_trail(take: Any, engine: Engine, acme: int) -> None:
    take(*ADA)
    (after,) = rows(engine, "SELECT after FROM audit_entries WHERE action = 'cards.imported'")[0]
    assert after == {"lines": [2, 4], "new": 3, "cards": 1, "points": 127, "stamps": 3}


def test_a_period_of_inactivity_counts_from_the_last_activity_or_from_the_import(
    take: Any, engine: Engine, acme: int
) -> None:
    take(
        "C1,cyd,,,,2026-01-15,,5,2025-12-01,,never",
        "C2,dan,,,,,,5,2025-12-01,,never",
        "C3,eve,,,,2020-01-01,,,,,",
    )
    deadlines = rows(engine, "SELECT number, inactivity_deadline FROM cards ORDER BY number")
    assert deadlines == [
        ("C1", datetime(2027, 1, 15, 23, tzinfo=UTC)),
        ("C2", datetime(2027, 6, 1, 22, tzinfo=UTC)),
        ("C3", None),
    ]
    assert NOW + timedelta(365) < deadlines[1][1]


def test_a_file_of_twenty_thousand_lines_shows_its_progress_and_costs_the_command_little(
    command: Command, engine: Engine, acme: int, tmp_path: Path
) -> None:
    file = tmp_path / "many.csv"
    with file.open("w", encoding="utf-8") as many:
        many.write(HEADER + "\n")
        for n in range(10_000):
            many.write(f"M{n},m-{n},p,2025-01-05,active,2026-05-20T10:00:00Z,,10,2026-01-10,,\n")
            many.write(f"M{n},,,,,,,20,2026-02-10T10:00:00Z,,\n")
    before = process_time()
    done = command("import", "cards", "acme", str(file))
    spent = process_time() - before
    assert done.exit_code == 0, done.output
    size = file.stat().st_size
    assert f"{size:,} of {size:,}" in " ".join(done.output.split())
    assert "10,000 cards, 300,000 points" in done.output
    assert_whole(engine)
    # Of the process's own time, which others on the machine take nothing from: 5,000 lines a second.
    assert spent < 4, spent
    again = command("import", "cards", "acme", str(file), "--json")
    assert lines(json.loads(again.stdout)) == [0, 20_000, 0]
