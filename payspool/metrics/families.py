"""The state as metric families: which name, label and unit each figure has."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from domain.payouts.rules import PAYOUT
from domain.payouts.rules.reversing import LIVE
from queues.inspect import QueueState

if TYPE_CHECKING:
    from payspool.metrics.state import State, ValkeyState

SETTLED: Final = ("paid", "canceled", "reversed")
OPEN_ATTEMPTS: Final = ("created", "sending", "unknown")


def of_state(state: "State") -> Iterable[Metric]:
    """Every family that is known; those of a server that is away are left out."""
    servers = {"valkey": state.valkey, "postgresql": state.rows}
    yield _gauge(
        "payspool_server_up",
        "Whether the server answered this scrape in time.",
        [([name], float(found is not None)) for name, found in servers.items()],
        ["server"],
    )
    if state.valkey is not None:
        yield from _of_valkey(state.valkey)
    if state.rows is not None:
        yield _gauge(
            "payspool_state_known",
            "Whether a part of the state was read in time; its metrics are left out if not.",
            [([name], float(found is not None)) for name, found in state.rows.items()],
            ["part"],
        )
        for name, found in state.rows.items():
            if found is not None:
                yield from _OF_PART[name](found)


def _of_valkey(valkey: "ValkeyState") -> Iterable[Metric]:
    yield from _of_queues(valkey.queues)
    yield _gauge(
        "payspool_queue_paused",
        "Whether somebody paused the queue: nothing is taken from it.",
        [([one.queue], float(one.queue in valkey.paused)) for one in valkey.queues],
        ["queue"],
    )
    yield _single("payspool_worker_processes", "Worker processes with a heartbeat.", valkey.workers)
    yield _single(
        "payspool_valkey_memory_used_bytes", "Memory that Valkey uses.", valkey.memory_used
    )
    yield _single(
        "payspool_valkey_memory_max_bytes", "Its limit; 0 without one.", valkey.memory_max
    )
    if valkey.memory_max:
        yield _single(
            "payspool_valkey_memory_used_ratio",
            "Used memory by its limit; at 1 nothing can be published.",
            valkey.memory_used / valkey.memory_max,
        )


def _of_queues(queues: Sequence[QueueState]) -> Iterable[Metric]:
    figures = {
        "ready": "Messages that wait to be taken.",
        "delayed": "Failed messages whose backoff is not over.",
        "in_flight": "Messages that workers hold.",
        "orphaned": "Those of them whose worker is unheard of.",
        "dead": "Dead letters that are still in Valkey.",
    }
    for name, about in figures.items():
        field = {"delayed": "later", "orphaned": "orphans"}.get(name, name)
        yield _gauge(
            f"payspool_queue_{name}_messages",
            about,
            [([queue.queue], getattr(queue, field)) for queue in queues],
            ["queue"],
        )
    yield _gauge(
        "payspool_queue_oldest_age_seconds",
        "Age of the first waiting message; 0 without one.",
        [([queue.queue], queue.oldest_seconds or 0.0) for queue in queues],
        ["queue"],
    )


def _of_inbox(counts: dict[str, int]) -> Iterable[Metric]:
    yield _gauge(
        "payspool_inbox_events",
        "Events that were not applied, by what they are; each counted up to 100,000.",
        [([status], count) for status, count in counts.items()],
        ["status"],
    )


def _of_dead_letters(counts: dict[str, int]) -> Iterable[Metric]:
    yield _gauge(
        "payspool_dead_letters_open",
        "Dead letters that wait for a decision, by queue; up to 100,000 in all. 0 on events: none.",
        [([queue], count) for queue, count in ({"events": 0} | counts).items()],
        ["queue"],
    )


def _of_outbox(pending: Any) -> Iterable[Metric]:
    yield _single(
        "payspool_outbox_pending_rows",
        "Rows of the outbox, delayed ones included; counted up to 100,000.",
        pending.rows,
    )
    yield _single(
        "payspool_outbox_oldest_due_seconds",
        "How long the oldest row has been due; 0 if none is.",
        pending.oldest_due_seconds or 0.0,
    )


def _of_payouts(rows: Sequence[Any]) -> Iterable[Metric]:
    counts = {state: 0 for state in PAYOUT.states if state not in SETTLED}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + row.payouts
    yield _gauge(
        "payspool_payouts_unsettled",
        "Payouts by state, those that are paid, canceled or reversed left out; up to 100,000 in all.",
        [([state], count) for state, count in counts.items()],
        ["state"],
    )
    yield _gauge(
        "payspool_payouts_unsettled_minor_units",
        "What these payouts amount to, in minor units of the currency.",
        [([row.state, row.currency], int(row.amount)) for row in rows],
        ["state", "currency"],
    )
    yield _single(
        "payspool_payouts_frozen",
        "Unsettled payouts that are stopped until a person has looked at them.",
        sum(row.frozen for row in rows),
    )


def _of_attempts(rows: Sequence[Any]) -> Iterable[Metric]:
    found = {row.state: row for row in rows}
    yield _gauge(
        "payspool_payout_attempts_open",
        "Attempts without an outcome, by state.",
        [([state], found[state].attempts if state in found else 0) for state in OPEN_ATTEMPTS],
        ["state"],
    )
    oldest = found["unknown"].oldest_seconds if "unknown" in found else 0.0
    yield _single(
        "payspool_payout_attempts_unknown_oldest_seconds",
        "How long ago the oldest attempt was sent whose outcome is unknown; 0 without one.",
        oldest,
    )


def _of_differences(counts: dict[str, int]) -> Iterable[Metric]:
    yield _gauge(
        "payspool_payout_differences_open",
        "What our books and a gateway's do not agree on, by kind, until a person has explained it.",
        [([kind], count) for kind, count in counts.items()],
        ["kind"],
    )


def _of_stops(counts: dict[str, int]) -> Iterable[Metric]:
    yield _gauge(
        "payspool_payout_stops",
        "What keeps payouts from being sent: people, open breakers, a failover.",
        [([kind], count) for kind, count in counts.items()],
        ["kind"],
    )


def _of_reversals(rows: Sequence[Any]) -> Iterable[Metric]:
    found = {row.state: row for row in rows}
    yield _gauge(
        "payspool_reversal_requests_open",
        "Reversals that were asked for and have no outcome, by state.",
        [([state], found[state].requests if state in found else 0) for state in LIVE],
        ["state"],
    )
    oldest = found["unknown"].oldest_seconds if "unknown" in found else 0.0
    yield _single(
        "payspool_reversal_requests_unknown_oldest_seconds",
        "How long ago the oldest reversal was asked for whose outcome is unknown; 0 without one.",
        oldest,
    )


def _of_velocity(rows: Sequence[Any]) -> Iterable[Metric]:
    yield _gauge(
        "payspool_velocity_cases_open",
        "Loyalty events that were too fast and wait for a person; each counted up to 100,000.",
        [([row.action], row.cases) for row in rows],
        ["kind"],
    )
    yield _gauge(
        "payspool_velocity_cases_oldest_seconds",
        "How long ago the oldest of them was found; 0 without one.",
        [([row.action], row.oldest_seconds) for row in rows],
        ["kind"],
    )


def _of_webhooks(standing: Any) -> Iterable[Metric]:
    yield _single(
        "payspool_webhook_deliveries_pending",
        "Webhooks that wait for endpoints which are enabled; of each counted up to 100,000.",
        int(standing.pending),
    )
    yield _single(
        "payspool_webhook_oldest_pending_seconds",
        "How long ago the oldest of them happened; 0 without one.",
        standing.oldest_seconds,
    )
    yield _single(
        "payspool_webhook_endpoints_given_up",
        "Endpoints that were disabled because they failed for days, or said 410.",
        standing.disabled,
    )


def _of_sweeps(rows: Sequence[Any]) -> Iterable[Metric]:
    figures = {
        "payspool_sweep_lag_seconds": ("How late the latest fire is to begin.", "late_seconds"),
        "payspool_sweep_running_seconds": ("How long the longest fire runs.", "running_seconds"),
        "payspool_sweep_open_fires": ("Fires that are not finished.", "open_fires"),
    }
    for name, (about, field) in figures.items():
        yield _gauge(name, about, [([row.actor], getattr(row, field)) for row in rows], ["actor"])


def _of_invariants(fire: Any) -> Iterable[Metric]:
    if not fire:
        return
    yield _single(
        "payspool_invariants_broken",
        "Invariants that did not hold at the last check.",
        fire.progress.get("violations", 0),
    )
    yield _single(
        "payspool_invariants_checked_timestamp_seconds",
        "When they were last checked, Unix seconds.",
        fire.finished_at.timestamp(),
    )


_OF_PART: Final[dict[str, Callable[[Any], Iterable[Metric]]]] = {
    "inbox": _of_inbox,
    "dead_letters": _of_dead_letters,
    "outbox": _of_outbox,
    "payouts": _of_payouts,
    "attempts": _of_attempts,
    "differences": _of_differences,
    "stops": _of_stops,
    "reversals": _of_reversals,
    "velocity": _of_velocity,
    "webhooks": _of_webhooks,
    "sweeps": _of_sweeps,
    "invariants": _of_invariants,
}


def _gauge(
    name: str, about: str, values: Iterable[tuple[Sequence[str], float]], labels: Sequence[str]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for series, value in values:
        family.add_metric(series, value)
    return family


def _single(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
