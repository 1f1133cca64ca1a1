"""Loyalty cards with their balances out of another system's file."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from domain.db import Tx
from domain.errors import Invalid
from domain.loyalty.rules import importing as rules
from domain.loyalty.rules.importing import PastCard
from domain.loyalty.service import importing as service
from domain.merchants.service import Merchant
from payspool.cli.importing.files import Line, Shape
from payspool.cli.importing.running import DryRun, File, Rejects, Totals, app, run
from payspool.cli.session import AsJson, MerchantKey

CHUNK: Final = 4_000
"""Lines of one transaction, of cards that nobody else can see yet."""

_CARDS: Final = Shape(
    rules.CARD_COLUMNS, "cards.imported", rules.NEEDED_COLUMNS, "card", rules.MAX_LOTS, CHUNK
)


@app.command(epilog="Example: payspool import cards acme cards.csv --dry-run")
def cards(
    merchant: MerchantKey,
    file: File,
    dry_run: DryRun = False,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Import cards with their points and stamps. A line is a card, or one more lot of the card above it."""

    def take(tx: Tx, found: Merchant, lines: Sequence[Line]) -> Totals:
        return _take(tx, found, lines, dry_run=dry_run)

    run(merchant, file, _CARDS, take, dry_run, rejects, as_json)


def _take(tx: Tx, merchant: Merchant, lines: Sequence[Line], *, dry_run: bool) -> Totals:
    said: list[tuple[list[Line], PastCard]] = []
    for _, group in groupby(lines, key=lambda line: line.row["card"].strip() or line.number):
        of_card = list(group)
        past = _read(of_card)
        if past is not None:
            said.append((of_card, past))
    outcomes = service.import_cards(tx, merchant.id, [past for _, past in said], dry_run=dry_run)
    totals = Totals({"cards": 0, "points": 0, "stamps": 0})
    for (of_card, past), outcome in zip(said, outcomes, strict=True):
        for line in of_card:
            line.status, line.reason, line.message = (
                outcome.status,
                outcome.reason,
                outcome.sentence,
            )
        if outcome.status == "new":
            totals.update(cards=1, points=outcome.points, stamps=past.stamps)
    return totals


def _read(of_card: Sequence[Line]) -> PastCard | None:
    """A card of all its lines, or none of them is taken."""
    bad = next((line for line in of_card if line.status), None)
    if bad is None:
        try:
            return rules.read_card([line.row for line in of_card])
        except Invalid as error:
            for line in of_card:
                line.refuse("invalid", str(error))
            return None
    for line in of_card:
        if not line.status:
            line.refuse(
                "invalid", f"line {bad.number} of this card is refused, and so is all of it"
            )
    return None
