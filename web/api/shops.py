"""`/v1/loyalty/stores` and `/v1/loyalty/pins`: where points are given, and by whom."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from domain.access.service import ApiKey, actor_of
from domain.loyalty.service import shops
from domain.merchants import service as merchants
from web.access import allowed_to
from web.api import shops_docs as docs
from web.api import shops_schemas as models
from web.api.asking import Body, answered, parsed
from web.database import bounded
from web.services import services

router: Final = APIRouter(tags=["loyalty"])

KEY: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Reader = Annotated[ApiKey, Depends(allowed_to("shops:read"))]
Writer = Annotated[ApiKey, Depends(allowed_to("shops:write"))]
Cursor = Annotated[
    str | None, Query(pattern=KEY, description="`next` of the page before; absent: the first.")
]
Limit = Annotated[int, Query(ge=1, le=500, description="How many a page shows at most.")]
StoreKey = Annotated[str, Path(pattern=KEY, description="A store.", examples=["berlin-1"])]
PinKey = Annotated[str, Path(pattern=KEY, description="Whose PIN.", examples=["ann"])]


def page(name: str, found: list[Any], limit: int) -> dict[str, Any]:
    """A page by key of which one row more than ``limit`` was asked for."""
    shown = [row._mapping for row in found[:limit]]
    return {name: shown, "next": shown[-1]["key"] if len(found) > limit else None}


@router.get(
    "/v1/loyalty/stores", summary="The stores", response_model=models.Stores, responses=docs.STORES
)
def stores(
    request: Request, key: Reader, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """The stores of the key's merchant by key, those that are retired too."""
    with bounded(services(request).context) as tx:
        found = shops.stores(tx, key.merchant_id, after=cursor, limit=limit + 1)
    return page("stores", found, limit)


@router.post(
    "/v1/loyalty/stores",
    summary="Add a store",
    response_model=models.Store,
    responses=docs.ADD_STORE,
    openapi_extra=docs.ADD_STORE_BODY,
)
def add_store(request: Request, key: Writer, body: Body) -> Any:
    """Add a store. From the first one on, events that name an unknown one are refused (`store_unknown`)."""
    said = parsed(models.StoreRequest, body)
    with answered(), bounded(services(request).context) as tx:
        merchant = merchants.get(tx, key.merchant_key)
        shops.add_store(tx, merchant, said.key, name=said.name, zone=said.zone, actor=actor_of(key))
        return shops.stores(tx, key.merchant_id, only=said.key)[0]._mapping


@router.post(
    "/v1/loyalty/stores/{store}/change",
    summary="Rename, retire or reopen a store",
    response_model=models.Store,
    responses=docs.CHANGE_STORE,
    openapi_extra=docs.CHANGE_STORE_BODY,
)
def change_store(request: Request, key: Writer, store: StoreKey, body: Body) -> Any:
    """Change what is given of a store, all of it or nothing; what is so already stays. History keeps its names."""
    said = parsed(models.StoreChange, body)
    with answered(), bounded(services(request).context) as tx:
        merchant = merchants.get(tx, key.merchant_key)
        shops.change_store(tx, merchant, store, **said.model_dump(), actor=actor_of(key))
        return shops.stores(tx, key.merchant_id, only=store)[0]._mapping


@router.get(
    "/v1/loyalty/pins",
    summary="The staff PINs",
    response_model=models.StaffPins,
    responses=docs.PINS,
)
def pins(
    request: Request, key: Reader, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """Who has a PIN at the stores of the key's merchant, by key, and which are locked or disabled."""
    with bounded(services(request).context) as tx:
        found = shops.pins(tx, key.merchant_id, after=cursor, limit=limit + 1)
    return page("pins", found, limit)


@router.post(
    "/v1/loyalty/pins",
    summary="Give somebody a PIN",
    response_model=models.StaffPin,
    responses=docs.ADD_PIN,
    openapi_extra=docs.ADD_PIN_BODY,
)
def add_pin(request: Request, key: Writer, body: Body) -> Any:
    """Give a member of a store's staff a PIN, which no answer, log or audit line ever has."""
    said = parsed(models.PinRequest, body)
    with answered(), bounded(services(request).context) as tx:
        merchant = merchants.get(tx, key.merchant_key)
        shops.add_pin(
            tx, merchant, said.store, said.key, said.pin, name=said.name, actor=actor_of(key)
        )
        return shops.pins(tx, key.merchant_id, only=said.key)[0]._mapping


@router.post(
    "/v1/loyalty/pins/{pin}/change",
    summary="Rename, change, unlock or disable a PIN",
    response_model=models.StaffPin,
    responses=docs.CHANGE_PIN,
    openapi_extra=docs.CHANGE_PIN_BODY,
)
def change_pin(request: Request, key: Writer, pin: PinKey, body: Body) -> Any:
    """Change what is given of a person's PIN, all of it or nothing. One that is disabled stays so."""
    said = parsed(models.PinChange, body)
    with answered(), bounded(services(request).context) as tx:
        merchant = merchants.get(tx, key.merchant_key)
        shops.alter_pin(
            tx,
            merchant,
            pin,
            name=said.name,
            pin=said.pin,
            unlock=bool(said.unlock),
            disable=bool(said.disable),
            actor=actor_of(key),
        )
        return shops.pins(tx, key.merchant_id, only=pin)[0]._mapping
