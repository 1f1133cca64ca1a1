"""How payouts stand, in numbers: for metrics. Settled ones are not looked at, however many there are."""

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

DIFFERENCE_KINDS: Final = (
    *("missing_there", "missing_here", "amount", "currency", "destination", "fee", "day_sum"),
    *("paid_twice", "paid_after_all", "bank_missing_here"),
)
STOP_KINDS: Final = ("kill_switch", "breaker", "failover")


def unsettled(tx: Tx, at_most: int) -> list[Any]:
    """(state, currency, payouts, frozen, amount) of payouts that are not paid, canceled or reversed.

    ``amount`` is their sum in minor units of the currency.

    At most ``at_most`` of them are looked at, over an index that holds no others.
    """
    return list(tx.execute(_UNSETTLED, {"at_most": at_most}))


_UNSETTLED = text(
    """
    SELECT state, currency, count(*) AS payouts, count(frozen_reason) AS frozen, sum(amount) AS amount
    FROM (SELECT state, currency, frozen_reason, amount FROM payouts
          WHERE state NOT IN ('paid', 'canceled', 'reversed') LIMIT :at_most) open
    GROUP BY state, currency
    """
)


def open_attempts(tx: Tx, at_most: int) -> list[Any]:
    """(state, attempts, oldest_seconds) of attempts without an outcome; ages by PostgreSQL's clock."""
    return list(tx.execute(_OPEN_ATTEMPTS, {"at_most": at_most}))


_OPEN_ATTEMPTS = text(
    """
    SELECT state, count(*) AS attempts,
           extract(epoch FROM clock_timestamp() - min(coalesce(sent_at, created_at)))::float8 AS oldest_seconds
    FROM (SELECT state, sent_at, created_at FROM payout_attempts
          WHERE state IN ('created', 'sending', 'unknown') LIMIT :at_most) open
    GROUP BY state
    """
)


def open_differences(tx: Tx, at_most: int) -> dict[str, int]:
    """Differences that nobody has explained, by kind; at most ``at_most`` of them are looked at."""
    rows = tx.execute(_OPEN_DIFFERENCES, {"at_most": at_most})
    return dict.fromkeys(DIFFERENCE_KINDS, 0) | {row.kind: row.number for row in rows}


_OPEN_DIFFERENCES = text(
    """
    SELECT kind, count(*) AS number
    FROM (SELECT kind FROM payout_differences WHERE state = 'open' LIMIT :at_most) open GROUP BY kind
    """
)


def stops(tx: Tx, at_most: int) -> dict[str, int]:
    """What keeps payouts from being sent, by kind; at most ``at_most`` of them are looked at."""
    rows = tx.execute(_STOPS, {"at_most": at_most})
    return dict.fromkeys(STOP_KINDS, 0) | {row.kind: row.number for row in rows}


_STOPS = text(
    """
    SELECT kind, count(*) AS number
    FROM (SELECT kind FROM payout_stops WHERE lifted_at IS NULL LIMIT :at_most) open GROUP BY kind
    """
)


def open_reversals(tx: Tx, at_most: int) -> list[Any]:
    """(state, requests, oldest_seconds) of reversal requests without an outcome; ages by PostgreSQL's clock."""
    return list(tx.execute(_OPEN_REVERSALS, {"at_most": at_most}))


_OPEN_REVERSALS = text(
    """
    SELECT state, count(*) AS requests,
           extract(epoch FROM clock_timestamp() - min(coalesce(sent_at, created_at)))::float8 AS oldest_seconds
    FROM (SELECT state, sent_at, created_at FROM reversal_requests
          WHERE state IN ('created', 'sending', 'unknown') LIMIT :at_most) open
    GROUP BY state
    """
)
