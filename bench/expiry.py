"""Expiring due lots by ranges, as the scheduler does, beside the bare statements that leave the same rows.

Cards have two lots that are due, on one day or on two; every fourth card has a third one that is not, which
it spends from while the sweep runs. Growth is what a lot takes against a tenth of the lots.
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Final

from sqlalchemy import Engine, create_engine, make_url, pool, text

from bench.baselines import bare_expiry
from bench.events import MERCHANT
from bench.figures import Figure, figure
from bench.memory import Memory
from bench.options import Options
from bench.site import BenchFailed, Database, Site
from domain.db import snapshot, transaction
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse
from domain.ledger import service as ledger
from domain.ledger.rules import Transfer, points_account
from domain.loyalty import service
from domain.merchants import service as merchants
from workers.sweeps import EXPIRY_RANGE

FIRST: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
    days=30
)
FIRE_AT: Final = FIRST + timedelta(days=3)
LIVE: Final = 1_000_000
"""Points of a lot that is not due: enough for as many redemptions as a run has time for."""
LOTS_OF_A_CARD: Final = 2
PAUSE_SECONDS: Final = 0.004
"""Between redemptions of the one till, which so makes some hundred a second."""

# Written as the owner of the server, without triggers: what is measured begins afterwards.
_ROWS: Final = (
    """INSERT INTO cards (id, merchant_id, program_id, number, customer_id, last_activity_at, points_balance,
                          last_seq, expire_check_on)
       SELECT i, :m, :p, 'C' || i, 'user-' || i, :first - interval '30 days',
              15 + i % 97 + CASE WHEN i % 4 = 0 THEN :live ELSE 0 END, CASE WHEN i % 4 = 0 THEN 4 ELSE 3 END, :first
       FROM generate_series(1, :cards) i""",
    """INSERT INTO loyalty_transactions (id, merchant_id, card_id, program_id, program_version, seq, type,
              points_delta, points_balance_after, stamps_balance_after, explanation, transaction_at)
       SELECT 4 * i + n, :m, i, :p, 1, 1 + n, CASE n WHEN 0 THEN 'card_created' ELSE 'points_earned' END,
              (ARRAY[0, 10 + i % 97, 5, :live])[n + 1], (ARRAY[0, 10 + i % 97, 15 + i % 97, 15 + i % 97 + :live])[n + 1],
              0, '{}', :first - interval '30 days'
       FROM generate_series(1, :cards) i, generate_series(0, 3) n WHERE n < 3 OR i % 4 = 0 ORDER BY 1""",
    """INSERT INTO point_lots (id, merchant_id, card_id, program_id, transaction_id, points, remaining,
              occurred_at, available_at, expires_at, policy)
       SELECT 4 * i + n, :m, i, :p, 4 * i + n, v.points, v.points, :first - interval '30 days',
              :first - interval '30 days',
              CASE n WHEN 1 THEN :first WHEN 2 THEN :first + i % 2 * interval '1 day' ELSE :first + interval '1 year' END, '{}'
       FROM generate_series(1, :cards) i, generate_series(1, 3) n,
            LATERAL (SELECT (ARRAY[10 + i % 97, 5, :live])[n] AS points) v WHERE n < 3 OR i % 4 = 0 ORDER BY 1""",
    """INSERT INTO ledger_transfers (id, merchant_id, group_id, debit_account_id, credit_account_id, amount,
              currency, kind, source_kind, source_id, occurred_at)
       SELECT id, merchant_id, id, :issued, :liability, points_delta, 'points:beans', type, 'loyalty_transaction', id,
              transaction_at
       FROM loyalty_transactions WHERE points_delta > 0 ORDER BY id""",
    """SELECT setval(pg_get_serial_sequence(t, 'id'), 4 * :cards + 4)
       FROM unnest(ARRAY['cards', 'loyalty_transactions', 'point_lots', 'ledger_transfers']) t""",
)


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """Lots a second, growth, memory, and how long redemptions beside the sweep take."""
    ours, bare, small, large, memory, waits, exactly = [], [], [], [], [], [], True
    tenth = replace(options, lots=max(options.lots // 10, 4 * LOTS_OF_A_CARD))
    for number in range(options.rounds):
        options.say(f"expiry, round {number + 1} of {options.rounds}: {options.lots:,} lots")
        with site.database() as database:
            merchant_id = furnish(site, database, options)
            with Memory() as grown:
                seconds = sweep(database.engine, merchant_id)
            memory.append(grown.mib)
            made, faults = _outcome(database.engine)
        large.append(seconds / options.lots * 1e6)
        ours.append(options.lots / seconds)
        with site.database() as database:
            merchant_id = furnish(site, database, options)
            bare.append(options.lots / bare_expiry.expire(database.engine, merchant_id, FIRE_AT))
            if _outcome(database.engine)[0] != made:
                faults.append("the bare statements left other rows")
        with site.database() as database:
            merchant_id = furnish(site, database, tenth)
            small.append(sweep(database.engine, merchant_id) / tenth.lots * 1e6)
        with site.database() as database:
            merchant_id = furnish(site, database, options)
            times, lost = beside(database.engine, merchant_id, options)
            waits.append(quantiles([t * 1000 for t in times], n=100)[98])
            faults += lost + _outcome(database.engine)[1]
        for fault in faults:
            options.say(f"expiry: {fault}")
        exactly = exactly and not faults
    size = f"{options.lots:,} lots"
    yield figure(
        "expiry.sweep", "lots/s", ours, exact=exactly, against="the bare statements", peers=bare
    )
    yield figure(
        "expiry.growth", "µs/lot", large, exact=exactly, against="a tenth of the lots", peers=small
    )
    yield figure("expiry.redeem_p99", "ms", waits, exact=exactly, against=f"beside {size}")
    yield figure("expiry.memory", "MiB more", memory, exact=exactly, against=size)


def furnish(site: Site, database: Database, options: Options) -> int:
    """Cards with lots that are due, all that belongs to them right; the merchant's id."""
    with transaction(database.engine) as tx:
        merchant_id = merchants.get(tx, MERCHANT).id
        program = service.create_program(
            tx, merchant_id, "beans", name="Beans", currency="usd", notice_days=None
        )
        liability = points_account(merchant_id, "points_liability", "beans")
        others = ("points_issued", "points_redeemed", "points_breakage")
        moves = [
            Transfer(points_account(merchant_id, other, "beans"), liability, 1, "", "", 0, FIRST)
            for other in others
        ]
        ids = {account.kind: known for account, known in ledger.accounts_of(tx, moves).items()}
    url = make_url(site.endpoints.admin_url).set(database=make_url(database.url).database)
    owner = create_engine(url, poolclass=pool.NullPool)
    values = {
        "m": merchant_id,
        "p": program.id,
        "cards": options.lots // LOTS_OF_A_CARD,
        "first": FIRST,
        "live": LIVE,
        "issued": ids["points_issued"],
        "liability": ids["points_liability"],
    }
    with owner.begin() as tx:
        tx.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _ROWS:
            used = {name: v for name, v in values.items() if f":{name}" in statement}
            tx.execute(text(statement), used)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return merchant_id


