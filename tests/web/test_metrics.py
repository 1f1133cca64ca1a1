"""`/metrics` of the API: who may read it, and that it is there when the servers are not."""

from __future__ import annotations

import httpx
import pytest

from tests.web.conftest import MakeContext
from tests.web.support import serve
from web.context import Metrics
from web.scraping import may_scrape

TOKEN = "a-token-of-this-test"


def shown(token: str | None = None) -> Metrics:
    return Metrics(lambda: b"payspool_server_up 1.0\n", "text/plain; version=1.0.0", token)


def test_this_machine_reads_them_and_nobody_through_a_proxy(make_context: MakeContext) -> None:
    with serve(make_context(metrics=shown())) as http:
        answer = http.get("/metrics")
        assert (answer.status_code, answer.text) == (200, "payspool_server_up 1.0\n")
        assert answer.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
            refused = http.get("/metrics", headers={header: "127.0.0.1"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                403,
                "metrics_are_local",
            )


def test_with_a_token_whoever_sends_it_reads_them_and_nobody_else(
    make_context: MakeContext,
) -> None:
    with serve(make_context(metrics=shown(TOKEN))) as http:
        refused = http.get("/metrics")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        for wrong in (f"Bearer {TOKEN}x", TOKEN, "Bearer é"):
            headers = httpx.Headers({"Authorization": wrong}, encoding="utf-8")
            assert http.get("/metrics", headers=headers).status_code == 401
        good = http.get(
            "/metrics", headers={"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "10.0.0.7"}
        )
        assert good.status_code == 200


def test_an_api_that_was_given_none_says_so(make_context: MakeContext) -> None:
    with serve(make_context()) as http:
        assert http.get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.7", False),
        ("10.0.0.7", False),
        ("0.0.0.0", False),
        ("testclient", False),
        (None, False),
    ],
)
def test_this_machine_is_its_loopback_addresses(peer: str | None, allowed: bool) -> None:
    assert may_scrape(None, peer, {}) is allowed
