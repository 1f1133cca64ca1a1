"""`payspool payouts close` and `payspool payees statement`: a month, out of the ledger."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from domain.db import snapshot
from domain.merchants import service as merchants
from domain.payouts.rules.months import month_of
from domain.payouts.store import closing as store
from domain.sheets import SheetWriter
from payspool.cli import payees, session
from payspool.cli.payouts.runs import app
from payspool.cli.session import AsJson, MerchantKey

SUMS: Final = ("opening", "earned", "reversed", "paid", "came_back", "closing")
NO_TAX_FORMS: Final = "Tax forms are not included."
SHOWN: Final = 200
"""Payees on the screen; a file or JSON has all."""

Month = Annotated[str, typer.Argument(metavar="MONTH", help="as 2026-06")]
Zone = Annotated[str, typer.Option(help="IANA time zone of the month")]
File = Annotated[Path | None, typer.Option("--csv", help="write all rows to this file")]


@app.command(epilog="Example: payspool payouts close acme 2026-06 --csv june.csv")
def close(
    merchant: MerchantKey,
    month: Month,
    zone: Zone = "UTC",
    csv_file: File = None,
    as_json: AsJson = False,
) -> None:
    """Close a month: opening + earned - reversed - paid + came back = closing, for each payee.

    Amounts in minor units. Tax forms are not included.
    """
    start, end = month_of(month, zone)
    totals: dict[str, dict[str, int]] = {}
    kept: list[dict[str, Any]] = []
    with session.working() as rt, snapshot(rt.engine) as tx:
        found = merchants.get(tx, merchant)

        def counted() -> Iterator[dict[str, Any]]:
            for row in store.close(tx, found.id, start, end):
                line = dict(row._mapping)
                total = totals.setdefault(line["currency"], dict.fromkeys(SUMS, 0))
                for name in SUMS:
                    total[name] += line[name]
                yield line

        if csv_file is not None:
            _write(csv_file, ["user_id", "currency", *SUMS], counted())
        else:
            for line in counted():
                if as_json or len(kept) < SHOWN:
                    kept.append(line)
    if as_json:
        session.emit_json({"month": month, "zone": zone, "totals": totals, "payees": kept})
        return
    if csv_file is None:
        session.show(
            kept,
            ["user_id", "currency", *SUMS],
            as_json=False,
            empty=f"Nobody was owed anything until the end of {month}."
            f" `payspool payouts preview {merchant}` shows what is owed now.",
        )
    for currency, total in totals.items():
        parts = ", ".join(f"{name.replace('_', ' ')} {total[name]}" for name in SUMS)
        session.say(f"{currency}: {parts}")
    if csv_file is not None:
        session.say(f"Written to {csv_file}.")
    session.say(NO_TAX_FORMS)


@payees.app.command(epilog="Example: payspool payees statement acme ada 2026-06 --csv ada.csv")
def statement(
    merchant: MerchantKey,
    user: Annotated[str, typer.Argument(metavar="USER", help="as events name them")],
    month: Month,
    zone: Zone = "UTC",
    csv_file: File = None,
    as_json: AsJson = False,
) -> None:
    """Show every movement of what a user was owed in a month, in minor units, with its reason.

    Tax forms are not included.
    """
    start, end = month_of(month, zone)
    with session.for_merchant(merchant) as (tx, found):
        rows = store.statement(tx, found.id, user, start, end)
    lines: list[dict[str, Any]] = []
    for row in rows:
        owed = 0 if row.reason == "opening" else lines[-1]["owed"]
        lines.append({**row._mapping, "owed": owed + row.amount})
    columns = ["currency", "at", "reason", "source", "amount", "owed"]
    if csv_file is not None:
        _write(csv_file, columns, lines)
        session.say(f"Written to {csv_file}. {NO_TAX_FORMS}")
        return
    session.show(
        lines,
        columns,
        as_json=as_json,
        empty=f"{user} had earned nothing until the end of {month}."
        f" `payspool payees list {merchant}` shows what payees are owed now.",
    )
    if not as_json:
        session.say(NO_TAX_FORMS)


def _write(file: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = SheetWriter(out)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([row[name] for name in columns])
