"""Putting events on the queue: one by one and many at once, against stock ``send()``."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from bench.events import conversions
from bench.figures import Figure, figure
from bench.options import Options
from bench.site import Site
from payspool_client import Publisher, wire

STOCK: Final = "stock send()"
MANY: Final = 10
"""How many times more events ``publish_many`` gets: else it would be over at once."""
_NAMESPACE: Final = "stock-send"


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """``publish`` and ``publish_many``, each over one connection, validation included."""
    single, many, stock, exactly = [], [], [], True
    for number in range(options.rounds):
        options.say(f"publish, round {number + 1} of {options.rounds}")
        with site.database() as database, site.redis as client:
            uniform = database.codes.uniform
            one_by_one = list(conversions(uniform, options.publishes))
            at_once = list(conversions(uniform, MANY * options.publishes))
            url = site.endpoints.redis_url
            stock.append(_rate(_send, url, one_by_one))
            exactly &= client.llen(f"{_NAMESPACE}:events") == len(one_by_one)
            single.append(_rate(_publish, url, one_by_one))
            exactly &= _queued(client) == one_by_one
            many.append(_rate(_publish_many, url, at_once))
            exactly &= _queued(client) == at_once
    yield figure("publish.single", "events/s", single, exact=exactly, against=STOCK, peers=stock)
    yield figure("publish.many", "events/s", many, exact=exactly, against=STOCK, peers=stock)


def _rate(call: Callable[[str, Sequence[str]], None], url: str, texts: Sequence[str]) -> float:
    started = time.monotonic()
    call(url, texts)
    return len(texts) / (time.monotonic() - started)


def _send(url: str, texts: Sequence[str]) -> None:
    broker = RedisBroker(url=url, namespace=_NAMESPACE)  # type: ignore[no-untyped-call]

    @dramatiq.actor(broker=broker, queue_name="events")
    def apply(text: str) -> None:
        """Never run: only sent to."""

    for text in texts:
        apply.send(text)
    broker.close()


def _publish(url: str, texts: Sequence[str]) -> None:
    with Publisher(url) as publisher:
        for text in texts:
            publisher.publish(text)


def _publish_many(url: str, texts: Sequence[str]) -> None:
    with Publisher(url) as publisher:
        publisher.publish_many(texts)


def _queued(client: redis.Redis) -> list[str]:
    """The texts on the queue, in order; takes them off."""
    ids = client.lrange(wire.list_key(wire.NAMESPACE), 0, -1)
    messages: Any = client.hgetall(wire.messages_key(wire.NAMESPACE))
    client.delete(wire.list_key(wire.NAMESPACE), wire.messages_key(wire.NAMESPACE))
    return [text for one in ids for text in wire.decode_message(messages[one]).texts]
