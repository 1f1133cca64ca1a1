"""What the lines of a file of cards mean, and what a card is worth here when it comes from another system.

A card with 120 points, of which 20 were earned in May and live a year by the program:

>>> from datetime import UTC, datetime
>>> from domain.loyalty.rules.policies import Rolling
>>> program = Program(id=1, merchant_id=1, key="beans", zone="Europe/Berlin", currency="eur",
...     earn_points=1, earn_per_amount=100, inactivity_days=365, expiration=(Rolling(months=12),))
>>> lines = [{"card": "4006381333931", "customer": "ada", "last_activity_at": "2026-05-20",
...           "points": "100", "earned_at": "2026-01-10", "expires_at": "2026-12-31"},
...          {"card": "4006381333931", "points": "20", "earned_at": "2026-05-20T10:00:00Z"}]
>>> now = datetime(2026, 6, 1, tzinfo=UTC)
>>> taken = take_over(read_card(lines), program, now)
>>> [(lot.points, lot.expires_at.isoformat()) for lot in taken.lots]
[(100, '2026-12-31T23:00:00+00:00'), (20, '2027-05-20T22:00:00+00:00')]
>>> taken.deadline.isoformat()      # by the last activity; 365 days without another one
'2027-05-20T22:00:00+00:00'

What has expired is refused by name, and never expires on arrival:

>>> take_over(read_card([lines[0] | {"expires_at": "2026-05-31"}]), program, now).reason
'lot_expired'
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final

from domain.errors import Invalid
from domain.fields import day_or_time, optional, text, up_to, whole
from domain.loyalty.rules.lots import Lot
from domain.loyalty.rules.numbers import NUMBER_MAX, is_card_number
from domain.loyalty.rules.policies import deadline_of
from domain.loyalty.rules.programs import MAX_BALANCE, Program, Refusal
from domain.loyalty.rules.times import inactivity_deadline, start_of_day

CARD_COLUMNS: Final = (
    "card",
    "customer",
    "program",
    "enrolled_at",
    "status",
    "last_activity_at",
    "stamps",
    "points",
    "earned_at",
    "available_at",
    "expires_at",
)
NEEDED_COLUMNS: Final = ("card", "customer")
"""The columns of a file of cards, and those that its header must have."""
OF_THE_CARD: Final = ("customer", "program", "enrolled_at", "status", "last_activity_at", "stamps")
"""Said once, on the first line of a card; further lines leave them out or repeat them."""
MAX_LOTS: Final = 1_000
"""Most lots of an imported card."""
LONGEST: Final = timedelta(days=100 * 366)
"""Furthest from now that a time of a file may be: others are slips of a tool."""
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Earliest time of a file: what tools write for a time that they do not have lies before."""
_FIRST: Final = date(1969, 1, 1)
_LAST: Final = date(9000, 1, 1)
"""Days that every zone can show; what a file has beyond them is refused as they are."""
NEVER_EXPIRES: Final = "never"
CUSTOMER_MAX: Final = 100
PROGRAM_MAX: Final = 100

_MANGLED: Final = re.compile(r"[0-9]([.,][0-9]+)?[eE]\+?[0-9]+")

When = date | datetime
"""A day of the program's zone, or a moment in UTC."""


@dataclass(frozen=True, slots=True)
class PastLot:
    """Points as the file says them. ``expires_at`` None: by the program's policies; ``never``: not by them."""

    points: int
    earned_at: When | None
    available_at: When | None
    expires_at: When | str | None


