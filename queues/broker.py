"""Dramatiq's Redis broker, made safe for money.

What differs from the stock broker, and why, is in the documentation of `consumer`, `batches`,
`messages`, `retries` and `liveness`. Everything is reached through Dramatiq's public seams.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from dramatiq import Broker, Consumer, Message, Middleware, Worker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import QueueJoinTimeout

from payspool_client.wire import NAMESPACE
from queues.batches import BatchConsumer, BatchLimits
from queues.connection import connect
from queues.consumer import Access
from queues.dead import DeadLetterSink
from queues.errors import DelayRefused, lost_connections_are_closed
from queues.inspect import is_idle
from queues.keys import QueueKeys
from queues.lane import Lane
from queues.liveness import Liveness, LivenessSettings
from queues.messages import MessageConsumer
from queues.retries import RetryOptions
from queues.scripts import Scripts
from queues.send import put
from queues.workforce import AtWork

log = logging.getLogger(__name__)


class PayspoolBroker(RedisBroker):
    """The broker of one process. Making it connects to nothing.

    >>> from payspool_client import wire
    >>> broker = PayspoolBroker(
    ...     "redis://localhost:6379/0", batches={wire.QUEUE: BatchLimits(messages=500)}
    ... )

    Parameters:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        namespace: What every key begins with.
        batches: The queues to consume in batches (of wire format v1), with their limits.
        liveness: How often to say that we live, and when silence means death.
        dead_letters: Has each dead letter before its queue lets go of it; without one they are in
            Redis only.
        middleware: Added to ours. Dramatiq's own Retries, Callbacks and Pipelines do not belong
            here: they enqueue in a place where a failure to do so is swallowed.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = NAMESPACE,
        batches: Mapping[str, BatchLimits] | None = None,
        liveness: LivenessSettings | None = None,
        dead_letters: DeadLetterSink | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        client = connect(url)
        super().__init__(  # type: ignore[no-untyped-call]
            client=client,
            namespace=namespace,
            maintenance_chance=0,
            middleware=[RetryOptions(), *middleware],
        )
        self.stopping = threading.Event()
        self._redis = client
        self._batches = dict(batches or {})
        self._dead_letters = dead_letters
        self._lanes: dict[str, Lane] = {}
        self._owner = str(self.broker_id)
        self._scripts = Scripts(client, namespace, self._owner)
        settings = liveness or LivenessSettings()
        self.at_work = AtWork()
        self.add_middleware(self.at_work)
        beats = Liveness(url, namespace, self._owner, settings, self.at_work.told)
        self.add_middleware(_Process(self, beats))

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; there are no delayed queues beside it (see `DelayRefused`)."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:  # noqa: ARG002
        """A consumer of a queue: of batches if the queue is one of `batches`.

        Parameters:
            prefetch: How many messages may be held at once (batches have their own limits).
            timeout: Not used: an idle consumer blocks on the server, at most a second.
        """
        access = Access(
            keys=QueueKeys(self.namespace, queue_name),
            client=self._redis,
            scripts=self._scripts,
            lane=self._lanes.setdefault(queue_name, Lane()),
            stopping=self.stopping,
            sink=self._dead_letters,
        )
        limits = self._batches.get(queue_name)
        if limits is not None:
            return BatchConsumer(access, limits)
        return MessageConsumer(access, actors=self.actors, prefetch=prefetch)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put a message at the end of its queue.

        Raises:
            DelayRefused: `delay` is given.
            ConnectionClosed: The server did not answer; the message may be queued.
        """
        if delay is not None:
            raise DelayRefused(message.queue_name)
        message = message.copy(options={"redis_message_id": str(uuid4())})
        self.emit_before("enqueue", message, delay)
        with lost_connections_are_closed():
            put(self._redis, self.namespace, [message])
        self.emit_after("enqueue", message, delay)
        return message

    def flush(self, queue_name: str) -> None:
        """Drop all messages of a queue, dead letters included; those in flight are not re-run."""
        keys = QueueKeys(self.namespace, queue_name)
        self._redis.delete(
            keys.list,
            keys.messages,
            keys.tries,
            keys.deaths,
            keys.later,
            keys.dead,
            keys.dead_messages,
            keys.dead_errors,
            keys.dead_counts,
        )

    def join(self, queue_name: str, *, interval: int = 100, timeout: int | None = None) -> None:
        """Wait until nothing waits, is in flight or is to be retried.

        Parameters:
            interval, timeout: Milliseconds; no timeout: for ever.

        Raises:
            QueueJoinTimeout: It took longer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        while not is_idle(self._redis, self.namespace, [queue_name]):
            if deadline is not None and time.monotonic() >= deadline:
                raise QueueJoinTimeout(queue_name)  # type: ignore[no-untyped-call]
            time.sleep(interval / 1000)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def withdraw(self) -> None:
        """Return whatever this process still holds, and stop being an owner."""
        with lost_connections_are_closed():
            for queue, lane in self._lanes.items():
                lane.abandon()
                count = self._scripts.give_back(queue, held=(), failed=False)
                if count:
                    log.info("Gave %s messages back to %s at the end.", count, queue)
            self._scripts.leave(self._lanes)


class _Process(Middleware):
    """Ties heartbeat, janitor and withdrawal to the life of the process's worker."""

    def __init__(self, broker: PayspoolBroker, liveness: Liveness) -> None:
        self._broker = broker
        self._liveness = liveness

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        self._broker.stopping.clear()
        self._liveness.start()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        self._broker.stopping.set()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        # The last heartbeat comes first, or it would undo the withdrawal.
        self._liveness.stop()
        self._broker.withdraw()
