"""Keys, windows, leases and waits of attempts, and what a sender does next.

>>> attempt_key("3f2a91c04be7", payout_id=12, leg="transfer", n=1)
'payspool/3f2a91c04be7/12/transfer/1'
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 20.0
"""Longest wait for a connection and for an answer (Stripe's library would wait 80 s)."""

MAX_TRIES: Final = 3
"""Same-key tries inside one lease, on answers that prove that nothing was executed."""

MAX_PAUSE_SECONDS: Final = 10.0
"""Longest pause between two of them; a longer ``Retry-After`` ends the tries."""

ONE_TRY: Final = timedelta(seconds=CONNECT_SECONDS + READ_SECONDS)

LEASE: Final = timedelta(seconds=120)
"""How long a sender alone may work on an attempt."""

assert MAX_TRIES * ONE_TRY + timedelta(seconds=(MAX_TRIES - 1) * MAX_PAUSE_SECONDS) < LEASE, (
    "a lease outlasts all tries"
)

REPLAY_WINDOW: Final = timedelta(hours=23)
"""How long after it was sent a key may be sent again: Stripe may forget keys after 24 hours, and a
forgotten key pays again. The hour between them covers the lease and clocks that disagree."""

LOST_AFTER: Final = timedelta(minutes=30)
"""An approved payout without an attempt for that long: its message was lost."""

AFTER_LEASE: Final = timedelta(seconds=30)
"""How long after the end of a lease the sweep looks at what its holder left behind."""

FIRST_LOOK: Final = timedelta(minutes=10)
"""How long after money was handed to a gateway that delivers it later the sweep first asks how it stands."""

CLOCKS_APART: Final = timedelta(hours=1)
"""How far the clocks of two servers of one database may be apart: after a failover, attempts of the old one
may seem to have been sent in times to come."""

HEALING_CODES: Final = frozenset({"balance_insufficient"})
"""Failures that pass by themselves (money arrives); all others wait for a person."""

MAX_HEALING_TRIES: Final = 24
"""Attempts of one payout that open by themselves; then a person decides."""


def attempt_key(installation: str, *, payout_id: int, leg: str, n: int) -> str:
    """The idempotency key of attempt ``n`` of a leg: computed, so that it cannot be minted twice.

    Payouts are numbered in each database from 1; the installation keeps two of them apart that send
    through one account of a gateway.
    """
    return f"{transfer_group(installation, payout_id)}/{leg}/{n}"


def transfer_group(installation: str, payout_id: int) -> str:
    """The group under which a payout's transfers are listed at the gateway."""
    return f"payspool/{installation}/{payout_id}"


def params_hash(params: Mapping[str, Any]) -> bytes:
    """SHA-256 over parameters as they are sent, independent of the order of their keys."""
    canonical = json.dumps(params, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).digest()


def may_replay(sent_at: datetime, now: datetime) -> bool:
    """Whether the key of an attempt may still be sent; both by PostgreSQL's real clock."""
    return timedelta(0) <= now - sent_at < REPLAY_WINDOW


def is_forgotten(sent_at: datetime, now: datetime) -> bool:
    """Whether the gateway may have forgotten the key of an attempt, so that people may give it up; both by
    PostgreSQL's real clock.

    A time that lies a little ahead is that of a server whose clock ran before the present one's: until the
    clock has caught up the key is neither sent nor given up. One further ahead tells nothing, and people decide.
    """
    return not -CLOCKS_APART <= now - sent_at < REPLAY_WINDOW


BEING_ASKED: Final = (
    "a worker is asking the gateway about it at this moment, and what it asks may be executed yet: try again in"
    f" {LEASE.seconds // 60} minutes"
)
"""Why nobody gives up what is leased."""


def is_leased(lease_until: datetime | None, now: datetime) -> bool:
    """Whether a worker holds an attempt now, by PostgreSQL's real clock."""
    return lease_until is not None and lease_until > now


def backoff(count: int, *, first: timedelta, longest: timedelta) -> timedelta:
    """The wait after ``count`` earlier ones: doubled each time, at most ``longest``.

    >>> [backoff(n, first=timedelta(minutes=1), longest=timedelta(minutes=5)).seconds for n in range(4)]
    [60, 120, 240, 300]
    """
    doublings = min(count, 30)
    return min(first * (1 << doublings), longest)


def resolve_wait(tries: int) -> timedelta:
    """How long to wait before an unknown attempt is asked about again: 10 s, doubled, up to 1 hour."""
    return backoff(max(tries - 1, 0), first=timedelta(seconds=10), longest=timedelta(hours=1))


def turned_away_wait(tries: int, retry_after: float | None) -> timedelta:
    """How long an attempt waits that was turned away before it began: 15 s, doubled, up to 10 minutes,
    or as long as the gateway asked for, up to 1 hour."""
    asked = timedelta(seconds=min(retry_after or 0.0, 3600.0))
    wait = backoff(max(tries - 1, 0), first=timedelta(seconds=15), longest=timedelta(minutes=10))
    return max(asked, wait)


def healing_wait(code: str | None, n: int) -> timedelta | None:
    """How long a failed payout waits for its next attempt: 5 minutes, doubled, up to 6 hours.

    None: it does not heal by itself, or has had MAX_HEALING_TRIES attempts; a person decides.
    """
    if code not in HEALING_CODES or n >= MAX_HEALING_TRIES:
        return None
    return backoff(n - 1, first=timedelta(minutes=5), longest=timedelta(hours=6))


def re_emit_wait(emit_count: int) -> timedelta:
    """How long the sweep waits after a message for the next one: 5 minutes, doubled, up to 6 hours."""
    return backoff(emit_count, first=timedelta(minutes=5), longest=timedelta(hours=6))


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """The attempt of a leg that has paid or may have: at most one exists.

    ``lease_until`` None while ``sending``: it was turned away before it began, and waits.
    """

    state: str
    lease_until: datetime | None


class Step(Enum):
    """What a sender does with a payout."""

    OPEN = "open an attempt under a new key"
    RESUME = "send the waiting attempt under its key"
    EXPIRE = "its sender vanished: the outcome is unknown"


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing to send, and why."""

    reason: str


def step_of_live(live: LiveAttempt, *, waits: bool, now: datetime) -> Step | Leave:
    """What a sender does about the attempt that has paid or may have, of either leg; ``waits``: its next try
    is not due yet."""
    if live.state != "sending":
        return Leave(live.state)
    if live.lease_until is None:
        return Leave("waiting") if waits else Step.RESUME
    return Leave("leased") if is_leased(live.lease_until, now) else Step.EXPIRE


def next_step(
    state: str,
    live: LiveAttempt | None,
    *,
    frozen: bool,
    next_try_at: datetime | None,
    now: datetime,
) -> Step | Leave:
    """What a sender that holds the payout's lock may do; ``now`` is PostgreSQL's real clock.

    A message is only a hint: the same one may arrive twice, late, or after another sender began.
    """
    if frozen:
        return Leave("frozen")
    waits = next_try_at is not None and next_try_at > now
    if live is not None:
        return step_of_live(live, waits=waits, now=now)
    if state == "approved":
        return Step.OPEN
    if state == "failed" and next_try_at is not None:
        return Leave("waiting") if waits else Step.OPEN
    return Leave(state)
