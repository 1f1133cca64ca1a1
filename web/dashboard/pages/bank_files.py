"""The bank files of a run: which there are, and writing one after looking at what it would hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from nicegui import ui

from domain.payouts.service.bank_files import CSV, FORMATS, PAIN, BankFile
from web.dashboard.actions.registry import Handed
from web.dashboard.components.live import (
    Question,
    Refresh,
    allowed,
    ask,
    button,
    done,
    put,
    tell,
)
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import link, money, number, some, when
from web.dashboard.components.table import Column, table
from web.dashboard.visit import Visit

ENDINGS: Final = {CSV: "csv", PAIN: "xml"}
MEDIA: Final = {CSV: "text/csv", PAIN: "application/xml"}
TOLD_MAX: Final = 20
"""Payouts that a preview names, of those that it cancels or leaves; the rest is counted."""


def files_table(visit: Visit, key: str, rows: Sequence[Any], *, empty: str) -> Html:
    """Bank files, newest first."""

    def pays(row: Any) -> Html:
        return join(*(tag("div", money(visit, t["amount"], c)) for c, t in row.totals.items()))

    def payouts(row: Any) -> Html:
        return number(visit, sum(t["payouts"] for t in row.totals.values()))

    return table(
        [
            Column("File", lambda r: r.id, "id"),
            Column("Run", lambda r: link(r.run_id, f"/m/{key}/runs/{r.run_id}"), "id"),
            Column("Format", lambda r: r.format),
            Column("Payouts", payouts, "num"),
            Column("Pays", pays, "num"),
            Column("Wait for the bank's word", lambda r: number(visit, r.waiting), "num"),
            Column("By", lambda r: r.created_by),
            Column("Written", lambda r: when(visit, r.created_at)),
        ],
        rows,
        empty=empty,
        label="Bank files",
    )


def show_files(
    visit: Visit,
    key: str,
    merchant_id: int,
    run_id: int,
    waiting: Sequence[Any],
    files: Sequence[Any],
    refresh: Refresh,
) -> None:
    """Draw the panel of a run that pays by bank file."""
    said = [
        join(some(row.payouts, "payout"), " of ", money(visit, row.amount, row.currency))
        for row in waiting
    ]
    waits = join(*(join(one, "; " if one is not said[-1] else "") for one in said))
    told = (
        join(
            waits,
            " to go into a bank file. Writing it is the send: from then on they are in transit.",
        )
        if said
        else "Nothing waits for a bank file. The last one is given again, in case the bank never had it."
    )
    with ui.element("section").classes("sheet stack"):
        ui.html(join(tag("h2", "Bank files"), tag("p", told)), sanitize=False)
        if allowed(visit, "bank.export_file") and (said or files):
            _form(visit, merchant_id, run_id, [row.format for row in files], refresh)
        if files:
            put(files_table(visit, key, files, empty=""))


def _form(
    visit: Visit, merchant_id: int, run_id: int, known: Sequence[str], refresh: Refresh
) -> None:
    with ui.element("div").classes("row"):
        first = known[0] if known else CSV
        format_ = ui.select(list(FORMATS), value=first, label="Format").props("outlined dense")
        on = (
            ui.input("Pay on, as 2026-06-05; empty: the next working day")
            .props("outlined dense maxlength=10")
            .classes("wide")
        )
        on.bind_visibility_from(format_, "value", value=PAIN)

        async def click() -> None:
            day = _day(on.value or "") if format_.value == PAIN else None
            if isinstance(day, str):
                tell(day, well=False)
                return
            terms = {"merchant_id": merchant_id, "run_id": run_id, "format": format_.value}
            await _export(visit, {**terms, "on": day}, refresh)

        button("Write a bank file…", click, "go")


def _day(said: str) -> date | str | None:
    if not said.strip():
        return None
    try:
        return date.fromisoformat(said.strip())
    except ValueError:
        return "The day is written as 2026-06-05."


async def _export(visit: Visit, terms: dict[str, Any], refresh: Refresh) -> None:
    client = ui.context.client
    foreseen = await done(visit, "bank.preview_file", **terms)
    if not isinstance(foreseen, Handed):
        return
    with client:
        if await ask(_question(visit, terms["run_id"], foreseen.thing)) is None:
            return
    handed = await done(visit, "bank.export_file", **terms)
    if not isinstance(handed, Handed):
        return
    made: BankFile = handed.thing
    with client:
        tell(handed.said, well=True)
        if made.file_id is not None:
            name = f"run-{terms['run_id']}-file-{made.file_id}.{ENDINGS[terms['format']]}"
            ui.download.content(made.content, name, MEDIA[terms["format"]])
    await refresh()


def _question(visit: Visit, run_id: int, made: BankFile) -> Question:
    """What is asked before a file is written, of what it would hold."""
    says: list[Any] = [
        join(f"It pays {some(one['payouts'], 'payout')}, ", money(visit, one["amount"], code), ".")
        for code, one in made.totals.items()
    ]
    if made.again:
        says = [
            f"{made.created_by} exported it before. Give it to the bank only if the bank has never had"
            " it: it would pay again.",
            *says,
        ]
    if made.settled:
        says.append(f"The bank's word on {made.settled:,} of them is known: it has had the file.")
    says += _named(made.excluded, "is canceled")
    says += _named(made.left, "is left for another file")
    if made.file_id is None:
        says.append("No file is written: nothing fits this format.")
    says.append("It holds whole account numbers: keep it where only the bank's people look.")
    title = (
        "Give the last bank file again?" if made.again else f"Write a bank file of run {run_id}?"
    )
    return Question(title, tuple(says), confirm="Write the file", kind="danger")


def _named(rows: Sequence[tuple[int, str]], what: str) -> list[str]:
    told = [f"Payout {payout} {what}: {why}." for payout, why in rows[:TOLD_MAX]]
    more = len(rows) - TOLD_MAX
    return told + ([f"… and {more:,} more."] if more > 0 else [])
