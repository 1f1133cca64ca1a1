"""Cards by hand: looked at, replaced, and taken out of use and back by the file."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain import clock
from domain.db import transaction
from domain.errors import AlreadyExists, Invalid, NotFound
from domain.loyalty import service as loyalty
from tests.domain.inbox.shop import event, merchant, rows, said, send


def loyal(type_: str, id_: str, **data: Any) -> str:
    return event(f"loyalty.{type_}", id_, **data)


@pytest.fixture
def db(engine: Engine) -> Engine:
    """A shop with the cards C1, of 100 points, and C2."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        loyalty.create_program(tx, acme, "p", name="P", currency="eur", backdating_days=3650)
    send(
        engine,
        loyal("card_created", "1", card="C1", customer_id="ada"),
        loyal("card_created", "2", card="C2", customer_id="ben"),
        loyal("points_earned", "3", card="C1", points=100),
    )
    return engine


def test_a_card_is_shown_with_its_deadlines_and_why_its_rows_are_as_they_are(
    db: Engine, command: Any
) -> None:
    shown = json.loads(command("cards", "show", "acme", "C1", "--json").output)
    assert (shown["customer"], shown["balance"]) == ("ada", 100)
    assert shown["by_deadline"] == [{"expires": None, "points": 100}]
    assert shown["transactions"][0]["explanation"]["rule"] == "given"
    assert "points_earned" in command("cards", "show", "acme", "C1").output
    assert isinstance(command("cards", "show", "acme", "C9").exception, NotFound)


def test_tiers_are_shown_and_their_falls_told_and_booked(db: Engine, command: Any) -> None:
    gold = json.dumps(
        {"tiers": [{"key": "gold", "from": 50, "basis_points": 20_000}], "tier_days": 3650}
    )
    assert command("loyalty", "change-program", "acme", "p", gold).exit_code == 0
    send(db, loyal("points_earned", "4", card="C1", points=10))
    shown = json.loads(command("cards", "show", "acme", "C1", "--json").output)
    assert [(c["to_tier"], c["reason"]) for c in shown["tier_changes"]] == [("gold", "terms")]
    assert shown["tier"] == "gold"
    for dry in (["--dry-run"], []):
        told = json.loads(command("loyalty", "tiers", "acme", *dry, "--json").output)
        # Only C2 is left to count under the new table, and it has nothing.
        assert told == []
    assert "gold" in command("cards", "show", "acme", "C1").output


def test_what_was_announced_is_listed_of_points_and_of_tiers(db: Engine, command: Any) -> None:
    terms = json.dumps(
        {
            "tiers": [{"key": "gold", "from": 50, "basis_points": 20_000}],
            "tier_days": 3650,
            "expiration": [{"kind": "rolling", "days": 3000}],
        }
    )
    assert command("loyalty", "change-program", "acme", "p", terms).exit_code == 0
    assert "Nothing was announced." in command("loyalty", "notices", "acme").output
    send(db, loyal("points_earned", "4", card="C1", points=10))
    with transaction(db) as tx:
        [(acme,)] = tx.execute(text("SELECT id FROM merchants")).all()
        [(ends, falls)] = tx.execute(
            text("SELECT max(expires_at), max(due_at) FROM point_lots, card_tiers")
        ).all()
        loyalty.announce_expiring(tx, acme, ends - timedelta(days=1))
        loyalty.announce_falls(tx, acme, falls - timedelta(days=1))
    [points] = json.loads(command("loyalty", "notices", "acme", "--json").stdout)
    assert (points["card"], points["points"]) == ("C1", 10)
    [tier] = json.loads(command("loyalty", "notices", "acme", "--tiers", "--json").stdout)
    assert (tier["card"], tier["from_tier"], tier["to_tier"]) == ("C1", "gold", None)
    assert "gold" in command("loyalty", "notices", "acme", "--tiers").output


def test_a_lost_card_gets_a_new_number_and_keeps_all_else(db: Engine, command: Any) -> None:
    taken = command("cards", "replace", "acme", "C1", "--reason", "lost", "--number", "C2")
    assert isinstance(taken.exception, AlreadyExists)
    new = command("cards", "replace", "acme", "C1", "--reason", "lost").output.strip()
    spent = send(
        db,
        loyal("points_redeemed", "4", card="C1", points=10),
        loyal("points_redeemed", "5", card=new, points=10),
    )
    assert said(spent) == ["waiting:waits_for_card", "applied"]
    assert rows(
        db, "SELECT number, points_balance, last_seq FROM cards WHERE customer_id = 'ada'"
    ) == [(new, 90, 3)]
    audited = "SELECT action, reason, before ->> 'number', after ->> 'number' FROM audit_entries"
    assert rows(db, audited)[-1] == ("card.replaced", "lost", "C1", new)
    with transaction(db) as tx:
        assert loyalty.check_invariants(tx) == []


