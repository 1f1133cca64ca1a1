"""What a bench tells: one figure a line as JSON, and a Markdown table for people."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

GOALS_FILE: Final = Path(__file__).parent / "goals.toml"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a bench is to reach: of its ``ratio`` or its ``value``, ``more`` or ``less`` being better."""

    of: str
    better: str
    goal: float
    stretch: float

    def reached(self, figure: "Figure") -> bool:
        """Whether the figure is at the goal or beyond."""
        measured = figure.value if self.of == "value" else figure.ratio
        assert measured is not None, (
            f"{figure.bench} has a goal for a ratio that it does not measure"
        )
        return measured >= self.goal if self.better == "more" else measured <= self.goal

    def __str__(self) -> str:
        sign = "≥" if self.better == "more" else "≤"
        return f"{sign} {self.goal:g}" + ("×" if self.of == "ratio" else "")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    ``value`` in ``unit`` is the median of the runs. ``ratio`` is the median of what each run was against
    its peer or limit of the same round (which ``against`` names), so that a busy machine slows both.
    ``exact``: after every run every row was there, once, and nothing else was left anywhere.
    """

    bench: str
    value: float
    unit: str
    exact: bool
    against: str | None = None
    ratio: float | None = None


def figure(
    bench: str,
    unit: str,
    values: Sequence[float],
    *,
    exact: bool,
    against: str | None = None,
    peers: Sequence[float] = (),
) -> Figure:
    """The median figure of several rounds; ``peers`` are the peer's values, round by round."""
    ratio = median(v / p for v, p in zip(values, peers, strict=True)) if peers else None
    named = f"{against}: {median(peers):,.0f} {unit}" if peers else against
    return Figure(bench, median(values), unit, exact, named, ratio)


def goals(path: Path = GOALS_FILE) -> dict[str, Goal]:
    """The goals by bench."""
    return {name: Goal(**fields) for name, fields in tomllib.loads(path.read_text()).items()}


def as_json(measured: Figure, wanted: Mapping[str, Goal]) -> str:
    """The figure as one line of JSON."""
    goal = wanted.get(measured.bench)
    line: dict[str, Any] = {
        "bench": measured.bench,
        "value": round(measured.value, 3),
        "unit": measured.unit,
        "against": measured.against,
        "ratio": None if measured.ratio is None else round(measured.ratio, 3),
        "goal": goal and goal.goal,
        "stretch": goal and goal.stretch,
        "exact": measured.exact,
    }
    return json.dumps(line, ensure_ascii=False)


def as_table(measured: Iterable[Figure], wanted: Mapping[str, Goal]) -> str:
    """The figures as a Markdown table."""
    rows = [
        "| Bench | Value | Against | Ratio | Goal | Reached | Exact |",
        "|---|--:|---|--:|--:|---|---|",
    ]
    for one in measured:
        goal = wanted.get(one.bench)
        cells = [
            one.bench,
            f"{one.value:,.0f} {one.unit}" if one.value >= 100 else f"{one.value:.1f} {one.unit}",
            one.against or "",
            "" if one.ratio is None else f"{one.ratio:.2f}×",
            str(goal or ""),
            ("yes" if goal.reached(one) else "no") if goal else "",
            "yes" if one.exact else "NO",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)
