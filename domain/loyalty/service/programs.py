"""Use cases of loyalty programs: create one, change its terms by a new version, pause and resume it."""

import re
from datetime import datetime
from typing import Any, Final, Unpack
from zoneinfo import ZoneInfo

from domain.db import Tx
from domain.errors import AlreadyExists, Forbidden, Invalid, NotFound
from domain.loyalty.rules import Program
from domain.loyalty.rules.terms import Terms, checked
from domain.loyalty.store import programs as store

KEY_MAX: Final = 100
NAME_MAX: Final = 255
MAX_PROGRAMS: Final = 100
"""Most programs of a merchant: every batch reads them all."""
STATUSES: Final = ("active", "paused", "ended")

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]*")


def create_program(
    tx: Tx,
    merchant_id: int,
    key: str,
    *,
    name: str,
    currency: str,
    zone: str = "UTC",
    **terms: Unpack[Terms],
) -> Program:
    """Create an active program with its first version.

    A purchase earns ``earn_points`` for each ``earn_per_amount`` minor units of ``currency``, in
    proportion and rounded down. ``inactivity_days`` None: points never expire for lack of activity.
    ``zone`` is an IANA name. Raises Invalid (naming the field) and AlreadyExists.
    """
    _check_names(key, name, zone)
    whole = checked({**terms, "currency": currency})
    if len(store.of_merchants(tx, [merchant_id])) >= MAX_PROGRAMS:
        raise Invalid("key", f"a merchant has at most {MAX_PROGRAMS} loyalty programs")
    program_id = store.insert(tx, merchant_id, key, name, zone, whole)
    if program_id is None:
        raise AlreadyExists("loyalty program", key, "Give another key.")
    return _get(tx, merchant_id, key)


def change_program(
    tx: Tx,
    merchant_id: int,
    key: str,
    now: datetime,
    *,
    seen: int | None = None,
    **terms: Unpack[Terms],
) -> Program:
    """Make a new version of a program: ``terms`` change, the others stay. Returns it.

    Nothing expires because of it. Lots keep the deadline that they were credited with, and a card keeps its
    deadline for inactivity until its next activity; a first inactivity policy gives every card that holds points one full
    period from ``now`` (UTC), and the end of one releases them all. Other tiers count from ``now`` on. ``seen``: the version that was looked
    at. Raises NotFound, Invalid, and Forbidden if it is another one now.
    """
    before = store.lock(tx, merchant_id, key)
    if before is None:
        raise NotFound("loyalty program", key)
    program_id, version, old = before
    if seen not in (None, version):
        raise Forbidden(
            f"The program {key!r} is at version {version} now, and you looked at {seen}. Load it again."
        )
    whole = checked({**old, **terms})
    store.add_version(tx, program_id, version + 1, whole)
    if any(old[name] != whole[name] for name in ("tiers", "tier_days")):
        store.begin_recount(tx, program_id, version + 1, now)
    program = _get(tx, merchant_id, key)
    if old["inactivity_days"] is None and program.inactivity_days is not None:
        store.start_periods(tx, program, now)
    elif program.inactivity_days is None and old["inactivity_days"] is not None:
        store.stop_periods(tx, program)
    return program


def set_status(tx: Tx, merchant_id: int, key: str, status: str) -> None:
    """Pause, resume or end a program: only an active one earns and redeems. Raises NotFound and Invalid."""
    if status not in STATUSES:
        raise Invalid("status", f"choose among {', '.join(STATUSES)}")
    if not store.set_status(tx, merchant_id, key, status):
        raise NotFound("loyalty program", key)


def terms_of(tx: Tx, merchant_id: int, key: str) -> dict[str, Any]:
    """The terms of a program's current version, as they were configured. Raises NotFound."""
    found = store.lock(tx, merchant_id, key)
    if found is None:
        raise NotFound("loyalty program", key)
    return found[2]


def _get(tx: Tx, merchant_id: int, key: str) -> Program:
    return next(p for p in store.of_merchants(tx, [merchant_id]) if p.key == key)


def _check_names(key: str, name: str, zone: str) -> None:
    if len(key) > KEY_MAX or _KEY.fullmatch(key) is None:
        raise Invalid(
            "key", f"use 1 to {KEY_MAX} of a-z, 0-9, '_' and '-', starting with a letter or digit"
        )
    if not name.strip() or len(name) > NAME_MAX:
        raise Invalid("name", f"use 1 to {NAME_MAX} characters")
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError) as error:  # unknown, a folder, or no name at all
        raise Invalid("zone", f"{zone!r} is not an IANA time zone such as Europe/Berlin") from error
