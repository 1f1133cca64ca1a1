"""The outbox: asked for in a transaction, relayed at least once, in the order of its times."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import Tx, transaction
from domain.outbox import service, store
from domain.outbox.rules import OUTBOX_CHANNEL, OutboxMessage
from workers.listening import listen

Sent = list[tuple[str, str, dict[str, Any]]]


def ask(tx: Tx, *numbers: int, queue: str = "payouts", delay: float = 0.0) -> None:
    service.emit(tx, [OutboxMessage(queue, "x.y", {"n": n}, delay_seconds=delay) for n in numbers])


def into(sent: Sent) -> service.Enqueue:
    def enqueue(queue: str, messages: Sequence[tuple[str, dict[str, Any]]]) -> None:
        sent.extend((queue, actor, args) for actor, args in messages)

    return enqueue


def numbers(sent: Sent) -> list[int]:
    return [args["n"] for _, _, args in sent]


def test_rows_are_relayed_by_their_time_and_then_in_the_order_of_their_asking(tx: Tx) -> None:
    ask(tx, 3, 4)
    ask(tx, 5)
    tx.execute(text("UPDATE outbox SET run_at = run_at - interval '1 hour' WHERE args->>'n' = '5'"))
    sent: Sent = []
    assert service.relay(tx, into(sent)) == 3
    assert numbers(sent) == [5, 3, 4]
    assert service.relay(tx, into(sent)) == 0
    assert store.depth(tx) == 0


def test_each_queue_gets_its_own_rows_in_one_go(tx: Tx) -> None:
    ask(tx, 1, 2)
    ask(tx, 3, queue="sweeps")
    ask(tx, 4)
    sent: Sent = []
    service.relay(tx, into(sent))
    assert [(queue, args["n"]) for queue, _, args in sent] == [
        ("payouts", 1),
        ("payouts", 2),
        ("payouts", 4),
        ("sweeps", 3),
    ]


def test_a_row_is_not_relayed_before_its_time(tx: Tx) -> None:
    ask(tx, 1, delay=60)
    sent: Sent = []
    assert service.relay(tx, into(sent)) == 0
    assert 55 < (store.seconds_to_next(tx) or 0) <= 60
    tx.execute(text("UPDATE outbox SET run_at = clock_timestamp() - interval '1 minute'"))
    assert store.seconds_to_next(tx) == 0
    assert service.relay(tx, into(sent)) == 1


def test_an_empty_outbox_is_never_due(tx: Tx) -> None:
    assert store.seconds_to_next(tx) is None


def test_a_queue_that_refuses_takes_no_row_away(engine: Engine) -> None:
    with transaction(engine) as tx:
        ask(tx, 1, 2)
        ask(tx, 3, queue="sweeps")
    sent: Sent = []

    def refuse_sweeps(queue: str, messages: Sequence[tuple[str, dict[str, Any]]]) -> None:
        if queue == "sweeps":
            raise ConnectionError("away")
        into(sent)(queue, messages)

    def relay() -> int:
        with transaction(engine) as tx:
            return service.relay(tx, refuse_sweeps)

    with pytest.raises(ConnectionError):
        relay()
    with transaction(engine) as tx:
        assert store.depth(tx) == 3
        assert service.relay(tx, into(sent)) == 3
    assert numbers(sent) == [1, 2, 1, 2, 3], "what was queued before comes a second time"


def test_rows_that_another_relay_holds_are_left_to_it(engine: Engine) -> None:
    with transaction(engine) as tx:
        ask(tx, *range(10))
    first: Sent = []
    second: Sent = []
    with transaction(engine) as tx:
        assert service.relay(tx, into(first)) == 10
        with transaction(engine) as other:
            other.execute(text("SET LOCAL lock_timeout = '1s'"))
            ask(other, 10)
            assert service.relay(other, into(second)) == 1
    assert (numbers(first), numbers(second)) == (list(range(10)), [10])


def test_the_relay_is_woken_by_the_commit_and_not_before(engine: Engine) -> None:
    with listen(engine, OUTBOX_CHANNEL) as wake:
        with transaction(engine) as tx:
            ask(tx, 1)
            ask(tx, 2)
            assert list(wake.notifies(timeout=0.1)) == []
        assert len(list(wake.notifies(timeout=5, stop_after=1))) == 1
        with engine.connect() as connection, connection.begin() as undone:
            ask(connection, 3)
            undone.rollback()
        assert list(wake.notifies(timeout=0.1)) == []
