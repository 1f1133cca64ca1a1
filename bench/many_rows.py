"""Rows of an installation of some years, written by SQL in minutes: two tables at a time, their indexes after them.

Triggers and foreign keys are off meanwhile; primary and unique keys stay. A tenth of the conversions is of one
referrer, a tenth of the payouts is in one run: what is spread evenly hides what grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, make_url, pool, text

from bench.site import Database, Site

WRITERS: Final = 2
"""Connections that load: as many as the smallest machine has cores."""
HOT: Final = "hot-referrer"
HOT_RUN: Final = 1_000
"""The run with a tenth of all payouts."""
QUIET: Final = "quiet"
"""A merchant with next to nothing beside one with everything."""

# By table, largest first. `:rows` events; `:tenth` of it payouts, payees, cards, entries of the audit trail;
# `:hundredth` dead letters. Users are numbered from 1, so that a tenth of them has each row of ten.
_HOT_OR = "CASE WHEN i % 10 = 0 THEN 'hot-referrer' ELSE 'user-' || 1 + i % :tenth END"
_HOT_ACCOUNT = "CASE WHEN i % 10 = 0 THEN 1000 ELSE 1001 + i % :tenth END"
ROWS: Final[dict[str, tuple[str, ...]]] = {
    "ledger_transfers": (
        f"""INSERT INTO ledger_transfers (id, merchant_id, group_id, debit_account_id, credit_account_id, amount,
                                          currency, kind, source_kind, source_id, occurred_at)
            SELECT i, :m, i, 901, {_HOT_ACCOUNT}, 100, 'usd', 'reward', 'tracking', i,
                   now() - i * interval '1 second' FROM generate_series(1, :rows) i""",
        """INSERT INTO ledger_transfers (id, merchant_id, group_id, debit_account_id, credit_account_id, amount,
                                         currency, kind, source_kind, source_id, occurred_at)
           SELECT 2000000000 + i, :m, i, 902, 903, 100, 'points:club', 'points_issued', 'tracking', i, now()
           FROM generate_series(1, :rows) i""",
    ),
    "inbox_events": (
        """INSERT INTO inbox_events (id, merchant_id, source, event_id, type, occurred_at, received_at,
                                     content_hash, data, status, reason, correlation)
           SELECT i, :m, 'shop', 'e-' || i, 'conversion.recorded', now() - (:rows - i) * interval '1 second',
                  now() - (:rows - i) * interval '1 second', sha256(i::text::bytea),
                  '{"code": "ADA-01"}', CASE WHEN i % 50 = 0 THEN 'rejected' ELSE 'applied' END,
                  CASE WHEN i % 50 = 0 THEN 'unknown_code' END, 't-' || i FROM generate_series(1, :rows) i""",
        """INSERT INTO inbox_events (id, merchant_id, source, event_id, type, occurred_at, received_at,
                                     content_hash, data, status, reason)
           SELECT -i, :quiet, 'shop', 'q-' || i, 'conversion.recorded', now(), now(), sha256(i::text::bytea),
                  '{"code": "BO-01"}', 'rejected', 'below_minimum' FROM generate_series(1, 10) i""",
    ),
    "trackings": (
        f"""INSERT INTO trackings (id, merchant_id, inbox_id, referrer_user_id, referred_user_id, code_id,
                                   program_id, program_version, transaction_id, transaction_amount,
                                   amount_earned, currency, converted_at, explanation)
            SELECT i, :m, i, {_HOT_OR}, 'buyer-' || i % (:rows / 2), 1, 1, 1, 't-' || i, 1000, 100, 'usd',
                   now() - (:rows - i) * interval '1 second', '{{}}' FROM generate_series(1, :rows) i""",
    ),
    "earnings": (
        f"""INSERT INTO earnings (id, merchant_id, user_id, account_id, currency, amount, kind, source_kind,
                                  source_id, available_at, payout_id)
            SELECT i, :m, {_HOT_OR}, {_HOT_ACCOUNT}, 'usd', 100, 'reward', 'tracking', i,
                   now() - interval '1 day', CASE WHEN i % 10 <> 1 THEN 1 + i % :tenth END
            FROM generate_series(1, :rows) i""",
    ),
    "payouts": (
        """INSERT INTO payouts (id, merchant_id, run_id, payee_id, user_id, account_id, method, destination,
                                currency, amount, members, members_hash, state, processed_at)
           SELECT i, :m, CASE WHEN i % 10 = 0 THEN 1000 ELSE 1 + i % 999 END, i, 'user-' || i, 1000 + i,
                  'stripe', 'acct_' || i, 'usd', 900, 9, sha256(''),
                  CASE WHEN i % 200 = 0 THEN 'approved' ELSE 'paid' END, now()
           FROM generate_series(1, :tenth) i""",
    ),
    "payees": (
        """INSERT INTO payees (id, merchant_id, user_id, method, account, as_of)
           SELECT i, :m, 'user-' || i, 'stripe', 'acct_' || i, now() FROM generate_series(1, :tenth) i""",
    ),
    "ledger_accounts": (
        """INSERT INTO ledger_accounts (id, merchant_id, kind, owner, currency, balance)
           SELECT 1000 + i, :m, 'payable', CASE i WHEN 0 THEN 'hot-referrer' ELSE 'user-' || i END, 'usd',
                  i % 1000 FROM generate_series(0, :tenth) i""",
        """INSERT INTO ledger_accounts (id, merchant_id, kind, owner, currency)
           VALUES (901, :m, 'rewards_expense', '', 'usd'), (902, :m, 'points_issued', '', 'points:club'),
                  (903, :m, 'points_liability', '', 'points:club')""",
    ),
    "cards": (
        """INSERT INTO cards (id, merchant_id, program_id, number, customer_id, last_activity_at,
                              points_balance, inactivity_deadline, expire_check_on)
           SELECT i, :m, 1, (4000000000000 + i)::text, 'user-' || i, now(), 100,
                  date_trunc('day', now()) + (1 + i % 365) * interval '1 day',
                  date_trunc('day', now()) + (1 + i % 365) * interval '1 day'
           FROM generate_series(1, :tenth) i""",
    ),
    "audit_entries": (
        """INSERT INTO audit_entries (id, merchant_id, actor_kind, actor_id, action, subject_kind, subject_id)
           SELECT 1000000000 + i, :m, 'person', 'ada', 'payout.retried', 'payout', i::text
           FROM generate_series(1, :tenth) i""",
    ),
    "dead_letters": (
        """INSERT INTO dead_letters (id, queue, redis_message_id, actor, args, raw_bytes, reason, attempts,
                                     deaths, state)
           SELECT i, 'events', 'r-' || i, 'events.ingest',
                  '["an argument that is some text", ' || i || ', "' || repeat(md5(i::text), 10) || '"]', 10,
                  'KeyError: ' || i, 3, 0, 'open' FROM generate_series(1, :hundredth) i""",
    ),
    "tracking_holds": (
        """INSERT INTO tracking_holds (id, merchant_id, tracking_id, inbox_id, kind, held_at)
           SELECT i, :m, i, i, CASE WHEN i % 2 = 0 THEN 'dispute' ELSE 'velocity' END, now()
           FROM generate_series(1, :hundredth) i""",
    ),
    "payout_runs": (
        """INSERT INTO payout_runs (id, merchant_id, name, as_of, state, members_hash, frozen_at, approved_by,
                                    approved_hash, approved_at)
           SELECT i, :m, 'run ' || i, now() - i * interval '1 day', 'settled', sha256(''), now(), 'automatic',
                  sha256(''), now() FROM generate_series(1, 1000) i""",
    ),
    "loyalty_programs": (
        """INSERT INTO loyalty_programs (id, merchant_id, key, name, zone)
           VALUES (1, :m, 'club', 'Club', 'UTC')""",
        """INSERT INTO loyalty_program_versions (program_id, version, earn_points, earn_per_amount, currency,
                                                 backdating_days, qualifying_types)
           VALUES (1, 1, 1, 100, 'usd', 30, '{points_earned}')""",
    ),
    "metric_minutes": (
        """INSERT INTO metric_minutes (name, label, at, value)
           SELECT n, '', date_trunc('minute', now() - i * interval '1 minute', 'UTC'), i
           FROM generate_series(1, 11520) i, unnest(ARRAY['events.received', 'events.applied']) n
           ON CONFLICT DO NOTHING""",
    ),
}  # fmt: skip


def fill(site: Site, database: Database, rows: int) -> str:
    """Fill an empty database with ``rows`` events and what follows from them; returns the merchant's key."""
    url = make_url(site.endpoints.admin_url).set(database=make_url(database.url).database)
    admin = create_engine(url, poolclass=pool.NullPool)
    with admin.begin() as tx:
        merchant, key = tx.execute(text("SELECT id, key FROM merchants ORDER BY id LIMIT 1")).one()
        tx.execute(text("SET LOCAL session_replication_role = replica"))
        quiet = tx.execute(
            text("INSERT INTO merchants (key, name, mode) VALUES (:key, 'Quiet', 'test') RETURNING id"),
            {"key": QUIET},
        ).scalar_one()  # fmt: skip
        indexes = {table: _drop_indexes(tx, table) for table in ROWS}
    values = {
        "m": merchant,
        "quiet": quiet,
        "rows": rows,
        "tenth": rows // 10,
        "hundredth": rows // 100,
    }
    with ThreadPoolExecutor(WRITERS) as writers:
        done = [
            writers.submit(_load, admin, table, statements, values, indexes[table])
            for table, statements in ROWS.items()
        ]
        for one in done:
            one.result()
    return str(key)


def _load(
    admin: Engine,
    table: str,
    statements: Sequence[str],
    values: dict[str, Any],
    indexes: Sequence[str],
) -> None:
    with admin.begin() as tx:
        tx.execute(text("SET LOCAL session_replication_role = replica"))
        tx.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
        for statement in statements:
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            tx.execute(text(statement), used)
        for index in indexes:
            tx.execute(text(index))
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
        # What years of autovacuum leave: pages that are known to be visible, and statistics.
        tx.execute(text(f'VACUUM (ANALYZE) "{table}"'))


def _drop_indexes(tx: Connection, table: str) -> list[str]:
    """Take away the indexes of a table that hold no constraint; returns the statements that make them again."""
    found = tx.execute(
        text(
            """
            SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS made FROM pg_index i
            WHERE i.indrelid = CAST(:table AS regclass)
              AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
            """
        ),
        {"table": table},
    ).all()
    for row in found:
        tx.execute(text(f"DROP INDEX {row.name}"))
    return [row.made for row in found]
