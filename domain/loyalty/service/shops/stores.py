"""Use cases of stores: events name them by key, from the first one on only those that are there."""

from typing import Any
from zoneinfo import ZoneInfo

from domain import clock
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, Invalid
from domain.loyalty.service.shops.registry import check, record, store_of
from domain.loyalty.store import shops as store
from domain.merchants.service import Merchant


def add_store(
    tx: Tx, merchant: Merchant, key: str, *, name: str, zone: str = "UTC", actor: Actor
) -> None:
    """Add a store. From the first one on, events may name only stores that are there.

    ``zone`` is an IANA name. Raises Invalid and AlreadyExists.
    """
    check(key, name)
    _check_zone(zone)
    if store.add_store(tx, merchant.id, key, name, zone) is None:
        raise AlreadyExists("store", key, "Give another key.")
    record(tx, merchant, actor, "store.created", "store", key, after={"name": name, "zone": zone})


def rename_store(tx: Tx, merchant: Merchant, key: str, name: str, *, actor: Actor) -> None:
    """Give a store another name; history keeps the one of its time. Raises NotFound and Invalid."""
    check(key, name)
    row = store_of(tx, merchant, key)
    store.rename(tx, "stores", row.id, name)
    record(tx, merchant, actor, "store.renamed", "store", key, {"name": row.name}, {"name": name})


def retire_store(tx: Tx, merchant: Merchant, key: str, *, actor: Actor) -> None:
    """Let events that happen there from now (business time) on be refused. Raises NotFound and Forbidden."""
    row = store_of(tx, merchant, key)
    if row.retired_at is not None:
        raise Forbidden(f"The store {key!r} is retired already.")
    store.retire_store(tx, row.id, clock.business_now(tx))
    record(tx, merchant, actor, "store.retired", "store", key)


def reopen_store(tx: Tx, merchant: Merchant, key: str, *, actor: Actor) -> None:
    """Open a retired store again. Raises NotFound."""
    store.retire_store(tx, store_of(tx, merchant, key).id, None)
    record(tx, merchant, actor, "store.reopened", "store", key)


def change_store(
    tx: Tx,
    merchant: Merchant,
    key: str,
    *,
    name: str | None = None,
    zone: str | None = None,
    retired: bool | None = None,
    actor: Actor,
) -> None:
    """Change what is given of a store; what is so already stays, so that it may be said twice.

    ``zone`` is an IANA name. Raises NotFound and Invalid.
    """
    row = store_of(tx, merchant, key)
    if name is not None and name != row.name:
        rename_store(tx, merchant, key, name, actor=actor)
    if zone is not None and zone != row.zone:
        _check_zone(zone)
        store.set_zone(tx, row.id, zone)
        record(tx, merchant, actor, "store.moved", "store", key, {"zone": row.zone}, {"zone": zone})
    if retired is not None and retired != (row.retired_at is not None):
        (retire_store if retired else reopen_store)(tx, merchant, key, actor=actor)


def stores(
    tx: Tx,
    merchant_id: int,
    *,
    only: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[Any]:
    """A merchant's stores by key: one (``only``), or up to ``limit`` behind the key ``after``."""
    return store.listing(tx, "store", merchant_id, only=only, after=after, limit=limit)


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError) as error:
        raise Invalid("zone", f"{zone!r} is not an IANA time zone such as Europe/Berlin") from error
