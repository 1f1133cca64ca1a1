"""How missed webhooks are looked for: which types, how far back, and from where.

A poll begins an hour before what the last one saw, for a gateway shows some events late:

>>> from datetime import UTC
>>> noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
>>> begins_at(read_until=noon, reading_from=None, now=noon + timedelta(days=1)).isoformat()
'2026-06-01T11:00:00+00:00'

Events older than thirty days are gone. After 40 days without a poll, those of the first 10 cannot be found:

>>> lost_before(last=noon, now=noon + timedelta(days=40)).isoformat()
'2026-06-11T12:00:00+00:00'
>>> lost_before(last=noon, now=noon + timedelta(days=29)) is None
True
"""

from datetime import datetime, timedelta
from typing import Final

from domain.payouts.rules.notices import STRIPE_TYPES

KEPT: Final = timedelta(days=30)
"""How long a gateway shows its events (Stripe's documentation of `GET /v1/events`)."""

OVERLAP: Final = timedelta(hours=1)
"""How much of what was read is read again: an event may be shown later than its time says."""

FIRST_DAYS: Final = 3
"""How far back the first poll of an account looks, unless somebody says otherwise."""

MISSED_AFTER: Final = timedelta(minutes=5)
"""An event of this age that no webhook brought counts as missed; a younger one may be on its way."""

PAGES: Final = 20
"""Pages of one account that one round reads; the next round goes on from there."""

ACCOUNTS: Final = 100
"""Connected accounts that one round asks about, those first that were not asked about for longest."""

MOST_TYPES: Final = 20
"""Types that one call may name (Stripe's documentation)."""

assert len(STRIPE_TYPES) <= MOST_TYPES, "one call names all types"


def begins_at(*, read_until: datetime, reading_from: datetime | None, now: datetime) -> datetime:
    """From when a poll reads: an overlap before what was read, or from where one that was not finished had
    begun (``reading_from``), and no further back than events are kept."""
    begins = read_until - OVERLAP
    if reading_from is not None:
        begins = min(begins, reading_from)
    return max(begins, now - KEPT)


def too_old(from_at: datetime, now: datetime) -> bool:
    """Whether a reading that was interrupted is to be begun anew: the gateway shows its end no more. The day
    more is for a reading of all that is kept, which takes many rounds."""
    return now - from_at > KEPT + timedelta(days=1)


def lost_before(*, last: datetime, now: datetime) -> datetime | None:
    """Up to when events may be lost for good, because the ``last`` poll was too long ago; or None."""
    return now - KEPT if now - last > KEPT else None
