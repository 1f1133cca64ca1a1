"""`payspool codes`: referral codes."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from domain.referrals import admin
from domain.referrals.admin import NewCode
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey

app = typer.Typer(help="Referral codes.", no_args_is_help=True)


@app.command(epilog="Example: payspool codes create acme friends ada --code ADA-2026")
def create(
    merchant: MerchantKey,
    program: Annotated[str, typer.Argument(metavar="PROGRAM")],
    user: Annotated[str, typer.Argument(metavar="USER", help="who owns the code")],
    code: Annotated[str | None, typer.Option(help="6 to 20 characters; made if left out")] = None,
    max_uses: Annotated[int | None, typer.Option(help="conversions, at most", min=1)] = None,
    expires: Annotated[
        datetime | None, typer.Option(help="UTC", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    ] = None,
) -> None:
    """Create a code, and print it."""
    new = NewCode(user, code, max_uses, expires.replace(tzinfo=UTC) if expires else None)
    with session.for_merchant(merchant) as (tx, found):
        made = admin.create_codes(tx, found.id, program, [new], actor=session.me())
    session.console.print(made[0], highlight=False)


@app.command("list", epilog="Example: payspool codes list acme --user ada")
def list_(
    merchant: MerchantKey,
    user: Annotated[str | None, typer.Option(help="only this user's")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List codes, newest first."""
    with session.for_merchant(merchant) as (tx, found):
        rows = admin.codes(tx, found.id, user_id=user, limit=limit)
    session.show(
        rows,
        ["code", "user_id", "program", "status", "uses", "max_uses", "expires_at"],
        as_json=as_json,
        empty=f"No codes yet. Create one with `payspool codes create {merchant} PROGRAM USER`.",
    )
