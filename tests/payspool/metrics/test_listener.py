"""A process's own port: who may read it, and what it says."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import httpx
import pytest

from payspool.metrics import work
from payspool.metrics.listener import listening
from payspool.metrics.work import WorkMetrics
from payspool.settings import BadSettings, Settings

TOKEN = "a-token-of-this-test"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def settings(**changes: object) -> Settings:
    return Settings.model_construct(**{"metrics_host": "127.0.0.1", **changes})


def get(port: int, path: str, **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=5) as client:
        return client.get(f"http://127.0.0.1:{port}{path}", headers=headers)


def healthy(port: int) -> int:
    command = [sys.executable, "-m", "payspool.healthy", f"http://127.0.0.1:{port}/healthz"]
    return subprocess.run(command, check=False, timeout=20, capture_output=True).returncode


def test_it_serves_metrics_to_this_machine_until_it_ends() -> None:
    port, metrics = free_port(), WorkMetrics("relay")
    metrics.relayed(7)
    with listening(settings(metrics_port=port), metrics):
        answer = get(port, "/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert "payspool_outbox_relayed_total 7.0" in answer.text
        assert 'process="relay"' in answer.text
        assert get(port, "/elsewhere").status_code == 404
        # A proxy on this machine asks for somebody else.
        assert get(port, "/metrics", **{"X-Forwarded-For": "10.0.0.7"}).status_code == 401
        assert healthy(port) == 0
    assert healthy(port) == 1


def test_with_a_token_it_serves_who_sends_it_and_nobody_else() -> None:
    port = free_port()
    with listening(settings(metrics_port=port, metrics_token=TOKEN), WorkMetrics("relay")):
        assert get(port, "/metrics").status_code == 401
        assert get(port, "/metrics", Authorization=f"Bearer {TOKEN}x").status_code == 401
        assert get(port, "/metrics", Authorization=f"Bearer {TOKEN}").status_code == 200
        assert get(port, "/healthz").status_code == 200


def test_a_loop_that_does_not_come_round_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    port, metrics = free_port(), WorkMetrics("scheduler")
    with listening(settings(metrics_port=port), metrics):
        metrics.turned()
        assert get(port, "/healthz").status_code == 200
        monkeypatch.setattr(work, "STUCK_SECONDS", 0.01)
        time.sleep(0.02)  # the time itself is what is tested
        assert get(port, "/healthz").status_code == 503
        assert healthy(port) == 1
        metrics.turned()


def test_it_says_which_setting_cannot_be_used() -> None:
    metrics = WorkMetrics("relay")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(BadSettings, match=rf"PAYSPOOL_METRICS_PORT.*{port}"),
            listening(settings(metrics_port=port), metrics),
        ):
            pass
    with (
        pytest.raises(BadSettings, match="PAYSPOOL_METRICS_TOKEN"),
        listening(settings(metrics_port=free_port(), metrics_host="0.0.0.0"), metrics),
    ):
        pass


def test_without_a_port_nothing_listens() -> None:
    with listening(settings(metrics_port=None), WorkMetrics("relay")):
        pass
