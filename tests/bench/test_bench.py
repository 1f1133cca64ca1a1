"""Each bench runs, tells its figures in the promised form, and leaves everything exact. Nothing is timed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.figures import Figure, Goal, as_table, figure, goals

CHECKOUT = Path(__file__).parents[2]
FIELDS = {"bench", "value", "unit", "against", "ratio", "goal", "stretch", "exact"}
TINY = (
    *("--rounds", "1", "--events", "300", "--peer-events", "60", "--warm-events", "40"),
    *("--rate", "200", "--seconds", "1", "--publishes", "50"),
    *("--earnings", "300", "--payees", "40", "--payouts", "20", "--limited-payouts", "20"),
    *("--lots", "400", "--codes", "100", "--check-rate", "50"),
)
TOLD = {
    "ingest": {
        "ingest.stock",
        "ingest.celery",
        "ingest.copy",
        "ingest.hot",
        "ingest.hot_capped",
        "ingest.rules",
        "ingest.rules_stock",
        "ingest.rules_copy",
        "ingest.rules_hot",
        "ingest.rules_capped",
        "ingest.rules_uniform.worker_cpu",
        "ingest.rules_uniform.postgres_cpu",
        "ingest.single.worker_cpu",
        "ingest.single.postgres_cpu",
        "ingest.packed.worker_cpu",
        "ingest.packed.postgres_cpu",
        "ingest.copy.postgres_cpu",
    },
    "publish": {"publish.single", "publish.many"},
    "latency": {"latency.p50", "latency.p99"},
    "runs": {"runs.build", "runs.memory"},
    "sending": {"sending.unlimited"},
    "limited": {"sending.limited"},
    "expiry": {"expiry.sweep", "expiry.growth", "expiry.redeem_p99", "expiry.memory"},
    "validate": {"validate.p50", "validate.p99"},
    "dashboard": {"dashboard.memory", "dashboard.ingest"},
}


@pytest.mark.parametrize("bench", TOLD)
def test_a_bench_tells_its_figures_and_every_run_is_exact(bench: str, tmp_path: Path) -> None:
    out = tmp_path / "figures.jsonl"
    command = [sys.executable, "-m", "bench", "--only", bench, "--out", str(out), *TINY]
    done = subprocess.run(
        command, check=False, cwd=CHECKOUT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["bench"] for line in lines} == TOLD[bench]
    for line in lines:
        assert set(line) == FIELDS
        assert line["exact"] is True
        assert line["value"] > 0
        assert line["bench"] in done.stderr, "the table has it"
    wanted = goals()
    assert {line["bench"]: line["goal"] for line in lines if line["goal"]} == {
        name: goal.goal for name, goal in wanted.items() if name in TOLD[bench]
    }


def test_an_unknown_bench_is_refused_with_those_that_there_are() -> None:
    command = [sys.executable, "-m", "bench", "--only", "nothing"]
    done = subprocess.run(
        command, check=False, cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "ingest" in done.stderr


def test_every_goal_belongs_to_a_bench_and_its_stretch_lies_beyond_it() -> None:
    for name, goal in goals().items():
        assert name in set().union(*TOLD.values())
        assert goal.of in ("ratio", "value")
        assert (goal.stretch > goal.goal) == (goal.better == "more")


def test_a_ratio_is_the_median_of_what_each_round_was_against_its_own_peer() -> None:
    # The second round ran on a machine that was busy: it slows both, and the ratio keeps what is true.
    told = figure(
        "b", "1/s", [100.0, 10.0, 110.0], exact=True, against="peer", peers=[50.0, 5.0, 50.0]
    )
    assert told.value == 100.0
    assert told.ratio == 2.0
    assert told.against == "peer: 50 1/s"


@pytest.mark.parametrize(
    ("better", "value", "reached"),
    [("more", 2.0, True), ("more", 1.9, False), ("less", 2.1, False)],
)
def test_the_table_says_whether_a_goal_is_reached(better: str, value: float, reached: bool) -> None:
    goal = Goal("value", better, 2.0, 3.0)
    table = as_table([Figure("b", value, "ms", exact=True)], {"b": goal})
    assert ("| yes | yes |" in table) is reached


def test_a_figure_of_an_inexact_run_says_so() -> None:
    assert "| NO |" in as_table([Figure("b", 1.0, "ms", exact=False)], {})
