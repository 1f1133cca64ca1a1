"""Use cases of merchants: add one, give it a gateway account, find it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound
from domain.merchants import rules, secret_store, store
from domain.merchants.rules import Mode
from domain.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class Merchant:
    """A tenant. ``mode`` is test or live; a retired one takes no events."""

    id: int
    key: str
    name: str
    mode: str
    retired: bool


@dataclass(frozen=True, slots=True)
class GatewayAccount:
    """Where a merchant's payouts of one method go, with its secrets in the clear (in memory only)."""

    method: str
    mode: Mode
    base_url: str
    api_key: str
    webhook_secret: str | None
    webhook_secrets: tuple[str, ...]
    """Every secret that a webhook may be signed with now: its own, Connect's, and those of a roll."""
    platform_account: str | None
    """The gateway's name of the account that the key belongs to; None until the gateway was asked."""


class PaysElsewhere(Forbidden):
    """A key of another account, while attempts are on their way through the present one."""

    def __init__(self, merchant: str, present: Collection[str], offered: str | None) -> None:
        self.merchant, self.present, self.offered = merchant, tuple(present), offered
        through = " and ".join(sorted(present))
        super().__init__(
            f"Payouts of {merchant!r} are on their way through {through}, and this key is of"
            f" {offered or 'an account that is not known'}, which cannot tell what became of them."
            f" Settle them first (`payspool payouts list {merchant} --state unknown`), or give a key"
            f" of {through}."
        )


def add(tx: Tx, key: str, name: str, *, mode: str, actor: Actor) -> Merchant:
    """Add a merchant. Raises Invalid for a bad key or mode, AlreadyExists for a taken key."""
    if not rules.is_key(key):
        raise Invalid("key", "use lower-case letters, digits, - and _, at most 100 characters")
    if mode not in ("test", "live"):
        raise Invalid("mode", "is test or live")
    made = store.insert(tx, key, name, mode)
    if made is None:
        raise AlreadyExists("merchant", key)
    audit.record(
        tx,
        actor,
        "merchant.added",
        merchant_id=made,
        subject_kind="merchant",
        subject_id=key,
        after={"name": name, "mode": mode},
    )
    return Merchant(made, key, name, mode, retired=False)


def find(tx: Tx, keys: Iterable[str]) -> dict[str, Merchant]:
    """Merchants by key; unknown keys are left out."""
    rows = store.by_keys(tx, sorted(set(keys)))
    return {r.key: Merchant(r.id, r.key, r.name, r.mode, r.retired_at is not None) for r in rows}


def get(tx: Tx, key: str) -> Merchant:
    """One merchant. Raises NotFound."""
    found = find(tx, [key]).get(key)
    if found is None:
        raise NotFound("merchant", key, f"Add it with `payspool merchants add {key}`.")
    return found


def set_bank_leg(tx: Tx, merchant: Merchant, *, on: bool, actor: Actor) -> bool:
    """Choose whether payouts by Stripe go on from the connected accounts to their banks; False if it was
    so already. Payouts of runs that are open or done keep what held for them. Raises Invalid without a
    Stripe account."""
    present = store.lock_gateway_account(tx, merchant.id, "stripe")
    if present is None or present.retired_at is not None:
        raise Invalid("merchant", f"{merchant.key!r} has no Stripe account yet")
    if present.bank_leg == on:
        return False
    store.set_bank_leg(tx, present.id, on)
    audit.record(
        tx,
        actor,
        "merchant.bank_leg_set",
        merchant_id=merchant.id,
        subject_kind="merchant",
        subject_id=merchant.key,
        before={"bank_leg": present.bank_leg},
        after={"bank_leg": on},
    )
    return True


