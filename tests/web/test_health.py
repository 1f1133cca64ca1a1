from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url, text

from domain.db import connect, transaction
from domain.schedules import service as schedules
from domain.schedules.rules import Every
from domain.schedules.service import Schedule
from tests.web.conftest import MakeContext
from tests.web.support import Api, Valkey, event, serve
from web.app import ApiLimits


def failed(http: httpx.Client) -> dict[str, Any]:
    """What `/readyz` says of the dependencies that fail."""
    answer = http.get("/readyz")
    told = answer.json()
    bad = {n: d["detail"] for n, d in told["dependencies"].items() if d["status"] == "failed"}
    assert answer.status_code == (503 if bad else 200)
    assert told["status"] == ("not_ready" if bad else "ready")
    assert ("error" in told) == bool(bad)
    assert told["dependencies"].keys() == {"database", "redis"}
    return bad


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for peer in held:
            peer.close()


def test_ready_while_everything_is_there(api: Api) -> None:
    assert failed(api.http) == {}


def test_alive_and_not_ready_without_the_database(make_context: MakeContext) -> None:
    engine = connect("postgresql+psycopg://payspool_runtime@127.0.0.1:1/payspool")
    with serve(make_context(engine=engine)) as http:
        assert failed(http) == {"database": "It cannot be reached; the log says why."}
        assert http.get("/healthz").json() == {"status": "alive"}
        answer = http.get(
            "/v1/events?source=s&id=1", headers={"Authorization": f"Bearer psk_test_{'x' * 43}"}
        )
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["error"]["code"] == "database_unavailable"


def test_not_ready_below_the_needed_revision_and_ready_above_it(
    make_context: MakeContext, admin_url: str
) -> None:
    with serve(make_context(revision="9999")) as http:
        detail = failed(http)["database"]
        assert "9999 is needed" in detail
        assert "payspool migrate" in detail
    with serve(make_context(revision="0000")) as http:
        assert failed(http) == {}
    empty = make_url(admin_url).set(database="postgres").render_as_string(hide_password=False)
    engine = connect(empty)
    with serve(make_context(engine=engine)) as http:
        assert failed(http) == {"database": "It has no tables yet. Run `payspool migrate`."}
    engine.dispose()


def test_not_ready_without_redis_or_with_a_replica(
    make_context: MakeContext, own_valkey: Valkey
) -> None:
    with serve(make_context(redis_url=own_valkey.url)) as http:
        assert failed(http) == {}
        with own_valkey.client() as client:
            client.replicaof("127.0.0.1", 1)
            assert "replica" in failed(http)["redis"]
            client.replicaof("NO", "ONE")
            assert failed(http) == {}
        own_valkey.kill()
        assert failed(http) == {"redis": "It cannot be reached; the log says why."}


def test_servers_that_do_not_answer_are_waited_for_side_by_side_and_not_for_long(
    make_context: MakeContext, own_valkey: Valkey, black_hole: int
) -> None:
    engine = connect(f"postgresql+psycopg://payspool_runtime@127.0.0.1:{black_hole}/payspool")
    context = make_context(
        engine=engine, redis_url=own_valkey.url, limits=ApiLimits(ready_seconds=0.5)
    )
    with serve(context) as http:
        os.kill(own_valkey.process.pid, signal.SIGSTOP)
        threads = threading.active_count()
        for _ in range(4):
            started = time.monotonic()
            bad = failed(http)
            assert time.monotonic() - started < 5.0
            assert bad["database"] == "It did not answer within 0.5 s."
            assert bad.keys() == {"database", "redis"}
            assert http.get("/healthz", timeout=5).status_code == 200
        assert threading.active_count() <= threads + 2
        os.kill(own_valkey.process.pid, signal.SIGCONT)


def test_while_all_work_is_stuck_the_process_still_says_that_it_lives(
    make_context: MakeContext, people: dict[str, Any], own_valkey: Valkey
) -> None:
    context = make_context(redis_url=own_valkey.url, limits=ApiLimits(threads=1))
    headers = {"Authorization": f"Bearer {people['key']}"}
    with serve(context) as http, ThreadPoolExecutor(2) as pool:
        os.kill(own_valkey.process.pid, signal.SIGSTOP)
        stuck = [
            pool.submit(http.post, "/v1/events", json=event(n), headers=headers) for n in (1, 2)
        ]
        time.sleep(0.3)
        assert http.get("/healthz", timeout=10).status_code == 200
        assert not any(one.done() for one in stuck)
        os.kill(own_valkey.process.pid, signal.SIGCONT)
        assert [one.result(10).status_code for one in stuck] == [202, 202]
    assert len(own_valkey.queued()) == 2


def test_a_late_sweep_is_a_warning_and_no_reason_to_serve_nobody(own_api: Api) -> None:
    assert own_api.http.get("/readyz").json()["warnings"] == []
    with transaction(own_api.engine) as tx:
        for name, actor in (("a", "payouts.sweep"), ("b", "inbox.recheck_waiting")):
            schedules.register(tx, Schedule(name, "sweeps", actor, Every(5)))
        tx.execute(
            text(
                "UPDATE schedules SET next_fire_at = clock_timestamp() - interval '300 s' WHERE name = 'a'"
            )
        )
    answer = own_api.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    (warning,) = answer.json()["warnings"]
    assert re.fullmatch(r"Sweeps are late: payouts\.sweep by 30\d s\. Do a .* run\?", warning)


def test_sending_that_is_stopped_after_a_failover_is_a_warning(own_api: Api) -> None:
    with transaction(own_api.engine) as tx:
        tx.execute(
            text(
                "INSERT INTO payout_stops (kind, reason, stopped_by)"
                " VALUES ('failover', 'it is older than it was', 'the watermark')"
            )
        )
    answer = own_api.http.get("/readyz")
    assert answer.status_code == 200
    (warning,) = answer.json()["warnings"]
    assert "No payouts are sent" in warning
    assert "older than it was" in warning
