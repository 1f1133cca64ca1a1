"""Who acts at a till: an API key, or a paired tablet by its device token, and the PIN of who stands there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials

from domain.access.service import ApiKey, actor_of
from domain.loyalty.service import Act, shops
from domain.loyalty.service.shops import Device
from payspool_client import Event
from web.access import allowed_to, bearer
from web.database import bounded
from web.errors import ApiError
from web.services import services

PIN_HEADER: Final = "X-Staff-Pin"
ADDRESS_MAX: Final = 45
AGENT_MAX: Final = 500
PRINCIPAL_MAX: Final = 100
"""As the columns of history."""
DEVICE_SCOPES: Final = frozenset({"loyalty:write", "loyalty:read"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts: a key, or a device that acts as one with the scopes of a till; and the PIN that was typed."""

    key: ApiKey
    device: Device | None = None
    pin: str | None = None


def till(scope: str) -> Callable[..., Caller]:
    """A dependency: the caller, a key that may do ``scope`` or a paired device.

    A device is looked up for every request, so that it is out at once when it is revoked. Raises ApiError as
    ``allowed_to``, and 403 `device_revoked`.
    """
    by_key = allowed_to(scope)

    def check(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> Caller:
        if credentials is None or not shops.is_device_token(credentials.credentials):
            return Caller(by_key(request, credentials))
        held = services(request)
        with bounded(held.context) as tx:
            device = shops.device_of(tx, credentials.credentials)
        if device is None:
            raise ApiError(
                401,
                "invalid_key",
                "Nobody was given this device token, or its merchant is retired. Pair the device again.",
                field="Authorization",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if device.revoked:
            message = f"The device {device.key!r} was revoked; pair it under another key."
            raise ApiError(403, "device_revoked", message, field="Authorization")
        # Buckets of devices are numbered below those of keys.
        key = ApiKey(
            -device.id, device.key, device.merchant_id, device.merchant_key, device.mode,
            DEVICE_SCOPES, None, True,
        )  # fmt: skip
        held.rate.take(key)
        return Caller(key, device)

    return check


StaffPin = Annotated[
    str | None,
    Header(
        alias=PIN_HEADER,
        description="The PIN of whom `data.staff_pin_id` names. A device must send it; it is not kept.",
    ),
]


def acting(scope: str) -> Callable[..., Caller]:
    """A dependency: the caller who changes a card, with the PIN that was typed. Raises ApiError as ``till``."""
    by_till = till(scope)

    def check(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
        pin: StaffPin = None,
    ) -> Caller:
        return replace(by_till(request, credentials), pin=pin)

    return check


def act_of(request: Request, caller: Caller, event: Event) -> Act:
    """Who stands behind ``event``, from the request. Raises ApiError: 403 `device_mismatch` where the event
    names another device or store than the token's."""
    said = event.payload
    device = caller.device
    named = said.get("terminal_device_id")
    if named is not None and (device is None or named != device.key):
        of = "A person's key has no device" if device is None else f"This is {device.key!r}"
        message = f"{of}; leave terminal_device_id out, the token says it."
        raise ApiError(403, "device_mismatch", message, field="data.terminal_device_id")
    if device is not None and said.get("store_id", device.store) != device.store:
        message = f"The device {device.key!r} is one of store {device.store!r}; leave store_id out."
        raise ApiError(403, "device_mismatch", message, field="data.store_id")
    if device is not None:
        kind, principal = device.principal_kind, device.principal_id
    else:
        actor = actor_of(caller.key)
        kind, principal = actor.kind, actor.id
    agent = request.headers.get("User-Agent")
    return Act(
        store_id=device.store if device else None,
        terminal_device_id=device.key if device else None,
        principal_kind=kind,
        principal_id=principal[:PRINCIPAL_MAX],
        ip_address=request.client.host[:ADDRESS_MAX] if request.client else None,
        user_agent=agent[:AGENT_MAX] if agent else None,
    )


def prove(request: Request, caller: Caller, event: Event) -> None:
    """Check the PIN of the person whom ``event`` names, if the request brings one; a tablet must.

    In a transaction of its own: a wrong one counts although nothing else is done. Raises ApiError: 403
    `pin_missing`, `pin_wrong`, `pin_locked`, `pin_disabled`, `pin_unknown`.
    """
    named, typed = event.payload.get("staff_pin_id"), caller.pin
    if named is None:
        return
    if typed is None:
        if caller.device is None:
            return
        message = (
            f"Send the PIN of {named!r} in the header {PIN_HEADER}; a tablet proves who uses it."
        )
        raise ApiError(403, "pin_missing", message, field=PIN_HEADER)
    with bounded(services(request).context) as tx:
        refusal = shops.prove_pin(tx, caller.key.merchant_id, named, typed)
    if refusal is not None:
        raise ApiError(403, refusal.reason, f"{refusal.sentence}.", field=PIN_HEADER)
