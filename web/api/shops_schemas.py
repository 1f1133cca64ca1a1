"""What the operations on stores, staff PINs and devices take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.loyalty.service.shops.registry import KEY_MAX, NAME_MAX

_FORM = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_SAID = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
Key = Annotated[str, Field(min_length=1, max_length=KEY_MAX, pattern=_FORM)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX, pattern=_SAID)]
Pin = Annotated[str, Field(pattern=r"^[0-9]{4,12}$", description="4 to 12 digits; never told.")]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StoreRequest(_Asked):
    """A new store."""

    key: Key = Field(description="What events call it; it never changes.")
    name: Name
    zone: str = Field(default="UTC", max_length=100, description="IANA time zone.")


class StoreChange(_Asked):
    """What changes of a store; what is left out stays."""

    name: Name | None = Field(default=None, description="History keeps the one of its time.")
    zone: str | None = Field(default=None, max_length=100)
    retired: bool | None = Field(
        default=None, description="True: what happens there from now on is refused. False: reopen."
    )


class Store(BaseModel):
    """A store."""

    key: str
    name: str
    zone: str
    retired_at: datetime | None
    created_at: datetime


class Stores(BaseModel):
    """Stores by key."""

    stores: list[Store]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class PinRequest(_Asked):
    """A new PIN of a member of a store's staff."""

    store: Key
    key: Key = Field(description="What events call the person; it never changes.")
    name: Name = Field(description="Of the person.")
    pin: Pin


class PinChange(_Asked):
    """What changes of a PIN; what is left out stays."""

    name: Name | None = Field(default=None, description="History keeps the one of its time.")
    pin: Pin | None = Field(default=None, description="Another PIN, which is not locked.")
    unlock: Literal[True] | None = Field(
        default=None, description="Let it be tried again that wrong ones have locked."
    )
    disable: Literal[True] | None = Field(default=None, description="For good.")


class StaffPin(BaseModel):
    """Who has a PIN. The PIN itself is never told."""

    key: str
    store: str
    name: str
    failures: int = Field(description="Wrong ones in a row.")
    locked_until: datetime | None = Field(description="Real time.")
    disabled_at: datetime | None
    created_at: datetime


class StaffPins(BaseModel):
    """PINs by key."""

    pins: list[StaffPin]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class DeviceRequest(_Asked):
    """A new device of a store."""

    store: Key
    key: Key = Field(description="What events call it; it never changes.")
    name: Name
    pair_by: Literal["code", "token"] = Field(
        default="code",
        description="`code`: a code that whoever types it within 15 minutes turns into the token."
        " `token`: the token at once.",
    )


class DeviceChange(_Asked):
    """What changes of a device; what is left out stays."""

    name: Name | None = None
    revoke: Literal[True] | None = Field(default=None, description="For good, at once.")


class Device(BaseModel):
    """A device, and who paired it. Its token is never told again."""

    key: str
    store: str
    name: str
    principal: str = Field(description="Who stands behind all that it does.")
    paired_at: datetime | None
    pairing_expires_at: datetime | None = Field(description="Until when its code pairs it.")
    revoked_at: datetime | None
    created_at: datetime


class NewDevice(Device):
    """A device that was just added, with its code or its token: shown this once."""

    code: str | None
    token: str | None


class Devices(BaseModel):
    """Devices by key."""

    devices: list[Device]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class PairingCode(BaseModel):
    """The code that a device was given."""

    code: str = Field(min_length=1, max_length=20)


class PairedDevice(BaseModel):
    """A tablet that may act at its store. The token is shown this once."""

    merchant: str
    device: str
    name: str
    store: str
    token: str
