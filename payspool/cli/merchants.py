"""`payspool merchants`: the tenants, and the Stripe accounts that pay for them."""

from typing import Annotated

import typer

from domain.db import transaction
from domain.merchants import service
from domain.merchants.rules import is_sandbox
from payspool import runtime
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey
from payspool.sandbox_client import DEFAULT_KEY

app = typer.Typer(help="The merchants (tenants) of this installation.", no_args_is_help=True)


@app.command(epilog="Example: payspool merchants add acme --name 'Acme Shop'")
def add(
    key: MerchantKey,
    name: Annotated[str | None, typer.Option(help="shown to people; the key by default")] = None,
    live: Annotated[bool, typer.Option("--live", help="real money; needs --stripe-key")] = False,
    stripe_key: Annotated[
        str | None,
        typer.Option(help="secret key; the sandbox's by default", envvar="PAYSPOOL_STRIPE_KEY"),
    ] = None,
    webhook_secret: Annotated[
        str | None, typer.Option(help="whsec_… of the webhook endpoint")
    ] = None,
) -> None:
    """Add a merchant, with the Stripe account that pays for it."""
    settings, rt = session.build()
    api_key = stripe_key or (DEFAULT_KEY if is_sandbox(settings.stripe_url) else None)
    with transaction(rt.engine) as tx:
        merchant = service.add(
            tx, key, name or key, mode="live" if live else "test", actor=session.me()
        )
        if api_key:
            service.set_stripe_account(
                tx,
                merchant,
                api_key=api_key,
                base_url=settings.stripe_url,
                webhook_secret=webhook_secret,
                box=runtime.secret_box(settings),
                actor=session.me(),
            )
    pays = f"pays by Stripe at {settings.stripe_url}" if api_key else "has no Stripe account yet"
    session.say(f"Added the {merchant.mode} merchant {key!r}; it {pays}.")


@app.command("list", epilog="Example: payspool merchants list --json")
def list_(as_json: AsJson = False) -> None:
    """List the merchants."""
    from domain.merchants import store

    with session.opened() as tx:
        rows = store.listing(tx)
    session.show(
        rows,
        ["key", "name", "mode", "methods", "retired_at"],
        as_json=as_json,
        empty="No merchants yet. Add one with `payspool merchants add acme`.",
    )
