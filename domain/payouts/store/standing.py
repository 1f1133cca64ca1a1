"""How payouts stand, in numbers: for metrics. Settled ones are not looked at, however many there are."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


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
