"""What the API is built from, and its limits. Built by the composition root, passed down as a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import Tx
from domain.dead_letters.service import PutBack
from domain.payouts.rules.breaker import Balance
from domain.secrets import SecretBox
from domain.webhooks.addresses import Reach, Resolve
from queues.pause import PauseLog

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """What one request may cost.

    Attributes:
        events_body_bytes: The body of `POST /v1/events`.
        events: Events in it (EVENTS). They are queued in one transaction: all of the good ones, or none.
        webhook_body_bytes: The body of a gateway's webhook; Stripe's events are a few KiB.
        loyalty_body_bytes: The body of a request about a card: one event.
        body_seconds: How long a client may take to send its body.
        requests: Requests in hand at once, health aside; more are told to come back.
        bodies_bytes: What the bodies of all of them may add up to in memory.
        rate_per_second: Requests a second of one API key that has no rate of its own.
        burst_seconds: How many seconds of that a key may use up at once.
        backlog_messages: Messages on the queue (of up to 100 events) above which it takes no more.
        backlog_memory: The same for the share of Valkey's `maxmemory` that is used (EVENTS: 70 %).
        statement_seconds: How long one statement of a request may take in the database.
        lock_seconds: How long it may wait there for others, on a card for instance.
        threads: Requests that may be in blocking work (PostgreSQL, Redis) at once. The engine should
            have as many connections (pool and overflow together), or some will wait for one.
        ready_seconds: How long `/readyz` waits for each dependency.
        retry_after_seconds: What clients are told to wait when a server behind the API is away.
    """

    events_body_bytes: int = 8 * MIB
    events: int = 1_000
    webhook_body_bytes: int = 256 * 1024
    loyalty_body_bytes: int = 64 * 1024
    body_seconds: float = 30.0
    requests: int = 400
    bodies_bytes: int = 256 * MIB
    rate_per_second: int = 500
    burst_seconds: int = 2
    backlog_messages: int = 200_000
    backlog_memory: float = 0.7
    statement_seconds: float = 3.0
    lock_seconds: float = 2.0
    threads: int = 20
    ready_seconds: float = 2.0
    retry_after_seconds: int = 5


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the composition root passes in.

    Attributes:
        render: The metrics as text, within a few seconds whatever is away. Called in a thread of its
            own, so that requests which wait for a database cannot keep a scrape from telling so.
        content_type: The text's type.
        token: Who sends it may read them; without one, only this machine.
    """

    render: Callable[[], bytes]
    content_type: str
    token: str | None = field(default=None, repr=False)
    thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="metrics")
    )


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Everything that the API needs from outside.

    Attributes:
        engine: PostgreSQL, as the runtime role.
        redis_url: Where events are queued (it may hold a password, so it is kept out of the repr).
        namespace: What Payspool's keys begin with there.
        box: Opens the merchants' webhook secrets.
        revision: The migration that this version needs: `/readyz` is red below it.
        limits: See `ApiLimits`.
        metrics: What `/metrics` shows; None: nothing.
        queues: Queues that are told even while nothing was ever on them.
        pause_log: Keeps who paused and resumed queues, for one who acts.
        put_back: Puts a dead letter's message on its queue again, in the transaction that decides so.
        balance: Asks the gateway of a merchant and method for its balance, over the network; never raises.
        reach: How far webhooks to merchants go.
        resolve: Asks for the addresses of a name, over the network.
    """

    engine: Engine
    redis_url: str = field(repr=False)
    namespace: str
    box: SecretBox
    revision: str
    limits: ApiLimits = ApiLimits()
    metrics: Metrics | None = None
    queues: Sequence[str] = ()
    pause_log: Callable[[Actor], PauseLog] | None = None
    put_back: Callable[[Tx], PutBack] | None = field(default=None, repr=False)
    balance: Callable[[int, str], Balance] | None = field(default=None, repr=False)
    reach: Reach = field(default_factory=Reach)
    resolve: Resolve | None = field(default=None, repr=False)
