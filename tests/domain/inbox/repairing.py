"""What the tests of retries and of edits share."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Engine, text

from domain.db import transaction
from domain.inbox import service as inbox
from domain.inbox.service import Edited, Retried
from tests.domain.inbox.shop import (
    PATIENCE,
    TESTER,
    code,
    rows,
    scalar,
    wait_until_blocked,
)


def number(engine: Any, event_id: str) -> int:
    found: int = scalar(engine, "SELECT id FROM inbox_events WHERE event_id = :id", id=event_id)
    return found


def retry(engine: Any, *event_ids: str) -> list[Retried]:
    numbers = [number(engine, one) for one in event_ids]
    with transaction(engine) as tx:
        return inbox.retry(tx, numbers, actor=TESTER, reason="looked at it")


def edit(engine: Any, event_id: str, *, why: str = "a typing error", **more: Any) -> Edited:
    data = more.pop("data", None) or more.pop("raw")
    given = {name: more.pop(name) for name in ("type", "time") if name in more}
    assert not more
    with transaction(engine) as tx:
        return inbox.edit(
            tx,
            number(engine, event_id),
            data if isinstance(data, str) else json.dumps(data),
            actor=TESTER,
            reason=why,
            **given,
        )


def data_of(text_: str, **change: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text_)["data"] | change
    return {name: value for name, value in found.items() if value is not None}


def add_code(engine: Any, name: str) -> None:
    with transaction(engine) as tx:
        code(tx, scalar(engine, "SELECT id FROM merchants WHERE key = 'acme'"), name)


def trail(engine: Any) -> list[tuple[Any, ...]]:
    return rows(
        engine,
        "SELECT action, actor_id, reason, before, after FROM audit_entries"
        " WHERE subject_kind = 'event' ORDER BY id",
    )


def blocked_then(engine: Engine, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """Start ``first`` while another transaction holds the event's row, then ``second`` behind it."""
    with ThreadPoolExecutor(2) as pool:
        with transaction(engine) as tx:
            tx.execute(text("SELECT FROM inbox_events FOR UPDATE"))
            one = pool.submit(first)
            wait_until_blocked(engine, 1)
            two = pool.submit(second)
            wait_until_blocked(engine, 2)
        return one.exception(PATIENCE) or one.result(), two.exception(PATIENCE) or two.result()
