"""What is written about metrics, and what a running pipeline exports: the same names and labels."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.installation import CHECKOUT, Installation, installed, wait_for
from tests.e2e.shop import SETTLED_SECONDS, open_shop

pytestmark = [pytest.mark.xdist_group("heavy"), pytest.mark.slow]

Exported = dict[str, set[str]]
"""Names of series (with _total, _bucket, …) and the labels that each was seen with."""


def free_ports(count: int) -> int:
    """The first of some ports in a row that are free."""
    for first in range(21_000, 31_000, count):
        try:
            for port in range(first, first + count):
                with closing(socket.create_server(("127.0.0.1", port))):
                    pass
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def scrape(address: str) -> Exported:
    with httpx.Client(trust_env=False, timeout=10) as client:
        answer = client.get(f"http://{address}/metrics")
    assert answer.status_code == 200, answer.text
    seen: Exported = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            seen.setdefault(sample.name, set()).update(sample.labels)
    return seen


def play(installation: Installation) -> None:
    """Events of each fate, a payout, and a check of the invariants."""
    shop = open_shop(installation, "acme")
    texts = [shop.purchase(f"o-{n}").to_json() for n in range(3)]
    texts.append(shop.purchase("o-0").to_json())
    texts.append(shop.purchase("o-9", referrer="nobody").to_json())
    answer = httpx.post(
        installation.instance()["api_url"] + "/v1/events",
        content="\n".join(text.replace("\n", " ") for text in texts),
        headers={
            "Authorization": f"Bearer {shop.api_key}",
            "Content-Type": "application/x-ndjson",
        },
        trust_env=False,
    )
    assert answer.status_code == 202, answer.text

    def rows(statement: str) -> int:
        return len(installation.rows(statement))

    wait_for("events are applied", lambda: rows("SELECT FROM inbox_events") == 4, SETTLED_SECONDS)
    assert installation.json("payouts", "run", "acme")["created"] == 1
    installation.ok("schedule", "run-now", "invariants.check")
    done = "SELECT FROM schedule_fires WHERE name = 'invariants.check' AND state = 'done'"
    wait_for("a payout is paid", lambda: rows("SELECT FROM payouts WHERE state = 'paid'"), 30)
    wait_for("the invariants are checked", lambda: rows(done), 30)


@pytest.fixture(scope="module")
def exported() -> Iterator[Exported]:
    """Every series of every process of a pipeline that has done some of everything."""
    with installed(PAYSPOOL_METRICS_PORT=str(free_ports(6))) as installation:
        installation.up()
        play(installation)
        targets = json.loads((installation.data / "up" / "metrics.json").read_text())
        assert [target["labels"]["name"] for target in targets] == [
            *("api", "events-1", "payouts", "sweeps", "relay", "scheduler")
        ]
        together: Exported = {}
        for target in targets:
            for name, labels in scrape(target["targets"][0]).items():
                together.setdefault(name, set()).update(labels)
        yield together


def family_of(series: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", series)


def test_the_reference_names_every_metric_with_its_labels_and_no_other(exported: Exported) -> None:
    text = (CHECKOUT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    documented: Exported = {}
    for row in text.splitlines():
        if row.startswith("| `payspool_"):
            name, labels = row.split("|")[1:3]
            documented[name.strip(" `")] = set(re.findall(r"`(\w+)`", labels))
    found: Exported = {}
    for series, labels in exported.items():
        if series.startswith("payspool_"):
            found.setdefault(family_of(series), set()).update(labels - {"le"})
    assert documented == found


def test_no_label_is_a_merchant_a_person_or_an_id(exported: Exported) -> None:
    labels = set().union(*(exported[name] for name in exported if name.startswith("payspool_")))
    assert labels == {
        *("actor", "call", "le", "method", "outcome", "part", "process", "python", "queue"),
        *("result", "server", "state", "status", "type", "version"),
    }
