"""What a process counts of its own work: the ``Watch`` of workers, relay, scheduler and courier."""

import platform
import time
import tomllib
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from functools import wraps
from operator import attrgetter
from typing import Final, ParamSpec

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)

from domain.inbox.rules import Outcome
from payspool.metrics.histogram import Histogram
from payspool.settings import CHECKOUT
from payspool_client import EVENT_TYPES

BATCH_EVENTS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
WORK_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
WAIT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
CALL_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60)
"""Upper bounds; a gateway call with all its tries ends within its lease of 120 s."""
STUCK_SECONDS: Final = 60.0
"""A loop that did not come round for so long is stuck; without its servers it still does."""

log: Final = structlog.get_logger("metrics")
P = ParamSpec("P")

_FATE: Final = attrgetter("type", "status")


def build_registry(process: str) -> CollectorRegistry:
    """A registry with what every process exports: its build, its memory and processor time.

    ``process`` is its command (worker, relay, scheduler, courier, api).
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside every counter that no rule reads
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    info = Gauge(
        "payspool_build_info",
        "What runs here; always 1.",
        ["version", "python", "process"],
        registry=registry,
    )
    info.labels(_version(), platform.python_version(), process).set(1)
    return registry


def _version() -> str:
    # Payspool runs from its checkout or its image; no package of it is installed that could be asked.
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _harmless(count: Callable[P, None]) -> Callable[P, None]:
    """Counting fails no work: after a commit, an exception would bring a whole batch back for ever."""

    @wraps(count)
    def counted(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            count(*args, **kwargs)
        except Exception:
            log.exception("metrics.failed", metric=count.__name__)

    return counted


class WorkMetrics:
    """Counts what a process did, in its memory; a restart begins afresh, as counters may.

    Every label has a bounded set of values: no merchant, no id, no text from outside.
    """

    def __init__(self, process: str) -> None:
        self.registry = registry = build_registry(process)
        self._turned_at: float | None = None
        self._events = Counter(
            "payspool_events",
            "Events decided, by type and outcome.",
            ["type", "outcome"],
            registry=registry,
        )
        self._batch_events = Histogram(
            "payspool_batch_events", "Events in a committed batch.", BATCH_EVENTS, registry
        )
        self._batch_seconds = Histogram(
            "payspool_batch_seconds",
            "Time to parse, apply and commit a batch.",
            WORK_SECONDS,
            registry,
        )
        self._publish_to_commit = Histogram(
            "payspool_publish_to_commit_seconds",
            "Time from a message's publishing, by its producer's clock, to the commit of its events.",
            WAIT_SECONDS,
            registry,
        )
        self._payouts = Counter(
            "payspool_payout_sends",
            "Sends and resolutions of payouts, by what they came to.",
            ["outcome"],
            registry=registry,
        )
        self._gateway = Histogram(
            "payspool_gateway_call_seconds",
            "Time of gateway calls, same-key tries included.",
            CALL_SECONDS,
            registry,
            ("method", "call", "outcome"),
        )
        self._missed = Counter(
            "payspool_webhooks_missed",
            "Events that polling found and no webhook had brought within five minutes.",
            registry=registry,
        )
        self._messages = Histogram(
            "payspool_message_seconds",
            "Time that actors took for a message, by actor and result (ok, failed).",
            WORK_SECONDS,
            registry,
            ("actor", "result"),
        )
        self._relayed = Counter(
            "payspool_outbox_relayed", "Rows of the outbox that were enqueued.", registry=registry
        )
        self._fires = Counter(
            "payspool_schedule_fires", "Fires that this scheduler made.", registry=registry
        )
        self._hooks = Counter(
            "payspool_webhook_attempts",
            "Attempts at delivering webhooks, by what came of them and of the delivery.",
            ["outcome", "result"],
            registry=registry,
        )
        self._hook_seconds = Histogram(
            "payspool_webhook_attempt_seconds",
            "Time that receivers of webhooks took to answer.",
            CALL_SECONDS,
            registry,
            ("outcome",),
        )

    @property
    def stuck(self) -> bool:
        """Whether this process has a loop that did not come round for STUCK_SECONDS."""
        return self._turned_at is not None and time.monotonic() - self._turned_at > STUCK_SECONDS

    @_harmless
    def batch_committed(self, *, events: int, seconds: float, published_ms: Sequence[int]) -> None:
        """See ``Watch``. A producer's clock that is ahead counts as no delay."""
        now = time.time()
        self._batch_events.observe({events: 1})
        self._batch_seconds.observe({seconds: 1})
        # Messages of one moment are counted together: this runs after every batch.
        waited: Tally[float] = Tally()
        for at, times in Tally(published_ms).items():
            waited[max(0.0, now - at / 1000)] += times
        self._publish_to_commit.observe(waited)

    @_harmless
    def events_decided(self, outcomes: Sequence[Outcome]) -> None:
        """See ``Watch``. A type that is none of the contract counts as ``other``."""
        for (type_, status), count in Tally(map(_FATE, outcomes)).items():
            named = type_ if type_ in EVENT_TYPES else "other"
            self._events.labels(named, status).inc(count)

    def payout_handled(self, outcome: str) -> None:
        """See ``Watch``."""
        self._payouts.labels(outcome).inc()

    def gateway_called(self, method: str, call: str, outcome: str, seconds: float) -> None:
        """See ``Watch``."""
        self._gateway.observe({seconds: 1}, method, call, outcome)

    def webhooks_missed(self, events: int) -> None:
        """See ``Watch``."""
        self._missed.inc(events)

    def message_processed(self, actor: str, *, ok: bool, seconds: float) -> None:
        """See ``Watch``."""
        self._messages.observe({seconds: 1}, actor, "ok" if ok else "failed")

    def relayed(self, rows: int) -> None:
        """See ``Watch``."""
        self._relayed.inc(rows)

    def fired(self, fires: int) -> None:
        """See ``Watch``."""
        self._fires.inc(fires)

    def webhook_sent(self, outcome: str, result: str, seconds: float) -> None:
        """See ``Watch``."""
        self._hooks.labels(outcome, result).inc()
        self._hook_seconds.observe({seconds: 1}, outcome)

    def turned(self) -> None:
        """See ``Watch``."""
        self._turned_at = time.monotonic()
