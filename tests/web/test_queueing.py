"""What is told as queued is on the disk; what is not, is told so."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import redis

from payspool_client.wire import list_key, messages_key
from tests.web.support import NAMESPACE, Valkey
from web import queueing
from web.queueing import BacklogFull, EventQueue, NotDurable, QueueAway, QueueRefused

MESSAGES = 5


@pytest.fixture
def queue(own_valkey: Valkey) -> Iterator[EventQueue]:
    made = EventQueue(own_valkey.url, NAMESPACE, backlog_messages=MESSAGES, backlog_memory=0.7)
    yield made
    made.close()


def test_what_was_queued_outlives_the_server(own_valkey: Valkey, queue: EventQueue) -> None:
    queue.put(['{"a": 1}', '{"b": "é"}'])
    own_valkey.kill()
    own_valkey.start()
    assert own_valkey.queued() == ['{"a": 1}', '{"b": "é"}']
    queue.put(["{}"])
    assert own_valkey.queued()[2:] == ["{}"]


def test_a_server_that_keeps_no_file_is_told_as_not_durable(
    own_valkey: Valkey, queue: EventQueue
) -> None:
    with own_valkey.client() as client:
        client.config_set("appendonly", "no")
        with pytest.raises(NotDurable):
            queue.put(["{}"])
        client.config_set("appendonly", "yes")
    queue.put(["{}"])


def test_too_many_waiting_messages_are_a_full_backlog(
    own_valkey: Valkey, queue: EventQueue
) -> None:
    with own_valkey.client() as client:
        client.rpush(list_key(NAMESPACE), *range(MESSAGES))
        with pytest.raises(BacklogFull) as full:
            queue.put(["{}"])
        assert full.value.messages == MESSAGES
        assert client.llen(list_key(NAMESPACE)) == MESSAGES


def test_too_much_used_memory_is_a_full_backlog_before_the_server_refuses(
    own_valkey: Valkey, queue: EventQueue
) -> None:
    with own_valkey.client() as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", int(used / 0.75))
        with pytest.raises(BacklogFull) as full:
            queue.put(["{}"])
        assert 0.7 <= full.value.memory_share < 1
        assert client.llen(list_key(NAMESPACE)) == 0


@pytest.mark.parametrize("key", [list_key(NAMESPACE), messages_key(NAMESPACE)])
def test_a_server_that_refuses_a_command_is_told_and_the_next_one_is_not_confused(
    own_valkey: Valkey, queue: EventQueue, key: str
) -> None:
    with own_valkey.client() as client:
        client.config_set("maxmemory", 1)
        patient = EventQueue(own_valkey.url, NAMESPACE, backlog_messages=9, backlog_memory=1e9)
        with pytest.raises(QueueRefused, match="maxmemory"):
            patient.put(["{}"])
        client.config_set("maxmemory", 0)
        assert own_valkey.queued() == []
        patient.put(["{}"])
        assert own_valkey.queued() == ["{}"]
        patient.close()
        client.delete(key)
        client.set(key, "something else")
        with pytest.raises(QueueRefused, match="WRONGTYPE"):
            EventQueue(own_valkey.url, NAMESPACE, backlog_messages=9, backlog_memory=1).put(["{}"])


def test_a_disk_that_does_not_confirm_in_time_is_told_as_not_durable(
    own_valkey: Valkey, queue: EventQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queueing, "FSYNC_MILLISECONDS", 100)
    with own_valkey.client() as client:
        client.config_set("appendfsync", "no")
        with pytest.raises(NotDurable):
            queue.put(["{}"])
        client.config_set("appendfsync", "always")
    assert own_valkey.queued() == ["{}"], "it may be queued, and here it is"
    queue.put(["{}"])


def test_a_server_that_is_still_loading_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def load() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        while peer.recv(4096):
                            peer.sendall(b"-LOADING Redis is loading the dataset in memory\r\n" * 9)

        thread = threading.Thread(target=load)
        thread.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        queue = EventQueue(url, NAMESPACE, backlog_messages=9, backlog_memory=1)
        with pytest.raises(QueueRefused, match="loading"):
            queue.put(["{}"])
        queue.close()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert not thread.is_alive()


def test_a_replica_refuses(own_valkey: Valkey, queue: EventQueue) -> None:
    with own_valkey.client() as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(QueueRefused, match="read only"):
            queue.put(["{}"])
        client.replicaof("NO", "ONE")
    queue.put(["{}"])


def test_a_server_that_is_gone_before_anything_was_sent_has_nothing(
    own_valkey: Valkey, queue: EventQueue
) -> None:
    own_valkey.kill()
    with pytest.raises(QueueAway) as away:
        queue.put(["{}"])
    assert away.value.sent is False
    with pytest.raises(redis.ConnectionError):
        own_valkey.client().ping()
