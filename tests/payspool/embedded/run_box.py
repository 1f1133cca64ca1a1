"""The program that the tests start, kill and start again: the box with two processes around it.

    run_box.py '{"data_dir": …, "processes": true, …}'

Prints one JSON line when all is ready (or when it fails), stops in order at the end of its standard
input, or on SIGINT or SIGTERM.
"""

import json
import os
import select
import sys
from pathlib import Path

from payspool.embedded import Embedded, EmbeddedError, Rank, default_data_dir
from payspool.supervisor import ProcessSpec, Supervisor, file_exists

# Lives until SIGTERM, takes a moment to drain, and notes whether the servers were still there.
WORKER = """
import pathlib, signal, sys, time
import psycopg, redis
dsn, url, ready, drained = sys.argv[1:]
def drain(*_):
    time.sleep(0.3)
    try:
        redis.Redis.from_url(url).ping()
        with psycopg.connect(dsn) as connection:
            connection.execute("SELECT 1")
        text = "the servers were there"
    except Exception as error:
        text = repr(error)
    pathlib.Path(drained).write_text(text)
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
pathlib.Path(ready).touch()
while True:
    time.sleep(1)
"""


def processes(supervisor: Supervisor, box: Embedded, notes: Path) -> None:
    dsn = box.endpoints.runtime_url.replace("+psycopg", "")
    for name, rank in (("intake", Rank.INTAKE), ("worker", Rank.WORKER)):
        ready, drained = notes / f"{name}.ready", notes / f"{name}.drained"
        argv = [sys.executable, "-c", WORKER, dsn, box.endpoints.redis_url]
        argv += [str(ready), str(drained)]
        supervisor.add(ProcessSpec(name, argv, rank=rank, ready=file_exists(ready)))
    supervisor.wait_ready(30)


def report(box: Embedded, supervisor: Supervisor) -> None:
    pids = {one.name: one.pid for one in supervisor.status()}
    pids |= {name: box.pid_of(name) for name in ("postgres", "valkey")}  # type: ignore[arg-type]
    pids |= {"guard": box.guard.pid, "supervisor": os.getpid()}
    endpoints = {key: value and str(value) for key, value in vars(box.endpoints).items()}
    sys.stdout.write(json.dumps({"pids": pids, "endpoints": endpoints}) + "\n")
    sys.stdout.flush()


def main() -> None:
    options = json.loads(sys.argv[1])
    named = options.get("data_dir")
    data_dir = Path(named) if named else default_data_dir(Path(options["checkout"]))
    more = options.get("more", {})
    try:
        with Embedded(data_dir, **more) as box:
            logs = box.endpoints.data_dir / "logs"
            with Supervisor(log_dir=logs, guard=box.guard, servers=box) as supervisor:
                if "notes" in options:
                    processes(supervisor, box, Path(options["notes"]))
                report(box, supervisor)
                supervisor.run(until=lambda: bool(select.select([0], [], [], 0)[0]))
    except EmbeddedError as error:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "message": str(error)}) + "\n")
        sys.exit(3)


if __name__ == "__main__":
    main()
