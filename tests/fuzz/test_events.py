"""Events of every kind of wrongness, in batches with good ones: no crash, nobody stranded, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from domain.db import transaction
from domain.inbox.rules import Delivery, parse
from tests.domain.inbox.shop import PERCENTAGE, assert_whole, conversion, open_shop
from tests.fuzz import mutations
from tests.fuzz.findable import missing, not_applied
from workers.context import Runtime
from workers.ingest import apply

BAD, GOOD = 200, 10


@pytest.fixture
def shop(engine: Engine) -> Iterator[Engine]:
    open_shop(engine, PERCENTAGE)
    with capture_logs() as lines:
        yield engine
    assert lines == [], "nothing was a bug"
    assert_whole(engine)


@settings(mutations.campaign(0.7, BAD), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations.seeds)
def test_good_events_are_applied_and_bad_ones_are_found(shop: Engine, seed: int) -> None:
    dice = Random(seed)
    bad = [mutations.text(dice) for _ in range(BAD)]
    good = [conversion(f"good-{seed}-{i}", f"user {dice.random()}") for i in range(GOOD)]
    both = bad + good
    dice.shuffle(both)
    runtime = Runtime(shop, None, "fuzz", None, sandbox=True)  # type: ignore[arg-type]
    apply(runtime, parse(Delivery(f"m-{seed}", i, one) for i, one in enumerate(both)))
    assert not_applied(shop, good) == []
    assert missing(shop, bad) == []
    with transaction(shop) as tx:
        dead: list[Any] = list(tx.execute(text("SELECT * FROM inbox_events WHERE status = 'dead'")))
    assert dead == []
