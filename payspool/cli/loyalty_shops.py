"""`payspool loyalty stores|pins|devices`: where points are given, by whom, and on which tablet."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from domain.loyalty.service import shops
from payspool.cli import session
from payspool.cli.secret_input import HELP, STDIN, read_secret
from payspool.cli.session import AsJson, MerchantKey

stores = typer.Typer(help="Stores of a merchant, which events name by key.", no_args_is_help=True)
pins = typer.Typer(help="PINs of a store's staff.", no_args_is_help=True)
devices = typer.Typer(help="Tablets that act at a store.", no_args_is_help=True)

Store = Annotated[str, typer.Argument(metavar="STORE", help="key of the store")]
Pin = Annotated[str, typer.Argument(metavar="PIN_KEY", help="key of the person, as events name it")]
Device = Annotated[str, typer.Argument(metavar="DEVICE", help="key of the device")]
Name = Annotated[str, typer.Option(help="shown to people, and kept in history as it was")]
_COLUMNS: Final = {
    "stores": ["key", "name", "zone", "retired_at"],
    "PINs": ["key", "store", "name", "failures", "locked_until", "disabled_at"],
    "devices": [
        "key",
        "name",
        "store",
        "principal",
        "paired_at",
        "pairing_expires_at",
        "revoked_at",
    ],
}
Secret = Annotated[str, typer.Option("--pin", help=HELP)]


@stores.command(
    "add", epilog="Example: payspool loyalty stores add acme mitte --name 'Berlin Mitte'"
)
def add_store(
    merchant: MerchantKey,
    store: Store,
    name: Name,
    zone: Annotated[str, typer.Option(help="IANA time zone")] = "UTC",
) -> None:
    """Add a store. From the first one on, events that name an unknown store are refused."""
    with session.for_merchant(merchant) as (tx, found):
        shops.add_store(tx, found, store, name=name, zone=zone, actor=session.me())
    session.say(f"Added the store {store!r}.")


@stores.command("list", epilog="Example: payspool loyalty stores list acme --json")
def list_stores(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """List a merchant's stores."""
    _show("stores", shops.stores, merchant, as_json)


@stores.command("rename", epilog="Example: payspool loyalty stores rename acme mitte --name Mitte")
def rename_store(merchant: MerchantKey, store: Store, name: Name) -> None:
    """Give a store another name. History keeps the one of its time."""
    with session.for_merchant(merchant) as (tx, found):
        shops.rename_store(tx, found, store, name, actor=session.me())
    session.say(f"The store {store!r} is called {name}.")


@stores.command("retire", epilog="Example: payspool loyalty stores retire acme mitte")
def retire_store(merchant: MerchantKey, store: Store) -> None:
    """Refuse what happens at a store from now on; what happened before may still come."""
    with session.for_merchant(merchant) as (tx, found):
        shops.retire_store(tx, found, store, actor=session.me())
    session.say(f"Retired the store {store!r}.")


@stores.command("reopen", epilog="Example: payspool loyalty stores reopen acme mitte")
def reopen_store(merchant: MerchantKey, store: Store) -> None:
    """Open a retired store again."""
    with session.for_merchant(merchant) as (tx, found):
        shops.reopen_store(tx, found, store, actor=session.me())
    session.say(f"The store {store!r} is open.")


@pins.command(
    "add", epilog="Example: payspool loyalty pins add acme mitte ann --name 'Ann A.' --pin -"
)
def add_pin(
    merchant: MerchantKey, store: Store, pin_key: Pin, name: Name, pin: Secret = STDIN
) -> None:
    """Give a member of a store's staff a PIN of 4 to 12 digits."""
    secret = read_secret("--pin", pin, "PIN")
    with session.for_merchant(merchant) as (tx, found):
        shops.add_pin(tx, found, store, pin_key, secret, name=name, actor=session.me())
    session.say(f"{name} has a PIN at {store!r}.")