def test_cards_of_a_file_go_out_of_use_and_back_once(
    db: Engine, command: Any, tmp_path: Path
) -> None:
    file = tmp_path / "cards.txt"
    file.write_text("C1\nC2\nC3\nC1\n")

    def run(verb: str, batch: str, *more: str) -> dict[str, int]:
        done = command(
            "cards", verb, "acme", str(file), "--reason", "r", "--batch", batch, "--json", *more
        )
        assert done.exit_code == 0, done.output
        return {row["result"]: row["cards"] for row in json.loads(done.stdout)}

    assert run("deactivate", "b1", "--dry-run") == {"change": 2, "unknown": 1}
    assert rows(db, "SELECT DISTINCT status FROM cards") == [("active",)]
    assert run("deactivate", "b1") == {"changed": 2, "card_unknown": 1}
    assert run("deactivate", "b1") == {"repeated": 3}
    assert run("deactivate", "b2", "--dry-run") == {"already": 2, "unknown": 1}
    assert run("reactivate", "b3") == {"changed": 2, "card_unknown": 1}
    history = "SELECT type, reason, points_balance_after FROM loyalty_transactions ORDER BY id DESC LIMIT 4"
    assert sorted(rows(db, history)) == [
        ("card_deactivated", "r", 0),
        ("card_deactivated", "r", 100),
        ("card_reactivated", "r", 0),
        ("card_reactivated", "r", 100),
    ]


def test_what_a_dry_run_of_expiry_tells_is_what_it_then_does(db: Engine, command: Any) -> None:
    terms = '{"inactivity_days": 1}'
    assert command("loyalty", "change-program", "acme", "p", terms).exit_code == 0
    assert json.loads(command("loyalty", "expire", "acme", "--dry-run", "--json").output) == []
    with transaction(db) as tx:
        clock.simulate(tx, clock.business_now(tx) + timedelta(days=3), sandbox=True)
    dry = command("loyalty", "expire", "acme", "--dry-run", "--json")
    assert json.loads(dry.output) == [{"program": "p", "cards": 1, "points": 100}]
    assert rows(db, "SELECT points_balance FROM cards WHERE number = 'C1'") == [(100,)]
    done = command("loyalty", "expire", "acme", "--json")
    assert json.loads(done.stdout) == {"cards": 1, "points": 100, "skipped": 0}
    assert "Expired 0 points" in command("loyalty", "expire", "acme").output


def test_a_desk_merges_cards_with_a_dry_run_first_and_sees_the_rewards(
    db: Engine, command: Any
) -> None:
    def run(*more: str) -> Any:
        said = command("cards", "merge", "acme", "C1", "C2", "--reason", "one", "--json", *more)
        assert said.exit_code == 0, said.output
        [done] = json.loads(said.stdout)
        return done["result"], done["points"], done["balance"]

    assert run("--dry-run") == ("would_merge", 100, 100)
    assert run() == ("merged", 100, 100)
    assert run() == ("already", 100, 100)
    assert json.loads(command("cards", "show", "acme", "C1", "--json").output)["card"] == "C2"
    assert "no rewards" in command("cards", "rewards", "acme", "C1").output
    nothing = command(
        "cards", "restore", "acme", "C1", "--id", "r", "--reason", "ill", "--days", "9"
    )
    assert "no expired points" in str(nothing.exception)


def test_a_replaced_card_is_replaced_once_however_often_it_is_asked_for(
    db: Engine, command: Any
) -> None:
    first, again = (
        command("cards", "replace", "acme", "C1", "--reason", "lost").output.strip()
        for _ in range(2)
    )
    assert first == again
    assert rows(db, "SELECT count(*) FROM audit_entries WHERE action = 'card.replaced'") == [(1,)]
    other = command("cards", "replace", "acme", "C1", "--reason", "lost", "--number", "C7")
    assert isinstance(other.exception, NotFound)


def test_a_desk_adjusts_a_card_once_by_the_name_that_it_gives(db: Engine, command: Any) -> None:
    def run(*more: str) -> Any:
        return command("cards", "adjust", "acme", "C1", "--reason", "typed twice", *more)

    for _ in range(2):
        done = run("--points", "-30", "--id", "slip-1", "--json")
        assert done.exit_code == 0, done.output
        [row] = json.loads(done.stdout)
        assert (row["type"], row["points"], row["balance"]) == ("points_adjustment", -30, 70)
    assert rows(db, "SELECT points_balance FROM cards WHERE number = 'C1'") == [(70,)]
    audited = "SELECT reason, after ->> 'points' FROM audit_entries WHERE action = 'card.adjusted'"
    assert rows(db, audited) == [("typed twice", "-30")]
    assert isinstance(run("--points", "-31", "--id", "slip-1").exception, Invalid)
    assert isinstance(run("--id", "slip-2").exception, Invalid)
    refused = run("--stamps", "1", "--id", "slip-3")
    assert refused.exit_code == 1
    assert "program_without_stamps" in refused.output
    unknown = command(
        "cards", "adjust", "acme", "C9", "--reason", "r", "--points", "1", "--id", "u"
    )
    assert unknown.exit_code == 1
    assert "card_unknown" in unknown.output


def test_a_desk_forgets_a_customer_after_a_dry_run(db: Engine, command: Any) -> None:
    def run(*more: str) -> Any:
        return command("cards", "anonymize", "acme", "ada", "--reason", "asked for it", *more)

    assert "card C1" in run("--dry-run").output
    assert rows(db, "SELECT customer_id FROM cards WHERE number = 'C1'") == [("ada",)]
    assert "Forgot the customer of card C1" in run().output
    [(left,)] = rows(db, "SELECT customer_id FROM cards WHERE number = 'C1'")
    assert left.startswith("anonymized-")
    assert rows(db, "SELECT count(*) FROM inbox_events WHERE CAST(data AS text) LIKE '%ada%'") == [
        (0,)
    ]
    audited = "SELECT subject_id, reason FROM audit_entries WHERE action = 'customer.anonymized'"
    assert rows(db, audited) == [("C1", "asked for it")]
    assert "no card" in run().output
