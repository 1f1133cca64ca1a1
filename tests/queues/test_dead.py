"""Dead letters and the sink that has them first."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pytest
import redis

from payspool_client import Publisher, wire
from queues import Batch, BatchLimits, DeadLetter, LivenessSettings, PayspoolBroker
from queues.dead import DeadSet, known_queues
from queues.scripts import Scripts
from tests.queues.support import event, wait_until


class Book:
    """A sink in memory that may be closed, and looks where the message is while it is told."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.open = True
        self.asked = 0
        self.letters: list[DeadLetter] = []
        self.dead_before: list[int] = []

    def record(self, letter: DeadLetter) -> None:
        self.asked += 1
        if not self.open:
            raise OSError("the book is closed")
        self.dead_before.append(self.client.zcard(f"payspool:{letter.queue}.XQ"))
        self.letters.append(letter)


@pytest.fixture
def book(client: redis.Redis) -> Book:
    return Book(client)


@pytest.fixture
def broker(url: str, book: Book) -> PayspoolBroker:
    return PayspoolBroker(
        url,
        batches={wire.QUEUE: BatchLimits()},
        liveness=LivenessSettings(beat=0.4, timeout=1.6, sweep=0.2),
        dead_letters=book,
    )


@pytest.fixture
def serve(broker: PayspoolBroker) -> Iterator[Callable[[], None]]:
    workers: list[dramatiq.Worker] = []

    def start() -> None:
        worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
        worker.start()
        workers.append(worker)

    yield start
    for worker in workers:
        worker.stop(timeout=5000)
    broker.close()


def declare(broker: PayspoolBroker, work: Callable[..., None], **options: Any) -> dramatiq.Actor:
    return dramatiq.actor(
        work, broker=broker, queue_name="payouts", actor_name="payouts.send", **options
    )


def fail(number: int) -> None:
    raise RuntimeError("for ever")


def test_the_sink_has_a_letter_before_its_queue_lets_go_of_it(
    client: redis.Redis, broker: PayspoolBroker, book: Book, serve: Callable[[], None]
) -> None:
    sent = declare(broker, fail, max_retries=1, min_backoff=10).send(7)
    serve()
    wait_until(lambda: client.zcard("payspool:payouts.XQ") == 1)
    (letter,) = book.letters
    assert book.dead_before == [0]
    assert (letter.queue, letter.actor, letter.attempts) == ("payouts", "payouts.send", 2)
    assert letter.redis_message_id == sent.options["redis_message_id"]
    assert letter.args == '{"args": [7], "kwargs": {}}'
    assert letter.reason == "RuntimeError: for ever"
    assert "in fail" in (letter.trace or "")
    assert client.hget("payspool:payouts.XQ.msgs", letter.redis_message_id) == letter.raw


def test_while_the_sink_is_away_a_message_stays_on_its_queue(
    client: redis.Redis, broker: PayspoolBroker, book: Book, serve: Callable[[], None]
) -> None:
    book.open = False
    declare(broker, fail, max_retries=0).send(7)
    serve()
    wait_until(lambda: book.asked >= 2)
    assert client.hlen("payspool:payouts.msgs") == 1
    assert client.zcard("payspool:payouts.XQ") == 0
    book.open = True
    wait_until(lambda: client.zcard("payspool:payouts.XQ") == 1, 20)
    assert len(book.letters) == 1
    assert client.hlen("payspool:payouts.msgs") == 0


def test_an_undecodable_message_holds_up_no_events_while_the_sink_is_away(
    client: redis.Redis,
    publisher: Publisher,
    broker: PayspoolBroker,
    book: Book,
    serve: Callable[[], None],
) -> None:
    done: list[str] = []

    @dramatiq.actor(broker=broker, queue_name=wire.QUEUE, actor_name=wire.ACTOR)
    def ingest(batch: Batch) -> None:
        done.extend(text for item in batch for text in item.texts)

    book.open = False
    client.hset("payspool:events.msgs", "poison", b"\xff")
    client.rpush("payspool:events", "poison")
    publisher.publish(event(1))
    serve()
    wait_until(lambda: len(done) == 1)
    wait_until(lambda: book.asked >= 1)
    assert client.hget("payspool:events.msgs", "poison") == b"\xff"
    book.open = True
    wait_until(lambda: client.zcard("payspool:events.XQ") == 1, 20)
    (letter,) = book.letters
    assert (letter.actor, letter.args, letter.trace, letter.raw) == (None, None, None, b"\xff")
    assert letter.reason.startswith("undecodable: ")


