"""Building a payout run from due earnings, beside the bare statements that make the same payouts and claims.

Timed is what a builder does until the run is frozen: shards, decisions, hashes, ledger, exclusions. The
limit is two statements over the same rows: ``INSERT … SELECT … GROUP BY`` and one ``UPDATE``, with every
index, constraint and trigger on. Memory is what this process grows by while it builds.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine, text

from bench.baselines import bare_run
from bench.events import MERCHANT
from bench.figures import Figure, figure
from bench.memory import Memory
from bench.options import Options
from bench.site import Site
from domain.db import snapshot, transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.ledger import service as ledger
from domain.merchants import service as merchants
from domain.payouts import service
from domain.payouts.service import PayeeUpdate, RunSpec

AS_OF: Final = datetime(2026, 6, 1, tzinfo=UTC)
PART: Final = 20_000
"""Earnings of one transaction while they are made; untimed."""


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """Earnings a second into a frozen run, and the memory that it takes."""
    ours, bare, memory, exactly = [], [], [], True
    size = f"{options.earnings:,} earnings of {options.payees:,} payees"
    for number in range(options.rounds):
        options.say(f"runs, round {number + 1} of {options.rounds}: {size}")
        with site.database() as database:
            merchant_id = furnish(database.engine, options)
            with Memory() as grown:
                _build(database.engine, merchant_id)
            ours.append(options.earnings / _building_seconds(database.engine))
            memory.append(grown.mib)
            made = bare_run.outcome(database.engine)
            faults = _faults(database.engine)
        with site.database() as database:
            merchant_id = furnish(database.engine, options)
            bare.append(options.earnings / bare_run.build(database.engine, merchant_id, AS_OF))
            if bare_run.outcome(database.engine) != made:
                faults.append("the bare statements made other payouts")
        for fault in faults:
            options.say(f"runs: {fault}")
        exactly = exactly and not faults
    yield figure(
        "runs.build", "earnings/s", ours, exact=exactly, against="the bare statements", peers=bare
    )
    yield figure("runs.memory", "MiB more", memory, exact=exactly, against=size)


def furnish(engine: Engine, options: Options) -> int:
    """Payees who are each owed as many earnings as every other one, one more or less; the merchant's id."""
    with transaction(engine) as tx:
        merchant_id = merchants.get(tx, MERCHANT).id
    for first in range(0, options.payees, PART):
        users = range(first, min(first + PART, options.payees))
        with transaction(engine) as tx:
            service.put_payees(
                tx,
                [
                    PayeeUpdate(merchant_id, f"user-{n}", "stripe", AS_OF, f"acct_{n}")
                    for n in users
                ],
            )
    for first in range(0, options.earnings, PART):
        with transaction(engine) as tx:
            earnings.record(
                tx,
                [
                    _earning(merchant_id, n, options.payees)
                    for n in range(first, min(first + PART, options.earnings))
                ],
            )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return merchant_id


def _earning(merchant_id: int, n: int, payees: int) -> NewEarning:
    user = f"user-{n % payees}"
    amount = 100 + n % 900
    return NewEarning(merchant_id, user, "usd", amount, "reward", "bench", n + 1, AS_OF, AS_OF)


def _build(engine: Engine, merchant_id: int) -> None:
    service.build_run(engine, RunSpec(merchant_id, "bench", AS_OF))


def _building_seconds(engine: Engine) -> float:
    with transaction(engine) as tx:
        seconds: float = tx.execute(
            text(
                "SELECT extract(epoch FROM frozen_at - created_at)::float8 FROM payout_runs WHERE name = 'bench'"
            )
        ).scalar_one()
    return seconds


def _faults(engine: Engine) -> list[str]:
    with snapshot(engine) as tx:
        unclaimed = tx.execute(
            text("SELECT count(*) FROM earnings WHERE payout_id IS NULL")
        ).scalar_one()
        broken = [
            *ledger.check_invariants(tx),
            *earnings.check_invariants(tx),
            *service.check_invariants(tx),
        ]
    return [*broken, *([f"{unclaimed} earnings were not claimed"] if unclaimed else [])]
