"""Use cases of endpoints: add one, change, roll its secret, disable, enable, remove."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Forbidden, Invalid, NotFound
from domain.secrets import SecretBox
from domain.webhooks import addresses, delivery_store, rules, store
from domain.webhooks.addresses import Reach, Resolve

MAX_DESCRIPTION: Final = 255
MAX_REASON: Final = 500


class TooManyEndpoints(Forbidden):
    """A merchant has as many endpoints as one may have."""

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(f"A merchant may have {most} webhook endpoints; remove one first.")


@dataclass(frozen=True, slots=True)
class Address:
    """An address that was found good for a merchant of a mode, by ``look_up``."""

    url: str


def look_up(url: str, mode: str, reach: Reach, resolve: Resolve) -> Address:
    """See whether webhooks may go to ``url``. It asks for the name's addresses: not inside a transaction.

    Raises Invalid with the reason.
    """
    target = addresses.parse(url)
    found = target if isinstance(target, str) else addresses.vetted(target, mode, reach, resolve)
    if isinstance(found, str):
        raise Invalid("url", found)
    return Address(url)


def add(
    tx: Tx,
    merchant_id: int,
    address: Address,
    *,
    types: Sequence[str],
    description: str = "",
    box: SecretBox,
    actor: Actor,
) -> tuple[int, str]:
    """Add an endpoint; returns its id and its secret, which is not shown again.

    Raises Invalid for a type that there is not, TooManyEndpoints.
    """
    url = address.url
    wanted = _checked(types, description)
    store.lock_merchant(tx, merchant_id)
    if store.count(tx, merchant_id) >= rules.MAX_ENDPOINTS:
        raise TooManyEndpoints(rules.MAX_ENDPOINTS)
    secret = rules.new_secret(secrets.token_bytes(rules.SECRET_BYTES))
    made = store.insert(tx, merchant_id, url, description, wanted, box.encrypt(secret))
    _record(
        tx,
        actor,
        "added",
        merchant_id,
        made,
        after={"url": url, "types": wanted, "description": description},
    )
    return made, secret


def change(
    tx: Tx,
    merchant_id: int,
    endpoint_id: int,
    *,
    types: Sequence[str] | None = None,
    description: str | None = None,
    actor: Actor,
) -> None:
    """Change what an endpoint is told of, or what it is for. Its address stays: add another for that."""
    present = _locked(tx, merchant_id, endpoint_id)
    told = present.description if description is None else description
    wanted = _checked(present.types if types is None else types, told)
    before = {"types": present.types, "description": present.description}
    after = {"types": wanted, "description": told}
    if before == after:
        return
    store.change(tx, endpoint_id, told, wanted)
    _record(tx, actor, "changed", merchant_id, endpoint_id, before=before, after=after)


def get(tx: Tx, merchant_id: int, endpoint_id: int) -> Any:
    """An endpoint of a merchant, with what waits for it and what failed. Raises NotFound."""
    found = store.listing(tx, merchant_id, endpoint_id)
    if not found:
        raise _none(endpoint_id)
    return found[0]


def roll(
    tx: Tx,
    merchant_id: int,
    endpoint_id: int,
    *,
    overlap_hours: int,
    box: SecretBox,
    actor: Actor,
) -> str:
    """Replace an endpoint's secret; for ``overlap_hours`` everything is signed by both. Returns the new one.

    An older one whose overlap was not over ends now. Raises Invalid for an overlap above MAX_ROLL_HOURS.
    """
    if not 0 <= overlap_hours <= rules.MAX_ROLL_HOURS:
        raise Invalid("overlap_hours", f"is 0 to {rules.MAX_ROLL_HOURS}")
    _locked(tx, merchant_id, endpoint_id)
    secret = rules.new_secret(secrets.token_bytes(rules.SECRET_BYTES))
    store.roll(tx, endpoint_id, box.encrypt(secret), timedelta(hours=overlap_hours))
    _record(
        tx,
        actor,
        "secret_rolled",
        merchant_id,
        endpoint_id,
        after={"old_one_signs_hours": overlap_hours},
    )
    return secret


def disable(tx: Tx, merchant_id: int, endpoint_id: int, *, reason: str, actor: Actor) -> bool:
    """Send an endpoint nothing more; what waits stays, and what happens meanwhile is not kept for it.

    False if it was disabled already.
    """
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Invalid("reason", f"say why, in {MAX_REASON} characters at most")
    present = _locked(tx, merchant_id, endpoint_id)
    if present.state == "disabled":
        return False
    store.stop(tx, endpoint_id, "disabled", actor.id, reason)
    _record(tx, actor, "disabled", merchant_id, endpoint_id, reason=reason)
    return True


def enable(tx: Tx, merchant_id: int, endpoint_id: int, *, actor: Actor) -> bool:
    """Send an endpoint what waits for it, at once, and what happens from now on. False if it was enabled."""
    present = _locked(tx, merchant_id, endpoint_id)
    if present.state == "enabled":
        return False
    store.enable(tx, endpoint_id)
    delivery_store.hasten(tx, endpoint_id)
    delivery_store.wake(tx)
    _record(
        tx,
        actor,
        "enabled",
        merchant_id,
        endpoint_id,
        before={"disabled_by": present.disabled_by, "disabled_reason": present.disabled_reason},
    )
    return True


def remove(tx: Tx, merchant_id: int, endpoint_id: int, *, actor: Actor) -> int:
    """Remove an endpoint for good; its log stays. Returns how many deliveries were canceled by it."""
    _locked(tx, merchant_id, endpoint_id)
    store.stop(tx, endpoint_id, "removed", actor.id, "removed")
    canceled = delivery_store.cancel_pending(tx, endpoint_id)
    _record(tx, actor, "removed", merchant_id, endpoint_id, after={"canceled": canceled})
    return canceled


def reseal(tx: Tx, *, box: SecretBox, actor: Actor) -> int:
    """Encrypt every endpoint's secrets under the newest key; returns how many endpoints. Raises CannotDecrypt."""
    rows = store.lock_secrets(tx)
    for row in rows:
        old = row.old_secret_encrypted
        store.replace_secrets(
            tx,
            row.id,
            box.renew(row.secret_encrypted, "webhook secret"),
            None if old is None else box.renew(old, "webhook secret"),
        )
    audit.record(
        tx,
        actor,
        "secrets.resealed",
        merchant_id=None,
        subject_kind="secrets",
        subject_id="webhook_endpoints",
        after={"endpoints": len(rows)},
    )
    return len(rows)


