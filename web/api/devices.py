"""`/v1/loyalty/devices`: the tablets that act at a store, and how one becomes its store's by the code it was given."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request

from domain.access.service import actor_of
from domain.loyalty.service import shops
from domain.merchants import service as merchants
from web.api import shops_docs as docs
from web.api import shops_schemas as models
from web.api.asking import Body, answered, parsed
from web.api.shops import KEY, Cursor, Limit, Reader, Writer, page
from web.database import bounded
from web.errors import ApiError
from web.services import services

router: Final = APIRouter(tags=["loyalty"])

DeviceKey = Annotated[str, Path(pattern=KEY, description="A device.", examples=["tablet-1"])]


@router.get(
    "/v1/loyalty/devices",
    summary="The devices",
    response_model=models.Devices,
    responses=docs.DEVICES,
)
def devices(
    request: Request, key: Reader, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """The tablets of the key's merchant by key, with who paired each; never their tokens."""
    with bounded(services(request).context) as tx:
        found = shops.devices(tx, key.merchant_id, after=cursor, limit=limit + 1)
    return page("devices", found, limit)


@router.post(
    "/v1/loyalty/devices",
    summary="Add a device",
    response_model=models.NewDevice,
    responses=docs.ADD_DEVICE,
    openapi_extra=docs.ADD_DEVICE_BODY,
)
def add_device(request: Request, key: Writer, body: Body) -> Any:
    """Add a tablet of a store, and answer with the code that pairs it once, or with its token: shown this once.

    The key is the principal of all that the tablet does. Where the answer was lost, revoke it and add another.
    """
    said = parsed(models.DeviceRequest, body)
    with answered(), bounded(services(request).context) as tx:
        merchant = merchants.get(tx, key.merchant_key)
        by_code = said.pair_by == "code"
        add = shops.offer_pairing if by_code else shops.add_device
        secret = add(tx, merchant, said.store, said.key, name=said.name, actor=actor_of(key))
        row = shops.devices(tx, key.merchant_id, only=said.key)[0]._mapping
    return {**row, "code": secret if by_code else None, "token": None if by_code else secret}


@router.post(
    "/v1/loyalty/devices/{device}/change",
    summary="Rename or revoke a device",
    response_model=models.Device,
    responses=docs.CHANGE_DEVICE,
    openapi_extra=docs.CHANGE_DEVICE_BODY,
)
def change_device(request: Request, key: Writer, device: DeviceKey, body: Body) -> Any:
    """Rename a tablet, or revoke it for good: its next request is refused already (`device_revoked`)."""
    said = parsed(models.DeviceChange, body)
    with answered(), bounded(services(request).context) as tx:
        merchant = merchants.get(tx, key.merchant_key)
        shops.change_device(
            tx, merchant, device, name=said.name, revoke=bool(said.revoke), actor=actor_of(key)
        )
        return shops.devices(tx, key.merchant_id, only=device)[0]._mapping


@router.post(
    "/v1/loyalty/devices/pair",
    summary="Pair a tablet",
    response_model=models.PairedDevice,
    responses=docs.PAIR,
    openapi_extra=docs.PAIR_BODY,
)
def pair(request: Request, body: Body) -> models.PairedDevice:
    """Turn a pairing code into the token of a device, once. No key is needed: the code is the proof."""
    said = parsed(models.PairingCode, body)
    with bounded(services(request).context) as tx:
        paired = shops.pair(tx, said.code)
    if paired is None:
        message = "This code pairs nothing: it is unknown, used, or over. Ask for another."
        raise ApiError(403, "pairing_refused", message, field="code")
    row, token = paired
    return models.PairedDevice(
        merchant=row.merchant, device=row.key, name=row.name, store=row.store, token=token
    )
