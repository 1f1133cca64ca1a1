"""What processes count of their own work."""

from __future__ import annotations

import doctest
import importlib
import threading
import time
from datetime import UTC, datetime

import pytest
from dramatiq import Message, MessageProxy
from prometheus_client import CollectorRegistry

from domain.inbox.rules import Outcome
from domain.payouts.gateway import (
    Deadline,
    EventsPage,
    ReturnsPage,
    TakesBack,
    TellsEvents,
    TellsReturns,
)
from domain.payouts.rules import GatewayOutcome
from payspool.metrics.gateways import MeasuredGateway, outcome_label
from payspool.metrics.histogram import Histogram
from payspool.metrics.messages import MessageTimes
from payspool.metrics.work import WorkMetrics
from tests.payspool.metrics.scraped import samples


def test_events_are_counted_by_type_and_outcome_and_a_made_up_type_adds_no_series() -> None:
    metrics = WorkMetrics("worker")
    metrics.events_decided(
        [
            Outcome("applied", "conversion.recorded"),
            Outcome("applied", "conversion.recorded"),
            Outcome("duplicate", "conversion.recorded"),
            Outcome("rejected", "coupon.used"),
            Outcome("unreadable", None),
        ]
    )
    counted = {
        k[1]: v for k, v in samples(metrics.registry).items() if k[0] == "payspool_events_total"
    }
    assert counted == {
        ("applied", "conversion.recorded"): 2,
        ("duplicate", "conversion.recorded"): 1,
        ("rejected", "other"): 1,
        ("unreadable", "other"): 1,
    }


def test_publish_to_commit_is_by_the_message_and_never_negative() -> None:
    metrics = WorkMetrics("worker")
    now = int(time.time() * 1000)
    metrics.batch_committed(
        events=7, seconds=0.02, published_ms=[now - 2_000, now + 60_000, now + 70_000]
    )
    seen = samples(metrics.registry)
    name = "payspool_publish_to_commit_seconds"
    assert seen[f"{name}_count", ()] == 3
    assert seen[f"{name}_bucket", ("0.005",)] == 2
    assert 2 <= seen[f"{name}_sum", ()] < 12
    assert seen["payspool_batch_events_sum", ()] == 7
    assert seen["payspool_batch_seconds_bucket", ("0.025",)] == 1
    assert seen["payspool_batch_seconds_bucket", ("0.01",)] == 0


def test_a_histogram_counts_each_value_once_below_every_bound_above_it() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("h", "about", [1, 2], registry, ("kind",))

    def work() -> None:
        for _ in range(500):
            histogram.observe({0.5: 1, 1.0: 1, 1.5: 1, 99.0: 1}, "a")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    seen = samples(registry)
    assert [seen["h_bucket", ("a", bound)] for bound in ("1", "2", "+Inf")] == [4000, 6000, 8000]
    assert seen["h_count", ("a",)] == 8000
    assert seen["h_sum", ("a",)] == 2000 * 102.0


class TimedOut:
    """A gateway from which no answer came; what a time-out looks like is tested with the real one."""

    method, account, api_version = "stripe", "acct_1", "v1"

    def send(self, params: object, **_: object) -> GatewayOutcome:
        return GatewayOutcome("timeout")

    def find(self, params: object) -> None:
        return None


def test_gateway_calls_are_timed_by_outcome_and_answered_as_they_were() -> None:
    metrics = WorkMetrics("worker")
    gateway = MeasuredGateway(TimedOut(), metrics)  # type: ignore[arg-type]
    outcome = gateway.send({}, key="k", api_version="v1", deadline=Deadline.begin())
    assert outcome == GatewayOutcome("timeout")
    assert gateway.find({}) is None
    assert (gateway.method, gateway.api_version) == ("stripe", "v1")
    seen = samples(metrics.registry)
    for call, result in (("send", "timeout"), ("find", "unknown")):
        assert seen["payspool_gateway_call_seconds_count", (call, "stripe", result)] == 1


class Reversing:
    """Reversals of which no answer came."""

    def reverse(self, params: object, **_: object) -> GatewayOutcome:
        return GatewayOutcome("timeout")

    def find(self, params: object) -> tuple[()]:
        return ()


