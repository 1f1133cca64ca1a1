"""Loyalty programs: add one, look at its terms, change them by a new version, pause, resume and end it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from nicegui import ui

from domain.errors import Invalid, NotFound
from domain.loyalty.rules.terms import DEFAULTS
from domain.loyalty.store import programs as store
from web.dashboard.components.form import Field, Form
from web.dashboard.components.live import Question, allowed, button, head, put
from web.dashboard.components.markup import join, tag
from web.dashboard.components.show import chip, facts, link, sheet, source
from web.dashboard.pages.programs import Saving, save, steps
from web.dashboard.shell import Pages, Shown

NAMES: Final = (
    Field("key", "Key, as club", hint="a-z, 0-9, _ and -; it stays", required=True),
    Field("name", "Name", hint="Shown to people; empty: the key"),
    Field("zone", "Time zone of deadlines", hint="IANA, as Europe/Berlin; it stays", required=True),
)
TERMS: Final = (
    Field("kind", "Kind", "choice", options=("points", "stamps", "hybrid")),
    Field("currency", "Currency of purchases", hint="ISO 4217", required=True),
    Field("earn_points", "Points", "number", "for each of the next"),
    Field("earn_per_amount", "for each (minor units)", "number"),
    Field("rounding", "Rounding", "choice", options=("down", "half_even", "up")),
    Field("minimum_purchase", "Least purchase", "number", "Minor units"),
    Field("welcome_bonus", "Welcome bonus", "number", "Points"),
    Field("min_redemption", "Fewest points of a redemption", "number"),
    Field("pending_days", "Days until points can be used", "number"),
    Field("earn_cooldown_minutes", "Minutes between two earns", "number"),
    Field("daily_earn_limit", "Earns a day, at most", "number", "Empty: any"),
    Field("daily_points_cap", "Points a day, at most", "number", "Empty: any"),
    Field("inactivity_days", "Days without activity until all expire", "number", "Empty: never"),
    Field(
        "notice_days", "Days before, a notice is sent", "number", "Of points and tiers. Empty: none"
    ),
    Field("restore_days", "Days that restored points live", "number"),
    Field("backdating_days", "Days that an event may be late", "number"),
    Field("hold_minutes", "Minutes of a hold", "number"),
    Field("stamp_target", "Stamps of a full card", "number", "Empty: none"),
    Field("stamp_reward", "What a full card is worth", hint="Empty: none"),
    Field("stamp_cooldown_minutes", "Minutes between two stamps", "number"),
    Field("stamp_daily_limit", "Stamps a day, at most", "number", "Empty: any"),
    Field("cost_per_1000_points", "Cost of 1,000 points", "number", "Minor units; empty: unknown"),
    Field("tier_days", "Days of a tier's period", "number"),
    Field("allow_debt", "A refund may take more points than there are (debt)", "flag"),
    Field("expiration", "Expiry policies", "json", 'As [{"kind": "rolling", "months": 12}]'),
    Field("multipliers", "Multipliers", "json", 'As [{"basis_points": 20000, "weekdays": [6, 7]}]'),
    Field("tiers", "Tiers", "json", "A list; empty: none"),
    Field(
        "rewards", "Rewards", "json", 'As [{"id": "mug", "description": "A mug", "points": 500}]'
    ),
    Field("qualifying_types", "What counts as activity", "json", "A list of types"),
    Field(
        "pin_required",
        "What takes a PIN of the staff",
        "json",
        'As ["redemptions"]; empty: nothing',
    ),
)
_LISTS: Final = (
    "expiration",
    "multipliers",
    "tiers",
    "rewards",
    "qualifying_types",
    "pin_required",
)


class LoyaltyForm(Form):
    """An empty list is a list."""

    def read(self) -> dict[str, Any]:
        """What the fields say. Raises Invalid, naming the field."""
        said = super().read()
        for name in _LISTS:
            said[name] = [] if said[name] is None else said[name]
            if not isinstance(said[name], list):
                raise Invalid(name, "is a JSON list")
        return said


def install(pages: Pages) -> None:
    """Add the pages."""
    pages.add("/m/{merchant}/loyalty-program", "New loyalty program", _draw_new)
    pages.add("/m/{merchant}/loyalty-program/{program:path}", "Loyalty program", _draw)


def address(merchant: str, program: str) -> str:
    """The page of a program."""
    return f"/m/{merchant}/loyalty-program/{quote(program, safe='')}"


async def _draw_new(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    await visit.read(lambda _tx: None)
    head(join(link("Loyalty", f"/m/{merchant.key}/loyalty"), " / New program"))
    if not allowed(visit, "loyalty_program.create"):
        put(tag("p", "Approvers add programs: their terms decide what is owed.", class_="sheet"))
        return
    names, form = Form(NAMES), LoyaltyForm(TERMS)
    with ui.element("section").classes("sheet stack"):
        names.draw({"zone": "UTC"})
        form.draw({**DEFAULTS, "currency": "usd"})
        saving = Saving(
            "loyalty_program.create",
            Question("Add this program?", ("It earns from now on.",), confirm="Add it"),
            {"merchant": merchant},
            f"/m/{merchant.key}/loyalty-program/",
        )
        with ui.element("div").classes("row"):
            button("Add the program…", lambda: save(visit, form, names, saving), "go")


async def _draw(shown: Shown) -> None:
    visit, merchant, key = shown.visit, shown.merchant, shown.params["program"]
    found = await visit.read(lambda tx: store.standing(tx, merchant.id, key))
    if found is None:
        raise NotFound("loyalty program", key, "The page Loyalty lists them.")
    more = head(join(link("Loyalty", f"/m/{merchant.key}/loyalty"), f" / {found['name']}"))
    with more:
        steps(visit, "loyalty_program", found["status"], found["name"], merchant.id, key)
    put(
        sheet(
            facts(
                ("Key", tag("code", key)),
                ("State", chip(found["status"])),
                ("Version", found["version"]),
                ("Time zone", found["zone"]),
            )
        )
    )
    terms: Mapping[str, Any] = {one.name: found[one.name] for one in TERMS}
    if found["status"] == "ended" or not allowed(visit, "loyalty_program.change"):
        put(sheet(source(terms), title="Terms"))
        return
    form = LoyaltyForm(TERMS)
    with ui.element("section").classes("sheet stack"):
        ui.html(tag("h2", "Terms"), sanitize=False)
        form.draw(terms)
        says = (
            f"Version {found['version'] + 1} counts from now on.",
            "Nothing expires because of it: lots keep their deadlines, and a first inactivity policy gives every"
            " card one full period.",
        )
        saving = Saving(
            "loyalty_program.change",
            Question(f"Change the terms of {found['name']}?", says, confirm="Change them"),
            {"merchant": merchant, "key": key, "seen": found["version"]},
            f"/m/{merchant.key}/loyalty-program/",
        )
        with ui.element("div").classes("row"):
            button("Save as a new version…", lambda: save(visit, form, None, saving), "go")
