"""Create programs, change their terms by a new version, pause, resume and end them.

Terms decide what people are owed, so that approvers set them. Any operator can pause, for then nothing is earned.
"""

from typing import Any

from domain import clock
from domain.audit import service as audit
from domain.db import Tx, transaction
from domain.errors import Forbidden, Invalid
from domain.loyalty import service as loyalty
from domain.merchants.service import Merchant
from domain.referrals import admin
from domain.referrals.admin import Terms
from web.dashboard.actions.registry import Doing, action


def _terms(said: dict[str, Any]) -> Terms:
    """What a form says, as terms. Raises Invalid."""
    for name in ("rule", "referee_rule"):
        if not isinstance(said[name], dict | None):
            raise Invalid(name, "is a JSON object")
    return Terms(**{**said, "currency": said["currency"].lower()})


@action("program.create", "approver")
def create(doing: Doing, *, merchant_id: int, key: str, name: str, terms: dict[str, Any]) -> str:
    """Add a referral program."""
    with transaction(doing.engine) as tx:
        admin.create_program(tx, merchant_id, key, name or key, _terms(terms), actor=doing.actor)
    return f"Created the program {key}. Conversions count by its codes."


@action("program.change", "approver")
def change(doing: Doing, *, merchant_id: int, key: str, seen: int, terms: dict[str, Any]) -> str:
    """Give a referral program new terms; ``seen`` is the version that was looked at."""
    with transaction(doing.engine) as tx:
        version = admin.change_program(
            tx, merchant_id, key, _terms(terms), actor=doing.actor, seen=seen
        )
    return f"The program {key} is at version {version}. What was earned stays."


def _set(doing: Doing, merchant_id: int, key: str, status: str) -> str:
    with transaction(doing.engine) as tx:
        admin.set_program_status(tx, merchant_id, key, status, actor=doing.actor)
    return f"The program {key} is {status}."


@action("program.pause", "operator")
def pause(doing: Doing, *, merchant_id: int, key: str) -> str:
    """Refuse conversions until the program is resumed."""
    return _set(doing, merchant_id, key, "paused")


@action("program.resume", "approver")
def resume(doing: Doing, *, merchant_id: int, key: str) -> str:
    """Let a paused program count conversions again."""
    return _set(doing, merchant_id, key, "active")


@action("program.end", "approver")
def end(doing: Doing, *, merchant_id: int, key: str) -> str:
    """End a program for good."""
    return _set(doing, merchant_id, key, "ended")


@action("loyalty_program.create", "approver")
def create_loyalty(
    doing: Doing, *, merchant: Merchant, key: str, name: str, zone: str, terms: dict[str, Any]
) -> str:
    """Add a loyalty program."""
    with transaction(doing.engine) as tx:
        made = loyalty.create_program(
            tx, merchant.id, key, name=name or key, zone=zone, **_plain(terms)
        )
        _expires(doing, tx, merchant, made)
        _note(doing, tx, "created", merchant.id, key, after=terms)
    return f"Created the program {key}."


@action("loyalty_program.change", "approver")
def change_loyalty(
    doing: Doing, *, merchant: Merchant, key: str, seen: int, terms: dict[str, Any]
) -> str:
    """Give a loyalty program new terms; ``seen`` is the version that was looked at."""
    with transaction(doing.engine) as tx:
        before = loyalty.terms_of(tx, merchant.id, key)
        changed = {name: value for name, value in _plain(terms).items() if before[name] != value}
        if not changed:
            raise Forbidden("Nothing is changed: these are its terms.")
        made = loyalty.change_program(
            tx, merchant.id, key, clock.business_now(tx), seen=seen, **changed
        )
        _expires(doing, tx, merchant, made)
        old = {name: before[name] for name in changed}
        _note(doing, tx, "changed", merchant.id, key, before=old, after=changed)
    return f"The program {key} is at version {made.version}. Nothing expires because of it."


def _plain(terms: dict[str, Any]) -> Any:
    # Its keys are fields of a form, checked by name in the service.
    return {**terms, "currency": str(terms["currency"]).lower()}


def _expires(doing: Doing, tx: Tx, merchant: Merchant, made: Any) -> None:
    if made.expires and doing.context.expires is not None:
        doing.context.expires(tx, merchant)


def _note(
    doing: Doing,
    tx: Tx,
    what: str,
    merchant_id: int,
    key: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit.record(
        tx,
        doing.actor,
        f"loyalty_program.{what}",
        merchant_id=merchant_id,
        subject_kind="loyalty_program",
        subject_id=key,
        before=before,
        after=after,
    )


def _set_loyalty(doing: Doing, merchant_id: int, key: str, status: str) -> str:
    with transaction(doing.engine) as tx:
        loyalty.set_status(tx, merchant_id, key, status)
        _note(doing, tx, status, merchant_id, key)
    return f"The program {key} is {status}."


@action("loyalty_program.pause", "operator")
def pause_loyalty(doing: Doing, *, merchant_id: int, key: str) -> str:
    """Let nothing be earned and redeemed until the program is resumed."""
    return _set_loyalty(doing, merchant_id, key, "paused")


@action("loyalty_program.resume", "approver")
def resume_loyalty(doing: Doing, *, merchant_id: int, key: str) -> str:
    """Let a paused program earn and redeem again."""
    return _set_loyalty(doing, merchant_id, key, "active")


@action("loyalty_program.end", "approver")
def end_loyalty(doing: Doing, *, merchant_id: int, key: str) -> str:
    """End a program."""
    return _set_loyalty(doing, merchant_id, key, "ended")
