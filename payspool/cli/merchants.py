"""`payspool merchants`: the tenants, and the accounts at Stripe and Wise that pay for them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from domain.db import transaction
from domain.errors import Invalid
from domain.merchants import service
from domain.merchants.rules import (
    WISE_SANDBOX_TOKEN,
    WISE_URL,
    Mode,
    check_stripe_key,
    check_wise_token,
    is_sandbox,
    key_mode,
)
from domain.payouts import service as payouts
from domain.payouts.service import breakers
from domain.schedules import service as schedules
from payspool import runtime
from payspool.cli import merchant_bank, secret_input, session
from payspool.cli.secret_input import read_secret
from payspool.cli.session import AsJson, MerchantKey
from payspool.installing import polling_schedule, reconciliation_schedule, returns_schedule
from payspool.sandbox_client import DEFAULT_KEY, SandboxClient
from payspool.settings import Settings
from web.wise_signature import load as load_public_key
from workers.gateways.stripe_account import platform_account
from workers.gateways.wise_account import paying_profile

app = typer.Typer(help="The merchants (tenants) of this installation.", no_args_is_help=True)
app.add_typer(merchant_bank.app, name="bank")

StripeKey = Annotated[str, typer.Option(help=f"sk_… or rk_…: {secret_input.HELP}")]
WebhookSecret = Annotated[
    str | None, typer.Option(help=f"whsec_… of the webhook endpoint: {secret_input.HELP}")
]


@app.command(epilog="Example: payspool merchants add acme --name 'Acme Shop'")
def add(
    key: MerchantKey,
    name: Annotated[str | None, typer.Option(help="shown to people; the key by default")] = None,
    live: Annotated[bool, typer.Option("--live", help="real money; needs a live key")] = False,
    stripe_key: Annotated[
        str | None,
        typer.Option(
            help=f"{secret_input.HELP}; PAYSPOOL_STRIPE_KEY, or the sandbox's, by default"
        ),
    ] = None,
    webhook_secret: WebhookSecret = None,
    without_stripe: Annotated[
        bool, typer.Option("--without-stripe", help="it pays by Wise or bank file alone")
    ] = False,
) -> None:
    """Add a merchant, with the Stripe account that pays for it."""
    settings, rt = session.build()
    mode = "live" if live else "test"
    if without_stripe and stripe_key is not None:
        raise Invalid("--without-stripe", "and --stripe-key contradict each other")
    api_key = None if without_stripe else _key_to_add(settings, mode, stripe_key)
    if webhook_secret is not None and api_key is None:
        raise Invalid("--webhook-secret", "there is no Stripe account yet to sign anything")
    secret = _webhook_secret(webhook_secret)
    pays = _owner_of(settings, api_key, mode) if api_key else None
    with transaction(rt.engine) as tx:
        merchant = service.add(tx, key, name or key, mode=mode, actor=session.me())
        if api_key:
            service.set_stripe_account(
                tx,
                merchant,
                api_key=api_key,
                base_url=settings.stripe_url,
                webhook_secret=secret,
                box=runtime.secret_box(settings),
                actor=session.me(),
                platform_account=pays,
            )
            reconciliation_schedule(tx, merchant)
            polling_schedule(tx, merchant)
    told = (
        f"pays by Stripe at {settings.stripe_url} ({pays})" if pays else "has no Stripe account yet"
    )
    session.say(f"Added the {merchant.mode} merchant {key!r}; it {told}.")


@app.command(
    "stripe-key",
    epilog="Example: payspool merchants stripe-key acme   (asks for the key, or reads it from a pipe)",
)
def stripe_key(
    merchant: MerchantKey, key: StripeKey = secret_input.STDIN, webhook_secret: WebhookSecret = None
) -> None:
    """Give a merchant a Stripe key, or rotate it. Stripe is asked which account it belongs to.

    A key of another account is refused while payouts are on their way through the present one.
    """
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        found = service.get(tx, merchant)
    api_key = read_secret("--key", key, f"Stripe key of {merchant}")
    secret = _webhook_secret(webhook_secret)
    pays = _owner_of(settings, api_key, found.mode)
    with transaction(rt.engine) as tx:
        service.set_stripe_account(
            tx,
            found,
            api_key=api_key,
            base_url=settings.stripe_url,
            webhook_secret=secret,
            box=runtime.secret_box(settings),
            actor=session.me(),
            platform_account=pays,
            in_use=payouts.accounts_in_use(tx, found.id, "stripe"),
        )
        reconciliation_schedule(tx, found)
        polling_schedule(tx, found)
        closed = breakers.key_was_set(tx, found.id, "stripe", actor=session.me())
        account = service.gateway_account(tx, found.id, "stripe", box=runtime.secret_box(settings))
    session.say(f"{merchant} now pays by Stripe at {settings.stripe_url}, from {pays}.")
    if closed:
        session.say("Its payouts waited because the old key was refused; they are sent again.")
    if account is not None and account.webhook_secret is None:
        session.say(
            f"No webhook secret is set for it: `payspool merchants webhook-secret {merchant}`."
        )


@app.command(
    "webhook-secret",
    epilog="Example: payspool merchants webhook-secret acme   (asks for it, or reads it from a pipe)",
)
def webhook_secret(
    merchant: MerchantKey,
    secret: Annotated[str, typer.Option(help=f"whsec_…: {secret_input.HELP}")] = secret_input.STDIN,
    connect: Annotated[
        bool, typer.Option("--connect", help="of the endpoint for events of connected accounts")
    ] = False,
    roll_hours: Annotated[
        int, typer.Option(min=0, max=168, help="how long the one that it replaces stays valid")
    ] = 0,
) -> None:
    """Set or replace the secret by which Stripe signs a merchant's webhooks.

    Stripe has an endpoint for the account's own events and one for those of connected accounts; each has
    a secret of its own.
    """
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        found = service.get(tx, merchant)
    given = read_secret("--secret", secret, f"Webhook secret of {merchant}")
    with transaction(rt.engine) as tx:
        service.set_webhook_secret(
            tx,
            found,
            given,
            box=runtime.secret_box(settings),
            actor=session.me(),
            connect=connect,
            roll_hours=roll_hours,
        )
    session.say(f"Webhooks of {merchant} are accepted when they are signed with it.")


class OnOff(StrEnum):
    """Whether something holds."""

    ON = "on"
    OFF = "off"


@app.command("stripe-bank-leg", epilog="Example: payspool merchants stripe-bank-leg acme on")
def stripe_bank_leg(
    merchant: MerchantKey,
    state: Annotated[OnOff, typer.Argument(help="on: Payspool pays out to the payees' banks too")],
) -> None:
    """Choose whether payouts go on from the connected accounts to the payees' banks.

    Off, a payout is paid with its transfer, and Stripe or the payee moves the money on. On, it is paid
    when the bank has it; each connected account then needs a manual payout schedule (`payspool payees
    check`). It holds for runs that are opened from now on; a payout keeps what held for its run.
    """
    _, rt = session.build()
    on = state is OnOff.ON
    with transaction(rt.engine) as tx:
        changed = service.set_bank_leg(tx, service.get(tx, merchant), on=on, actor=session.me())
    if not changed:
        session.say(f"Nothing changed: it is {state.value} for {merchant} already.")
    elif on:
        session.say(
            f"New payouts of {merchant} go on to the payees' banks. Set the payout schedule of each connected"
            " account to manual, and subscribe the Connect webhook endpoint to payout.* and balance.available."
        )
    else:
        session.say(f"New payouts of {merchant} are paid with their transfer; older ones go on.")


@app.command(
    epilog="Example: payspool merchants wise acme   (with the sandbox)"
    "   |   payspool merchants wise acme --token - --profile 16000002 --public-key wise.pem"
)
def wise(
    merchant: MerchantKey,
    token: Annotated[
        str | None, typer.Option(help=f"{secret_input.HELP}; the sandbox's by default")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="that pays; the token's one business profile by default")
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(help="PEM file with the key that Wise signs webhooks with, from its pages"),
    ] = None,
) -> None:
    """Give a merchant a Wise account, or rotate its token. Wise is asked for the profile that pays.

    One token pays from one profile: payouts of a currency come out of the balance in that currency, and so
    do Wise's fees.
    """
    settings, rt = session.build()
    with transaction(rt.engine) as tx:
        found = service.get(tx, merchant)
    address = settings.wise_address
    if not address:
        raise Invalid("PAYSPOOL_WISE_URL", f"is not set; set it to {WISE_URL}")
    secret = _wise_token(address, token, merchant)
    problem = check_wise_token(secret, address, found.mode)
    if problem:
        raise Invalid("wise_token", problem)
    mode: Mode = "live" if found.mode == "live" else "test"
    pays = paying_profile(secret, address, mode=mode, wanted=profile)
    key = _wise_public_key(settings, public_key)
    with transaction(rt.engine) as tx:
        service.set_wise_account(
            tx,
            found,
            token=secret,
            base_url=address,
            account=pays.account,
            public_key=key,
            box=runtime.secret_box(settings),
            actor=session.me(),
            in_use=payouts.accounts_in_use(tx, found.id, "wise"),
        )
        if not schedules.is_registered(tx, f"payouts.returns/{merchant}"):
            # What an operator has chosen stays, whatever token is set.
            returns_schedule(tx, found)
        closed = breakers.key_was_set(tx, found.id, "wise", actor=session.me())
        account = service.gateway_account(tx, found.id, "wise", box=runtime.secret_box(settings))
    session.say(
        f"{merchant} now pays by Wise at {address}, from profile {pays.id} ({pays.type.lower()})."
    )
    if closed:
        session.say("Its payouts waited because the old token was refused; they are sent again.")
    if account is not None and account.webhook_secret is None:
        session.say(
            "Wise's public key is not known, so its webhooks are refused: what becomes of payouts is asked"
            f" for instead. `payspool merchants wise {merchant} --public-key FILE` sets it."
        )


@app.command("list", epilog="Example: payspool merchants list --json")
def list_(as_json: AsJson = False) -> None:
    """List the merchants, with the Stripe account that pays and a hint of its key."""
    from domain.merchants import store

    with session.opened() as tx:
        rows = store.listing(tx)
    session.show(
        rows,
        [
            "key",
            "name",
            "mode",
            "methods",
            "stripe_account",
            "stripe_key",
            "stripe_bank_leg",
            "retired_at",
        ],
        as_json=as_json,
        empty="No merchants yet. Add one with `payspool merchants add acme`.",
    )


def _key_to_add(settings: Settings, mode: str, given: str | None) -> str | None:
    """The key of a new merchant: the one given, the installation's, or the sandbox's for a test merchant."""
    if given is not None:
        return read_secret("--stripe-key", given, "Stripe key")
    if settings.stripe_key and key_mode(settings.stripe_key) == mode:
        return settings.stripe_key
    if mode == "live":
        raise Invalid(
            "--stripe-key",
            "a live merchant needs a live key (sk_live_… or rk_live_…); give - and enter it",
        )
    return DEFAULT_KEY if is_sandbox(settings.stripe_url) else settings.stripe_key


def _wise_token(address: str, given: str | None, merchant: str) -> str:
    if given is None and is_sandbox(address):
        return WISE_SANDBOX_TOKEN
    return read_secret("--token", given or secret_input.STDIN, f"Wise token of {merchant}")


def _wise_public_key(settings: Settings, given: Path | None) -> str | None:
    """The key that Wise signs with: of a file, or the local sandbox's own. Raises Invalid."""
    if given is None:
        if not (is_sandbox(settings.wise_address) and is_sandbox(settings.stripe_url)):
            return None
        with SandboxClient(settings.stripe_url) as sandbox:
            return sandbox.wise_public_key()
    try:
        pem = given.read_text(encoding="ascii")
        load_public_key(pem)
    except (OSError, ValueError) as error:
        raise Invalid("--public-key", f"holds no RSA public key in PEM ({error})") from None
    return pem


def _webhook_secret(given: str | None) -> str | None:
    return None if given is None else read_secret("--webhook-secret", given, "Webhook secret")


def _owner_of(settings: Settings, api_key: str, mode: str) -> str:
    """The platform account of a key, asked of Stripe. Raises Invalid before it is shown to a wrong one."""
    problem = check_stripe_key(api_key, settings.stripe_url, mode)
    if problem:
        raise Invalid("stripe_key", problem)

    return platform_account(api_key, settings.stripe_url, mode="live" if mode == "live" else "test")
