"""The roads from a queue to committed rows: ours, a stock Dramatiq actor's, a Celery task's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import redis

from bench.baselines import celery_app, stock_dramatiq
from payspool_client import wire
from queues import keys

STAGE: Final = "stage"
"""What is published there is not seen by any worker until it is released."""
_CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class Road:
    """How events are put aside for a road and released at once, and how much of them is left.

    ``commands`` gives what to run for a number of processes; ``ready`` tells whether they all serve;
    ``gone`` are keys that must not exist once all is done.
    """

    commands: Callable[[int], Sequence[Sequence[str]]]
    put: Callable[[str, Iterable[str]], None]
    moves: Sequence[tuple[str, str]]
    left: Callable[[redis.Redis], int]
    ready: Callable[[redis.Redis, int], bool]
    gone: Sequence[str]

    def release(self, client: redis.Redis) -> None:
        """Let the workers see all that was put aside, in one moment."""
        pipeline = client.pipeline(transaction=True)
        for staged, real in self.moves:
            pipeline.rename(staged, real)
        pipeline.execute()


def _put_single(url: str, texts: Iterable[str]) -> None:
    _put_messages(url, (m for text in texts for m in wire.encode_messages([text])))


def _put_packed(url: str, texts: Iterable[str]) -> None:
    _put_messages(url, wire.encode_messages(texts))


def _put_messages(url: str, messages: Iterable[tuple[str, bytes]]) -> None:
    with redis.Redis.from_url(url) as client:
        pipeline = client.pipeline(transaction=False)
        for number, (message_id, message) in enumerate(messages, start=1):
            pipeline.hset(wire.messages_key(STAGE), message_id, message)
            pipeline.rpush(wire.list_key(STAGE), message_id)
            if number % _CHUNK == 0:
                pipeline.execute()
        pipeline.execute()


_OURS: Final = wire.NAMESPACE
_OUR_MOVES: Final = (
    (wire.messages_key(STAGE), wire.messages_key(_OURS)),
    (wire.list_key(STAGE), wire.list_key(_OURS)),
)


def _ours(put: Callable[[str, Iterable[str]], None]) -> Road:
    return Road(
        commands=lambda processes: [["payspool", "worker", "--queue", "events"]] * processes,
        put=put,
        moves=_OUR_MOVES,
        left=lambda client: client.hlen(wire.messages_key(_OURS)),
        ready=lambda client, processes: client.zcard(keys.heartbeats(_OURS)) == processes,
        gone=[key for key, _ in _OUR_MOVES],
    )


SINGLE: Final = _ours(_put_single)
"""Messages of one event each, as ``publish`` sends them."""
PACKED: Final = _ours(_put_packed)
"""Messages of many events, as ``publish_many`` sends them."""


def _put_stock(url: str, texts: Iterable[str]) -> None:
    def messages() -> Iterable[tuple[str, bytes]]:
        for text in texts:
            message = stock_dramatiq.apply.message(text)
            # What the stock broker's own enqueue adds.
            message = message.copy(options={"redis_message_id": message.message_id})
            yield message.message_id, message.encode()

    _put_messages(url, messages())


_STOCK: Final = stock_dramatiq.NAMESPACE
STOCK: Final = Road(
    commands=lambda processes: [
        [
            "dramatiq",
            "bench.baselines.stock_dramatiq",
            "--processes",
            str(processes),
            "--threads",
            str(stock_dramatiq.THREADS),
        ]
    ],
    put=_put_stock,
    moves=[
        (wire.messages_key(STAGE), f"{_STOCK}:events.msgs"),
        (wire.list_key(STAGE), f"{_STOCK}:events"),
    ],
    left=lambda client: client.hlen(f"{_STOCK}:events.msgs"),
    ready=lambda client, processes: client.zcard(f"{_STOCK}:__heartbeats__") >= processes,
    gone=[f"{_STOCK}:events", f"{_STOCK}:events.msgs", f"{_STOCK}:events.XQ"],
)


def _put_celery(url: str, texts: Iterable[str]) -> None:
    app = celery_app.app
    with (
        app.connection_for_write(celery_app.url_for(url)) as connection,
        app.amqp.Producer(connection) as producer,
    ):
        for text in texts:
            celery_app.apply.apply_async((text,), queue=STAGE, producer=producer)


CELERY: Final = Road(
    commands=lambda processes: [
        [
            *("celery", "--app", "bench.baselines.celery_app", "worker"),
            *("--concurrency", str(processes), "--loglevel", "WARNING"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
    ],
    put=_put_celery,
    moves=[(STAGE, celery_app.QUEUE)],
    left=lambda client: client.llen(celery_app.QUEUE) + client.hlen("unacked"),
    ready=lambda client, _processes: bool(client.exists(f"_kombu.binding.{celery_app.QUEUE}")),
    gone=[celery_app.QUEUE, "unacked"],
)
