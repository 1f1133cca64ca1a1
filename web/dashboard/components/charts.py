"""Charts as SVG, drawn here: nothing to load, and a title on each mark for who hovers or listens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import when_text
from web.dashboard.visit import Visit

WIDTH: Final = 640
HEIGHT: Final = 180
LEFT: Final = 52
FLOOR: Final = 24
LABELS_MAX: Final = 8


def bars(data: Sequence[tuple[str, int, str]], *, label: str) -> Html:
    """Bars of (name, value, sentence)."""
    top = max((value for _, value, _ in data), default=0) or 1
    room, width = HEIGHT - FLOOR - 10, (WIDTH - LEFT) / max(len(data), 1)
    every = -(-len(data) // LABELS_MAX)
    parts = _frame(top)
    for at, (name, value, sentence) in enumerate(data):
        tall = room * value / top
        x = LEFT + at * width
        parts.append(
            tag(
                "g",
                _rect(x + width * 0.12, 10 + room - tall, width * 0.76, tall),
                tag("title", sentence),
            )
        )
        if at % every == 0:
            parts.append(
                tag("text", name, x=f"{x + width / 2:.1f}", y=HEIGHT - 8, text_anchor="middle")
            )
    return _svg(parts, label)


def line(
    visit: Visit,
    data: Sequence[tuple[datetime, float]],
    *,
    begin: datetime,
    end: datetime,
    label: str,
) -> Html:
    """A line over time; where nothing was recorded it is broken."""
    top = max((value for _, value in data), default=0) or 1
    room, span = HEIGHT - FLOOR - 10, max((end - begin).total_seconds(), 1)
    parts = _frame(top)
    for part in _unbroken(data):
        points = [
            (
                LEFT + (WIDTH - LEFT) * (at - begin).total_seconds() / span,
                10 + room - room * value / top,
            )
            for at, value in part
        ]
        if len(points) == 1:  # what happened in one step alone is no line
            parts.append(_point(*points[0]))
            continue
        said = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        ground = f"{points[0][0]:.1f},{10 + room} {said} {points[-1][0]:.1f},{10 + room}"
        parts += [tag("polygon", points=ground, class_="area"), tag("polyline", points=said)]
    for tick in range(5):
        at = begin + (end - begin) * tick / 4
        name = when_text(visit, at)[5:16] if span > 86_400 else when_text(visit, at)[11:16]
        anchor = "start" if tick == 0 else "end" if tick == 4 else "middle"
        x = LEFT + (WIDTH - LEFT) * tick / 4
        parts.append(tag("text", name, x=f"{x:.1f}", y=HEIGHT - 8, text_anchor=anchor))
    return _svg(parts, label)


def spark(values: Sequence[float], *, label: str) -> Html:
    """A line without axes, for beside a number."""
    top, step = max(values, default=0) or 1, 120 / max(len(values) - 1, 1)
    points = " ".join(f"{at * step:.1f},{27 - 24 * one / top:.1f}" for at, one in enumerate(values))
    return Html(
        f'<svg class="chart spark" viewBox="0 0 120 30" role="img" preserveAspectRatio="none">'
        f"{tag('title', label)}{tag('polyline', points=points)}</svg>"
    )


def _unbroken(data: Sequence[tuple[datetime, float]]) -> list[list[tuple[datetime, float]]]:
    if len(data) < 2:
        return [list(data)] if data else []
    step = min(later[0] - sooner[0] for sooner, later in itertools.pairwise(data))
    parts = [[data[0]]]
    for sooner, later in itertools.pairwise(data):
        if later[0] - sooner[0] > step * 2.5:
            parts.append([])
        parts[-1].append(later)
    return parts


def _frame(top: float) -> list[Html]:
    room, parts = HEIGHT - FLOOR - 10, []
    for share in (0.0, 0.5, 1.0):
        y = 10 + room - room * share
        parts.append(_line(y))
        parts.append(
            tag("text", _short(top * share), x=LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end")
        )
    return parts


def _short(value: float) -> str:
    """
    >>> [_short(v) for v in (0, 0.5, 12, 1500, 2_500_000)]
    ['0', '0.5', '12', '1.5k', '2.5M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _line(y: float) -> Html:
    return Html(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="axis"></line>')


def _point(x: float, y: float) -> Html:
    return Html(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="point"></circle>')


def _rect(x: float, y: float, width: float, height: float) -> Html:
    return Html(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="bar"></rect>'
    )


def _svg(parts: Sequence[Html], label: str) -> Html:
    return Html(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{tag("title", label)}{join(*parts)}</svg>'
    )
