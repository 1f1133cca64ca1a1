"""All that may be held is held, and a worker thread becomes free: when is the next message taken?"""

from __future__ import annotations

import threading
import time

import redis
from dramatiq import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker

from queues import PayspoolBroker
from queues.send import Outgoing, enqueue_many
from tests.queues.stock.sending import put

HELD = 2
TURNS = 4
WORK_SECONDS = 0.4


def idle_seconds(consumer: Consumer) -> float:
    """How long a thread that became free waited for its next message, over some turns."""

    def finish(message: MessageProxy) -> None:
        time.sleep(WORK_SECONDS)
        consumer.ack(message)
        freed.append(time.monotonic())

    freed: list[float] = []
    held = [next(consumer) for _ in range(HELD)]
    idle = 0.0
    for _ in range(TURNS):
        thread = threading.Thread(target=finish, args=[held.pop(0)])
        thread.start()
        while (message := next(consumer)) is None:
            pass
        taken = time.monotonic()
        thread.join()
        idle += max(0.0, taken - freed[-1])
        held.append(message)
    return idle


def test_stock_sleeps_and_ours_takes_the_next_message_at_once(
    client: redis.Redis, url: str, stock: RedisBroker
) -> None:
    put(stock, *range(HELD + TURNS))
    theirs = idle_seconds(stock.consume("payouts", prefetch=HELD))
    messages = [Outgoing("payouts", "payouts.send", (n,)) for n in range(HELD + TURNS)]
    enqueue_many(client, messages)
    broker = PayspoolBroker(url)
    ours = idle_seconds(broker.consume("payouts", prefetch=HELD))
    broker.close()
    assert theirs > 4 * ours
    print(f"\nidle in {TURNS} turns: stock {theirs:.3f} s, ours {ours:.3f} s")  # noqa: T201
