"""`payspool payees`: who gets paid, and how."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from domain import clock
from domain.audit import service as audit
from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.merchants import service as merchants
from domain.merchants.rules import is_sandbox
from domain.payouts import service
from domain.payouts.rules.recipients import MAX_BYTES, parse_recipient
from domain.payouts.service import PayeeUpdate
from domain.payouts.store import listing
from payspool import runtime
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey
from payspool.sandbox_client import SandboxClient

app = typer.Typer(help="Payees.", no_args_is_help=True)


@app.command(
    "set",
    epilog="Example: payspool payees set acme ada --account acct_1Nv0FGQ9RKHgCVdK"
    "   (or --sandbox-account with the sandbox)",
)
def set_(
    merchant: MerchantKey,
    user: Annotated[str, typer.Argument(metavar="USER", help="as events name them")],
    account: Annotated[str | None, typer.Option(help="connected account, acct_…")] = None,
    sandbox_account: Annotated[
        bool, typer.Option("--sandbox-account", help="make an account in the sandbox")
    ] = False,
    name: Annotated[str | None, typer.Option(help="shown to people")] = None,
) -> None:
    """Set how a user is paid by Stripe."""
    settings, rt = session.build()
    if sandbox_account:
        if not is_sandbox(settings.stripe_url):
            raise Invalid("--sandbox-account", "works with the sandbox only; give --account acct_…")
        with SandboxClient(settings.stripe_url) as sandbox:
            account = sandbox.new_account(merchant, user)
    if account is None or not account.startswith("acct_"):
        raise Invalid("--account", "is the connected account's id, as acct_…")
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        now = clock.business_now(tx)
        (holds,) = service.put_payees(
            tx, [PayeeUpdate(found.id, user, "stripe", now, account, name)]
        )
        if not holds:
            raise Forbidden(
                f"A newer event says how {user} is paid; nothing was changed."
                f" `payspool payees list {merchant}` shows it."
            )
        audit.record(
            tx,
            session.me(),
            "payee.set",
            merchant_id=found.id,
            subject_kind="payee",
            subject_id=user,
            after={"method": "stripe", "account": account},
        )
    session.say(f"{user} is paid by Stripe to {account}.")


@app.command(
    epilog="Example: payspool payees recipient acme ada --file ada.json   (or - for a pipe)"
)
def recipient(
    merchant: MerchantKey,
    user: Annotated[str, typer.Argument(metavar="USER", help="as events name them")],
    file: Annotated[str, typer.Option(help="JSON with the bank data, or - for standard input")],
) -> None:
    """Set the bank account that a user is paid to by bank file. It is stored encrypted."""
    settings, rt = session.build()
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(MAX_BYTES + 1).decode()
        else:
            with Path(file).open("rb") as source:
                raw = source.read(MAX_BYTES + 1).decode()
    except (OSError, ValueError):
        raise Invalid("--file", "cannot be read as UTF-8 text") from None
    given = parse_recipient(raw)
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        account = service.set_recipient(
            tx, found.id, user, given,
            at=clock.business_now(tx), box=runtime.secret_box(settings), actor=session.me(),
        )  # fmt: skip
    session.say(f"{user} is paid by bank file to {given.hint} ({account}).")


@app.command(epilog="Example: payspool payees check acme ada")
def check(
    merchant: MerchantKey,
    user: Annotated[str, typer.Argument(metavar="USER", help="as events name them")],
) -> None:
    """Ask the gateway whether a payee can be paid now. Changes nothing."""
    _, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        payee = listing.payee(tx, found.id, user)
    if payee is None or payee.account is None:
        raise NotFound(
            "payout account of", user, f"Set one: `payspool payees set {merchant} {user}`."
        )
    seen = rt.gateways(found.id, payee.method).check_payee(payee.account)
    if seen is None:
        raise Forbidden(f"The gateway did not answer about {payee.account}; ask again later.")
    if payee.blocked_reason:
        raise Forbidden(f"{user} is blocked here: {payee.blocked_reason}.")
    if not seen.ready:
        raise Forbidden(f"{user} cannot be paid to {payee.account}: {seen.reason}.")
    session.say(f"{user} can be paid to {payee.account}.")


@app.command("list", epilog="Example: payspool payees list acme")
def list_(
    merchant: MerchantKey,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List payees with what is owed to each now, in minor units."""
    with session.for_merchant(merchant) as (tx, found):
        rows = listing.payees(tx, found.id, limit)
    session.show(
        rows,
        ["user_id", "name", "method", "account", "blocked_reason", "owed"],
        as_json=as_json,
        empty=f"No payees yet. Set one with `payspool payees set {merchant} USER --account acct_…`.",
    )