def set_stripe_account(
    tx: Tx,
    merchant: Merchant,
    *,
    api_key: str,
    base_url: str,
    webhook_secret: str | None,
    box: SecretBox,
    actor: Actor,
    platform_account: str | None = None,
    in_use: Collection[str] = (),
) -> None:
    """Set or rotate the Stripe key that pays for ``merchant``.

    ``platform_account`` is whose key it is, as Stripe said; None: asked before it is first used.
    ``in_use`` are the accounts that attempts are on their way through. A webhook secret that is not given
    stays while the account stays. Raises Invalid where key, address and mode clash, PaysElsewhere for a
    key of an account that cannot settle them.
    """
    problem = rules.check_stripe_key(api_key, base_url, merchant.mode)
    if problem:
        raise Invalid("stripe_key", problem)
    _set_account(
        tx,
        merchant,
        "stripe",
        api_key=api_key,
        hint=_hint(api_key),
        base_url=base_url,
        webhook_secret=webhook_secret,
        box=box,
        actor=actor,
        platform_account=platform_account,
        in_use=in_use,
    )


def set_wise_account(
    tx: Tx,
    merchant: Merchant,
    *,
    token: str,
    base_url: str,
    account: str,
    public_key: str | None,
    box: SecretBox,
    actor: Actor,
    in_use: Collection[str] = (),
) -> None:
    """Set or rotate the Wise token that pays for ``merchant``.

    ``account`` is the profile that pays and the user whose token it is, as Wise said. ``public_key`` is the key (PEM) that Wise's webhooks are checked with; one that is not given stays
    while they stay. Raises Invalid where token, address and mode clash, PaysElsewhere as
    ``set_stripe_account`` does.
    """
    problem = rules.check_wise_token(token, base_url, merchant.mode)
    if problem:
        raise Invalid("wise_token", problem)
    _set_account(
        tx,
        merchant,
        "wise",
        api_key=token,
        hint=f"… {token[-4:]}",
        base_url=base_url,
        webhook_secret=public_key,
        box=box,
        actor=actor,
        platform_account=account,
        in_use=in_use,
    )


def _set_account(
    tx: Tx,
    merchant: Merchant,
    method: str,
    *,
    api_key: str,
    hint: str,
    base_url: str,
    webhook_secret: str | None,
    box: SecretBox,
    actor: Actor,
    platform_account: str | None,
    in_use: Collection[str],
) -> None:
    if set(in_use) - {platform_account}:
        raise PaysElsewhere(merchant.key, in_use, platform_account)
    before = store.lock_gateway_account(tx, merchant.id, method)
    secret = box.encrypt(webhook_secret) if webhook_secret else None
    same = before is not None and before.platform_account == platform_account
    if secret is None and same:
        secret = before.webhook_secret_encrypted
    if before is not None and not same:
        # Endpoints belong to an account: those of the former one have nothing to say about this one.
        for kind in ("platform", "connect"):
            secret_store.expire(tx, before.id, kind, timedelta(0))
    store.upsert_gateway_account(
        tx,
        merchant_id=merchant.id,
        mode=merchant.mode,
        method=method,
        base_url=base_url,
        api_key=box.encrypt(api_key),
        webhook_secret=secret,
        hint=hint,
        platform_account=platform_account,
    )
    audit.record(
        tx,
        actor,
        "gateway_account.set",
        merchant_id=merchant.id,
        subject_kind="merchant",
        subject_id=merchant.key,
        before=None if before is None else _shown(before),
        after={
            "method": method,
            "base_url": base_url,
            "key": hint,
            "account": platform_account,
            "webhook_secret": secret is not None,
        },
    )


