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
from domain.payouts.gateway import Gateway, PayeeCheck, PaysBanks
from domain.payouts.rules.recipients import MAX_BYTES, parse_recipient
from domain.payouts.rules.wise_recipients import parse_wise_recipient
from domain.payouts.service import PayeeUpdate, wise_recipients
from domain.payouts.store import listing, policies
from payspool import runtime
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey
from payspool.sandbox_client import SandboxClient
from workers.gateways.wise import profile_of
from workers.gateways.wise_account import make_recipient

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
    given = parse_recipient(_read(file))
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        account = service.set_recipient(
            tx, found.id, user, given,
            at=clock.business_now(tx), box=runtime.secret_box(settings), actor=session.me(),
        )  # fmt: skip
    session.say(f"{user} is paid by bank file to {given.hint} ({account}).")


@app.command(
    "set-wise",
    epilog="Example: payspool payees set-wise acme ada --file ada.json"
    "   |   payspool payees set-wise acme ada --recipient 40000001",
)
def set_wise(
    merchant: MerchantKey,
    user: Annotated[str, typer.Argument(metavar="USER", help="as events name them")],
    file: Annotated[
        str | None, typer.Option(help="JSON with the bank data, or - for standard input")
    ] = None,
    recipient: Annotated[
        str | None, typer.Option(help="number of a recipient that Wise knows already")
    ] = None,
    name: Annotated[str | None, typer.Option(help="shown to people; with --recipient")] = None,
) -> None:
    """Set how a user is paid by Wise.

    Bank data is checked, told to Wise once, and stored encrypted; payouts name it by Wise's number.
    """
    if (file is None) == (recipient is None):
        raise Invalid("--file", "or --recipient: give one of them")
    settings, rt = session.build()
    box = runtime.secret_box(settings)
    given = parse_wise_recipient(_read(file)) if file is not None else None
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        account = merchants.gateway_account(tx, found.id, "wise", box=box)
        if account is None or account.platform_account is None:
            raise NotFound(
                "Wise account of", merchant, f"Give one: `payspool merchants wise {merchant}`."
            )
        profile = profile_of(account.platform_account)
        number = recipient
        if given is not None:
            number = wise_recipients.known(tx, found.id, user, profile, given, box)
    if given is not None and number is None:
        address = settings.wise_address if is_sandbox(account.base_url) else account.base_url
        number = make_recipient(
            account.api_key, address, mode=account.mode, profile=profile, body=given.body
        )
    assert number is not None, "one of the two was given"
    _check_at_wise(rt.gateways(found.id, "wise"), user, number)
    with transaction(rt.engine) as tx:
        at, actor = clock.business_now(tx), session.me()
        if given is None:
            wise_recipients.set_account(
                tx, found.id, user, number, name=name, hint=number, at=at, actor=actor
            )
        else:
            wise_recipients.keep(
                tx, found.id, user, given,
                profile=profile, external_id=number, at=at, box=box, actor=actor,
            )  # fmt: skip
    hint = "" if given is None else f", {given.hint}"
    session.say(f"{user} is paid by Wise to recipient {number}{hint}.")


@app.command(epilog="Example: payspool payees check acme ada")
def check(
    merchant: MerchantKey,
    user: Annotated[str, typer.Argument(metavar="USER", help="as events name them")],
) -> None:
    """Ask the gateway whether a payee can be paid now; by bank file, look at the bank data. Changes nothing."""
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        found = merchants.get(tx, merchant)
        payee = listing.payee(tx, found.id, user)
        bank_leg = (
            policies.of(tx, found.id).bank_leg and payee is not None and payee.method == "stripe"
        )
    if payee is None or payee.account is None:
        raise NotFound(
            "payout account of", user, f"Set one: `payspool payees set {merchant} {user}`."
        )
    if payee.method == "manual":
        with transaction(rt.engine) as tx:
            seen: PayeeCheck | None = service.check_recipient(
                tx, found.id, user, payee.account, runtime.secret_box(settings)
            )
    else:
        seen = rt.gateways(found.id, payee.method).check_payee(payee.account)
    if seen is None:
        raise Forbidden(f"The gateway did not answer about {payee.account}; ask again later.")
    if payee.blocked_reason:
        raise Forbidden(f"{user} is blocked here: {payee.blocked_reason}.")
    if not seen.ready:
        raise Forbidden(f"{user} cannot be paid to {payee.account}: {seen.reason}.")
    if bank_leg:
        _check_bank(rt.gateways(found.id, payee.method), payee.account, user)
    session.say(f"{user} can be paid to {payee.account}.")


def _check_at_wise(gateway: Gateway, user: str, number: str) -> None:
    """Refuse a recipient that cannot be paid before anything is kept. Raises Forbidden."""
    seen = gateway.check_payee(number)
    if seen is None:
        raise Forbidden(f"Wise did not answer about {number}; nothing was changed. Try again.")
    if not seen.ready:
        raise Forbidden(f"{user} cannot be paid to {number}: {seen.reason}. Nothing was changed.")


def _read(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1).decode()
        with Path(file).open("rb") as source:
            return source.read(MAX_BYTES + 1).decode()
    except (OSError, ValueError):
        raise Invalid("--file", "cannot be read as UTF-8 text") from None


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


def _check_bank(gateway: Gateway, account: str, user: str) -> None:
    """Whether the account pays out to a bank when it is told to, and only then. Raises Forbidden."""
    assert isinstance(gateway, PaysBanks), f"{gateway.method} has no second leg"
    seen = gateway.bank.account(account)
    if seen is None:
        raise Forbidden(f"The gateway did not answer about {account}; ask again later.")
    if seen.hindrance is not None:
        raise Forbidden(f"{user} is not paid on to a bank from {account}: {seen.hindrance}.")
    if not seen.banks:
        raise Forbidden(f"{account} has no bank account to pay out to: {user} adds one at Stripe.")
    session.say(f"It pays out to a bank in {', '.join(sorted(seen.banks)).upper()}.")
