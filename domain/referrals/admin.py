"""Use cases by which people administer referrals: programs with versions, and codes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound
from domain.money import MAX_AMOUNT, is_currency
from domain.referrals import admin_store
from domain.referrals.rules.codes import make_code
from domain.referrals.rules.conversions import MAX_HOLD_DAYS
from domain.referrals.rules.rewards import MAX_DURATION_DAYS, parse_rate, parse_rule

METHODS: Final = ("stripe", "wise", "manual")
MAX_KEY: Final = 100
CODE_LENGTH: Final = (6, 20)
"""Shortest and longest code (EVENTS)."""
MAX_USES: Final = 2**31 - 1
"""Most uses of a code, and most rewards of a referrer (as the columns)."""
MAX_TRIES: Final = 20
"""Draws of a fresh code before giving up: at a million codes one draw in 34 is taken."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a program version says. Amounts in minor units of ``currency``, times in days."""

    rule: dict[str, Any]
    currency: str
    referee_rule: dict[str, Any] | None = None
    hold_days: int = 0
    window_days: int | None = None
    max_rewards_per_referrer: int | None = None
    min_amount: int = 0
    payout_method: str | None = None


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to add; without ``code``, one is made."""

    user_id: str
    code: str | None = None
    max_uses: int | None = None
    expires_at: datetime | None = None


def create_program(
    tx: Tx, merchant_id: int, key: str, name: str, terms: Terms, *, actor: Actor
) -> int:
    """Add a program at version 1; returns its id. Raises Invalid or AlreadyExists."""
    if not key or len(key) > MAX_KEY:
        raise Invalid("key", f"has 1 to {MAX_KEY} characters")
    _check(terms)
    program_id = admin_store.insert_program(tx, merchant_id, key, name)
    if program_id is None:
        raise AlreadyExists("program", key, "`payspool programs change` makes a new version of it.")
    admin_store.insert_version(tx, program_id, 1, asdict(terms))
    audit.record(
        tx,
        actor,
        "program.created",
        merchant_id=merchant_id,
        subject_kind="program",
        subject_id=key,
        after=asdict(terms),
    )
    return program_id


def change_program(tx: Tx, merchant_id: int, key: str, terms: Terms, *, actor: Actor) -> int:
    """Give a program new terms as a new version; returns its number. What was computed stays.

    Waits for the batches that use the present version. Raises NotFound, Invalid or Forbidden.
    """
    _check(terms)
    row = _locked(tx, merchant_id, key)
    if row.status == "ended":
        raise Forbidden(f"The program {key!r} has ended; create a new one.")
    if terms.currency != row.currency:
        # Volumes and minimums are amounts: in another currency they would be added to what they are not.
        raise Invalid(
            "currency",
            f"the program {key!r} counts in {row.currency.upper()}, and stays so; create another program"
            f" for {terms.currency.upper()}",
        )
    version: int = row.version + 1
    admin_store.insert_version(tx, row.id, version, asdict(terms))
    admin_store.set_program(tx, row.id, status=row.status, version=version)
    audit.record(
        tx,
        actor,
        "program.changed",
        merchant_id=merchant_id,
        subject_kind="program",
        subject_id=key,
        before={"version": row.version},
        after={"version": version} | asdict(terms),
    )
    return version


def set_program_status(tx: Tx, merchant_id: int, key: str, status: str, *, actor: Actor) -> None:
    """Pause, resume or end a program; an ended one stays ended. Raises NotFound, Invalid, Forbidden."""
    if status not in ("active", "paused", "ended"):
        raise Invalid("status", "is active, paused or ended")
    row = _locked(tx, merchant_id, key)
    if row.status == "ended" and status != "ended":
        raise Forbidden(f"The program {key!r} has ended and stays so; create a new one.")
    admin_store.set_program(tx, row.id, status=status, version=row.version)
    audit.record(
        tx,
        actor,
        "program.status_set",
        merchant_id=merchant_id,
        subject_kind="program",
        subject_id=key,
        before={"status": row.status},
        after={"status": status},
    )


def create_codes(
    tx: Tx, merchant_id: int, program_key: str, codes: Sequence[NewCode], *, actor: Actor
) -> list[str]:
    """Add codes to a program; returns them in order. All or none.

    Raises NotFound for the program, Invalid for a code's form, AlreadyExists for a taken one.
    """
    found = _found(admin_store.program(tx, merchant_id, program_key), program_key)
    rows: list[dict[str, Any]] = []
    for new in codes:
        _check_code(new)
        rows.append(asdict(new) | {"code": new.code or make_code()})
    pending = list(range(len(rows)))
    for _ in range(MAX_TRIES):
        # Of two equal codes in one call, drawn or chosen, only one is anybody's.
        first = {rows[i]["code"]: i for i in reversed(pending)}
        made = admin_store.insert_codes(
            tx, merchant_id, found.id, [rows[i] for i in first.values()]
        )
        own = {first[code] for code in made}
        pending = [i for i in pending if i not in own]
        if not pending:
            break
        for i in pending:
            if codes[i].code is not None:
                raise AlreadyExists("code", rows[i]["code"], "Choose another.")
            rows[i]["code"] = make_code()
    if pending:
        raise AlreadyExists("code", rows[pending[0]]["code"], "Nearly all are taken.")
    audit.record(
        tx,
        actor,
        "codes.created",
        merchant_id=merchant_id,
        subject_kind="program",
        subject_id=program_key,
        after={"count": len(rows), "first": rows[0]["code"] if rows else None},
    )
    return [r["code"] for r in rows]


def programs(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's programs with their present terms."""
    return admin_store.program_listing(tx, merchant_id)


