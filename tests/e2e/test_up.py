"""`payspool up` and the command line, as processes: the road of a first own event, and of mistakes."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from payspool_client import Publisher
from sandbox.books import Books
from tests.e2e.installation import (
    CHECKOUT,
    COMMAND_SECONDS,
    Installation,
    installed,
    wait_for,
)
from tests.e2e.shop import NOW, RULE, SETTLED_SECONDS, open_shop

pytestmark = [pytest.mark.xdist_group("up"), pytest.mark.slow]


def wait_for_event(up: Installation, merchant: str, event_id: str, source: str = "shop") -> Any:
    def known() -> bool:
        return bool(
            up.rows(
                "SELECT FROM inbox_events WHERE source = :source AND event_id = :id"
                " AND merchant_id = (SELECT id FROM merchants WHERE key = :merchant)",
                source=source,
                id=event_id,
                merchant=merchant,
            )
        )

    wait_for(f"{event_id} has arrived", known, SETTLED_SECONDS)
    return up.json("events", "status", merchant, source, event_id)


def wait_for_payouts(up: Installation, merchant: str, count: int) -> list[Any]:
    def paid() -> bool:
        return (
            up.rows(
                "SELECT count(*) AS n FROM payouts WHERE state = 'paid'"
                " AND merchant_id = (SELECT id FROM merchants WHERE key = :merchant)",
                merchant=merchant,
            )[0].n
            == count
        )

    wait_for(f"{count} payouts are paid", paid, SETTLED_SECONDS)
    listed: list[Any] = up.json("payouts", "list", merchant)
    return listed


def in_the_books(up: Installation, payout: Any) -> tuple[int, str]:
    """What the sandbox's books hold of a payout's transfer: (net amount, destination)."""
    with Books(up.data / "up" / "sandbox") as books:
        [transfer] = [t for t in books.transfers() if t.id == payout["external_transaction_id"]]
        assert books.check() == []
    return transfer.net, transfer.destination


# The road of the README


def readme_blocks() -> list[tuple[str, str]]:
    """(language, text) of each code block under "Your first own event"."""
    section = (CHECKOUT / "README.md").read_text().split("## Your first own event")[1]
    section = section.split("\n## ")[0]
    return re.findall(r"```(\w*)\n(.*?)```", section, re.DOTALL)


def test_the_readmes_first_own_event_is_paid_as_it_is_written_there(up: Installation) -> None:
    blocks = readme_blocks()
    commands = [text for language, text in blocks if not language and "make up" not in text]
    [program] = [text for language, text in blocks if language == "python"]
    first = commands[0].replace("alias payspool=.venv/bin/payspool", "")
    python = (
        f'"{sys.executable}" - <<"END_OF_PROGRAM"\n'
        f'redis_url = "{up.endpoints().redis_url}"\n{program}END_OF_PROGRAM\n'
    )
    script = "\n".join([first, python, *commands[1:-1]])
    assert "http://127.0.0.1:8300" in script
    script = script.replace("http://127.0.0.1:8300", up.instance()["api_url"])
    # Where the README's reader reads on, a script has to wait for the worker.
    bash(up, script)
    for order in ("ord-1", "ord-2", "ord-3"):
        wait_for_event(up, "acme", f"{order}/paid")
    said = bash(up, commands[-1])
    assert "conversion.recorded ord-2/paid: applied" in said
    assert "1 payout created" in said
    [payout] = wait_for_payouts(up, "acme", 1)
    assert payout["status"] == "paid"
    assert payout["external_transaction_id"].startswith("tr_")
    assert payout["amount"] == 1_290 + 490 + 990
    amount, destination = in_the_books(up, payout)
    assert amount == payout["amount"]
    [payee] = up.json("payees", "list", "acme")
    assert (payee["user_id"], payee["account"]) == ("ada", destination)


def bash(up: Installation, script: str) -> str:
    folder = up.folder / "readme"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["bash", "-c", f'set -e\npayspool() {{ "{sys.executable}" -m payspool "$@"; }}\n{script}'],
        cwd=folder,
        env=up.env | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=2 * COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_events_come_in_by_http_by_one_command_and_by_files_and_are_paid_once(
    up: Installation, tmp_path: Path
) -> None:
    shop = open_shop(up, "roads")
    api = httpx.Client(
        base_url=up.instance()["api_url"],
        headers={"Authorization": f"Bearer {shop.api_key}"},
        trust_env=False,
    )
    with api:
        answer = api.post("/v1/events", json=json.loads(shop.purchase("http").to_json()))
        assert answer.status_code == 202
        assert answer.json()["results"][0]["status"] == "queued"
        one = tmp_path / "one.json"
        one.write_text(json.dumps(json.loads(shop.purchase("file").to_json()), indent=2))
        assert "events status roads shop file/paid" in up.ok("events", "publish", str(one))
        wait_for_event(up, "roads", "file/paid")
        told = api.get("/v1/events", params={"source": "shop", "id": "http/paid"}).json()
        assert told["status"] == "applied"
        assert told["made"]["trackings"][0]["amount_earned"] == 1_290

    lines = [shop.purchase(f"line-{n}").to_json() for n in range(3)]
    jsonl = tmp_path / "orders.jsonl"
    jsonl.write_text("\n".join([lines[0], lines[1][:-30], lines[2]]))
    done = up.run("events", "import", str(jsonl))
    assert done.returncode == 1
    assert "Published 2 events." in done.stdout
    assert "Refused 1 line" in done.stderr
    [refused] = [
        json.loads(line) for line in Path(f"{jsonl}.rejects.jsonl").read_text().splitlines()
    ]
    assert (refused["line"], refused["reason"]) == (2, "invalid_json")

    orders = tmp_path / "orders.csv"
    columns = ["id", "source", "merchant", "type", "time", "code", "referred_user_id"]
    with orders.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "transaction_id", "currency", "amount"])
        for n in range(3):
            row = [f"csv-{n}/paid", "shop", "roads", "conversion.recorded", NOW.isoformat()]
            row += [shop.code("ada"), "ben", f"csv-{n}", "usd", "12900"]
            # Somebody wrote a thousands comma: another amount, and one column too many.
            writer.writerow([*row[:-1], "12", "900"] if n == 1 else row)
    rejects = tmp_path / "refused.jsonl"
    done = up.run("events", "import", str(orders), "--rejects", str(rejects))
    assert done.returncode == 1
    assert "Published 2 events." in done.stdout
    [refused] = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert (refused["line"], refused["reason"]) == (3, "broken_line")

    for event_id in ("line-0", "line-2", "csv-0", "csv-2"):
        known = wait_for_event(up, "roads", f"{event_id}/paid")
        assert (known["status"], known["made"]["trackings"][0]["amount_earned"]) == (
            "applied",
            1_290,
        )
    assert "applied" in up.ok("events", "status", "roads", "shop", "csv-2/paid")
    assert "There is no event" in up.refused("events", "status", "roads", "shop", "csv-1/paid")

    assert "usd=1000" in up.refused("payouts", "run", "roads", "--minimum", "10 dollars")
    [line] = up.json("payouts", "preview", "roads", "--minimum", "usd=1000")
    assert (line["user"], line["amount"], line["decision"]) == ("ada", 6 * 1_290, "pay")
    [line] = up.json("payouts", "preview", "roads", "--minimum", "usd=10000")
    assert line["decision"] == "below_minimum"
    made = up.json("payouts", "run", "roads", "--minimum", "usd=1000")
    assert (made["created"], made["skipped"], made["errors"]) == (1, 0, [])
    [payout] = wait_for_payouts(up, "roads", 1)
    [payee] = up.json("payees", "list", "roads")
    assert in_the_books(up, payout) == (6 * 1_290, payee["account"])
    assert len(payout["trackings"]) == 6

    # All of it again: nothing is new, and nobody is paid.
    assert up.run("events", "import", str(jsonl)).returncode == 1
    assert up.run("events", "import", str(orders)).returncode == 1
    up.ok("events", "publish", str(one))
    time.sleep(1)
    assert up.json("payouts", "preview", "roads") == []
    assert up.json("payouts", "run", "roads")["created"] == 0


def test_names_in_square_brackets_are_shown_as_they_are(up: Installation) -> None:
    shop = open_shop(up, "brackets")
    with Publisher(up.endpoints().redis_url) as publisher:
        publisher.publish(shop.purchase("[/b]"))
        publisher.publish(shop.purchase("[red]x"))
    wait_for_event(up, "brackets", "[red]x/paid")
    said = up.ok("events", "status", "brackets", "shop", "[/b]/paid")
    assert "conversion.recorded [/b]/paid: applied" in said
    up.ok("payees", "set", "brackets", "[green]ada", "--account", "acct_1", "--name", "[/]")
    assert "[green]ada" in up.ok("payees", "list", "brackets")


# What a running instance says of itself


def test_the_doctor_finds_everything_well(up: Installation) -> None:
    findings = up.json("doctor")
    assert [f["check"] for f in findings if not f["ok"]] == []
    assert {"Python", "Settings", "Data", "PostgreSQL", "Valkey", "Stripe", "Secrets"} <= {
        f["check"] for f in findings
    }
    said = up.ok("doctor")
    assert said.count("ok ") >= len(findings)
    assert "fails" not in said


def test_a_second_up_says_that_one_is_running(up: Installation) -> None:
    said = up.refused("up")
    assert "already running since" in said
    assert f"at {up.instance()['api_url']}" in said
    assert up.ok("merchants", "list")


def test_whatever_offers_json_prints_json(up: Installation) -> None:
    open_shop(up, "scripts")
    up.ok("loyalty", "create-program", "scripts", "stars", "--currency", "usd")
    up.ok("payouts", "schedule", "scripts", "0 6 1 * *", "--minimum", "usd=1000")
    lists = {
        ("merchants", "list"),
        ("keys", "list", "scripts"),
        ("programs", "list", "scripts"),
        ("codes", "list", "scripts"),
        ("payees", "list", "scripts"),
        ("events", "counts"),
        ("payouts", "list", "scripts"),
        ("payouts", "preview", "scripts"),
        ("loyalty", "summary", "scripts"),
        ("schedule", "list"),
    }
    for command in lists:
        assert isinstance(up.json(*command), list), command
    assert isinstance(up.json("payouts", "run", "scripts"), dict)
    [row] = [row for row in up.json("schedule", "list") if row["name"] == "payouts.run/scripts"]
    assert row["timing"] == "0 6 1 * * UTC"
    up.ok("schedule", "pause", "payouts.run/scripts", "--reason", "bank holiday")
    up.ok("schedule", "resume", "payouts.run/scripts")
    up.ok("schedule", "run-now", "payouts.run/scripts")


def test_a_revoked_key_is_refused_within_seconds(up: Installation) -> None:
    shop = open_shop(up, "revoked")
    made = up.json("keys", "create", "revoked", "--name", "web", "--expires", "2999-12-31")
    key = made["secret"]
    [row] = [row for row in up.json("keys", "list", "revoked") if row["name"] == "web"]
    assert row == {name: value for name, value in made.items() if name != "secret"}
    assert key not in up.ok("keys", "list", "revoked")
    url = up.instance()["api_url"] + "/v1/events"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = shop.purchase("a").to_json()
    assert httpx.post(url, content=body, headers=headers, trust_env=False).status_code == 202
    assert up.json("keys", "revoke", "revoked", str(row["id"])) == {
        "id": row["id"],
        "status": "revoked",
    }

    def refused() -> bool:
        return httpx.post(url, content=body, headers=headers, trust_env=False).status_code == 401

    assert wait_for("the key is refused", refused, 10) < 5
    [row] = [row for row in up.json("keys", "list", "revoked") if row["name"] == "web"]
    assert row["status"] == "revoked"
    assert row["last_used_at"] is not None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("merchants", "add", "Acme!"), "key: use lower-case letters"),
        (("merchants", "add", "long", "--name", "x" * 300), "cannot be stored"),
        (("programs", "create", "nobody", "p", "--currency", "usd", "--rule", RULE), "no merchant"),
        (("events", "status", "nobody", "shop", "1"), "payspool merchants add nobody"),
        (("schedule", "run-now", "nothing"), "no schedule"),
        (("merchants", "add", "rich", "--live"), "a live merchant needs a live key"),
        (
            ("merchants", "add", "rich", "--live", "--stripe-key", "sk_live_abc"),
            "seen by everyone who lists processes",
        ),
        (
            ("merchants", "add", "rich", "--live", "--stripe-key", "env:LIVE_KEY"),
            "a live key goes to https://api.stripe.com only",
        ),
        (
            ("merchants", "add", "poor", "--stripe-key", "env:LIVE_KEY"),
            "it is a live key, and the merchant is a test merchant",
        ),
    ],
)
def test_a_mistake_is_told_in_a_sentence_and_changes_nothing(
    up: Installation, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in up.refused(*arguments, LIVE_KEY="sk_live_abc")
    assert not {"Acme!", "long", "rich", "poor"} & {m["key"] for m in up.json("merchants", "list")}


def test_business_time_is_never_simulated_where_money_is_real(up: Installation) -> None:
    said = up.refused("clock", "set", "2040-01-01", PAYSPOOL_STRIPE_URL="https://api.stripe.com")
    assert "only with the Stripe sandbox" in said
    assert "(real)" in up.ok("clock", "show")


def test_at_stripes_own_address_each_merchant_needs_a_key_of_its_kind(up: Installation) -> None:
    stripe = {"PAYSPOOL_STRIPE_URL": "https://api.stripe.com"}
    given = ("merchants", "add", "mixed", "--stripe-key", "env:KEY")
    said = up.refused(*given, KEY="sk_live_abc", **stripe)
    assert "it is a live key, and the merchant is a test merchant" in said
    said = up.refused(*given, "--live", KEY="sk_test_abc", **stripe)
    assert "it is a test key, and the merchant is a live merchant" in said
    said = up.refused(*given, KEY="sk_test_sandbox", **stripe)
    assert "the sandbox's key, which Stripe does not know" in said


# The end


def test_ctrl_c_ends_it_with_0_and_leaves_nothing_and_the_next_start_has_all_data() -> None:
    with installed() as installation:
        started = installation.up()
        shop = open_shop(installation, "acme")
        with Publisher(installation.endpoints().redis_url) as publisher:
            publisher.publish_many(shop.purchase(f"a-{n}") for n in range(100))
        began = time.monotonic()
        started.interrupt()
        assert started.end() == 0, started.said()
        print(f"an orderly end: {time.monotonic() - began:.1f} s")  # noqa: T201
        assert installation.remains(0) == []
        assert "Stopped." in started.said()

        started = installation.up()
        wait_for_event(installation, "acme", "a-99/paid")
        installation.processes()
        began = time.monotonic()
        started.kill()
        assert installation.remains(15) == []
        print(f"after kill -9 nothing was left in {time.monotonic() - began:.1f} s")  # noqa: T201

        installation.up()
        [counted] = installation.json("events", "counts")
        assert (counted["status"], counted["events"]) == ("applied", 100)
        assert installation.json("payouts", "run", "acme")["created"] == 1
        [payout] = wait_for_payouts(installation, "acme", 1)
        assert in_the_books(installation, payout)[0] == 100 * 1_290


@pytest.mark.parametrize("step", ["Starting PostgreSQL", "Starting workers"])
def test_ctrl_c_while_it_starts_leaves_nothing_and_no_stack_trace(step: str) -> None:
    with installed() as installation:
        started = installation.start("up")
        started.wait_until_it_says(step)
        installation.processes()
        started.interrupt()
        assert started.end() != 0
        assert "Traceback" not in started.said()
        assert installation.remains(0) == []