class Telling:
    """Events of a gateway that is away."""

    def page(self, **_: object) -> EventsPage:
        return EventsPage("silent")


class Listing:
    def page(self, **_: object) -> ReturnsPage:
        return ReturnsPage("told")


class TakesAndTells(TimedOut):
    """A gateway that can be asked for reversals, events and what came back too."""

    reversals, events, returns = Reversing(), Telling(), Listing()


def test_what_a_gateway_can_do_besides_is_measured_and_what_it_cannot_is_not_claimed() -> None:
    metrics = WorkMetrics("worker")
    able = MeasuredGateway(TakesAndTells(), metrics)  # type: ignore[arg-type]
    assert isinstance(able, TakesBack)
    assert isinstance(able, TellsEvents)
    assert isinstance(able, TellsReturns)
    outcome = able.reversals.reverse({}, key="k", api_version="v1", deadline=Deadline.begin())
    assert outcome == GatewayOutcome("timeout")
    assert able.reversals.find({}) == ()
    since = datetime(2026, 6, 1, tzinfo=UTC)
    assert able.events.page(types=(), account=None, since=since, after=None).answer == "silent"
    assert able.returns.page(made_from=since.date(), passed=0).answer == "told"
    seen = samples(metrics.registry)
    for call, result in (
        ("returns", "answered"),
        ("reverse", "timeout"),
        ("find_reversal", "answered"),
        ("events", "unknown"),
    ):
        assert seen["payspool_gateway_call_seconds_count", (call, "stripe", result)] == 1
    unable = MeasuredGateway(TimedOut(), metrics)  # type: ignore[arg-type]
    assert not isinstance(unable, TakesBack)
    assert not isinstance(unable, TellsEvents)
    assert not isinstance(unable, TellsReturns)


def test_missed_webhooks_are_counted_from_the_beginning() -> None:
    metrics = WorkMetrics("worker")
    assert samples(metrics.registry)["payspool_webhooks_missed_total", ()] == 0
    metrics.webhooks_missed(3)
    assert samples(metrics.registry)["payspool_webhooks_missed_total", ()] == 3


def test_every_kind_of_answer_has_one_of_a_few_labels() -> None:
    answers = [GatewayOutcome("response", http_status=status) for status in range(100, 600)]
    kinds = [GatewayOutcome(kind) for kind in ("timeout", "reset", "not_sent", "unreadable")]
    labels = {outcome_label(outcome) for outcome in answers + kinds}
    assert labels == {
        *("1xx", "2xx", "3xx", "4xx", "429", "5xx"),
        *("timeout", "reset", "not_sent", "unreadable"),
    }


def test_messages_are_timed_by_actor_and_result() -> None:
    metrics = WorkMetrics("worker")
    middleware = MessageTimes(metrics)
    for error in (None, ValueError("no")):
        message: Message[None] = Message(
            queue_name="payouts", actor_name="payouts.send", args=(), kwargs={}, options={}
        )
        proxy = MessageProxy(message)
        middleware.before_process_message(None, proxy)  # type: ignore[arg-type]
        middleware.after_process_message(None, proxy, exception=error)  # type: ignore[arg-type]
    seen = samples(metrics.registry)
    for result in ("ok", "failed"):
        assert seen["payspool_message_seconds_count", ("payouts.send", result)] == 1


@pytest.mark.parametrize(
    "module", ["payspool.metrics.histogram", "payspool.metrics.gateways", "web.scraping"]
)
def test_the_examples_in_the_documentation_are_true(module: str) -> None:
    tried = doctest.testmod(importlib.import_module(module))
    assert tried.attempted > 0
    assert tried.failed == 0


def test_counting_fails_no_work_whatever_it_is_told() -> None:
    metrics = WorkMetrics("worker")
    metrics.batch_committed(events=1, seconds=0.1, published_ms=[10**400])
    metrics.batch_committed(events=1, seconds=0.1, published_ms=[0])
    assert samples(metrics.registry)["payspool_batch_events_count", ()] == 2
