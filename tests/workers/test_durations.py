"""What a process counts of its actors reaches SQL once, also over an outage and at its end."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, create_engine

from domain.charts import duration_store
from domain.charts.service import actor_times
from domain.db import transaction
from workers.durations import Durations

NOW = 1_800_000_030.0
AGES = timedelta(days=40_000)


def told(engine: Engine) -> list[tuple[str, int, int]]:
    with transaction(engine) as tx:
        return [(one.actor, one.messages, one.failed) for one in actor_times(tx, AGES)]


def test_a_minute_is_added_once_it_is_over(engine: Engine) -> None:
    kept = Durations(engine)
    kept.count("a.b", 0.2, ok=True, now=NOW)
    kept.count("a.b", 0.2, ok=False, now=NOW)
    assert kept.flush(NOW) == 0
    assert kept.flush(NOW + 60) == 1
    assert kept.flush(NOW + 60) == 0
    assert told(engine) == [("a.b", 2, 1)]


def test_what_could_not_be_written_is_kept_and_added_to_what_came_meanwhile(engine: Engine) -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    kept = Durations(away)
    kept.count("a.b", 0.2, ok=True, now=NOW)
    with pytest.raises(Exception, match="failed"):
        kept.flush(NOW + 60)
    kept.count("a.b", 0.2, ok=True, now=NOW + 60)
    kept._engine = engine
    assert kept.flush(None) == 2
    assert told(engine) == [("a.b", 2, 0)]
    with transaction(engine) as tx:
        assert duration_store.prune(tx, timedelta(0)) in (0, 2)
