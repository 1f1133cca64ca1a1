"""What is written about metrics, and what a running pipeline exports: the same names and labels."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.installation import CHECKOUT, Installation, installed, wait_for
from tests.e2e.shop import SETTLED_SECONDS, open_shop
from tests.guards import promql

pytestmark = [pytest.mark.xdist_group("metrics"), pytest.mark.slow]

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
    shop = open_shop(installation, "acme", "ada", "zoe")
    # Nobody listens there: webhooks are tried, and wait.
    installation.ok("webhooks", "add", "acme", "http://127.0.0.1:9/", "--type", "earning.created")
    texts = [shop.purchase(f"o-{n}").to_json() for n in range(3)]
    texts.append(shop.purchase("o-0").to_json())
    texts.append(shop.purchase("o-9", referrer="nobody").to_json())
    # Stripe knows no such account, so that one payout fails.
    installation.ok("payees", "set", "acme", "zoe", "--account", "acct_0000000000000000")
    texts.append(shop.purchase("o-7", referrer="zoe", user="cleo").to_json())
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

    wait_for("events are applied", lambda: rows("SELECT FROM inbox_events") == 5, SETTLED_SECONDS)
    assert installation.json("payouts", "run", "acme")["created"] == 2
    known = "SELECT FROM schedules WHERE name = 'invariants.check'"
    wait_for("the scheduler has begun", lambda: rows(known) == 1, SETTLED_SECONDS)
    installation.ok("schedule", "run-now", "invariants.check")
    done = "SELECT FROM schedule_fires WHERE name = 'invariants.check' AND state = 'done'"
    wait_for("a payout is paid", lambda: rows("SELECT FROM payouts WHERE state = 'paid'"), 30)
    wait_for("one fails", lambda: rows("SELECT FROM payouts WHERE state = 'failed'"), 30)
    tried = "SELECT FROM webhook_attempts"
    wait_for("a webhook is tried", lambda: rows(tried), 30)
    wait_for("the invariants are checked", lambda: rows(done), 30)


@pytest.fixture(scope="module")
def exported() -> Iterator[Exported]:
    """Every series of every process of a pipeline that has done some of everything."""
    with installed(PAYSPOOL_METRICS_PORT=str(free_ports(8))) as installation:
        installation.up()
        play(installation)
        targets = json.loads((installation.data / "up" / "metrics.json").read_text())
        assert [target["labels"]["name"] for target in targets] == [
            *("api", "events-1", "payouts", "sweeps", "relay"),
            *("scheduler", "courier", "dashboard"),
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
        *(
            "actor",
            "call",
            "currency",
            "kind",
            "le",
            "method",
            "outcome",
            "part",
            "process",
            "python",
            "queue",
        ),
        *("result", "server", "state", "status", "type", "version"),
    }


OF_PROMETHEUS = {"job", "instance", "service"}
"""Labels that the scrape configuration adds."""


def expressions() -> dict[str, str]:
    """Every expression of the rules and the dashboard, by where it stands."""
    rules = yaml.safe_load((CHECKOUT / "deploy" / "prometheus" / "rules.yml").read_text())
    found = {
        f"{rule['alert']} {number}": rule["expr"]
        for group in rules["groups"]
        for number, rule in enumerate(group["rules"])
    }
    for file in sorted((CHECKOUT / "deploy" / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return found


def test_rules_and_dashboards_read_what_is_exported(exported: Exported) -> None:
    wrong = []
    for where, expression in expressions().items():
        found = promql.read(expression)
        labels: set[str] = set()
        for series, selected in found.series.items():
            if series != "up" and series not in exported:
                wrong.append(f"{where}: nothing exports {series}")
            has = exported.get(series, set()) | OF_PROMETHEUS
            labels |= has
            wrong += [f"{where}: {series} has no {label}" for label in selected - has]
        wrong += [f"{where}: nothing has {label}" for label in found.grouped - labels]
    assert wrong == []


def test_every_metric_of_ours_is_watched_by_a_rule_or_shown() -> None:
    watched = {
        family_of(series)
        for expression in expressions().values()
        for series in promql.read(expression).series
    }
    text = (CHECKOUT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(payspool_\w+)`", text, re.MULTILINE))
    assert documented - watched == {"payspool_build_info"}


def test_what_a_rule_says_names_labels_that_it_has() -> None:
    rules = yaml.safe_load((CHECKOUT / "deploy" / "prometheus" / "rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "warning")
            said = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
            found = promql.read(rule["expr"])
            kept = found.grouped if found.grouped else OF_PROMETHEUS
            assert said <= kept, rule["alert"]


@pytest.mark.parametrize(
    "expression",
    [
        *("max(", "max(a))", "a{b}", "a{b=1}", 'a{b="c"', "rate(a)", "a[5m", "by (a) b", ""),
        *("unheard_of(a)", "max by () (a)", "a + ", "histogram_quantile(0.9)", "a b"),
    ],
)
def test_the_reader_of_expressions_refuses_what_is_none(expression: str) -> None:
    with pytest.raises(promql.NotPromQL):
        promql.read(expression)


def test_grafana_reads_the_dashboards_and_the_source_that_are_mounted() -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    places = {inside: CHECKOUT / outside for outside, inside in mounts.items()}
    provisioning = places["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "payspool.yml").read_text())[
        "providers"
    ]
    folder = places[provider["options"]["path"]]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    for file in folder.glob("*.json"):
        board = json.loads(file.read_text())
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            if panel["type"] != "row":
                assert panel["datasource"]["uid"] == source["uid"]
                assert panel["description"]
