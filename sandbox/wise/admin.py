"""What the admin API offers for the local Wise: tokens, money, moves, and the signing key."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sandbox.errors import SandboxError
from sandbox.timeline import Timeline
from sandbox.wise import accounts, money, subscriptions, transfers
from sandbox.wise.api import PREFIX, ROUTES
from sandbox.wise.call import Json, WiseCall

Field = Callable[..., Any]
Action = tuple[str, str, Callable[[Json, Mapping[str, str]], Json]]


class ProfileUnknown(SandboxError):
    """No profile has this id."""

    def __init__(self, id: object) -> None:
        super().__init__(f"no Wise profile {id}; GET /wise/v2/profiles lists a token's")


def endpoints() -> list[Json]:
    """Return what is served."""
    return [{"method": route.method, "path": PREFIX + route.path} for route in ROUTES]


def actions(timeline: Timeline, field: Field) -> Iterator[Action]:
    """Yield the actions, for the admin API's table; `field` reads one field of a body."""
    store = timeline.store

    def call() -> WiseCall:
        return WiseCall(store=store, notifier=timeline.notifier, user=0, now=timeline.clock.now())

    def add_token(body: Json, _path: Mapping[str, str]) -> Json:
        with store.transaction():
            return accounts.add_token(store, field(body, "token", str, ""), timeline.clock.now())

    def fund(body: Json, _path: Mapping[str, str]) -> Json:
        profile, amount = field(body, "profile", int), field(body, "amount", int)
        known = store.one("SELECT id FROM wise_profiles WHERE id = ?", profile)
        if known is None:
            raise ProfileUnknown(profile)
        if amount is None or not 0 < amount <= money.MAXIMUM:
            raise AmountNotPositive
        currency = money.currency_of(body.get("currency"), "currency")
        with store.transaction():
            accounts.fund(store, profile, currency, amount, timeline.clock.now())
        return {"profile": profile, "available": accounts.held(store, profile, currency)}

    def move(body: Json, path: Mapping[str, str]) -> Json:
        with store.transaction():
            return transfers.move(call(), path["transfer"], str(body.get("status", "")))

    def public_key(_body: Json, _path: Mapping[str, str]) -> Json:
        with store.transaction():
            return {"public_key": subscriptions.public_key(store)}

    yield "POST", "/wise/tokens", add_token
    yield "POST", "/wise/fund", fund
    yield "POST", "/wise/transfers/{transfer}", move
    yield "GET", "/wise/public-key", public_key


class AmountNotPositive(SandboxError):
    """There was no amount, or none that can be put on a balance."""

    def __init__(self) -> None:
        super().__init__(f"`amount` is a number of minor units, from 1 to {money.MAXIMUM}")
