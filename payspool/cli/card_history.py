"""`payspool cards history`: what happened to a card, and why; by page, or all of it as CSV."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Final

import typer

from domain.db import Tx, snapshot
from domain.errors import NotFound
from domain.loyalty import service
from domain.loyalty.rules.reporting import Only, chosen
from domain.loyalty.service import reporting
from domain.merchants import service as merchants
from payspool.cli import session
from payspool.cli.exporting import STDOUT, Csv, write_csv
from payspool.cli.session import AsJson, MerchantKey

PAGE: Final = 1_000
COLUMNS: Final = (
    "seq",
    "id",
    "transaction_at",
    "type",
    "points",
    "balance",
    "stamps",
    "stamps_balance",
    "related",
    "reason",
    "order_reference",
    "reward_id",
    "reward_description",
    "reward_cost",
    "purchase_amount",
    "purchase_currency",
    "category_ids",
    "points_not_taken",
    "store_id",
    "store_name",
    "staff_pin_id",
    "staff_name",
    "terminal_device_id",
    "principal_kind",
    "principal_id",
    "ip_address",
    "user_agent",
    "notes",
    "corrected_by",
    "program_version",
    "explanation",
)
SHOWN: Final = (
    "seq",
    "id",
    "transaction_at",
    "type",
    "points",
    "balance",
    "stamps",
    "store_name",
    "staff_name",
    "order_reference",
    "related",
    "corrected_by",
    "reason",
    "explanation",
)


def history(
    merchant: MerchantKey,
    card: Annotated[str, typer.Argument(metavar="CARD", help="number of the card")],
    types: Annotated[
        list[str] | None, typer.Option("--type", help="of this type; several times")
    ] = None,
    store: Annotated[str | None, typer.Option(help="of this store")] = None,
    staff: Annotated[str | None, typer.Option(help="of this staff PIN")] = None,
    device: Annotated[str | None, typer.Option(help="of this device")] = None,
    order: Annotated[str | None, typer.Option(help="of this order reference")] = None,
    first: Annotated[str | None, typer.Option("--from", help="first day, or a time")] = None,
    last: Annotated[str | None, typer.Option("--to", help="last day, or a time")] = None,
    before: Annotated[
        int | None, typer.Option(min=1, help="rows below this seq: the next page")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="rows of a page")] = 50,
    csv: Csv = None,
    as_json: AsJson = False,
) -> None:
    """A card's rows, newest first, with why each is as it is. Days are the program's. CSV has all of them."""
    with session.working() as rt, snapshot(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        only = chosen(
            zone=reporting.zone_of_card(tx, found.id, card),
            types=types or (),
            since=first,
            until=last,
            store=store,
            staff=staff,
            device=device,
            order_reference=order,
        )
        rows = _rows(tx, found.id, card, before, only)
        if csv is not None:
            written = write_csv(csv, COLUMNS, rows)
            if csv != STDOUT:
                session.say(f"{session.count(written, 'row')} in {csv}")
            return
        page = list(islice(rows, limit + 1))
    more = page[limit - 1]["seq"] if len(page) > limit else None
    if as_json:
        session.emit_json({"transactions": page[:limit], "next": more})
        return
    session.show(page[:limit], SHOWN, as_json=False, empty="No such rows.")
    if more is not None:
        session.say(f"There are more: --before {more}")


def _rows(
    tx: Tx, merchant_id: int, card: str, before: int | None, only: Only
) -> Iterator[dict[str, Any]]:
    while True:
        page = service.history(tx, merchant_id, card, before=before, limit=PAGE, only=only)
        if page is None:
            raise NotFound("card", card)
        yield from (dict(row._mapping) for row in page)
        if len(page) < PAGE:
            return
        before = page[-1].seq