def _checked(types: Sequence[str], description: str) -> list[str]:
    wanted = list(dict.fromkeys(types))
    unknown = rules.unknown_types(wanted)
    if unknown:
        raise Invalid(
            "types", f"there is no {unknown[0]!r}; there are {', '.join(rules.TYPES)} and * for all"
        )
    if not wanted:
        raise Invalid("types", "name at least one, or * for all")
    if len(description) > MAX_DESCRIPTION or not (description.isprintable()):
        raise Invalid("description", f"is a line of {MAX_DESCRIPTION} characters at most")
    return wanted


def _locked(tx: Tx, merchant_id: int, endpoint_id: int) -> Any:
    found = store.find(tx, merchant_id, endpoint_id, lock=True)
    if found is None:
        raise _none(endpoint_id)
    return found


def _none(endpoint_id: int) -> NotFound:
    return NotFound("webhook endpoint", str(endpoint_id), "`payspool webhooks list` shows them.")


def _record(
    tx: Tx,
    actor: Actor,
    what: str,
    merchant_id: int,
    endpoint_id: int,
    **more: Any,
) -> None:
    audit.record(
        tx,
        actor,
        f"webhook_endpoint.{what}",
        merchant_id=merchant_id,
        subject_kind="webhook_endpoint",
        subject_id=endpoint_id,
        **more,
    )
