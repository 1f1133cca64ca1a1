"""What the sweep of expiry promises: bounded, resumed where it was killed, as of its fire, beside itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.loyalty import service as loyalty
from tests.domain.inbox.shop import PERCENTAGE, event, open_shop, rows, send
from workers import sweeps
from workers.context import Runtime

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CARDS = 9
PATIENCE = 60


class Killed(Exception):
    """The scheduler dies."""


@pytest.fixture
def rt(engine: Engine, redis_url: str, namespace: str) -> Iterator[Runtime]:
    with redis.Redis.from_url(redis_url) as client:
        yield Runtime(engine, client, namespace, None, sandbox=True)  # type: ignore[arg-type]


@pytest.fixture
def acme(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> int:
    """A merchant with cards of ten points that last two days, and of as many that last one more."""
    monkeypatch.setattr(sweeps, "EXPIRY_RANGE", 2)
    merchant_id = open_shop(engine, PERCENTAGE)
    with transaction(engine) as tx:
        loyalty.create_program(
            tx,
            merchant_id,
            "beans",
            name="Beans",
            currency="eur",
            backdating_days=30,
            expiration=[{"kind": "rolling", "days": 2}],
        )
    first, second = NOW - 5 * DAY, NOW - 4 * DAY
    events = [
        one
        for n in range(CARDS)
        for one in (
            event("loyalty.card_created", f"c{n}", first, card=f"C{n}", customer_id=f"of-{n}"),
            event("loyalty.points_earned", f"a{n}", first, card=f"C{n}", points=10),
            event("loyalty.points_earned", f"b{n}", second, card=f"C{n}", points=10),
        )
    ]
    assert {outcome.status for outcome in send(engine, *events)} == {"applied"}
    return merchant_id


def expired(engine: Engine) -> list[int]:
    """Points that expired on each card."""
    found = rows(
        engine,
        "SELECT -sum(points_delta) FROM loyalty_transactions WHERE type = 'points_expired' GROUP BY card_id",
    )
    return sorted(int(points) for (points,) in found)


def midnight(days: int) -> datetime:
    return (NOW - days * DAY).replace(hour=0, minute=0, second=0, microsecond=0)


def test_only_what_was_due_when_it_was_fired_expires_however_late_it_runs(
    rt: Runtime, acme: int
) -> None:
    assert sweeps.expire_due(rt, acme, midnight(2) - DAY)["points"] == 0
    assert sweeps.expire_due(rt, acme, midnight(2))["points"] == 10 * CARDS
    assert sweeps.expire_due(rt, acme, midnight(2))["points"] == 0
    assert expired(rt.engine) == [10] * CARDS
    assert sweeps.expire_due(rt, acme, midnight(1))["points"] == 10 * CARDS


def test_a_card_that_somebody_keeps_does_not_keep_the_sweep(rt: Runtime, acme: int) -> None:
    with transaction(rt.engine) as holder:
        holder.execute(text("SELECT FROM cards WHERE number = 'C3' FOR NO KEY UPDATE"))
        told: list[tuple[int, int]] = []
        did = sweeps.expire_due(rt, acme, NOW, lambda done, due: told.append((done, due)))
    assert did == {"cards": CARDS - 1, "points": 20 * (CARDS - 1), "skipped": 1}
    assert told[-1] == (1, 1)
    assert sum(done == due for done, due in told) == sweeps.EXPIRY_PASSES, "so often, and no more"
    assert sweeps.expire_due(rt, acme, NOW) == {"cards": 1, "points": 20, "skipped": 0}


def test_a_sweep_that_is_killed_goes_on_where_it_was(rt: Runtime, acme: int) -> None:
    def die(done: int, _due: int) -> None:
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        sweeps.expire_due(rt, acme, NOW, die)
    assert expired(rt.engine) == [20] * 4, "what was committed stays"
    assert sweeps.expire_due(rt, acme, NOW)["cards"] == CARDS - 4
    assert expired(rt.engine) == [20] * CARDS


def test_two_schedulers_at_once_expire_each_point_once(rt: Runtime, acme: int) -> None:
    together = Barrier(2)

    def run(_: int) -> dict[str, Any]:
        together.wait(PATIENCE)
        return sweeps.expire_due(rt, acme, NOW)

    with ThreadPoolExecutor(2) as pool:
        did = list(pool.map(run, range(2)))
    assert sum(one["points"] for one in did) == 20 * CARDS
    assert expired(rt.engine) == [20] * CARDS
    with transaction(rt.engine) as tx:
        assert loyalty.check_invariants(tx) == []


@pytest.mark.parametrize("days", [2, 1], ids=["held still", "timed out"])
def test_a_dry_run_tells_of_holds_what_the_sweep_then_does(
    rt: Runtime, acme: int, days: int
) -> None:
    with transaction(rt.engine) as tx:
        loyalty.change_program(tx, acme, "beans", NOW, hold_minutes=60)
    held = event(
        "loyalty.points_held", "h", midnight(2) - timedelta(minutes=30), card="C1", points=4
    )
    assert [outcome.status for outcome in send(rt.engine, held)] == ["applied"]
    fire_at = midnight(days)
    with transaction(rt.engine) as tx:
        told = loyalty.dry_run(tx, acme, fire_at)
    did = sweeps.expire_due(rt, acme, fire_at)
    assert (sum(one.cards for one in told), sum(one.points for one in told)) == (
        did["cards"],
        did["points"],
    )
