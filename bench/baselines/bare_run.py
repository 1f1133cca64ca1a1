"""The limit of building a run: two statements that make the same payouts and claims."""

import time
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import Engine, text


def build(engine: Engine, merchant_id: int, as_of: datetime) -> float:
    """Make a run's payouts and claim their earnings in one transaction; returns its seconds."""
    started = time.monotonic()
    with engine.begin() as tx:
        run_id = tx.execute(_RUN, {"merchant_id": merchant_id, "as_of": as_of}).scalar_one()
        values = {"merchant_id": merchant_id, "as_of": as_of, "run_id": run_id}
        tx.execute(_PAYOUTS, values)
        tx.execute(_CLAIM, values)
    return time.monotonic() - started


def outcome(engine: Engine) -> str:
    """SHA-256 over who is paid how much out of how many earnings, and which earnings are whose."""
    with engine.connect() as tx:
        rows = tx.execute(_OUTCOME).all()
    return sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()


_RUN: Final = text(
    """
    INSERT INTO payout_runs (merchant_id, name, as_of, members_hash)
    VALUES (:merchant_id, 'bare', :as_of, sha256('')) RETURNING id
    """
)
_PAYOUTS: Final = text(
    """
    INSERT INTO payouts (merchant_id, run_id, payee_id, user_id, account_id, method, destination, currency,
                         amount, members, members_hash)
    SELECT :merchant_id, :run_id, p.id, p.user_id, e.account_id, p.method, p.account, e.currency, e.amount,
           e.members, e.digest
    FROM (SELECT account_id, user_id, currency, sum(amount) AS amount, count(*) AS members,
                 sha256(convert_to(string_agg(id || ':' || amount, ',' ORDER BY id), 'UTF8')) AS digest
          FROM earnings
          WHERE merchant_id = :merchant_id AND payout_id IS NULL AND voided_at IS NULL AND held_at IS NULL
                AND available_at <= :as_of
          GROUP BY account_id, user_id, currency) e
    JOIN payees p ON p.merchant_id = :merchant_id AND p.user_id = e.user_id
    """
)
_CLAIM: Final = text(
    """
    UPDATE earnings e SET payout_id = p.id FROM payouts p
    WHERE p.run_id = :run_id AND e.account_id = p.account_id AND e.merchant_id = :merchant_id
          AND e.payout_id IS NULL AND e.voided_at IS NULL AND e.held_at IS NULL AND e.available_at <= :as_of
    """
)
_OUTCOME: Final = text(
    """
    SELECT p.user_id, p.currency, p.amount, p.members,
           (SELECT sum(e.id) FROM earnings e WHERE e.payout_id = p.id) AS earnings
    FROM payouts p ORDER BY p.user_id, p.currency
    """
)
