"""Everything that Compose would start, started: an event and a payout go through, and all of it ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
import yaml
from sqlalchemy import text

from domain.audit.service import Actor
from domain.db import connect, transaction
from domain.merchants import service as merchants
from payspool.embedded.binaries import installed_binaries
from payspool.sandbox_client import SandboxClient
from tests.e2e.installation import wait_for
from tests.production.composed import ROOT
from tests.production.stack import Stack, is_ours, stack

pytestmark = [pytest.mark.xdist_group("running"), pytest.mark.slow]

RULE = '{"kind": "percentage", "basis_points": 1000}'
ORDER = (
    *("sandbox", "payouts", "api", "events", "sweeps"),
    *("relay", "scheduler", "courier", "dashboard"),
)


@pytest.fixture(scope="module")
def made() -> Iterator[Stack]:
    with stack() as production:
        yield production


def test_the_image_needs_nothing_of_the_checkout_that_it_does_not_copy(made: Stack) -> None:
    program = """
import sys
import payspool.cli, payspool.pipeline, payspool.serving, payspool.healthy, workers.actors, sandbox.server
from payspool.metrics.work import WorkMetrics
WorkMetrics("worker")
ours = ("payspool", "domain", "queues", "workers", "web", "sandbox", "migrations", "payspool_client")
print(*sorted({m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] in ours and m.__file__}))
"""
    done = subprocess.run(
        ["python", "-c", program],
        env=made.environment("api"),
        cwd=made.app,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert len(files) > 100
    assert [file for file in files if not file.startswith(str(made.app))] == []


def test_postgresql_takes_every_option_that_compose_gives_it(made: Stack) -> None:
    program, *options = made.service("postgres")["command"]
    assert program == "postgres"
    data = made.endpoints.data_dir / "postgres"
    given = [option for option in options if option != "-c"]
    assert ["-c"] * len(given) == options[::2]
    for option in given:
        name, value = option.split("=")
        shown = subprocess.run(
            [str(installed_binaries().postgres), "-C", name, "-D", str(data), *options],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        units = {"shared_buffers": "65536"}  # 512 MB in pages
        expected = {value, units.get(name, value), value.replace("on", "pglz")}
        assert shown.stdout.strip() in expected, (option, shown.stderr)


def test_an_event_and_a_payout_go_through_and_everything_ends_in_time(made: Stack) -> None:
    ours = {name for name, service in made.file["services"].items() if is_ours(service)}
    assert ours == {"migrate", *ORDER}
    assert "revision" in made.run("migrate")
    for name in ORDER:
        made.start(name)
    made.wait_until_healthy()
    assert [one.service for one in made.running].count("events") == 2
    assert [one.service for one in made.running].count("scheduler") == 2

    key = open_shop(made)
    publish(made, key)
    rows_are(made, "SELECT FROM inbox_events WHERE status = 'applied'", 1)
    made.run("payouts", "payouts", "run", "acme")
    rows_are(made, "SELECT FROM payouts WHERE state = 'paid' AND amount = 1290", 1)
    with SandboxClient(sandbox_url(made)) as sandbox:
        assert sandbox.balance()["usd"] == 1_000_000 - 1290

    scraped_by_prometheus(made)
    for one in made.running:
        limit = made.service(one.service)["deploy"]["resources"]["limits"]["memory"]
        mebi = int(limit[:-1]) * {"m": 1, "g": 1024}[limit[-1]]
        assert one.memory() < mebi * 2**20 * 0.8, f"{one.service}: {one.memory() / 2**20:.0f} MiB"

    said = {one.service: one.output for one in made.running}
    ended = made.stop()
    # uvicorn ends by the signal that it was sent, once it is done.
    assert {status for status, _ in ended.values()} <= {0, -15}, ended
    signalled = [name.rpartition("-")[0] for name, (status, _) in ended.items() if status]
    assert signalled == ["api", "dashboard"]
    for name, output in said.items():
        assert "Traceback" not in output.read_text(), name


def test_a_backup_that_is_restored_as_documented_has_every_row_and_guard(made: Stack) -> None:
    made.run("migrate")
    engine = connect(made.endpoints.runtime_url, pool_size=1)
    with transaction(engine) as tx:
        merchants.add(tx, "kept", "Kept", mode="test", actor=Actor("command", "test"))
    engine.dispose()
    text_ = (ROOT / "docs" / "how-to" / "production.md").read_text(encoding="utf-8")
    prefix = "docker compose exec -T postgres "
    section = text_.partition("## Back up")[2].partition("## Upgrade")[0]
    commands = [line.removeprefix(prefix) for line in section.splitlines() if prefix in line]
    assert [command.split()[0] for command in commands] == [
        *("pg_dump", "dropdb", "createdb", "pg_restore")
    ]
    before = dump(made)
    for command in commands:
        made.in_postgres(command)
    assert dump(made) == before
    assert "kept" in made.run("api", "merchants", "list")
    assert "revision" in made.run("migrate")


def dump(made: Stack) -> list[str]:
    """Everything in the database, as statements."""
    said = made.in_postgres("pg_dump --username postgres payspool")
    # Not what a dump says of itself, new each time; and parentheses may be one fewer the second time.
    lines = (line for line in said.splitlines() if not line.startswith(("--", "\\")))
    return [line.replace("(", "").replace(")", "") for line in lines]


def open_shop(made: Stack) -> str:
    """A merchant with a referrer, by commands in the payout worker's container; its API key."""
    made.run("payouts", "merchants", "add", "acme")
    terms = ("--currency", "usd", "--rule", RULE)
    made.run("payouts", "programs", "create", "acme", "friends", *terms)
    made.run("payouts", "codes", "create", "acme", "friends", "ada", "--code", "ADA-2026")
    made.run("payouts", "payees", "set", "acme", "ada", "--sandbox-account")
    with SandboxClient(sandbox_url(made)) as sandbox:
        sandbox.fund(1_000_000, "usd")
    return made.run("api", "keys", "create", "acme").split()[0]


