"""Connections to Redis whose every wait has an end, and that never repeat a command by themselves."""

from __future__ import annotations

from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

CONNECT_TIMEOUT_SECONDS: Final = 3.0
#: Longer than `consumer.WAIT_SECONDS_MAX`, which blocks on the server.
READ_TIMEOUT_SECONDS: Final = 10.0


def connect(
    url: str,
    *,
    connect_timeout: float = CONNECT_TIMEOUT_SECONDS,
    read_timeout: float = READ_TIMEOUT_SECONDS,
) -> redis.Redis:
    """A client (time-outs in seconds) that connects when it is first used.

    redis-py would repeat a command whose answer was lost; a send that ran twice is two messages.
    """
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=connect_timeout,
        socket_timeout=read_timeout,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