@pins.command("list", epilog="Example: payspool loyalty pins list acme")
def list_pins(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """List who has a PIN, and which are locked or disabled."""
    _show("PINs", shops.pins, merchant, as_json)


@pins.command("change", epilog="Example: payspool loyalty pins change acme ann --pin -")
def change_pin(merchant: MerchantKey, pin_key: Pin, pin: Secret = STDIN) -> None:
    """Give a person another PIN, which is not locked."""
    secret = read_secret("--pin", pin, "PIN")
    with session.for_merchant(merchant) as (tx, found):
        shops.change_pin(tx, found, pin_key, secret, actor=session.me())
    session.say(f"Changed the PIN of {pin_key!r}.")


@pins.command("rename", epilog="Example: payspool loyalty pins rename acme ann --name 'Ann B.'")
def rename_pin(merchant: MerchantKey, pin_key: Pin, name: Name) -> None:
    """Correct a person's name. History keeps the one of its time."""
    with session.for_merchant(merchant) as (tx, found):
        shops.rename_pin(tx, found, pin_key, name, actor=session.me())
    session.say(f"{pin_key!r} is called {name}.")


@pins.command("unlock", epilog="Example: payspool loyalty pins unlock acme ann")
def unlock_pin(merchant: MerchantKey, pin_key: Pin) -> None:
    """Let a PIN be tried again that five wrong ones have locked."""
    with session.for_merchant(merchant) as (tx, found):
        shops.unlock_pin(tx, found, pin_key, actor=session.me())
    session.say(f"The PIN of {pin_key!r} can be tried again.")


@pins.command("disable", epilog="Example: payspool loyalty pins disable acme ann")
def disable_pin(merchant: MerchantKey, pin_key: Pin) -> None:
    """Refuse what a person does from now on, for good."""
    with session.for_merchant(merchant) as (tx, found):
        shops.disable_pin(tx, found, pin_key, actor=session.me())
    session.say(f"Disabled the PIN of {pin_key!r}.")


@devices.command(
    "pair", epilog="Example: payspool loyalty devices pair acme mitte tablet-1 --name Counter"
)
def pair_device(
    merchant: MerchantKey, store: Store, device: Device, name: Name, as_json: AsJson = False
) -> None:
    """Print a code that pairs a tablet once, within 15 minutes. You are who stands behind it."""
    with session.for_merchant(merchant) as (tx, found):
        code = shops.offer_pairing(tx, found, store, device, name=name, actor=session.me())
    if as_json:
        session.emit_json({"device": device, "store": store, "code": code})
        return
    session.say(code)
    session.errors.print("Type it on the tablet within 15 minutes. It pairs one tablet, once.")


@devices.command(
    "add", epilog="Example: payspool loyalty devices add acme mitte tablet-1 --name Counter"
)
def add_device(
    merchant: MerchantKey, store: Store, device: Device, name: Name, as_json: AsJson = False
) -> None:
    """Pair a device at once and print its token, which is shown this once."""
    with session.for_merchant(merchant) as (tx, found):
        token = shops.add_device(tx, found, store, device, name=name, actor=session.me())
    if as_json:
        session.emit_json({"device": device, "store": store, "token": token})
        return
    session.say(token)
    session.errors.print("This is the only time that the token is shown.")


@devices.command("list", epilog="Example: payspool loyalty devices list acme")
def list_devices(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """List a merchant's devices, with who paired each."""
    _show("devices", shops.devices, merchant, as_json)


@devices.command(
    "rename", epilog="Example: payspool loyalty devices rename acme tablet-1 --name 'Counter right'"
)
def rename_device(merchant: MerchantKey, device: Device, name: Name) -> None:
    """Give a device another name."""
    with session.for_merchant(merchant) as (tx, found):
        shops.rename_device(tx, found, device, name, actor=session.me())
    session.say(f"The device {device!r} is called {name}.")


@devices.command("revoke", epilog="Example: payspool loyalty devices revoke acme tablet-1")
def revoke_device(merchant: MerchantKey, device: Device) -> None:
    """Refuse what a device does from now on, for good: the next request already."""
    with session.for_merchant(merchant) as (tx, found):
        shops.revoke_device(tx, found, device, actor=session.me())
    session.say(f"Revoked the device {device!r}.")


def _show(what: str, listed: Callable[..., list[Any]], merchant: str, as_json: bool) -> None:
    with session.for_merchant(merchant) as (tx, found):
        rows = listed(tx, found.id)
    session.show(rows, _COLUMNS[what], as_json=as_json, empty=f"No {what}: events may name any.")
