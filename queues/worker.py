"""A worker process: runs actors until it is told to stop."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from dramatiq import Worker

from queues.broker import PayspoolBroker
from queues.errors import UnknownQueue

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS: Final = 30.0
#: The part of the shutdown in which running actors may finish; the rest is for giving back.
_FINISHING_SHARE: Final = 0.8
#: How often an idle thread looks whether it shall end.
_WAKE_MILLISECONDS: Final = 1000
#: New objects, less those that went, after which the young ones are looked through for cycles.
_GARBAGE_OBJECTS: Final = 50_000
#: The exit code of a process that was told twice, or did not end in time.
EXIT_FORCED: Final = 70


def run(
    broker: PayspoolBroker,
    queues: Collection[str],
    *,
    threads: int = 1,
    prefetch: int | None = None,
    shutdown_seconds: float = SHUTDOWN_SECONDS,
) -> None:
    """Process messages of these queues in this process until SIGTERM or SIGINT.

    Call it in the main thread, with the actors imported. On the first signal nothing more is
    taken, running actors finish, and everything else goes back to the front of its queue. Actors
    that are still running after four fifths of `shutdown_seconds` lose their messages to other
    workers; at its end, or on a second signal, the process exits with `EXIT_FORCED`, and its
    messages are returned by another worker's janitor.

    Parameters:
        threads: How many actors run at a time.
        prefetch: How many messages to hold for them, on each queue; by default as many.

    Raises:
        UnknownQueue: No actor is declared on one of the queues.
    """
    unknown = set(queues) - broker.get_declared_queues()
    if unknown:
        raise UnknownQueue(unknown, broker.get_declared_queues())
    worker = Worker(
        broker,
        queues=set(queues),
        worker_threads=threads,
        worker_timeout=_WAKE_MILLISECONDS,
    )
    worker.queue_prefetch = prefetch or threads
    broker.at_work.role(queues, threads)
    _look_for_garbage_rarely()
    with _told_to_stop() as wait:
        broker.emit_after("process_boot")
        worker.start()
        wait()
        # Not a daemon's way to go, but bounded: what is left is another worker's to return.
        deadline = threading.Timer(shutdown_seconds, os._exit, [EXIT_FORCED])
        deadline.daemon = True
        deadline.start()
        worker.stop(timeout=int(shutdown_seconds * _FINISHING_SHARE * 1000))
        deadline.cancel()
    broker.close()


def _look_for_garbage_rarely() -> None:
    """Keep the garbage collector away from what lives as long as the process, and from most batches.

    A batch of hundreds of events is some ten thousand objects, none of them in a cycle: they go as soon as
    it is done. With Python's threshold of 700 the collector looks through all of them again and again,
    which took a fifth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS)


@contextmanager
def _told_to_stop() -> Iterator[Callable[[], None]]:
    """Gives a function that waits for the first signal. The second one ends the process.

    The handler only writes to a pipe: it may run at any point of the main thread, even inside a
    lock that a threading.Event would need.
    """
    reader, writer = os.pipe()
    told = False

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal told
        if told:
            os._exit(EXIT_FORCED)
        told = True
        os.write(writer, b"!")

    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)
    }

    def wait() -> None:
        os.read(reader, 1)

    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
