"""A server that ends recovery on a new timeline, as a promoted standby does, sends nothing until rearmed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import connect, transaction
from domain.payouts.rules import Leave
from domain.payouts.rules.watermark import KEPT_ATTEMPTS
from migrations import apply
from payspool.embedded import Embedded, scratch_data_dir
from queues.marks import Marks
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.office import Office
from workers import mirroring, payouts, rearming


@pytest.fixture
def folder() -> Iterator[Path]:
    disk = Path("/dev/shm")
    made = scratch_data_dir(disk if disk.is_dir() else None)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def serving(data: Path) -> Iterator[Engine]:
    """A PostgreSQL of the test's own on ``data``, and an engine as the runtime role."""
    with Embedded(data, durable=False, valkey_maxmemory=2**26) as embedded:
        made = connect(embedded.endpoints.runtime_url, pool_size=5)
        try:
            if not (data / "migrated").exists():
                apply.upgrade(embedded.endpoints.owner_url)
                (data / "migrated").touch()
            yield made
        finally:
            made.dispose()


def end_recovery_on_a_new_timeline(data: Path) -> None:
    """Let the next start recover as from an archive that has no more, which is how a promotion ends."""
    [cluster] = [found.parent for found in data.rglob("global/pg_control")]
    (cluster.parent / "recovery.signal").touch()
    with (cluster.parent / "postgresql.auto.conf").open("a") as settings:
        settings.write("restore_command = 'false'\nhot_standby = off\n")


def test_a_promoted_server_that_lost_nothing_is_rearmed_and_goes_on(
    folder: Path, platform: Platform, client: redis.Redis, namespace: str
) -> None:
    platform.fund(10_000)
    marks = Marks(client, namespace, KEPT_ATTEMPTS)
    with serving(folder / "data") as engine:
        office = Office(engine, platform, marks=marks)
        office.owe(1_000, 2_000)
        first, second = office.build()
        payouts.send(office, first)
        assert mirroring.check(office) is None
    # A restart alone changes nothing.
    with serving(folder / "data") as engine:
        assert mirroring.check(replace(office, engine=engine)) is None
    end_recovery_on_a_new_timeline(folder / "data")
    with serving(folder / "data") as engine:
        promoted = replace(office, engine=engine)
        assert payouts.send(promoted, second) == Leave("stopped")
        with transaction(engine) as tx:
            reason = tx.execute(text("SELECT reason FROM payout_stops")).scalar_one()
        assert "on another timeline than it was (1, now 2)" in reason
        report = rearming.rearm(
            promoted, actor=Actor("person", "ann"), clock_may_move=True, sleep=lambda _: None
        )
        assert report.lifted
        payouts.sweep(promoted)
        promoted.work_off()
        assert set(promoted.states().values()) == {"paid"}
        promoted.assert_paid_once()
