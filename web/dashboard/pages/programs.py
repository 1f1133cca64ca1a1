"""Referral programs: add one, look at its terms, change them by a new version, pause, resume and end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import quote

from nicegui import ui

from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.referrals import admin
from domain.referrals.admin import METHODS
from web.dashboard.components.form import Field, Form
from web.dashboard.components.live import (
    Question,
    allowed,
    ask,
    asking,
    button,
    done,
    head,
    put,
    tell,
)
from web.dashboard.components.markup import join, tag
from web.dashboard.components.show import chip, facts, link, sheet, source
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "percentage": {"kind": "percentage", "basis_points": 1000, "cap": 5000},
    "one_time": {"kind": "one_time", "amount": 500},
    "recurring": {"kind": "recurring", "basis_points": 800, "max_payments": 6},
    "tiered": {
        "kind": "tiered",
        "by": "count",
        "tiers": [{"from": 1, "basis_points": 500}, {"from": 10, "basis_points": 1000}],
    },
}
"""A rule of each kind, to begin with."""
BLANK: Final[Mapping[str, Any]] = {
    "rule": EXAMPLES["percentage"],
    "currency": "usd",
    "hold_days": 14,
    "min_amount": 0,
}

NAMES: Final = (
    Field("key", "Key, as friends", hint="Commands and events name it; it stays", required=True),
    Field("name", "Name", hint="Shown to people; empty: the key"),
)
TERMS: Final = (
    Field("rule", "Reward of the referrer", "json", "JSON; amounts in minor units", required=True),
    Field("referee_rule", "Reward of the referred", "json", 'As {"amount": 500}; empty: none'),
    Field("currency", "Currency", hint="ISO 4217; it stays", required=True),
    Field("hold_days", "Days until it may be paid", "number", "0 to 90", required=True),
    Field("window_days", "Days from attribution to conversion", "number", "Empty: no limit"),
    Field("min_amount", "Least sale", "number", "Minor units", required=True),
    Field("max_rewards_per_referrer", "Rewards of one referrer, at most", "number", "Empty: any"),
    Field("codes_per_user", "Codes of one user, at most", "number", "Empty: any"),
    Field("payout_method", "Paid by", "choice", "Empty: by the payee's own", ("", *METHODS)),
    Field("starts_at", "Conversions count from", "time", "UTC, as 2026-12-31; empty: always"),
    Field("ends_at", "and before", "time", "UTC; empty: for ever"),
)


def install(pages: Pages) -> None:
    """Add the pages."""
    pages.add("/m/{merchant}/program", "New program", _draw_new)
    pages.add("/m/{merchant}/program/{program:path}", "Program", _draw)


def address(merchant: str, program: str) -> str:
    """The page of a program."""
    return f"/m/{merchant}/program/{quote(program, safe='')}"


@dataclass(frozen=True, slots=True)
class Saving:
    """What a form does when it is saved.

    Attributes:
        action: With ``merchant`` and ``key``, and what the form says.
        question: Asked before.
        leads: Where to go then.
    """

    action: str
    question: Question
    arguments: dict[str, Any]
    leads: str


async def save(visit: Visit, form: Form, names: Form | None, saving: Saving) -> None:
    """Read the forms, ask, and do it; what is refused is said at its field."""

    def refused(error: Invalid) -> bool:
        return form.refuse(error) or (names is not None and names.refuse(error))

    try:
        said = {} if names is None else {name: value or "" for name, value in names.read().items()}
        terms = form.read()
    except Invalid as error:
        refused(error)
        return
    client = ui.context.client
    if await ask(saving.question) is None:
        return
    answer = await done(
        visit, saving.action, invalid=refused, terms=terms, **said, **saving.arguments
    )
    if answer is None:
        return
    with client:
        tell(str(answer), well=True)
        key = str(said.get("key") or saving.arguments.get("key"))
        ui.navigate.to(saving.leads + quote(key, safe=""))


async def _draw_new(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    await visit.read(lambda _tx: None)
    head(join(link("Referrals", f"/m/{merchant.key}/referrals"), " / New program"))
    if not allowed(visit, "program.create"):
        put(tag("p", "Approvers add programs: their terms decide what is owed.", class_="sheet"))
        return
    names, form = Form(NAMES), Form(TERMS)
    with ui.element("section").classes("sheet stack"):
        names.draw({})
        _examples(form)
        form.draw(BLANK)
        saving = Saving(
            "program.create",
            Question(
                "Add this program?", ("It counts conversions from now on.",), confirm="Add it"
            ),
            {"merchant_id": merchant.id},
            f"/m/{merchant.key}/program/",
        )
        with ui.element("div").classes("row"):
            button("Add the program…", lambda: save(visit, form, names, saving), "go")


def _examples(form: Form) -> None:
    """Buttons that write a rule of each kind into the form."""
    with ui.element("div").classes("row"):
        ui.html(tag("span", "Begin with", class_="dim"), sanitize=False)
        for kind, rule in EXAMPLES.items():

            async def fill(rule: dict[str, Any] = rule) -> None:
                form.fill("rule", rule)

            button(kind.replace("_", " "), fill)


async def _draw(shown: Shown) -> None:
    visit, merchant, key = shown.visit, shown.merchant, shown.params["program"]

    def load(tx: Tx) -> tuple[Any, dict[str, Any]]:
        found = admin.found_program(tx, merchant.id, key)
        terms = admin.terms_of(tx, merchant.id, key)
        if terms is None:
            raise NotFound("program", key)
        return found, asdict(terms)

    program, terms = await visit.read(load)
    more = head(join(link("Referrals", f"/m/{merchant.key}/referrals"), f" / {program.name}"))
    with more:
        steps(visit, "program", program.status, program.name, merchant.id, key)
    put(
        sheet(
            facts(
                ("Key", tag("code", key)),
                ("State", chip(program.status)),
                ("Version", program.version),
            )
        )
    )
    if program.status == "ended" or not allowed(visit, "program.change"):
        put(sheet(source(terms), title="Terms"))
        return
    form = Form(TERMS)
    with ui.element("section").classes("sheet stack"):
        ui.html(tag("h2", "Terms"), sanitize=False)
        form.draw(terms)
        said = f"Version {program.version + 1} counts from now on. What was earned stays as it is."
        saving = Saving(
            "program.change",
            Question(f"Change the terms of {program.name}?", (said,), confirm="Change them"),
            {"merchant_id": merchant.id, "key": key, "seen": program.version},
            f"/m/{merchant.key}/program/",
        )
        with ui.element("div").classes("row"):
            button("Save as a new version…", lambda: save(visit, form, None, saving), "go")


def steps(visit: Visit, kind: str, status: str, name: str, merchant_id: int, key: str) -> None:
    """Buttons to pause, resume and end a program; ``kind`` is what its actions begin with."""

    async def again() -> None:
        ui.navigate.reload()

    for verb, of, says, colour in (
        ("pause", ("active",), "Nothing counts until it is resumed.", "calm"),
        ("resume", ("paused",), "It counts again.", "go"),
        ("end", ("active", "paused"), "For good. What was earned stays.", "danger"),
    ):
        if status not in of or not allowed(visit, f"{kind}.{verb}"):
            continue
        question = Question(
            f"{verb.capitalize()} {name}?",
            (says,),
            confirm=f"{verb.capitalize()} it",
            kind="danger" if colour != "go" else "go",
        )
        click = asking(visit, f"{kind}.{verb}", question, again, merchant_id=merchant_id, key=key)
        button(f"{verb.capitalize()}…", click, colour)