def set_webhook_secret(
    tx: Tx,
    merchant: Merchant,
    secret: str,
    *,
    box: SecretBox,
    actor: Actor,
    connect: bool = False,
    roll_hours: int = 0,
) -> None:
    """Set or replace the secret by which Stripe signs the merchant's webhooks.

    ``connect``: of the endpoint for events of connected accounts. The one that it replaces stays valid for
    ``roll_hours`` more. Raises Invalid for what is no such secret, NotFound without a Stripe account.
    """
    if not secret.startswith("whsec_") or len(secret) <= len("whsec_"):
        raise Invalid("webhook_secret", "it is no signing secret (whsec_…)")
    account = store.lock_gateway_account(tx, merchant.id, "stripe")
    if account is None or account.retired_at is not None:
        raise NotFound(
            "Stripe account of",
            merchant.key,
            f"Give one: `payspool merchants stripe-key {merchant.key}`.",
        )
    lasts = timedelta(hours=roll_hours)
    kind = "connect" if connect else "platform"
    secret_store.expire(tx, account.id, kind, lasts)
    if connect:
        secret_store.add(tx, account.id, kind, box.encrypt(secret), None)
    else:
        old = account.webhook_secret_encrypted
        if old is not None and roll_hours:
            secret_store.add(tx, account.id, kind, old, lasts)
        store.set_webhook_secret(tx, account.id, box.encrypt(secret))
    audit.record(
        tx,
        actor,
        "gateway_account.webhook_secret_set",
        merchant_id=merchant.id,
        subject_kind="merchant",
        subject_id=merchant.key,
        before=_shown(account),
        after={"kind": kind, "old_one_valid_hours": roll_hours},
    )


def _hint(api_key: str) -> str:
    return f"{api_key[:8]}…{api_key[-4:]}"


def _shown(account: Any) -> dict[str, Any]:
    return {
        "base_url": account.base_url,
        "key": account.api_key_hint,
        "account": account.platform_account,
        "webhook_secret": account.webhook_secret_encrypted is not None,
    }


def gateway_account(
    tx: Tx, merchant_id: int, method: str, *, box: SecretBox
) -> GatewayAccount | None:
    """A merchant's account for ``method``, decrypted, or None. Raises CannotDecrypt."""
    row: Any = store.gateway_account(tx, merchant_id, method)
    if row is None:
        return None
    secret = row.webhook_secret_encrypted
    sealed = [*([secret] if secret else []), *secret_store.valid(tx, row.id)]
    opened = tuple(box.decrypt(one, "webhook secret") for one in sealed)
    return GatewayAccount(
        method=row.method,
        mode=row.mode,
        base_url=row.base_url,
        api_key=box.decrypt(row.api_key_encrypted, f"{method} key"),
        webhook_secret=opened[0] if secret else None,
        webhook_secrets=opened,
        platform_account=row.platform_account,
    )


def learn_platform_account(
    tx: Tx, merchant_id: int, method: str, *, api_key: str, account: str, box: SecretBox
) -> None:
    """Keep which account the gateway said ``api_key`` belongs to; nothing if the key was replaced since."""
    row = store.lock_gateway_account(tx, merchant_id, method)
    if row is not None and box.decrypt(row.api_key_encrypted, f"{method} key") == api_key:
        store.learn_platform_account(tx, row.id, account)


def reseal(tx: Tx, *, box: SecretBox, actor: Actor) -> int:
    """Encrypt every gateway account's secrets under the newest key; returns how many accounts.

    After it the older keys open nothing that is stored. Raises CannotDecrypt, and changes nothing, if one
    of them was written under a key that is not configured.
    """
    accounts = store.lock_gateway_accounts(tx)
    for row in accounts:
        api_key = box.renew(row.api_key_encrypted, f"{row.method} key")
        secret = row.webhook_secret_encrypted
        webhook_secret = box.renew(secret, "webhook secret") if secret else None
        store.set_secrets(tx, row.id, api_key, webhook_secret)
    for extra in secret_store.lock_all(tx):
        renewed = box.renew(extra.secret_encrypted, "webhook secret")
        secret_store.replace(tx, extra.id, renewed)
    audit.record(
        tx,
        actor,
        "secrets.resealed",
        merchant_id=None,
        subject_kind="secrets",
        subject_id="gateway_accounts",
        after={"accounts": len(accounts)},
    )
    return len(accounts)
