"""Reports and histories on the command line: a table, JSON, and CSV without formulas that replaces nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.errors import Invalid, NotFound
from domain.loyalty import service as loyalty
from payspool.cli import card_history
from tests.domain.inbox.shop import JUNE, merchant, send
from tests.payspool.cli.conftest import Command
from tests.payspool.cli.test_cards import loyal

DAYS = ("--from", "2026-06-01", "--to", "2026-06-30")


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """A card that earned in a store whose id is a formula, and spent elsewhere."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        loyalty.create_program(
            tx, acme, "p", name="P", currency="eur", backdating_days=3650, cost_per_1000_points=500
        )
    send(
        engine,
        loyal("card_created", "1", card="C1", customer_id="ada"),
        loyal("points_earned", "2", card="C1", points=100, store_id="=1+1", order_reference="o1"),
        loyal("points_redeemed", "3", card="C1", points=30, store_id="s2"),
    )
    return engine


def test_a_report_is_a_table_json_or_csv(shop: Engine, command: Command, tmp_path: Path) -> None:
    shown = command("loyalty", "report", "acme", *DAYS, "--by", "store", "--per", "month")
    assert shown.exit_code == 0, shown.output
    assert "points_issued" in shown.output
    assert "points_expired" not in shown.output, "a column of zeros is left out"
    assert "0.35 EUR" in shown.output
    told = json.loads(command("loyalty", "report", "acme", *DAYS, "--json").stdout)
    assert (told["rows"][0]["points_net"], told["programs"][0]["outstanding_value"]) == (70, 35)
    file = tmp_path / "june.csv"
    wanted = ("loyalty", "report", "acme", *DAYS, "--by", "store", "--csv", str(file))
    assert command(*wanted).exit_code == 0
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(r["store"], r["points_issued"], r["points_redeemed"]) for r in rows] == [
        ("'=1+1", "100", "0"),
        ("s2", "0", "30"),
        ("", "0", "0"),
    ]
    assert isinstance(command(*wanted).exception, Invalid), "and a file is never replaced"
    assert "store" in command(*wanted[:-1], "-").stdout
    assert isinstance(
        command("loyalty", "report", "acme", *DAYS, "--per", "year").exception, Invalid
    )


def test_a_history_is_chosen_paged_and_written_whole(
    shop: Engine, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seqs(*options: str) -> Any:
        told = json.loads(command("cards", "history", "acme", "C1", *options, "--json").stdout)
        return [row["seq"] for row in told["transactions"]], told["next"]

    assert seqs() == ([3, 2, 1], None)
    assert seqs("--limit", "2") == ([3, 2], 2)
    assert seqs("--limit", "2", "--before", "2") == ([1], None)
    assert seqs("--order", "o1") == seqs("--store", "=1+1") == ([2], None)
    assert seqs("--type", "points_redeemed", "--type", "card_created") == ([3, 1], None)
    assert seqs("--from", f"{JUNE:%Y-%m-%d}", "--to", f"{JUNE:%Y-%m-%d}") == ([3, 2, 1], None)
    assert seqs("--to", "2026-05-31") == ([], None)
    assert "--before 2" in command("cards", "history", "acme", "C1", "--limit", "2").output
    monkeypatch.setattr(card_history, "PAGE", 2)
    file = tmp_path / "card.csv"
    done = command("cards", "history", "acme", "C1", "--csv", str(file))
    assert "3 rows in" in done.output
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(r["seq"], r["store_id"]) for r in rows] == [("3", "s2"), ("2", "'=1+1"), ("1", "")]
    assert json.loads(rows[1]["explanation"])["rule"] == "given"
    assert isinstance(command("cards", "history", "acme", "none").exception, NotFound)