def sandbox_url(made: Stack) -> str:
    return made.environment("payouts")["PAYSPOOL_STRIPE_URL"]


def publish(made: Stack, key: str) -> None:
    data = {
        "code": "ADA-2026",
        "referred_user_id": "ben",
        "transaction_id": "ord-1",
        "amount": 12_900,
        "currency": "usd",
    }
    event = {
        "specversion": "1.0",
        "id": "ord-1/paid",
        "source": "shop",
        "merchant": "acme",
        "type": "conversion.recorded",
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "data": data,
    }
    answer = httpx.post(
        f"http://127.0.0.1:{made.ports['api']}/v1/events",
        content=json.dumps(event),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        trust_env=False,
    )
    assert answer.status_code == 202, answer.text


def rows_are(made: Stack, statement: str, count: int) -> None:
    engine = connect(made.endpoints.runtime_url, pool_size=1)

    def there() -> bool:
        with transaction(engine) as tx:
            return len(tx.execute(text(statement)).all()) == count

    wait_for(f"{count} rows of {statement}", there, 30)
    engine.dispose()


def scraped_by_prometheus(made: Stack) -> None:
    """Every address and port that Prometheus is told to scrape answers who sends the token."""
    token = made.environment("api")["PAYSPOOL_METRICS_TOKEN"]
    read = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    asked: set[str] = set()
    for job in read["scrape_configs"]:
        for found in job.get("dns_sd_configs", ()):
            asked |= {f"{name}:{found['port']}" for name in found["names"]}
    names = [f"{one.service}:{8300 if one.service == 'api' else 9300}" for one in made.running]
    assert asked == set(names) - {"sandbox:9300"}
    for one in made.running:
        if one.service == "sandbox":
            continue
        port = made.ports["api"] if one.service == "api" else one.metrics_port
        url = f"http://127.0.0.1:{port}/metrics"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        assert (one.service, answer.status_code) == (one.service, 200)
        assert "payspool_build_info" in answer.text
        assert httpx.get(url, trust_env=False).status_code == 401
