"""From the queue to committed rows, through real worker processes."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bench import exact, roads, rules
from bench.baselines import final_rows
from bench.events import Codes, conversions
from bench.figures import Figure, figure
from bench.options import Options
from bench.roads import Road
from bench.site import Database, Site, tree_cpu_seconds

COPY: Final = "COPY of the same rows, one connection"
CPU: Final = "ms/1,000 events"


@dataclass(frozen=True, slots=True)
class Run:
    """One run: events a second, and milliseconds of processor time for 1,000 events."""

    rate: float
    worker_cpu: float
    postgres_cpu: float
    faults: Sequence[str]


@dataclass(slots=True)
class _Rounds:
    """The runs of each bench, round by round."""

    runs: dict[str, list[Run]] = field(default_factory=dict)
    copies: list[float] = field(default_factory=list)
    copies_cpu: list[float] = field(default_factory=list)
    ruled_copies: list[float] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, run: Run) -> None:
        self.runs.setdefault(name, []).append(run)
        self.faults.setdefault(name, []).extend(run.faults)

    def rates(self, name: str) -> list[float]:
        return [run.rate for run in self.runs[name]]

    def exact(self, *names: str) -> bool:
        return not any(self.faults[name] for name in names)


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """All benches of ingest. Every round has each of them once, so that what slows one slows all."""
    rounds = _Rounds()
    for number in range(options.rounds):
        options.say(f"ingest, round {number + 1} of {options.rounds}")
        rounds.add("single", _run(site, options, roads.SINGLE, options.events))
        rounds.add("stock", _run(site, options, roads.STOCK, options.peer_events))
        rounds.add("celery", _run(site, options, roads.CELERY, options.peer_events // 2))
        rounds.add("packed", _packed_and_copied(site, options, rounds))
        rounds.add("hot", _run(site, options, roads.PACKED, options.events, which="hot"))
        rounds.add("capped", _run(site, options, roads.PACKED, options.events, which="capped"))
        rounds.add("rules_single", _ruled(site, options, roads.SINGLE, options.events))
        rounds.add("rules_stock", _ruled(site, options, roads.STOCK, options.peer_events))
        rounds.add("rules_uniform", _ruled_and_copied(site, options, rounds))
        for which in ("hot", "capped"):
            run = _ruled(site, options, roads.PACKED, options.events, which)
            rounds.add(f"rules_{which}", run)
    for name, faults in rounds.faults.items():
        for fault in faults:
            options.say(f"ingest, {name}: {fault}")
    yield from _figures(rounds)


def _figures(rounds: _Rounds) -> Iterator[Figure]:
    single, packed = rounds.rates("single"), rounds.rates("packed")

    def rate(
        bench: str, name: str, values: Sequence[float], against: str, peers: list[float]
    ) -> Figure:
        return figure(
            f"ingest.{bench}",
            "events/s",
            values,
            exact=rounds.exact(name, bench if bench in rounds.faults else name),
            against=against,
            peers=peers,
        )

    yield rate("stock", "single", single, "stock Dramatiq actor", rounds.rates("stock"))
    yield rate("celery", "single", single, "Celery task", rounds.rates("celery"))
    yield rate("copy", "packed", packed, COPY, rounds.copies)
    yield rate("hot", "hot", rounds.rates("hot"), "the uniform case", packed)
    yield rate("hot_capped", "capped", rounds.rates("capped"), "the uniform case", packed)
    singles, ruled = rounds.rates("rules_single"), rounds.rates("rules_uniform")
    stock = rounds.rates("rules_stock")
    yield rate("rules", "rules_uniform", ruled, "a percentage rule alone", packed)
    yield rate("rules_stock", "rules_single", singles, "stock Dramatiq actor, all rules", stock)
    yield rate("rules_copy", "rules_uniform", ruled, COPY, rounds.ruled_copies)
    for which in ("hot", "capped"):
        name = f"rules_{which}"
        yield rate(name, name, rounds.rates(name), "all rules, the uniform case", ruled)
    for name in ("single", "packed", "rules_uniform"):
        for who in ("worker", "postgres"):
            values = [getattr(run, f"{who}_cpu") for run in rounds.runs[name]]
            yield figure(f"ingest.{name}.{who}_cpu", CPU, values, exact=rounds.exact(name))
    yield figure("ingest.copy.postgres_cpu", CPU, rounds.copies_cpu, exact=rounds.exact("copy"))


def _packed_and_copied(site: Site, options: Options, rounds: _Rounds) -> Run:
    count = options.events + options.warm_events
    with site.database() as database:
        run = ingested(site, options, roads.PACKED, options.events, database, "uniform")
        rows = final_rows.dump(database.engine)
    with site.database() as database:
        cpu = tree_cpu_seconds(site.postgres_pid)
        seconds, same = _copied(database, rows, final_rows.TABLES)
        cpu = tree_cpu_seconds(site.postgres_pid) - cpu
    rounds.copies.append(count / seconds)
    rounds.copies_cpu.append(1e6 * cpu / count)
    rounds.faults.setdefault("copy", []).extend(same)
    return run


def _ruled_and_copied(site: Site, options: Options, rounds: _Rounds) -> Run:
    count = options.events + options.warm_events
    with site.database() as database:
        run = _ruled_in(site, options, roads.PACKED, options.events, "uniform", database)
        rows = final_rows.dump(database.engine, final_rows.RULED)
    with site.database() as database:
        rules.furnish(database.engine, "uniform", count)
        seconds, same = _copied(database, rows, final_rows.RULED)
    rounds.ruled_copies.append(count / seconds)
    rounds.faults.setdefault("rules_copy", []).extend(same)
    return run


def _copied(
    database: Database, rows: dict[str, bytes], tables: Mapping[str, str]
) -> tuple[float, list[str]]:
    """Seconds of writing the rows by COPY, and what is wrong with what is there then."""
    seconds = final_rows.load(database.engine, rows)
    copied = final_rows.dump(database.engine, tables)
    same = final_rows.checksum(copied) == final_rows.checksum(rows)
    return seconds, [] if same else ["COPY made other rows"]


def _run(site: Site, options: Options, road: Road, events: int, *, which: str = "uniform") -> Run:
    with site.database() as database:
        return ingested(site, options, road, events, database, which)


def _ruled(site: Site, options: Options, road: Road, events: int, which: str = "uniform") -> Run:
    with site.database() as database:
        return _ruled_in(site, options, road, events, which, database)


def _ruled_in(
    site: Site, options: Options, road: Road, events: int, which: str, database: Database
) -> Run:
    """All rules on: see ``bench.rules``."""
    codes, expected = rules.furnish(database.engine, which, events + options.warm_events)
    return _timed(
        site,
        options,
        road,
        events,
        database,
        lambda count, first=0: rules.events(codes, count, first=first),
        lambda: rules.faults(database.engine, expected),
    )


def ingested(
    site: Site, options: Options, road: Road, events: int, database: Database, which: str
) -> Run:
    """Put ``events`` on a road and have its workers apply them; ``which`` codes they name."""
    codes = _codes(database.codes, which)
    return _timed(
        site,
        options,
        road,
        events,
        database,
        lambda count, first=0: conversions(codes, count, first=first),
        lambda: exact.faults_of_rows(database.engine, events + options.warm_events),
    )


class _Texts(Protocol):
    """Events, numbered from ``first``."""

    def __call__(self, count: int, first: int = 0) -> Iterable[str]: ...


def _timed(
    site: Site,
    options: Options,
    road: Road,
    events: int,
    database: Database,
    texts: _Texts,
    faults_of_rows: Callable[[], list[str]],
) -> Run:
    warm = options.warm_events
    with site.redis as client, site.processes(road.commands(options.processes), database) as group:
        group.wait_until(lambda: road.ready(client, options.processes), "the workers serve")
        road.put(site.endpoints.redis_url, texts(warm, first=events))
        road.release(client)
        group.wait_until(lambda: road.left(client) == 0, "the first events are done")
        road.put(site.endpoints.redis_url, texts(events))
        messages = client.llen(road.moves[-1][0])
        # Timed from the first that are done: how soon an idle worker looks is another question. (Where
        # that was all of them, because a run is tiny, from the release.)
        started, before = time.monotonic(), 0
        workers, postgres = group.cpu_seconds(), tree_cpu_seconds(site.postgres_pid)
        road.release(client)
        group.wait_until(lambda: road.left(client) < messages, "the workers begin")
        if left := road.left(client):
            started, before = time.monotonic(), messages - left
            workers, postgres = group.cpu_seconds(), tree_cpu_seconds(site.postgres_pid)
        group.wait_until(lambda: road.left(client) == 0, "all events are done")
        seconds = time.monotonic() - started
        workers = group.cpu_seconds() - workers
        postgres = tree_cpu_seconds(site.postgres_pid) - postgres
        faults = faults_of_rows()
        faults += exact.faults_of_queue(client) + exact.faults_of_keys(client, road.gone)
    timed = events * (messages - before) / messages
    return Run(timed / seconds, 1e6 * workers / timed, 1e6 * postgres / timed, faults)


def _codes(codes: Codes, which: str) -> Sequence[str]:
    return {"uniform": codes.uniform, "hot": [codes.hot], "capped": [codes.capped]}[which]
