"""What charts show: a number a minute, counted once, kept for a while."""

from datetime import timedelta

from sqlalchemy import text

from domain.charts import service, store
from domain.db import Tx
from tests.domain.payouts import house

MINUTE = timedelta(minutes=1)
READY = {"queue.ready": {"events": 7, "payouts": 0}}


def back(tx: Tx, minutes: int) -> None:
    """Let what was kept be some minutes older, in an order in which no two of them meet."""
    tx.execute(text("CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT * FROM metric_minutes"))
    tx.execute(text("DELETE FROM metric_minutes"))
    tx.execute(
        text(
            "INSERT INTO metric_minutes (name, label, at, value)"
            " SELECT name, label, at - :n * interval '1 minute', value FROM moved"
        ),
        {"n": minutes},
    )
    tx.execute(text("DROP TABLE moved"))


def shown(
    tx: Tx, name: str, step: timedelta = MINUTE, *, gauge: bool = False
) -> dict[str, list[int]]:
    since = store.minute(tx) - timedelta(days=7)
    found = service.series(tx, name, since=since, step=step, gauge=gauge)
    return {label: [value for _, value in points] for label, points in found.items()}


def test_a_minute_is_kept_once_however_often_its_message_comes(tx: Tx) -> None:
    assert service.keep_minute(tx, READY) > 0
    assert service.keep_minute(tx, {"queue.ready": {"events": 99}}) == 0
    assert shown(tx, "queue.ready", gauge=True) == {"events": [7], "payouts": [0]}


def test_what_is_booked_is_counted_once_and_a_minute_late(tx: Tx) -> None:
    acme = house.merchant(tx)
    service.keep_minute(tx, {})
    back(tx, 3)
    house.earn(tx, acme, 500)
    service.keep_minute(tx, {})
    assert shown(tx, "booked.reward") == {}
    back(tx, 1)
    house.earn(tx, acme, 70)
    service.keep_minute(tx, {})
    assert shown(tx, "booked.reward") == {"usd": [500]}
    back(tx, 1)
    service.keep_minute(tx, {})
    back(tx, 1)
    service.keep_minute(tx, {})
    assert shown(tx, "booked.reward") == {"usd": [500, 70]}


def test_counts_are_summed_over_a_step_and_of_a_gauge_the_highest_is_shown(tx: Tx) -> None:
    at = store.minute(tx).replace(minute=0)
    for minute, value in enumerate((3, 9, 4)):
        store.put(
            tx,
            at + minute * MINUTE,
            [("queue.ready", "events", value), ("events.received", "", value)],
        )
    hour = timedelta(hours=1)
    assert shown(tx, "queue.ready", hour, gauge=True) == {"events": [9]}
    assert shown(tx, "events.received", hour) == {"": [16]}


def test_minutes_are_forgotten_after_their_time(tx: Tx) -> None:
    store.put(tx, store.minute(tx) - service.KEPT - MINUTE, [("events.received", "", 1)])
    store.put(tx, store.minute(tx) - timedelta(days=6), [("events.received", "", 2)])
    service.keep_minute(tx, {})
    assert shown(tx, "events.received")[""][0] == 2
