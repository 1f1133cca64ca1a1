"""`payspool merchants bank`: the merchant's own accounts, that bank files are paid from."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from domain.db import transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.payouts.rules.recipients import MAX_BYTES, parse_recipient
from domain.payouts.service import debtors
from payspool import runtime
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey

app = typer.Typer(
    help="The merchant's own bank accounts, one a currency, that bank files are paid from.",
    no_args_is_help=True,
)


@app.command(
    "set",
    epilog="Example: payspool merchants bank set acme --currency eur --file acme.json   (or - for a pipe)",
)
def set_(
    merchant: MerchantKey,
    currency: Annotated[str, typer.Option(help="of what is paid from it, as eur")],
    file: Annotated[str, typer.Option(help="JSON as of a recipient, or - for standard input")],
) -> None:
    """Set the account that bank files in a currency are paid from. It is stored encrypted."""
    settings, rt = session.build()
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(MAX_BYTES + 1).decode()
        else:
            with Path(file).open("rb") as source:
                raw = source.read(MAX_BYTES + 1).decode()
    except (OSError, ValueError):
        raise Invalid("--file", "cannot be read as UTF-8 text") from None
    account, currency = parse_recipient(raw), currency.lower()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        changed = debtors.set_debtor(
            tx, found.id, currency, account, box=runtime.secret_box(settings), actor=session.me()
        )
    now = "are now" if changed else "were already"
    session.say(f"Bank files of {merchant} in {currency} {now} paid from {account.hint}.")


@app.command(epilog="Example: payspool merchants bank show acme")
def show(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """Show a hint of each account, who set it and when."""
    with session.for_merchant(merchant) as (tx, found):
        rows = debtors.listed(tx, found.id)
    session.show(
        rows,
        ["currency", "account", "set_by", "set_at"],
        as_json=as_json,
        empty=f"None yet. Set one: `payspool merchants bank set {merchant} --currency eur --file …`.",
    )
