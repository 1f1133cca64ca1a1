from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from payspool_client import Publisher
from queues import Batch, BatchItem, BatchLimits
from tests.queues.support import WorkerProcess, event, publish_singly, read_records, wait_until

Start = Callable[..., WorkerProcess]


def done_ids(folder: Path) -> list[str]:
    return [id_ for record in read_records(folder, "done") for id_ in record["ids"]]


def sizes(folder: Path) -> list[int]:
    return [record["messages"] for record in read_records(folder, "done")]


def test_events_reach_the_actor_in_order_and_leave_nothing_behind(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publisher.publish_many(event(i) for i in range(250))
    for i in range(250, 300):
        publisher.publish(event(i))
    worker = start_worker(url)
    wait_until(lambda: len(done_ids(tmp_path)) >= 300)
    assert done_ids(tmp_path) == [f"e-{i}" for i in range(300)]
    wait_until(lambda: client.hlen("payspool:events.msgs") == 0)
    assert worker.terminate() == 0
    assert client.keys() == [b"payspool:queues"]


def test_batches_grow_with_the_load(
    client: redis.Redis, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publish_singly(client, map(event, range(5000)))
    start_worker(url)
    wait_until(lambda: len(done_ids(tmp_path)) >= 5000)
    assert sizes(tmp_path) == [500] * 10


def test_an_idle_queue_gives_batches_of_one_at_once(
    publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    worker = start_worker(url)
    wait_until(lambda: worker.records("ready"))
    delays = []
    for i in range(30):
        time.sleep(0.03)
        published = time.time()
        publisher.publish(event(i))
        wait_until(lambda i=i: len(done_ids(tmp_path)) > i)
        delays.append(read_records(tmp_path, "begun")[i]["at"] - published)
    assert sizes(tmp_path) == [1] * 30
    assert statistics.median(delays) < 0.05


def test_what_arrives_during_a_batch_is_the_next_one(
    publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    start_worker(url)
    for i in range(100):
        publisher.publish(event(i))
        if i < 2:  # one is worked on, one is ready
            time.sleep(0.3)
    wait_until(lambda: len(read_records(tmp_path, "begun")) == 1)
    (tmp_path / "hold").unlink()
    wait_until(lambda: len(done_ids(tmp_path)) == 100)
    assert sizes(tmp_path)[-1] >= 90


@pytest.mark.parametrize(
    ("limits", "largest"),
    [({"messages": 7}, 7), ({"bytes": 4000}, 8), ({"events": 20}, 20), ({"bytes": 1}, 1)],
)
def test_a_batch_keeps_within_its_limits(
    publisher: Publisher,
    start_worker: Start,
    url: str,
    tmp_path: Path,
    limits: dict[str, int],
    largest: int,
) -> None:
    publisher.publish_many((event(i) for i in range(60)), chunk=1)
    start_worker(url, limits=limits)
    wait_until(lambda: len(done_ids(tmp_path)) >= 60)
    assert done_ids(tmp_path) == [f"e-{i}" for i in range(60)]
    assert max(sizes(tmp_path)) == largest


def test_a_packed_message_may_exceed_the_limit_of_events(
    publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publisher.publish_many(event(i) for i in range(300))
    start_worker(url, limits={"events": 60})
    wait_until(lambda: len(done_ids(tmp_path)) >= 300)
    assert [len(record["ids"]) for record in read_records(tmp_path, "done")] == [100] * 3


def test_a_failed_batch_goes_back_to_the_front_and_succeeds_later(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    (tmp_path / "fail").touch()
    publisher.publish_many((event(i) for i in range(40)), chunk=1)
    start_worker(url, limits={"messages": 10})
    wait_until(lambda: len(read_records(tmp_path, "begun")) >= 6)
    assert client.hlen("payspool:events.msgs") == 40
    assert client.zcard("payspool:events.XQ") == 0
    (tmp_path / "fail").unlink()
    wait_until(lambda: len(done_ids(tmp_path)) >= 40, 20)
    assert done_ids(tmp_path) == [f"e-{i}" for i in range(40)]
    assert read_records(tmp_path, "done")[0]["redelivered"] >= 1
    assert read_records(tmp_path, "done")[-1]["redelivered"] == 0
    wait_until(lambda: client.hlen("payspool:events.msgs") == 0)
    assert not client.exists("payspool:events.tries")


def test_the_backoff_grows_and_ends_with_success(
    publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    (tmp_path / "fail").touch()
    publisher.publish(event(1))
    start_worker(url)
    wait_until(lambda: len(read_records(tmp_path, "begun")) >= 5)
    (tmp_path / "fail").unlink()
    wait_until(lambda: done_ids(tmp_path) == ["e-1"], 20)
    times = [record["at"] for record in read_records(tmp_path, "begun")]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[0] >= 0.05
    assert pauses[3] >= 0.4
    assert pauses[3] > pauses[0]
    published = time.time()
    publisher.publish(event(2))
    wait_until(lambda: len(done_ids(tmp_path)) == 2)
    assert read_records(tmp_path, "begun")[-1]["at"] - published < 1


@pytest.mark.parametrize("raw", [b"\xff\x00 not even text", b"{}", b'{"actor_name": "other"}'])
def test_an_undecodable_message_is_a_dead_letter_and_its_neighbours_are_not_held_up(
    client: redis.Redis,
    publisher: Publisher,
    start_worker: Start,
    url: str,
    tmp_path: Path,
    raw: bytes,
) -> None:
    publisher.publish(event(0))
    client.hset("payspool:events.msgs", "poison", raw)
    client.rpush("payspool:events", "poison")
    publisher.publish(event(1))
    start_worker(url)
    wait_until(lambda: done_ids(tmp_path) == ["e-0", "e-1"])
    assert sizes(tmp_path) == [2]
    assert client.zrange("payspool:events.XQ", 0, -1) == [b"poison"]
    assert client.hgetall("payspool:events.XQ.msgs") == {b"poison": raw}
    assert client.hget("payspool:events.XQ.errors", "poison")
    wait_until(lambda: client.hlen("payspool:events.msgs") == 0)


def test_an_id_whose_message_is_gone_is_dropped(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    client.rpush("payspool:events", "gone")
    publisher.publish(event(0))
    start_worker(url)
    wait_until(lambda: done_ids(tmp_path) == ["e-0"])
    wait_until(
        lambda: (
            client.zcard(client.keys("*.in_flight.*")[0]) == 0
            if client.keys("*.in_flight.*")
            else True
        )
    )
    assert client.llen("payspool:events") == 0


def test_a_batch_shows_its_size_and_not_its_contents() -> None:
    text = json.dumps(event(1))
    batch = Batch(
        (BatchItem("r-1", "m-1", 1, 0, [text, text]), BatchItem("r-2", "m-2", 1, 0, [text]))
    )
    assert repr(batch) == "<Batch of 2 messages, 3 events>"
    assert "u-1" not in repr(list(batch))
    assert (len(batch), batch.events) == (2, 3)


@pytest.mark.parametrize(
    "wrong", [{"messages": 0}, {"messages": 1001}, {"bytes": 0}, {"events": 0}]
)
def test_limits_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        BatchLimits(**wrong)
