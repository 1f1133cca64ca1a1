"""`payspool cards`: look at a card, replace a lost one, take many out of use or back."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import track

from domain import clock
from domain.audit import service as audit
from domain.db import Tx, transaction
from domain.errors import Invalid, NotFound
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse
from domain.loyalty import service
from domain.merchants import service as merchants
from domain.merchants.service import Merchant
from payspool.cli import card_history, session
from payspool.cli.session import AsJson, MerchantKey

app = typer.Typer(help="Loyalty cards.", no_args_is_help=True)

app.command(epilog="Example: payspool cards history acme 4006381333931 --type points_redeemed")(
    card_history.history
)

ROWS: Final = 20
"""Rows of a card's history that are shown."""
CHUNK: Final = 500
"""Cards that one transaction takes out of use or back."""
MOST: Final = 1_000_000
"""Cards of one file."""

CardNumber = Annotated[str, typer.Argument(metavar="CARD", help="number of the card")]
Numbers = Annotated[
    Path, typer.Argument(metavar="FILE", help="a card number a line", exists=True, dir_okay=False)
]
Reason = Annotated[str, typer.Option(help="kept in the history and the audit trail")]
Batch = Annotated[str, typer.Option(help="name of this run; the same again books nothing twice")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="tell only")]


@app.command(epilog="Example: payspool cards show acme 4006381333931")
def show(merchant: MerchantKey, card: CardNumber, as_json: AsJson = False) -> None:
    """A card now, what expires when, and its latest rows with why each is as it is."""
    with session.for_merchant(merchant) as (tx, found):
        seen = service.card(tx, found.id, card, clock.business_now(tx))
        rows = service.history(tx, found.id, card, limit=ROWS)
        tier = service.tier(tx, found.id, card, clock.business_now(tx))
        steps = service.tier_changes(tx, found.id, card=card) if tier else []
    if seen is None:
        raise NotFound("card", card)
    points = seen.points
    deadlines = [{"expires": at, "points": due} for at, due in points.by_deadline]
    latest = [dict(row._mapping) for row in rows or ()]
    about = {
        "card": seen.card,
        "customer": seen.customer_id,
        "program": seen.program,
        "status": seen.status,
        "balance": points.balance,
        "spendable": points.spendable,
        "pending": points.pending,
        "held": points.held,
        "debt": seen.debt,
        "stamps": seen.stamps,
        "tier": tier.key if tier else None,
        "tier_until": tier.until if tier else None,
    }
    changes = [
        {
            name: getattr(step, name)
            for name in ("changed_at", "from_tier", "to_tier", "reason", "points")
        }
        for step in steps
    ]
    if as_json:
        session.emit_json(
            about | {"by_deadline": deadlines, "tier_changes": changes, "transactions": latest}
        )
        return
    session.show([about], list(about), as_json=False, empty="")
    session.show(deadlines, ["expires", "points"], as_json=False, empty="No points expire.")
    if changes:
        session.show(changes, list(changes[0]), as_json=False, empty="")
    columns = [
        "seq",
        "transaction_at",
        "type",
        "points",
        "balance",
        "stamps",
        "reason",
        "explanation",
    ]
    session.show(latest, columns, as_json=False, empty="No rows.")  # fmt: skip


@app.command(epilog="Example: payspool cards replace acme 4006381333931 --reason 'lost'")
def replace(
    merchant: MerchantKey,
    card: CardNumber,
    reason: Reason,
    number: Annotated[str | None, typer.Option(help="made if left out")] = None,
) -> None:
    """Give the customer of a lost card a new number, and print it; balances and history stay."""
    with session.for_merchant(merchant) as (tx, found):
        new = service.replace_card(tx, found.id, card, number, actor=session.me(), reason=reason)
    session.console.print(new, highlight=False)


@app.command(
    epilog="Example: payspool cards deactivate acme stolen.txt --reason 'stolen' --batch s1 --dry-run"
)
def deactivate(
    merchant: MerchantKey,
    file: Numbers,
    reason: Reason,
    batch: Batch,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take the cards of a file out of use; their balances stay."""
    _set_active(merchant, file, reason, batch, False, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: payspool cards reactivate acme found.txt --reason 'found' --batch f1")
def reactivate(
    merchant: MerchantKey,
    file: Numbers,
    reason: Reason,
    batch: Batch,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put the cards of a file back into use."""
    _set_active(merchant, file, reason, batch, True, dry_run=dry_run, as_json=as_json)


def _set_active(
    merchant: str,
    file: Path,
    reason: str,
    batch: str,
    active: bool,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    numbers = list(dict.fromkeys(file.read_text(encoding="utf-8").split()))
    if not numbers or len(numbers) > MOST:
        raise Invalid("file", f"give 1 to {MOST:,} card numbers, one a line")
    done: Counter[str] = Counter()
    with session.working() as rt:
        with transaction(rt.engine) as tx:
            found = merchants.get(tx, merchant)
        chunks = list(_chunks(numbers))
        for chunk in track(chunks, console=session.errors, disable=len(chunks) < 2):
            with transaction(rt.engine) as tx:
                if dry_run:
                    done.update(service.would_change(tx, found.id, chunk, active=active).values())
                else:
                    done.update(_apply(tx, found, chunk, reason, batch, active))
        if not dry_run:
            with transaction(rt.engine) as tx:
                audit.record(
                    tx,
                    session.me(),
                    "cards.reactivated" if active else "cards.deactivated",
                    merchant_id=found.id,
                    subject_kind="cards",
                    subject_id=batch,
                    reason=reason,
                    after=dict(done),
                )
    rows = [{"result": result, "cards": cards} for result, cards in sorted(done.items())]
    session.show(rows, ["result", "cards"], as_json=as_json, empty="")


def _chunks(numbers: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(numbers), CHUNK):
        yield numbers[first : first + CHUNK]


def _apply(
    tx: Tx, merchant: Merchant, numbers: Sequence[str], reason: str, batch: str, active: bool
) -> Iterator[str]:
    """Apply an event for each card, over the road of every event; what became of each."""
    type_ = "loyalty.card_reactivated" if active else "loyalty.card_deactivated"
    # An event that was repeated must be the same: its time is that of its first run, so it is told apart
    # by its id, and its content is taken from what is kept.
    known = {n: inbox.status(tx, merchant.id, SOURCE, f"{batch}/{n}") for n in numbers}
    now = clock.business_now(tx)
    deliveries = [
        Delivery(f"command:{batch}", position, json.dumps(_event(merchant, type_, batch, n, reason, now)))
        for position, n in enumerate(numbers)
        if known[n] is None
    ]  # fmt: skip
    yield from ("repeated" for one in known.values() if one is not None)
    for outcome in inbox.apply(tx, parse(deliveries), at_once=True) if deliveries else ():
        yield outcome.reason or "changed"


SOURCE: Final = "payspool-cards"
"""The source of the events of these commands."""


def _event(
    merchant: Merchant, type_: str, batch: str, number: str, reason: str, now: Any
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{batch}/{number}",
        "source": SOURCE,
        "merchant": merchant.key,
        "type": type_,
        "time": now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {"card": number, "reason": reason},
    }
