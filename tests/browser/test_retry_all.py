"""Retrying all dead letters that match: stopped half-way, done again, by two people at once. DEAD_LETTERS sizes it."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import text

from domain.db import Tx, transaction
from domain.dead_letters import store
from domain.dead_letters.service import PutBack
from domain.dead_letters.store import Filter
from queues.keys import QueueKeys
from tests.browser.conftest import Dashboard
from tests.browser.test_security import visit
from web.dashboard.actions import perform
from web.dashboard.visit import Visit
from workers.context import Runtime
from workers.dead_letters import put_back

pytestmark = pytest.mark.xdist_group("browser")

LETTERS = int(os.environ.get("DEAD_LETTERS", "2200"))
MOST_SECONDS = 120
"""For a hundred thousand letters, also on a machine that is busy with the rest of the suite."""
WANTED = Filter(queue="webhooks", actor="flood.of", text="flood")
ALL = 2**31


class Killed(Exception):
    """Stands for the end of the process: nothing after it runs."""


@pytest.fixture
def flood(dashboard: Dashboard) -> Iterator[Dashboard]:
    """So many letters of a queue of their own, as workers leave them."""
    with transaction(dashboard.engine) as tx:
        tx.execute(
            text(
                """
                INSERT INTO dead_letters (queue, redis_message_id, actor, args, raw, raw_bytes, reason, attempts,
                                          deaths, died_at)
                SELECT 'webhooks', 'flood-' || i, 'flood.of', '{"args": [], "kwargs": {}, "said": "flood"}',
                       convert_to('{"queue_name": "webhooks", "actor_name": "flood.of", "args": [' || i || '],'
                                  || '"kwargs": {}, "options": {}, "message_id": "m", "message_timestamp": 1}',
                                  'UTF8'),
                       100, 'KeyError', 3, 0, now()
                FROM generate_series(1, :letters) i
                """
            ),
            {"letters": LETTERS},
        )
    yield dashboard
    dashboard.redis.delete(*_keys(dashboard))


def _keys(dashboard: Dashboard) -> list[str]:
    keys = QueueKeys(dashboard.namespace, "webhooks")
    return [keys.list, keys.messages]


def _visit(dashboard: Dashboard, token: str) -> Visit:
    made = visit(dashboard, token)
    rt = cast(Runtime, SimpleNamespace(redis=dashboard.redis, namespace=dashboard.namespace))
    return replace(made, context=replace(made.context, put_back=lambda tx: put_back(rt, tx)))


def _dying(dashboard: Dashboard, token: str) -> Visit:
    """Its process ends after the messages of a batch are on the queue, and before that is committed."""
    made = _visit(dashboard, token)

    def put(tx: Tx) -> PutBack:
        put_back = made.context.put_back(tx)

        def then_die(letters: Any) -> Any:
            put_back(letters)
            raise Killed

        return then_die

    return replace(made, context=replace(made.context, put_back=put))


def _retry(page: Visit, upto: int, **more: Any) -> str:
    return perform(page, "dead.retry_all", wanted=WANTED, upto=upto, **more)


def test_all_that_match_are_retried_once_whatever_stops_it_and_whoever_else_does_it(
    flood: Dashboard, cookies: dict[str, str]
) -> None:
    with transaction(flood.engine) as tx:
        count, upto = store.count_matching(tx, WANTED, ALL)
    assert count == LETTERS
    seen, told = list[int](), list[int]()

    def killed(done: int) -> None:
        seen.append(done)
        if done >= LETTERS // 4:
            raise Killed

    with pytest.raises(Killed):
        _retry(_visit(flood, cookies["oscar"]), upto, progress=killed)
    half = seen[-1]
    assert 0 < half <= LETTERS // 2, seen
    with transaction(flood.engine) as tx:
        assert store.count_matching(tx, WANTED, ALL)[0] == LETTERS - half, "what was done is kept"
    with pytest.raises(Killed):
        _retry(_dying(flood, cookies["oscar"]), upto)
    with transaction(flood.engine) as tx:
        assert store.count_matching(tx, WANTED, ALL)[0] == LETTERS - half, "nothing was decided"
    assert flood.redis.llen(_keys(flood)[0]) > half, "but more is queued"
    began = time.monotonic()
    people = [_visit(flood, cookies[who]) for who in ("oscar", "adam")]
    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(lambda page: _retry(page, upto, progress=told.append), people))
    retried = [int(one.split()[1].replace(",", "")) for one in said]
    took = time.monotonic() - began
    assert took < max(20, LETTERS * MOST_SECONDS / 100_000), took
    assert sum(retried) == LETTERS - half, said
    left = [
        int(found.replace(",", "")) for found in re.findall(r"Left alone: ([\d,]+)", " ".join(said))
    ]
    assert all("retried by" in one for one in said if "alone" in one), said
    assert sum(left) <= LETTERS - half, "a conflict is told once of each"
    assert max(told) <= LETTERS - half
    states = flood.scalar(
        "SELECT jsonb_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM dead_letters"
        " WHERE actor = 'flood.of' GROUP BY 1) s"
    )
    assert states == {"retried": LETTERS}
    queued = [one.decode() for one in cast(list[bytes], flood.redis.lrange(_keys(flood)[0], 0, -1))]
    kept = flood.scalar("SELECT array_agg(retried_as) FROM dead_letters WHERE actor = 'flood.of'")
    assert Counter(queued) == Counter(kept), "each message is on its queue once"
    audited = flood.scalar(
        "SELECT count(DISTINCT subject_id) FROM audit_entries e JOIN dead_letters d ON d.id::text = e.subject_id"
        " WHERE e.action = 'dead_letter.retried' AND d.actor = 'flood.of'"
    )
    assert audited == LETTERS
