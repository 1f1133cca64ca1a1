"""What is on the queues, who works on them, and stopping either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from dramatiq.errors import ConnectionClosed
from nicegui import ui
from redis.exceptions import RedisError

from domain.charts import service, store
from domain.charts.service import ActorTimes, actor_times
from domain.db import Tx
from queues.dead import known_queues
from queues.inspect import QueueState, inspect
from queues.pause import Pause, Pauses
from queues.waiting import WaitingRetry, waiting
from queues.workforce import WorkerState, Workforce
from web.dashboard.components.charts import spark
from web.dashboard.components.live import Live, Question, allowed, asking, button, head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import (
    chip,
    duration,
    figure,
    gauge,
    number,
    number_text,
    sheet,
    when,
)
from web.dashboard.components.table import Column, table
from web.dashboard.pages.durations import durations
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

State = tuple[list[QueueState], dict[str, Pause], list[WorkerState], list[WaitingRetry]]
RETRIES: Final = 20
"""Waiting retries of each queue that the page lists, the next first."""


@dataclass(frozen=True)
class History:
    """The last hour, minute by minute: messages that were ready by queue, and events in and applied."""

    ready: dict[str, list[int]]
    received: list[int]
    applied: list[int]


HISTORY: Final = timedelta(hours=1)
Data = tuple[State, History, list[ActorTimes]]


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/queues", "Queues and workers", _draw)


async def queue_states(visit: Visit) -> list[QueueState] | None:
    """What is on the queues; None while their server does not answer."""
    try:
        return (await visit.look(lambda: _state(visit)))[0]
    except (ConnectionClosed, RedisError):
        return None


def _state(visit: Visit) -> State:
    redis, namespace = visit.context.redis, visit.context.namespace
    pauses = Pauses(redis, namespace).all()
    names = sorted({*visit.context.queues, *known_queues(redis, namespace), *pauses})
    states = inspect(redis, namespace, names)
    retried = [
        one
        for state in states
        if state.later
        for one in waiting(redis, namespace, state.queue, limit=RETRIES)
    ]
    return states, pauses, Workforce(redis, namespace).all(), retried


async def _draw(shown: Shown) -> None:
    visit = shown.visit

    async def load() -> Data:
        history, times = await visit.read(lambda tx: (_history(tx), actor_times(tx, HISTORY)))
        return await visit.look(lambda: _state(visit)), history, times

    parts: list[Live] = []
    head("Queues and workers")
    parts.append(await live(visit, load, lambda data: _show(visit, data, parts)))


def _history(tx: Tx) -> History:
    since = store.minute(tx) - HISTORY

    def of(name: str, *, gauge: bool = False) -> dict[str, list[int]]:
        found = service.series(tx, name, since=since, step=timedelta(minutes=1), gauge=gauge)
        return {label: [value for _, value in points] for label, points in found.items()}

    return History(
        of("queue.ready", gauge=True),
        of("events.received").get("", []),
        of("events.applied").get("", []),
    )


def _show(visit: Visit, data: Data, parts: list[Live]) -> None:
    (states, pauses, workers, retried), history, times = data

    async def refresh() -> None:
        await parts[0].again()

    put(_rates(visit, history, workers, times))
    for state in states:
        minutes = history.ready.get(state.queue, [])
        _queue(visit, state, pauses.get(state.queue), minutes, refresh)
    if retried:
        put(sheet(_retries(visit, retried), title="Failed, and tried again", flush=True))
    put(sheet(durations(visit, times), title="Durations in the last hour, by actor", flush=True))
    put(sheet(_workers(visit, workers), title=f"Workers ({len(workers)})", flush=True))
    if allowed(visit, "worker.quiet"):
        with ui.element("div").classes("row"):
            for worker in workers:
                _worker_button(visit, worker, refresh)


def _rates(
    visit: Visit, history: History, workers: list[WorkerState], times: Sequence[ActorTimes]
) -> Html:
    """Events a minute, and how much of the threads is busy: now, and on average."""
    threads = sum(worker.threads for worker in workers)
    busy = sum(len(worker.current) for worker in workers)

    def last(minutes: list[int]) -> str:
        return number_text(visit, minutes[-1]) if minutes else "–"

    return tag(
        "div",
        figure(last(history.received), "events in, last full minute", address="/charts"),
        figure(last(history.applied), "events applied, last full minute", address="/charts"),
        figure(gauge(busy, threads, f"{busy} of {threads}"), "threads busy now"),
        figure(_average(threads, times), "of the threads busy, last hour"),
        class_="figures",
    )


def _average(threads: int, times: Sequence[ActorTimes]) -> Html:
    busy = sum(one.busy_seconds for one in times) / HISTORY.total_seconds()
    # Workers that are gone since were busy too.
    share = min(1.0, busy / threads) if threads else 0.0
    return gauge(share, 1, f"{share:.0%}" if threads else "–")


def _retries(visit: Visit, rows: list[WaitingRetry]) -> Html:
    def due(row: WaitingRetry) -> Html:
        return join("in ", duration(row.seconds)) if row.seconds else tag("span", "now")

    return table(
        [
            Column("Queue", lambda r: r.queue),
            Column("Actor", lambda r: tag("code", r.actor)),
            Column("Message", lambda r: tag("code", r.message_id)),
            Column("Failed", lambda r: f"{number_text(visit, r.tries)} times", "num"),
            Column("Tried again", due, "num"),
        ],
        rows,
        empty="",
        label="Waiting retries",
    )


def _queue(
    visit: Visit, state: QueueState, pause: Pause | None, history: list[int], refresh: Any
) -> None:
    with ui.element("section").classes("sheet"):
        with ui.element("div").classes("head"):
            ui.html(tag("h2", state.queue), sanitize=False)
            if pause is not None:
                ui.html(chip("paused"), sanitize=False)
            if len(history) > 1:
                most = f"ready in the last hour, at most {max(history):,}"
                ui.html(spark(history, label=f"{state.queue}: {most}"), sanitize=False)
                ui.html(tag("span", most, class_="dim"), sanitize=False)
            with ui.element("div").classes("more"):
                if pause is None and allowed(visit, "queue.pause"):
                    question = Question(
                        f"Pause the queue {state.queue}?",
                        (
                            "Nobody takes messages of it until it is resumed; what was taken is finished.",
                            f"{number_text(visit, state.ready)} messages are ready now.",
                        ),
                        reason="Why (shown on every page)",
                        confirm=f"Pause {state.queue}",
                        kind="danger",
                    )
                    button(
                        "Pause…",
                        asking(visit, "queue.pause", question, refresh, queue=state.queue),
                        label=f"Pause {state.queue}",
                    )
                if pause is not None and allowed(visit, "queue.resume"):
                    question = Question(
                        f"Resume the queue {state.queue}?",
                        (f"It was paused by {pause.by}: {pause.reason}",),
                        confirm=f"Resume {state.queue}",
                    )
                    button(
                        "Resume…",
                        asking(visit, "queue.resume", question, refresh, queue=state.queue),
                        "go",
                        label=f"Resume {state.queue}",
                    )
        ui.html(_figures(visit, state, pause), sanitize=False)


def _figures(visit: Visit, state: QueueState, pause: Pause | None) -> Html:
    def one(value: Any, what: str, kind: str = "") -> Html:
        return tag("div", tag("b", value), tag("span", what), class_=f"figure {kind}".strip())

    dead = tag(
        "a",
        tag("b", number_text(visit, state.dead)),
        tag("span", "dead"),
        href=f"/dead?queue={state.queue}",
        class_="figure bad" if state.dead else "figure",
    )
    said = Html("")
    if pause is not None:
        said = tag("p", f"Paused by {pause.by} ", when(visit, pause.at), f": {pause.reason}")
    return join(
        said,
        tag(
            "div",
            one(number(visit, state.ready), "ready"),
            one(number(visit, state.in_flight), "in flight"),
            one(number(visit, state.later), "to be retried"),
            one(number(visit, state.orphans), "of lost workers", "warn" if state.orphans else ""),
            dead,
            one(duration(state.oldest_seconds) or "–", "oldest waits"),
            class_="figures",
        ),
    )


def _workers(visit: Visit, workers: list[WorkerState]) -> Html:
    def at(worker: WorkerState) -> Html:
        if not worker.current:
            return tag("span", "idle", class_="dim")
        return join(
            *(
                tag("div", f"{one.actor} ×{one.messages} for ", duration(one.seconds))
                for one in worker.current
            )
        )

    def busy(worker: WorkerState) -> Html:
        at_work = len(worker.current)
        return gauge(at_work, worker.threads, f"{at_work} of {worker.threads}")

    def quiet(worker: WorkerState) -> Html:
        if worker.quiet is None:
            return Html("")
        return tag("span", chip("paused"), f" {worker.quiet.by}: {worker.quiet.reason}")

    return table(
        [
            Column("Worker", lambda w: tag("code", w.name[:12], title=w.name)),
            Column("Host", lambda w: f"{w.host} · {w.pid}"),
            Column("Queues", lambda w: ", ".join(w.queues)),
            Column("Threads busy", busy, "num"),
            Column("Memory", lambda w: f"{w.memory_bytes / 2**20:.0f} MB", "num"),
            Column("At", at),
            Column("Heard", lambda w: join(duration(round(w.heard_seconds)), " ago"), "num"),
            Column("Started", lambda w: when(visit, w.started_at)),
            Column("Quiet", quiet),
        ],
        workers,
        empty="No worker is running. Start one: payspool worker --queue events",
        label="Workers",
    )


def _worker_button(visit: Visit, worker: WorkerState, refresh: Any) -> None:
    short = f"{worker.name[:8]} ({', '.join(worker.queues)})"
    if worker.quiet is None:
        question = Question(
            f"Quiet the worker {worker.name[:12]} on {worker.host}?",
            (
                f"It takes nothing more of {', '.join(worker.queues)} and finishes what it holds;"
                " other workers go on.",
            ),
            reason="Why",
            confirm="Quiet it",
            kind="danger",
        )
        button(
            f"Quiet {short}…", asking(visit, "worker.quiet", question, refresh, worker=worker.name)
        )
        return
    question = Question(
        f"Wake the worker {worker.name[:12]}?", ("It takes messages again.",), confirm="Wake it"
    )
    button(
        f"Wake {short}…", asking(visit, "worker.wake", question, refresh, worker=worker.name), "go"
    )
