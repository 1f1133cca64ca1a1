"""The small parts that pages are made of."""

import doctest
import importlib
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel import Locale

from domain.loyalty.rules.terms import DEFAULTS
from domain.referrals.admin import Terms
from web.dashboard.components.charts import bars, line
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.pages import loyalty_programs, programs


@pytest.mark.parametrize(
    "module",
    [
        "web.dashboard.components.markup",
        "web.dashboard.components.show",
        "web.dashboard.components.charts",
        "web.dashboard.gate",
        "web.dashboard.visit",
        "web.dashboard.pages.cron",
        "domain.access.roles",
        "domain.access.passwords",
    ],
)
def test_the_examples_in_the_code_hold(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert failed == 0
    assert tried > 0


def test_whatever_is_not_html_already_is_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    said = tag("a", evil, Html("<b>ours</b>"), href=evil, class_="x", title=None, hidden=True)
    assert "<script>" not in said
    assert "<b>ours</b>" in said
    assert 'class="x"' in said
    assert join("<", None, 7) == "&lt;7"


def test_charts_of_nothing_and_of_names_are_whole() -> None:
    assert "</svg>" in bars([], label="none")
    assert "<b>" not in bars([("<b>", 0, "<b>")], label="<b>")


def test_what_happened_in_one_step_alone_is_seen_on_a_chart() -> None:
    at = datetime(2026, 11, 20, 9, tzinfo=UTC)
    reader: Any = SimpleNamespace(zone=ZoneInfo("UTC"), locale=Locale("en"))

    def drawn(*minutes: int) -> tuple[int, int]:
        data = [(at + timedelta(minutes=one), 7) for one in minutes]
        shown = line(reader, data, begin=at, end=at + timedelta(hours=1), label="paid")
        return shown.count("<circle"), shown.count("<polyline")

    assert drawn() == (0, 0)
    assert drawn(30) == (1, 0)
    assert drawn(10, 11, 12, 40) == (1, 1)


def test_the_forms_of_programs_have_a_field_for_each_term() -> None:
    assert {one.name for one in loyalty_programs.TERMS} == {*DEFAULTS, "currency"}
    assert {one.name for one in programs.TERMS} == {one.name for one in fields(Terms)}
