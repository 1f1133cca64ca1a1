"""Use cases by which people administer referrals: programs with versions, and codes."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound
from domain.money import MAX_AMOUNT, is_currency
from domain.referrals import admin_store, fraud_store
from domain.referrals.rules.codes import make_code
from domain.referrals.rules.conversions import MAX_HOLD_DAYS
from domain.referrals.rules.rewards import MAX_DURATION_DAYS, parse_rate, parse_rule
from payspool_client.events.fields import BLANK_AT_AN_END

METHODS: Final = ("stripe", "wise", "manual")
MAX_KEY: Final = 100
MAX_NAME: Final = 255
"""Longest name of a program (as the column)."""
CODE_LENGTH: Final = (6, 20)
"""Shortest and longest code (EVENTS)."""
MAX_USES: Final = 2**31 - 1
"""Most uses of a code, and most rewards of a referrer (as the columns)."""
CODE_STATUSES: Final = ("active", "inactive", "suspended")
"""What people set. (A code expires by itself, at its ``expires_at``.)"""
YEARS: Final = range(1970, 3000)
"""Years of schedules and expiries; beyond them a time is a slip, or cannot be told in every zone."""
MAX_REASON: Final = 500
"""Longest reason (as the audit trail's column)."""
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
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    codes_per_user: int | None = None

    @property
    def told(self) -> dict[str, Any]:
        """As the audit trail keeps them."""
        fields = asdict(self)
        for name in ("starts_at", "ends_at"):
            fields[name] = None if fields[name] is None else fields[name].isoformat()
        return fields


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to add; without ``code``, one is made."""

    user_id: str
    code: str | None = None
    max_uses: int | None = None
    expires_at: datetime | None = None
    # Of the owner's address (payspool_client.email_hash), to tell who refers themself.
    email_hash: str | None = None


def create_program(
    tx: Tx, merchant_id: int, key: str, name: str, terms: Terms, *, actor: Actor
) -> int:
    """Add a program at version 1; returns its id. Raises Invalid or AlreadyExists."""
    _check_name("key", key, MAX_KEY)
    _check_name("name", name, MAX_NAME)
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
        after=terms.told,
    )
    return program_id


def change_program(
    tx: Tx, merchant_id: int, key: str, terms: Terms, *, actor: Actor, seen: int | None = None
) -> int:
    """Give a program new terms as a new version; returns its number. What was computed stays.

    Waits for the batches that use the present version. ``seen``: the version that was looked at; nobody's
    change is lost to another who did not see it. Raises NotFound, Invalid or Forbidden.
    """
    _check(terms)
    row = _locked(tx, merchant_id, key)
    if seen not in (None, row.version):
        raise Forbidden(
            f"The program {key!r} is at version {row.version} now, and you looked at {seen}. Load it again."
        )
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
        after={"version": version} | terms.told,
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


def copy_program(
    tx: Tx, merchant_id: int, key: str, new_key: str, name: str | None, *, actor: Actor
) -> int:
    """Add a program with the present terms of another; codes stay with that one. Returns its id.

    Raises NotFound, Invalid or AlreadyExists.
    """
    row = _found(admin_store.terms(tx, merchant_id, key), key)
    return create_program(tx, merchant_id, new_key, name or row.name, _terms(row), actor=actor)


def create_codes(
    tx: Tx, merchant_id: int, program_key: str, codes: Sequence[NewCode], *, actor: Actor
) -> list[str]:
    """Add codes to a program; returns them in order. All or none.

    Raises NotFound for the program, Invalid for a code's form, AlreadyExists for a taken one.
    """
    found = found_program(tx, merchant_id, program_key)
    rows: list[dict[str, Any]] = []
    for new in codes:
        check_code(new)
    if found.codes_per_user is not None:
        # Others who make codes of this program wait, so that two cannot both make the last one.
        admin_store.lock_codes_of(tx, found.id)
    for new in codes:
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
    _check_per_user(tx, found, sorted({new.user_id for new in codes}))
    hashes = {(merchant_id, new.user_id): new.email_hash for new in codes if new.email_hash}
    if hashes:
        fraud_store.put_email_hashes(tx, hashes)
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


def set_code_status(
    tx: Tx, merchant_id: int, code: str, status: str, *, actor: Actor, reason: str
) -> None:
    """Suspend a code, take it out of use, or bring it back. What it earned stays.

    Raises NotFound, Invalid.
    """
    if status not in CODE_STATUSES:
        raise Invalid("status", f"is one of {', '.join(CODE_STATUSES)}")
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Invalid("reason", f"say in 1 to {MAX_REASON} characters why")
    before = admin_store.set_code_status(tx, merchant_id, code, status)
    if before is None:
        raise NotFound("code", code, "`payspool codes list` shows them.")
    audit.record(
        tx,
        actor,
        "code.status_set",
        merchant_id=merchant_id,
        subject_kind="code",
        subject_id=code,
        reason=reason,
        before={"status": before},
        after={"status": status},
    )


def programs(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's programs with their present terms."""
    return admin_store.program_listing(tx, merchant_id)


def codes(tx: Tx, merchant_id: int, *, user_id: str | None, limit: int) -> list[Any]:
    """A merchant's codes, newest first."""
    return admin_store.code_listing(tx, merchant_id, user_id, limit)


def code_page(
    tx: Tx, merchant_id: int, *, user_id: str | None, after: str | None, limit: int
) -> list[Any]:
    """A merchant's codes in their order above the code ``after``, of one user or of all."""
    return admin_store.code_page(tx, merchant_id, user_id, after, limit)


def code(tx: Tx, merchant_id: int, name: str) -> Any:
    """A code as it is. Raises NotFound."""
    row = admin_store.code(tx, merchant_id, name)
    if row is None:
        raise NotFound("code", name, "`payspool codes list` shows them.")
    return row


def _locked(tx: Tx, merchant_id: int, key: str) -> Any:
    return _found(admin_store.lock_program(tx, merchant_id, key), key)


def _found(row: Any, key: str) -> Any:
    if row is None:
        raise NotFound("program", key, "`payspool programs list` shows them.")
    return row


def _check_per_user(tx: Tx, program: Any, users: Sequence[str]) -> None:
    if program.codes_per_user is None:
        return
    over = admin_store.owner_of_too_many(tx, program, users)
    if over is not None:
        raise Invalid(
            "user_id",
            f"{over} would have more than {program.codes_per_user} codes of the program {program.key!r}",
        )


def terms_of(tx: Tx, merchant_id: int, key: str) -> Terms | None:
    """The present terms of a program, or None."""
    row = admin_store.terms(tx, merchant_id, key)
    return None if row is None else _terms(row)


def _terms(row: Any) -> Terms:
    return Terms(**{field.name: getattr(row, field.name) for field in fields(Terms)})


def owners_of(tx: Tx, merchant_id: int, codes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Program and owner of those of ``codes`` that are there."""
    rows = admin_store.owners_of(tx, merchant_id, codes)
    return {row.code: (row.program, row.user_id) for row in rows}


def found_program(tx: Tx, merchant_id: int, key: str) -> Any:
    """A program as it is. Raises NotFound."""
    return _found(admin_store.program(tx, merchant_id, key), key)


def check_code(new: NewCode) -> None:
    """Raises Invalid, naming the field that cannot be meant."""
    if new.code is not None and not CODE_LENGTH[0] <= len(new.code) <= CODE_LENGTH[1]:
        raise Invalid(
            "code", f"{new.code!r} must have {CODE_LENGTH[0]} to {CODE_LENGTH[1]} characters"
        )
    if not 1 <= len(new.user_id) <= 100:
        raise Invalid("user_id", f"{new.user_id[:100]!r} must have 1 to 100 characters")
    if re.search(BLANK_AT_AN_END, new.user_id) or "\0" in new.user_id:
        # No event can name such a user: what the code earns would be paid to nobody.
        # Of a million owners it is to be found.
        raise Invalid(
            "user_id", f"{new.user_id!r} must neither begin nor end with a blank, nor have a NUL"
        )
    if new.max_uses is not None and not 1 <= new.max_uses <= MAX_USES:
        raise Invalid("max_uses", f"is from 1 to {MAX_USES}")
    if new.code is not None and (
        re.search(BLANK_AT_AN_END, new.code) or not new.code.isprintable()
    ):
        raise Invalid(
            "code",
            "neither begins nor ends with a blank, and has no line break, NUL or other control character",
        )
    if new.email_hash is not None and not re.fullmatch(r"[0-9a-f]{64}", new.email_hash):
        raise Invalid("email_hash", "is 64 lower-case hexadecimal digits, as email_hash makes them")
    _check_time("expires_at", new.expires_at)


def _check_name(field: str, name: str, most: int) -> None:
    """Of a program: what events and paths could not name, or nobody could see, is a slip."""
    if not 1 <= len(name) <= most:
        raise Invalid(field, f"has 1 to {most} characters")
    if not name.isprintable() or re.search(BLANK_AT_AN_END, name):
        raise Invalid(
            field,
            "neither begins nor ends with a blank, and has no line break or control character",
        )


def _check_time(name: str, at: datetime | None) -> None:
    if at is None:
        return
    if at.tzinfo is None:
        raise Invalid(name, "needs an offset, for instance 2026-12-31T23:59:59Z")
    if at.year not in YEARS:
        raise Invalid(name, f"is a time of the years {YEARS[0]} to {YEARS[-1]}")


def _check(terms: Terms) -> None:
    referee: Any = {} if terms.referee_rule is None else terms.referee_rule
    for name, rule in (("rule", terms.rule), ("referee_rule", referee)):
        if not isinstance(rule, dict):
            raise Invalid(name, "is a JSON object; docs/reference/rules.md has examples")
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
        raise Invalid("min_amount", f"is from 0 to {MAX_AMOUNT}, in minor units")
    _check_time("starts_at", terms.starts_at)
    _check_time("ends_at", terms.ends_at)
    if terms.starts_at and terms.ends_at and terms.starts_at >= terms.ends_at:
        raise Invalid("ends_at", "is after starts_at")
    per_user = terms.codes_per_user
    if per_user is not None and not 1 <= per_user <= MAX_USES:
        raise Invalid("codes_per_user", f"is from 1 to {MAX_USES}")
    if terms.payout_method is not None and terms.payout_method not in METHODS:
        raise Invalid("payout_method", f"is one of {', '.join(METHODS)}")