def codes(tx: Tx, merchant_id: int, *, user_id: str | None, limit: int) -> list[Any]:
    """A merchant's codes, newest first."""
    return admin_store.code_listing(tx, merchant_id, user_id, limit)


def _locked(tx: Tx, merchant_id: int, key: str) -> Any:
    return _found(admin_store.lock_program(tx, merchant_id, key), key)


def _found(row: Any, key: str) -> Any:
    if row is None:
        raise NotFound("program", key, "`payspool programs list` shows them.")
    return row


def _check_code(new: NewCode) -> None:
    if new.code is not None and not CODE_LENGTH[0] <= len(new.code) <= CODE_LENGTH[1]:
        raise Invalid(
            "code", f"{new.code!r} must have {CODE_LENGTH[0]} to {CODE_LENGTH[1]} characters"
        )
    if not 1 <= len(new.user_id) <= 100:
        raise Invalid("user_id", "has 1 to 100 characters")
    if new.max_uses is not None and not 1 <= new.max_uses <= MAX_USES:
        raise Invalid("max_uses", f"is from 1 to {MAX_USES}")
    if new.expires_at is not None and new.expires_at.tzinfo is None:
        raise Invalid("expires_at", "needs an offset, for instance 2026-12-31T23:59:59Z")


def _check(terms: Terms) -> None:
    parse_rule(terms.rule)
    if terms.referee_rule is not None:
        parse_rate(terms.referee_rule, "referee_rule")
    if not is_currency(terms.currency):
        raise Invalid("currency", "is a lower-case ISO 4217 code, as usd")
    if not 0 <= terms.hold_days <= MAX_HOLD_DAYS:
        raise Invalid("hold_days", f"is from 0 to {MAX_HOLD_DAYS}")
    if terms.window_days is not None and not 1 <= terms.window_days <= MAX_DURATION_DAYS:
        raise Invalid("window_days", f"is from 1 to {MAX_DURATION_DAYS}")
    cap = terms.max_rewards_per_referrer
    if cap is not None and not 1 <= cap <= MAX_USES:
        raise Invalid("max_rewards_per_referrer", f"is from 1 to {MAX_USES}")
    if not 0 <= terms.min_amount <= MAX_AMOUNT:
        raise Invalid("min_amount", "is not negative, in minor units")
    if terms.payout_method is not None and terms.payout_method not in METHODS:
        raise Invalid("payout_method", f"is one of {', '.join(METHODS)}")
