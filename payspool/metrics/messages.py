"""Measures actors, as a middleware of the broker."""

import threading
import time
from typing import Any

from dramatiq import Broker, MessageProxy, Middleware

from workers.watching import Watch


class MessageTimes(Middleware):
    """Tells ``watch`` how long each message took. A message is begun and ended by one thread."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._thread = threading.local()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        """Dramatiq's hook."""
        self._thread.began = time.monotonic()

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ARG002
        exception: BaseException | None = None,
    ) -> None:
        """Dramatiq's hook."""
        seconds = time.monotonic() - self._thread.began
        self._watch.message_processed(message.actor_name, ok=exception is None, seconds=seconds)
