from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from dramatiq.errors import ConnectionClosed

from payspool_client import Publisher, QueueUnavailable
from queues import enqueue
from queues.connection import connect
from tests.queues.support import Valkey, event


@pytest.fixture
def losing_url(shared_valkey: Valkey, client: redis.Redis, tmp_path: Path) -> Iterator[str]:
    """A way to the server on which answers to RPUSH are lost after the server ran it. The address
    asks for a retry, as a deployment's may."""
    path = f"{shared_valkey.folder}/l.sock"
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def relay(near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(str(shared_valkey.socket))
            while request := near.recv(65536):
                far.sendall(request)
                answer = far.recv(65536)
                if b"RPUSH" in request:
                    return
                near.sendall(answer)

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=[near], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"unix://{path}?retry_on_timeout=yes"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_command_whose_answer_was_lost_is_not_repeated(
    losing_url: str, client: redis.Redis
) -> None:
    with connect(losing_url) as losing, pytest.raises(redis.ConnectionError):
        losing.rpush("list", "a")
    assert client.lrange("list", 0, -1) == [b"a"]


def test_a_send_whose_answer_was_lost_is_one_message(losing_url: str, client: redis.Redis) -> None:
    with connect(losing_url) as losing, pytest.raises(ConnectionClosed):
        enqueue(losing, "payouts", "payouts.send")
    assert client.llen("payspool:payouts") == 1


def test_a_publish_whose_answer_was_lost_says_so_and_is_one_message(
    losing_url: str, client: redis.Redis
) -> None:
    with Publisher(losing_url) as losing, pytest.raises(QueueUnavailable, match="may be queued"):
        losing.publish(event(1))
    assert client.llen("payspool:events") == 1


def test_a_server_that_does_not_answer_is_given_up_after_the_timeout(
    client: redis.Redis, url: str
) -> None:
    with connect(url, read_timeout=0.3) as impatient:
        impatient.ping()
        client.execute_command("CLIENT", "PAUSE", 600, "WRITE")
        started = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            impatient.set("a", "b")
        assert time.monotonic() - started < 0.55
    client.execute_command("CLIENT", "UNPAUSE")
