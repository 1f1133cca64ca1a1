"""The month's close gives what a plain recount of the movements gives, to the cent."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from domain.db import transaction, trial
from domain.errors import Invalid
from domain.ledger import service as ledger
from domain.ledger.rules import Transfer, payable, payouts_reserved, rewards_expense
from domain.payouts.rules.months import month_of
from domain.payouts.store import closing
from domain.secrets import new_key
from payspool.cli import app
from tests.domain.payouts.house import merchant

START, END = month_of("2026-06", "Europe/Berlin")
KINDS = ["reward", "clawback", "payout_reserved", "payout_released"]
TIMES = [
    datetime(2026, 5, 31, 21, 59, 59, tzinfo=UTC),
    datetime(2026, 5, 31, 22, tzinfo=UTC),
    datetime(2026, 6, 15, tzinfo=UTC),
    datetime(2026, 6, 30, 21, 59, 59, tzinfo=UTC),
    datetime(2026, 6, 30, 22, tzinfo=UTC),
]
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["ada", "bob", "=cmd"]),
        st.sampled_from(["usd", "jpy"]),
        st.sampled_from(KINDS),
        st.integers(1, 10_000),
        st.sampled_from(TIMES),
    ),
    max_size=25,
)


def transfer(n: int, acme: int, move: tuple[str, str, str, int, datetime]) -> Transfer:
    user, currency, kind, amount, at = move
    owed = payable(acme, user, currency)
    other = (payouts_reserved if kind.startswith("payout") else rewards_expense)(acme, currency)
    to_payee = kind in ("reward", "payout_released")
    debit, credit = (other, owed) if to_payee else (owed, other)
    return Transfer(debit, credit, amount, kind, "test", n, at)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(moves=MOVES)
def test_the_close_is_what_a_recount_gives(
    engine: Engine, moves: list[tuple[str, str, str, int, datetime]]
) -> None:
    with trial(engine) as tx:
        acme = merchant(tx, "recounted")
        ledger.post(tx, [transfer(n, acme, move) for n, move in enumerate(moves)])
        expected: dict[tuple[str, str], list[int]] = {}
        for user, currency, kind, amount, at in moves:
            if at >= END:
                continue
            sums = expected.setdefault((currency, user), [0] * 5)
            sign = 1 if kind in ("reward", "payout_released") else -1
            if at < START:
                sums[0] += sign * amount
            else:
                sums[1 + KINDS.index(kind)] += amount
        rows = list(closing.close(tx, acme, START, END))
        assert {(r.currency, r.user_id): list(r[2:7]) for r in rows} == {
            key: sums for key, sums in expected.items() if any(sums)
        }
        for row in rows:
            kept = row.opening + row.earned - row.reversed - row.paid + row.came_back
            assert row.closing == kept
            lines = closing.statement(tx, acme, row.user_id, START, END)
            assert sum(r.amount for r in lines if r.currency == row.currency) == row.closing
        last = closing.close(tx, acme, END, datetime(2026, 8, 1, tzinfo=UTC))
        owed = tx.execute(
            text(
                "SELECT currency, owner, balance FROM ledger_accounts WHERE merchant_id = :m"
                " AND kind = 'payable' AND balance <> 0"
            ),
            {"m": acme},
        )
        assert {(r.currency, r.user_id): r.closing for r in last if r.closing} == {
            (r.currency, r.owner): r.balance for r in owed
        }


def test_the_commands_show_it_and_write_files_that_run_nothing(
    engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        moves = [
            ("=cmd", "usd", kind, amount, TIMES[2])
            for kind, amount in zip(KINDS, [9, 2, 5, 1], strict=True)
        ]
        ledger.post(tx, [transfer(n, acme, move) for n, move in enumerate(moves)])
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("PAYSPOOL_DATABASE_URL", url)
    monkeypatch.setenv("PAYSPOOL_REDIS_URL", redis_url)
    monkeypatch.setenv("PAYSPOOL_SECRET_KEYS", new_key())
    run = CliRunner().invoke
    told = run(app, ["payouts", "close", "acme", "2026-06", "--json"])
    assert told.exit_code == 0, told.output
    sums = {"opening": 0, "earned": 9, "reversed": 2, "paid": 5, "came_back": 1, "closing": 3}
    assert json.loads(told.stdout)["totals"] == {"usd": sums}
    for command in (["payouts", "close", "acme"], ["payees", "statement", "acme", "=cmd"]):
        file = tmp_path / f"{command[1]}.csv"
        told = run(app, [*command, "2026-06", "--csv", str(file)])
        assert told.exit_code == 0, told.output
        assert "Tax forms are not included" in told.output
        with file.open(newline="") as read:
            assert len(list(csv.reader(read))) > 1
    assert "'=cmd,usd" in (tmp_path / "close.csv").read_text()
    empty = run(app, ["payouts", "close", "acme", "2020-01"])
    assert "payouts preview acme" in empty.output


@pytest.mark.parametrize(
    ("month", "zone"), [("2026-13", "UTC"), ("June", "UTC"), ("2026-06", "Mars")]
)
def test_what_is_no_month_is_refused_by_name(month: str, zone: str) -> None:
    with pytest.raises(Invalid):
        month_of(month, zone)
