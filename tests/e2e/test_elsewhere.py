"""Commands where nothing runs, or where the servers are somebody's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.secrets import new_key
from sandbox.books import Books
from tests.e2e.installation import Installation, installed, wait_for
from tests.e2e.shop import NOW, RULE, SETTLED_SECONDS
from tests.workers.gateways.local_stripe import running

pytestmark = [pytest.mark.xdist_group("elsewhere"), pytest.mark.slow]


@pytest.fixture
def nothing_runs(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("merchants", "list"),
        ("events", "counts", "--json"),
        ("payouts", "run", "acme"),
        ("worker",),
        ("api",),
        ("migrate",),
    ],
)
def test_without_an_instance_a_command_says_how_to_start_one(
    nothing_runs: Installation, arguments: tuple[str, ...]
) -> None:
    said = nothing_runs.refused(*arguments)
    assert "Start it with `payspool up`" in said
    assert "PAYSPOOL_DATABASE_URL" in said


def test_the_doctor_says_so_too_and_ends_with_1(nothing_runs: Installation) -> None:
    done = nothing_runs.run("doctor", "--json")
    assert done.returncode == 1
    [finding] = [f for f in json.loads(done.stdout) if not f["ok"]]
    assert finding["check"] == "Servers"
    assert "payspool up" in finding["do"]


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"STRIPE_KEY": "sk_live_abc"}, "PAYSPOOL_STRIPE_KEY is a live key"),
        ({"DATABASE_URL": "postgresql://u@h/d"}, "PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL"),
        ({"API_PORT": "eighty"}, "PAYSPOOL_API_PORT: "),
    ],
)
def test_up_names_a_wrong_setting_before_it_makes_anything(
    nothing_runs: Installation, env: dict[str, str], sentence: str
) -> None:
    given = {f"PAYSPOOL_{name}": value for name, value in env.items()}
    assert sentence in nothing_runs.refused("up", **given)
    assert not nothing_runs.data.exists()


def test_servers_that_do_not_answer_are_named(nothing_runs: Installation) -> None:
    away = {
        "PAYSPOOL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "PAYSPOOL_REDIS_URL": "redis://127.0.0.1:1/0",
        "PAYSPOOL_SECRET_KEYS": new_key(),
    }
    assert "PostgreSQL does not answer" in nothing_runs.refused("merchants", "list", **away)
    done = nothing_runs.run("doctor", "--json", **away)
    wrong = {f["check"]: f["do"] for f in json.loads(done.stdout) if not f["ok"]}
    assert "PAYSPOOL_DATABASE_URL" in wrong["PostgreSQL"]
    assert "PAYSPOOL_REDIS_URL" in wrong["Valkey"]


def test_a_database_that_nobody_migrated_is_named(
    nothing_runs: Installation, admin_url: str, redis_url: str
) -> None:
    empty = {"PAYSPOOL_DATABASE_URL": admin_url, "PAYSPOOL_REDIS_URL": redis_url}
    said = nothing_runs.refused("merchants", "list", **empty, PAYSPOOL_SECRET_KEYS=new_key())
    assert "Run `payspool migrate`" in said


def test_on_servers_of_ones_own_the_same_commands_do_the_same(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    with running(tmp_path) as stripe, installed() as own:
        stripe.admin("POST", "fund", amount=1_000_000, currency="usd")
        own.env |= {
            "PAYSPOOL_DATABASE_URL": database_url,
            "PAYSPOOL_OWNER_DATABASE_URL": database_url.replace("_runtime@", "_owner@"),
            "PAYSPOOL_REDIS_URL": redis_url,
            "PAYSPOOL_NAMESPACE": namespace,
            "PAYSPOOL_SECRET_KEYS": new_key(),
            "PAYSPOOL_STRIPE_URL": stripe.url,
        }
        assert "The database is at revision" in own.ok("migrate")
        started = own.start("up")
        started.wait_until_it_says("Ctrl-C stops everything")
        own.ok("merchants", "add", "acme")
        program = ("programs", "create", "acme", "friends", "--currency", "usd")
        own.ok(*program, "--rule", RULE)
        own.ok("codes", "create", "acme", "friends", "ada", "--code", "ADA-2026")
        own.ok("payees", "set", "acme", "ada", "--sandbox-account")
        file = tmp_path / "orders.csv"
        file.write_text(
            "id,source,merchant,type,time,code,referred_user_id,amount\n"
            f"o-1,shop,acme,conversion.recorded,{NOW.isoformat()},ADA-2026,ben,12900\n"
        )
        own.ok("events", "import", str(file))
        wait_for("it has arrived", lambda: own.json("events", "counts"), SETTLED_SECONDS)
        assert own.json("payouts", "run", "acme")["created"] == 1

        def paid() -> bool:
            [payout] = own.json("payouts", "list", "acme")
            return bool(payout["status"] == "paid")

        wait_for("the payout is paid", paid, SETTLED_SECONDS)
        with Books(stripe.data) as books:
            assert sum(books.paid_by_destination("usd").values()) == 1_290
        started.interrupt()
        assert started.end() == 0
        assert own.remains(0) == []