def bury(client: redis.Redis, *names: str) -> None:
    scripts = Scripts(client, "payspool", "me")
    for name in names:
        client.hset("payspool:events.msgs", name, b"x")
        client.rpush("payspool:events", name)
        scripts.fetch("events", messages=1, size=1)
        assert scripts.dead_letter("events", name, "Traceback\nValueError: no", 4)


def test_a_dead_set_is_read_page_by_page_while_it_is_emptied(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queues.dead.PAGE_IDS", 3)
    names = [f"m{i}" for i in range(8)]
    for name in names:
        bury(client, name)
        time.sleep(0.002)
    dead = DeadSet(client, "payspool", "events")
    assert [id_ for page in dead.pages() for id_ in page] == names
    seen = []
    for page in dead.pages():
        letters = list(dead.letters(page))
        seen += [letter.redis_message_id for letter in letters]
        assert {letter.reason for letter in letters} == {"ValueError: no"}
        assert {letter.attempts for letter in letters} == {4}
        assert all(letter.died is not None for letter in letters)
        dead.remove(list(page))
    assert seen == names
    assert known_queues(client, "payspool") == ["events"]
    assert client.keys("payspool:events.XQ*") == []


def test_a_letter_that_is_put_back_has_a_new_id_and_no_history(client: redis.Redis) -> None:
    bury(client, "a")
    dead = DeadSet(client, "payspool", "events")
    assert dead.raw("a") == b"x"
    [fresh] = dead.put_back({"a": b"x"})
    (taken,) = Scripts(client, "payspool", "me").fetch("events", messages=9, size=9).taken
    assert (taken.id, taken.raw, taken.tries, taken.deaths) == (fresh, b"x", 0, 0)
    assert fresh != "a"
    assert client.keys("payspool:events.XQ*") == []


def test_what_is_put_back_twice_is_queued_once_also_while_somebody_holds_it(
    client: redis.Redis,
) -> None:
    bury(client, "a", "b")
    dead = DeadSet(client, "payspool", "events")
    both = {"a": b"x", "b": b"x"}
    ids = dead.put_back(both)
    assert dead.put_back(both) == ids
    assert client.llen("payspool:events") == 2
    scripts = Scripts(client, "payspool", "me")
    assert [taken.id for taken in scripts.fetch("events", messages=9, size=9).taken] == ids
    assert dead.put_back(both) == ids
    assert client.llen("payspool:events") == 0
    assert dead.put_back({}) == []


def test_the_events_of_a_message_that_killed_two_workers_go_on_as_they_were_sent(
    client: redis.Redis, broker: PayspoolBroker, book: Book, serve: Callable[[], None]
) -> None:
    batches: list[Batch] = []

    @dramatiq.actor(broker=broker, queue_name=wire.QUEUE, actor_name=wire.ACTOR)
    def ingest(batch: Batch) -> None:
        batches.append(batch)

    texts = ['{"id": "é"}', "half of a pair: \ud800", "not json", "\0"]
    ((id_, raw),) = wire.encode_messages(["?"] * len(texts))
    message = json.loads(raw) | {"args": [texts], "message_timestamp": 1_795_167_000_000}
    client.hset("payspool:events.msgs", id_, json.dumps(message))
    client.hset("payspool:events.tries", id_, 2)
    client.hset("payspool:events.deaths", id_, 2)
    client.rpush("payspool:events", id_)
    serve()
    wait_until(lambda: client.hlen("payspool:events.msgs") == 0)
    (batch,) = batches
    assert [item.texts for item in batch] == [[text] for text in texts]
    assert {item.timestamp for item in batch} == {1_795_167_000_000}
    ids = {item.message_id for item in batch} | {item.redis_message_id for item in batch}
    assert len(ids - {id_, message["message_id"]}) == 2 * len(texts)
    assert book.letters == []
    assert not client.exists("payspool:events.tries", "payspool:events.deaths")
