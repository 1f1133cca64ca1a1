"""`payspool keys`: API keys of producers, and keys for secrets at rest."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from domain.access import service
from domain.db import transaction
from domain.merchants import service as merchants
from domain.payouts.service.recipients import reseal as reseal_bank_data
from domain.secrets import new_key
from domain.webhooks.service import reseal as reseal_endpoints
from payspool import runtime
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey

app = typer.Typer(help="API keys.", no_args_is_help=True)

COLUMNS = (
    "id",
    "name",
    "prefix",
    "scopes",
    "mode",
    "status",
    "rate_per_second",
    "created_at",
    "expires_at",
    "last_used_at",
    "revoked_at",
)


@app.command(epilog="Example: payspool keys create acme --name shop-backend --expires 2027-12-31")
def create(
    merchant: MerchantKey,
    name: Annotated[str, typer.Option(help="who uses it")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help=f"repeatable: {', '.join(service.SCOPES)}; without it {', '.join(service.DEFAULT_SCOPES)}"
        ),
    ] = None,
    expires: Annotated[
        datetime | None, typer.Option(help="good until then (UTC); without it, until it is revoked")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(help="requests a second; PAYSPOOL_API_RATE by default", min=1),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key. Its secret is shown once, now."""
    with session.for_merchant(merchant) as (tx, found):
        secret = service.create(
            tx,
            found,
            name,
            scope or service.DEFAULT_SCOPES,
            expires_at=None if expires is None else expires.replace(tzinfo=UTC),
            rate_per_second=rate,
            actor=session.me(),
        )
        made = dict(service.listing(tx, found)[0]._mapping)
    if as_json:
        session.emit_json({"secret": secret} | {name: made[name] for name in COLUMNS})
        return
    session.console.print(secret, highlight=False, soft_wrap=True)
    session.errors.print("Keep it now: it is stored as a hash and cannot be shown again.")


@app.command("list", epilog="Example: payspool keys list acme")
def list_(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """List a merchant's keys with their last use, to the minute; never their secrets."""
    with session.for_merchant(merchant) as (tx, found):
        rows = service.listing(tx, found)
    session.show(
        rows,
        COLUMNS,
        as_json=as_json,
        empty=f"No keys yet. Create one with `payspool keys create {merchant}`.",
    )


@app.command(epilog="Example: payspool keys revoke acme 3")
def revoke(
    merchant: MerchantKey,
    key_id: Annotated[int, typer.Argument(metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key. Every API process refuses it within seconds (docs/reference/http.md)."""
    with session.for_merchant(merchant) as (tx, found):
        service.revoke(tx, found, key_id, actor=session.me())
    if as_json:
        session.emit_json({"id": key_id, "status": "revoked"})
        return
    session.say(f"Revoked key {key_id} of {merchant}.")


@app.command(epilog="Example: PAYSPOOL_SECRET_KEYS=$(payspool keys secret)")
def secret() -> None:
    """Make a key for PAYSPOOL_SECRET_KEYS (secrets at rest)."""
    session.console.print(new_key(), highlight=False, soft_wrap=True)


@app.command(epilog="Example: payspool keys reseal")
def reseal() -> None:
    """Encrypt stored secrets under the first of PAYSPOOL_SECRET_KEYS, so that older ones can go."""
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        box = runtime.secret_box(settings)
        count = merchants.reseal(tx, box=box, actor=session.me())
        bank = reseal_bank_data(tx, box=box, actor=session.me())
        endpoints = reseal_endpoints(tx, box=box, actor=session.me())
    session.say(
        f"Encrypted {session.count(count, 'gateway account')},"
        f" {session.count(endpoints, 'webhook endpoint')} and"
        f" {session.count(bank, 'recipient, bank file or debtor account')} under the newest key."
    )
