"""Where an event happened and who stood behind it, with the names as they are now: history keeps them.

Over the queue the event says it. At a till the request says it: its token names the device and its store,
and the principal, address and agent are the request's. A merchant who has registered stores, PINs or devices
is held to them; who has registered none keeps names of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain.db import Tx
from domain.loyalty.rules import Card, Refusal
from domain.loyalty.service.events import LoyaltyEvent
from domain.loyalty.store import shops as store

PIN_POLICY_OF: Final[Mapping[str, str]] = {
    "loyalty.points_earned": "points",
    "loyalty.points_redeemed": "redemptions",
    "loyalty.points_held": "redemptions",
    "loyalty.hold_captured": "redemptions",
    "loyalty.stamp_redeemed": "redemptions",
    "loyalty.stamp_earned": "stamps",
}
"""What a program's ``pin_required`` asks a PIN for."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who stood behind a request at a till."""

    store_id: str | None
    terminal_device_id: str | None
    principal_kind: str
    principal_id: str
    ip_address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Where:
    """Values of history's columns about where and who, names included."""

    store_id: str | None = None
    store_name: str | None = None
    staff_pin_id: str | None = None
    staff_name: str | None = None
    terminal_device_id: str | None = None
    principal_kind: str | None = None
    principal_id: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None


NOWHERE: Final = Where()


@dataclass(slots=True)
class Desks:
    """What a batch names of stores, PINs and devices, by (merchant, kind, key); its acts at tills, and the
    velocity cases about its events, by inbox id."""

    rows: dict[tuple[int, str, str], Any] = field(default_factory=dict)
    # (merchant, kind) of which the merchant has registered any.
    kept: set[tuple[int, str]] = field(default_factory=set)
    acts: dict[int, Any] = field(default_factory=dict)
    cases: dict[int, Any] = field(default_factory=dict)


def load(tx: Tx, events: Sequence["LoyaltyEvent"]) -> Desks:
    """Read what ``events`` name, and what is known of each: the request that brought it, its velocity case."""
    acts, cases = store.acts_and_cases(tx, [event.inbox_id for event in events])
    wanted = {
        (event.merchant_id, kind, key)
        for event in events
        for kind, key in _named(event, acts.get(event.inbox_id))
        if key is not None
    }
    desks = Desks(acts=acts, cases=cases)
    for row in store.named(tx, wanted) if wanted else ():
        if row.kind.startswith("any_"):
            desks.kept.add((row.merchant_id, row.kind.removeprefix("any_")))
        else:
            desks.rows[row.merchant_id, row.kind, row.key] = row
    return desks


def _named(event: "LoyaltyEvent", act: Any) -> list[tuple[str, str | None]]:
    data = event.data
    return [
        ("store", getattr(data, "store_id", None)),
        ("store", act.store_id if act else None),
        ("pin", getattr(data, "staff_pin_id", None)),
        ("device", getattr(data, "terminal_device_id", None)),
        ("device", act.terminal_device_id if act else None),
    ]


def where(desks: Desks, event: "LoyaltyEvent", card: Card | None) -> Where | Refusal:
    """Where an event happened, or why it cannot have: named by who registered and retired what."""
    data, act, merchant = event.data, desks.acts.get(event.inbox_id), event.merchant_id
    pin_key = getattr(data, "staff_pin_id", None)
    device_key = act.terminal_device_id if act else getattr(data, "terminal_device_id", None)
    pin = desks.rows.get((merchant, "pin", pin_key or ""))
    store_key = getattr(data, "store_id", None) or (act.store_id if act else None)
    # A PIN says where its person works, should nothing else.
    store_key = store_key or (pin.store if pin else None)
    if pin_key is None and card is not None:
        policy = PIN_POLICY_OF.get(event.type)
        if policy in card.program.pin_required:
            return Refusal(
                "pin_required", f"program {card.program.key} asks for a PIN of the staff: {policy}"
            )
    for kind, key in (("store", store_key), ("pin", pin_key), ("device", device_key)):
        refusal = _refuse(desks, merchant, kind, key, event.time)
        if refusal is not None:
            return refusal
    if pin is not None and pin.store != store_key:
        return Refusal(
            "pin_of_another_store", f"the staff PIN {pin_key!r} is one of store {pin.store!r}"
        )
    place = desks.rows.get((merchant, "store", store_key or ""))
    return Where(
        store_key,
        place.name if place else None,
        pin_key,
        pin.name if pin else None,
        device_key,
        act.principal_kind if act else None,
        act.principal_id if act else None,
        act.ip_address if act else getattr(data, "ip_address", None),
        act.user_agent if act else getattr(data, "user_agent", None),
    )


def _refuse(
    desks: Desks, merchant: int, kind: str, key: str | None, at: datetime
) -> Refusal | None:
    if key is None or (merchant, kind) not in desks.kept:
        return None
    row = desks.rows.get((merchant, kind, key))
    if row is None:
        return Refusal(f"{kind}_unknown", f"this merchant has no {_WORDS[kind]} {key!r}")
    if row.ended_at is not None and row.ended_at <= at:
        reason, word = _ENDED[kind]
        return Refusal(reason, f"the {_WORDS[kind]} {key!r} is {word}")
    return None


_WORDS: Final = {"store": "store", "pin": "staff PIN", "device": "device"}
_ENDED: Final = {
    "store": ("store_retired", "retired"),
    "pin": ("pin_disabled", "disabled"),
    "device": ("device_revoked", "revoked"),
}


def keep_act(tx: Tx, merchant_id: int, inbox_id: int, act: Act) -> None:
    """Keep who stood behind an event at a till, for when it is applied: now, or after its original."""
    store.keep_act(
        tx,
        inbox_id,
        {
            "merchant_id": merchant_id,
            "store_id": act.store_id,
            "terminal_device_id": act.terminal_device_id,
            "principal_kind": act.principal_kind,
            "principal_id": act.principal_id,
            "ip_address": act.ip_address,
            "user_agent": act.user_agent,
        },
    )
