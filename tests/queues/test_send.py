from __future__ import annotations

from typing import Any

import pytest
import redis
from dramatiq import Message
from dramatiq.errors import ConnectionClosed

from queues import Outgoing, enqueue, enqueue_many
from queues.connection import connect


def queued(client: redis.Redis, queue: str, namespace: str = "payspool") -> list[Message[Any]]:
    return [
        Message.decode(client.hget(f"{namespace}:{queue}.msgs", message_id))
        for message_id in client.lrange(f"{namespace}:{queue}", 0, -1)
    ]


def test_a_message_is_one_that_dramatiq_reads(client: redis.Redis) -> None:
    message_id = enqueue(client, "payouts", "payouts.send", [7], {"dry": True})
    (message,) = queued(client, "payouts")
    assert (message.queue_name, message.actor_name) == ("payouts", "payouts.send")
    assert (message.args, message.kwargs) == ((7,), {"dry": True})
    assert message.message_id == message_id
    assert client.hkeys("payspool:payouts.msgs") == [message.options["redis_message_id"].encode()]


def test_many_keep_their_order_on_each_queue(client: redis.Redis) -> None:
    outgoing = [Outgoing(("sweeps", "notices")[i % 2], "some.actor", (i,)) for i in range(1203)]
    ids = enqueue_many(client, outgoing, namespace="other")
    assert len(set(ids)) == 1203
    assert [m.args[0] for m in queued(client, "sweeps", "other")] == list(range(0, 1203, 2))
    assert [m.args[0] for m in queued(client, "notices", "other")] == list(range(1, 1203, 2))


def test_a_server_that_is_away_is_a_closed_connection() -> None:
    with connect("redis://127.0.0.1:1/0") as client, pytest.raises(ConnectionClosed):
        enqueue(client, "payouts", "payouts.send")


def test_a_full_server_is_a_closed_connection_and_takes_nothing(client: redis.Redis) -> None:
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(ConnectionClosed):
            enqueue_many(client, [Outgoing("payouts", "payouts.send")] * 3)
    finally:
        client.config_set("maxmemory", 0)
    assert client.keys() == []
