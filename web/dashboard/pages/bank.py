"""A merchant's bank: its files, and statements that say what became of their payouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from nicegui import events, ui

from domain.db import Tx
from domain.errors import Invalid
from domain.payouts.rules.statement_csv import OPTIONAL, REQUIRED, CsvForm
from domain.payouts.rules.statements import REJECTS
from domain.payouts.store import bank as files_store
from domain.payouts.store import statements as statement_store
from web.dashboard.actions.registry import Handed
from web.dashboard.bank import UPLOAD_BYTES_MAX, Reading, StatementForm
from web.dashboard.components.live import (
    Live,
    Question,
    Refresh,
    allowed,
    ask,
    button,
    done,
    head,
    live,
    put,
    tell,
)
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import figure, number, number_text, sheet, some, when
from web.dashboard.components.table import ROWS, Column, table
from web.dashboard.pages.bank_files import files_table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

COLUMNS: Final = REQUIRED + OPTIONAL


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/bank", "Bank", _draw)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    parts: list[Live] = []

    def load(tx: Tx) -> tuple[list[Any], list[Any]]:
        return (
            statement_store.readings(tx, merchant.id, ROWS),
            files_store.files(tx, merchant.id, None, ROWS),
        )

    async def refresh() -> None:
        await parts[0].again()

    head("Bank")
    if allowed(visit, "bank.preview_statement"):
        _Desk(visit, merchant.id, refresh).draw()
    parts.append(
        await live(visit, lambda: visit.read(load), lambda data: _show(visit, merchant.key, *data))
    )


def _show(visit: Visit, key: str, readings: list[Any], files: list[Any]) -> None:
    def count(name: str) -> Any:
        return lambda row: number(visit, getattr(row, name))

    statements = table(
        [
            Column("Statement", lambda r: r.id, "id"),
            Column("Format", lambda r: r.format),
            Column("Paid", count("paid"), "num"),
            Column("Refused", count("refused"), "num"),
            Column("Returned", count("returned"), "num"),
            Column("By", lambda r: r.created_by),
            Column("Read", lambda r: when(visit, r.created_at)),
            Column("SHA-256", lambda r: tag("code", r.sha256[:12], title=r.sha256)),
        ],
        readings,
        empty="No statement was read yet. It marks what the bank did with payouts of bank files.",
        label="Statements",
    )
    put(sheet(statements, title=f"Statements, newest {ROWS}", flush=True))
    none = "No bank file yet. A run of the method manual has a button for one on its page."
    put(
        sheet(
            files_table(visit, key, files, empty=none),
            title=f"Bank files, newest {ROWS}",
            flush=True,
        )
    )


@dataclass
class _Desk:
    """Takes a statement, shows what it would do, and does it: the same bytes, read the same way."""

    visit: Visit
    merchant_id: int
    refresh: Refresh
    content: bytes | None = None
    name: str = ""

    def draw(self) -> None:
        """Draw the form, and a place for what comes of it."""
        with ui.element("section").classes("sheet stack"):
            ui.html(
                join(
                    tag("h2", "Read a statement"),
                    tag(
                        "p",
                        "CSV, camt.053 or camt.054. Preview it: nothing is changed until you import it.",
                    ),
                ),
                sanitize=False,
            )
            self._chooser()
            self._fields()
            with ui.element("div").classes("row"):
                button("Preview", self._preview, "go")
            self.box = ui.element("div").classes("stack")

    def _chooser(self) -> None:
        """A button and a name; what uploads is not seen, for it cannot be used without eyes."""
        uploads = ui.upload(
            max_files=1,
            max_file_size=UPLOAD_BYTES_MAX,
            auto_upload=True,
            on_upload=self._take,
            on_rejected=self._refuse,
        ).classes("unseen")
        pick = f"() => {{ const it = getElement({uploads.id}).$refs.qRef; it.reset(); it.pickFiles(); }}"
        with ui.element("div").classes("row"):
            chooses = ui.button("Choose a file…", color=None).props("unelevated no-caps")
            chooses.classes("act calm").on("click", js_handler=pick)
            self.chosen = ui.label("No file chosen.").props("role=status")

    def _fields(self) -> None:
        """How a CSV is written; XML needs none of it."""
        with ui.expansion("How the CSV is written (XML needs none of it)").classes("plain"):
            with ui.element("div").classes("row"):
                self.delimiter = ui.input("Delimiter", value=",").props(
                    "outlined dense maxlength=2"
                )
                self.decimal = ui.select([".", ","], value=".", label="Decimal sign").props(
                    "outlined dense"
                )
                self.encoding = ui.input("Encoding", value="utf-8-sig").props(
                    "outlined dense maxlength=40"
                )
                self.skip = ui.number(
                    "Lines before the header", value=0, min=0, max=1_000, precision=0
                ).props("outlined dense")
                self.currency = ui.input("Currency, if no column says it").props(
                    "outlined dense maxlength=3"
                )
            ui.html(
                tag(
                    "p",
                    "What the bank calls each column, where it is another name than ours:",
                    class_="dim",
                ),
                sanitize=False,
            )
            with ui.element("div").classes("row"):
                self.columns = {
                    name: ui.input(name).props("outlined dense maxlength=255") for name in COLUMNS
                }

    async def _take(self, event: events.UploadEventArguments) -> None:
        if event.file.size() > UPLOAD_BYTES_MAX:
            self._refuse()
            return
        self.content, self.name = await event.file.read(), event.file.name
        self.chosen.text = f"{self.name}, {event.file.size():,} bytes"
        self.box.clear()

    def _refuse(self) -> None:
        tell(
            f"A page takes up to {UPLOAD_BYTES_MAX // 2**20} MiB. Use payspool payouts import-statement.",
            well=False,
        )

    def _form(self) -> StatementForm:
        delimiter = "\t" if self.delimiter.value == "\\t" else self.delimiter.value or ""
        columns = {name: said.value for name, said in self.columns.items() if said.value}
        skip = int(self.skip.value or 0)
        currency = (self.currency.value or "").strip().lower() or None
        if not 0 <= skip <= 1_000:
            raise Invalid("Lines before the header", "are 0 to 1,000")
        csv = CsvForm(delimiter, self.decimal.value, skip, currency, columns)
        return StatementForm(None, csv, (self.encoding.value or "").strip())

    async def _preview(self) -> None:
        if self.content is None:
            tell("Choose the bank's file first.", well=False)
            return
        try:
            form = self._form()
        except Invalid as error:
            tell(str(error), well=False)
            return
        content = self.content
        handed = await done(
            self.visit,
            "bank.preview_statement",
            merchant_id=self.merchant_id,
            content=content,
            form=form,
        )
        self.box.clear()
        if not isinstance(handed, Handed) or content is not self.content:
            return
        with self.box:
            self._told(handed.thing, "would be")
            if allowed(self.visit, "bank.import_statement") and sum(handed.thing.payouts.values()):
                with ui.element("div").classes("row"):
                    button("Import it…", lambda: self._import(content, form, handed.thing), "go")

    async def _import(self, content: bytes, form: StatementForm, foreseen: Reading) -> None:
        does = " ".join(
            f"{some(count, 'payout')} to be {state}."
            for name, state in (("paid", "paid"), ("refused", "failed"), ("returned", "reversed"))
            if (count := foreseen.payouts.get(name))
        )
        question = Question(
            "Import this statement?",
            (self.name, does, "Only entries that name our reference with the exact amount count."),
            confirm="Import it",
            kind="danger",
        )
        if await ask(question) is None:
            return
        handed = await done(
            self.visit,
            "bank.import_statement",
            merchant_id=self.merchant_id,
            content=content,
            form=form,
        )
        if not isinstance(handed, Handed):
            return
        self.box.clear()
        with self.box:
            tell(handed.said, well=True)
            self._told(handed.thing, "were")
        await self.refresh()

    def _told(self, read: Reading, verb: str) -> None:
        def of(name: str) -> str:
            return number_text(self.visit, read.payouts.get(name, 0))

        refused = sum(read.rejected.values())
        figures = (
            figure(of("paid"), f"payouts {verb} paid"),
            figure(of("refused"), f"{verb} failed: the bank refused"),
            figure(of("returned"), f"{verb} reversed: it came back"),
            figure(number_text(self.visit, read.seen), "entries done by an earlier reading"),
            figure(number_text(self.visit, read.not_ours), "entries not about payouts"),
            figure(
                number_text(self.visit, refused),
                "entries of ours that do not fit",
                kind="warn" if refused else "",
            ),
        )
        put(
            join(
                tag(
                    "p",
                    f"{self.name}, read as {read.format}: {number_text(self.visit, read.entries)} of its entries were looked at.",
                    role="status",
                ),
                tag("div", *figures, class_="figures"),
            )
        )
        if not refused:
            return
        put(_refused(read))
        with ui.element("div").classes("row"):

            async def download() -> None:
                ui.download.content(read.rejects, f"{self.name}.rejects.csv", "text/csv")

            button("Download what was refused", download)


def _refused(read: Reading) -> Html:
    reasons = [
        tag("li", f"{count:,} {code}: {REJECTS[code]}")
        for code, count in sorted(read.rejected.items())
    ]
    first = table(
        [
            Column("Where", lambda r: r["place"]),
            Column("Why", lambda r: r["why"].replace("_", " ")),
            Column("Detail", lambda r: r["detail"]),
            Column("Reference", lambda r: r["reference"]),
            Column("Amount", lambda r: f"{r['amount']} {r['currency']}", "num"),
            Column("Booked", lambda r: r["booked_on"]),
        ],
        read.shown,
        empty="",
        label="Refused",
    )
    return sheet(
        tag("ul", *reasons, class_="why"),
        first,
        title="Findings: look at them before you retry anything",
    )