def sweep(engine: Engine, merchant_id: int) -> float:
    """Expire what is due, each range in a transaction; seconds. Ranges with cards that others held, again."""
    started = time.monotonic()
    while True:
        with transaction(engine) as tx:
            ranges = service.plan_expiry(tx, merchant_id, FIRE_AT, EXPIRY_RANGE)
        for part in ranges:
            with transaction(engine) as tx:
                service.expire_range(tx, merchant_id, part.first_id, part.last_id, FIRE_AT)
        if not ranges:
            return time.monotonic() - started


def beside(engine: Engine, merchant_id: int, options: Options) -> tuple[list[float], list[str]]:
    """Seconds of each redemption while a sweep runs, at least some, and what is wrong with them."""
    ended, failed, times = threading.Event(), list[BaseException](), list[float]()

    def run() -> None:
        try:
            sweep(engine, merchant_id)
        except BaseException as error:
            failed.append(error)
        finally:
            ended.set()

    sweeping = threading.Thread(target=run)
    sweeping.start()
    applied, cards = 0, options.lots // LOTS_OF_A_CARD // 4
    while not ended.is_set() or len(times) < 2:
        # Cards all over the ranges, so that some are being swept.
        card = 4 * (1 + len(times) * 7_919 % cards)
        began = time.perf_counter()
        with transaction(engine) as tx:
            [outcome] = inbox.apply(tx, parse([_redemption(card, len(times))]))
        times.append(time.perf_counter() - began)
        applied += outcome.status == "applied"
        time.sleep(PAUSE_SECONDS)
    sweeping.join()
    if failed:
        raise BenchFailed("The sweep beside redemptions failed.") from failed[0]
    with snapshot(engine) as tx:
        booked = tx.execute(
            text("SELECT count(*) FROM loyalty_transactions WHERE type = 'points_redeemed'")
        ).scalar_one()
    right = applied == booked == len(times)
    return times, [] if right else [
        f"of {len(times)} redemptions {applied} applied, {booked} booked"
    ]


def _redemption(card: int, number: int) -> Delivery:
    event = json.dumps(
        {
            "specversion": "1.0",
            "id": f"redeemed-{number}",
            "source": "till",
            "merchant": MERCHANT,
            "type": "loyalty.points_redeemed",
            "time": datetime.now(UTC).isoformat(),
            "data": {"card": f"C{card}", "points": 1},
        }
    )
    return Delivery(f"r{number}", 0, event)


def _outcome(engine: Engine) -> tuple[list[tuple[object, ...]], list[str]]:
    """A digest of all rows, and what is broken or left to do."""
    with snapshot(engine) as tx:
        left = tx.execute(
            text("SELECT count(*) FROM cards WHERE expire_check_on <= :at"), {"at": FIRE_AT}
        ).scalar_one()
        found = bare_expiry.outcome(tx)
        broken = [*ledger.check_invariants(tx), *service.check_invariants(tx)]
    return found, [*broken, *([f"{left} cards were not expired"] if left else [])]