@dataclass(frozen=True, slots=True)
class PastCard:
    """A card as the file says it."""

    number: str
    customer_id: str
    program: str | None
    enrolled_at: When | None
    active: bool
    last_activity_at: When | None
    stamps: int
    lots: tuple[PastLot, ...]
    # Tells whether a later file says the same of the card.
    content_hash: bytes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        said = json.dumps(_said(self), ensure_ascii=False).encode()
        object.__setattr__(self, "content_hash", sha256(said).digest())


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A card as it begins here: times in UTC, and its lots as they stand."""

    past: PastCard
    program: Program
    enrolled_at: datetime
    last_activity_at: datetime
    deadline: datetime | None
    lots: Sequence[Lot]

    @property
    def points(self) -> int:
        """What all its lots hold."""
        return sum(lot.points for lot in self.lots)

    @property
    def check_on(self) -> datetime | None:
        """When the sweep has to look at it first."""
        ends = [lot.expires_at for lot in self.lots if lot.expires_at is not None]
        return min([*ends, *([self.deadline] if self.deadline else [])], default=None)


def read_card(lines: Sequence[Mapping[str, str]]) -> PastCard:
    """A card from its lines, each of which may give a lot. Raises Invalid, naming the column."""
    first = lines[0]
    number = text(first, "card", NUMBER_MAX)
    if not is_card_number(number):
        raise Invalid("card", f"has 1 to {NUMBER_MAX} visible ASCII characters and no blanks")
    if _MANGLED.fullmatch(number):
        raise Invalid(
            "card", f"{number} is a number that a spreadsheet rounded; format the column as text"
        )
    for line in lines[1:]:
        for name in OF_THE_CARD:
            said = (line.get(name) or "").strip()
            if said and said != (first.get(name) or "").strip():
                raise Invalid(name, "differs from the first line of the card")
    status = optional(first, "status", up_to(20)) or "active"
    if status not in ("active", "inactive"):
        raise Invalid("status", "is active or inactive")
    lots = tuple(lot for line in lines if (lot := _lot(line)) is not None)
    if len(lots) > MAX_LOTS or sum(lot.points for lot in lots) > MAX_BALANCE:
        raise Invalid("points", f"a card holds at most {MAX_BALANCE} points in {MAX_LOTS} lots")
    return PastCard(
        number,
        text(first, "customer", CUSTOMER_MAX),
        optional(first, "program", up_to(PROGRAM_MAX)),
        optional(first, "enrolled_at", day_or_time),
        status == "active",
        optional(first, "last_activity_at", day_or_time),
        optional(first, "stamps", _count) or 0,
        lots,
    )


def _lot(line: Mapping[str, str]) -> PastLot | None:
    points = optional(line, "points", _count)
    if points is None:
        for name in ("earned_at", "available_at", "expires_at"):
            if (line.get(name) or "").strip():
                raise Invalid("points", f"is needed beside {name}")
    if not points:
        return None
    return PastLot(
        points,
        optional(line, "earned_at", day_or_time),
        optional(line, "available_at", day_or_time),
        optional(line, "expires_at", _expiry),
    )


def _count(value: str, name: str) -> int:
    try:
        return whole(value, name)
    except Invalid:
        raise Invalid(name, "is a whole number from 0, without points or commas") from None


def _expiry(value: str, name: str) -> When | str:
    return NEVER_EXPIRES if value.lower() == NEVER_EXPIRES else day_or_time(value, name)


def _said(card: PastCard) -> list[object]:
    said: list[object] = [card.number, card.customer_id, card.program, card.active, card.stamps]
    said += [_told(card.enrolled_at), _told(card.last_activity_at)]
    said += [
        [lot.points, _told(lot.earned_at), _told(lot.available_at), _told(lot.expires_at)]
        for lot in card.lots
    ]
    return said


def _told(at: When | str | None) -> str | None:
    return at.isoformat() if isinstance(at, date) else at


def program_of(programs: Sequence[Program], key: str | None) -> Program | Refusal:
    """The program that an imported card joins: the one named, else the merchant's only one. It may be
    paused while its cards are brought."""
    there = [p for p in programs if p.status != "ended"]
    if key is None and len(there) == 1:
        return there[0]
    if key is None:
        return Refusal(
            "program_ambiguous" if there else "program_unknown",
            f"this merchant has {len(there)} loyalty programs; name one in `program`",
        )
    named = next((p for p in programs if p.key == key), None)
    if named is None:
        return Refusal("program_unknown", f"this merchant has no loyalty program {key!r}")
    if named.status == "ended":
        return Refusal("program_inactive", f"program {key} is ended")
    return named


def take_over(past: PastCard, program: Program, now: datetime) -> TakenOver | Refusal:
    """What a card begins with at business time ``now`` (UTC).

    Lots keep the deadline that the file gives, or get the program's, counted from when they were earned.
    Inactivity counts from the last activity. Nothing that would be gone already is taken over: whoever
    sends it decides whether it lapses (leave it out) or lives on (give a later time).
    """
    for kind, amount in (("points", len(past.lots)), ("stamps", past.stamps)):
        lacks = program.lacks(kind) if amount else None
        if lacks is not None:
            return lacks
    enrolled = _start(past.enrolled_at, program, now)
    active = _start(past.last_activity_at, program, now)
    for name, at in (("enrolled_at", enrolled), ("last_activity_at", active)):
        refusal = _within(name, at, now)
        if refusal is not None:
            return refusal
    lots = []
    for one in past.lots:
        lot = _taken(one, program, now)
        if isinstance(lot, Refusal):
            return lot
        lots.append(lot)
    deadline = None
    if lots and program.inactivity_days is not None:
        deadline = inactivity_deadline(active, program.inactivity_days, program.tz)
        if deadline <= now:
            return Refusal(
                "card_expired",
                f"its points expired on {deadline.astimezone(program.tz):%Y-%m-%d} for lack of activity;"
                " leave them out, or leave out last_activity_at to give them a full period from now",
            )
    return TakenOver(past, program, enrolled, active, deadline, lots)


def _taken(one: PastLot, program: Program, now: datetime) -> Lot | Refusal:
    earned = _start(one.earned_at, program, now)
    available = earned if one.available_at is None else _start(one.available_at, program, now)
    refusal = _within("earned_at", earned, now)
    if refusal is not None:
        return refusal
    expires: datetime | None
    if one.expires_at is None:
        expires = deadline_of(program.expiration, earned, program.tz)
    elif isinstance(one.expires_at, datetime):
        expires = one.expires_at
    elif isinstance(one.expires_at, date):
        # A day is the last one that they are good for.
        if one.expires_at > now.date() + LONGEST:
            return _too_far("expires_at")
        expires = start_of_day(one.expires_at + timedelta(1), program.tz)
    else:
        expires = None
    if available < earned:
        return Refusal("dates_crossed", "available_at is before earned_at")
    if available > now + LONGEST:
        return _too_far("available_at")
    if expires is None:
        return Lot(one.points, one.points, earned, available)
    if expires > now + LONGEST:
        return _too_far("expires_at")
    if expires <= now:
        whose = "by the program's policy" if one.expires_at is None else "as the file says"
        return Refusal(
            "lot_expired",
            f"{one.points} points expired on {expires.astimezone(program.tz):%Y-%m-%d} {whose};"
            " leave them out, or give a later expires_at",
        )
    if expires <= available:
        return Refusal("dates_crossed", "expires_at is not after available_at and earned_at")
    return Lot(one.points, one.points, earned, available, expires)


def _start(at: When | None, program: Program, now: datetime) -> datetime:
    """A moment in UTC: a day begins with its first instant in the program's zone; nothing is now."""
    if at is None:
        return now
    if isinstance(at, datetime):
        return at
    return start_of_day(min(max(at, _FIRST), _LAST), program.tz)


def _within(name: str, at: datetime, now: datetime) -> Refusal | None:
    if at > now:
        return Refusal("time_in_future", f"{name} is later than now")
    if at < EARLIEST:
        return Refusal("time_implausible", f"{name} is before {EARLIEST:%Y}")
    return None


def _too_far(name: str) -> Refusal:
    return Refusal(
        "time_implausible",
        f"{name} is over a hundred years away; write {NEVER_EXPIRES} where points do not expire",
    )
