"""The rate limit: one bucket for a key, whoever serves the request."""

from __future__ import annotations

import json
from typing import Any

from domain.access import service as access
from domain.db import transaction
from tests.web.conftest import ACTOR, MakeContext
from tests.web.support import Valkey, event, serve, wait_until
from web.app import ApiLimits
from web.rate import RateLimit, TooManyRequests

TIGHT = ApiLimits(rate_per_second=1, burst_seconds=10)


def test_all_processes_share_the_bucket_of_a_key_and_keys_do_not(
    make_context: MakeContext, people: dict[str, Any]
) -> None:
    def asked(http: Any, key: object) -> Any:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        return http.post("/v1/events", content=json.dumps(event(1)), headers=headers)

    with serve(make_context(limits=TIGHT)) as one, serve(make_context(limits=TIGHT)) as other:
        answers = [asked(http, people["key"]) for _ in range(7) for http in (one, other)]
        codes = [answer.status_code for answer in answers]
        # A token a second comes back, and the answers take no more than a few.
        assert 10 <= codes.count(202) <= 13
        assert codes[:10] == [202] * 10
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "too_many_requests"
        assert refused.headers["Retry-After"] == "1"
        assert asked(one, people["other_key"]).status_code == 403, "another key, another bucket"
        # What it was told to wait is enough.
        wait_until(lambda: asked(other, people["key"]).status_code == 202)


def test_a_key_of_its_own_rate_is_held_to_that(
    make_context: MakeContext, people: dict[str, Any]
) -> None:
    context = make_context(limits=ApiLimits(rate_per_second=1000, burst_seconds=2))
    with transaction(context.engine) as tx:
        slow = access.create(
            tx,
            people["merchant"],
            "slow",
            ["events:read"],
            rate_per_second=2,
            actor=ACTOR,
        )
    with serve(context) as http:
        headers = {"Authorization": f"Bearer {slow}"}
        codes = [http.get("/v1/events?status=dead", headers=headers).status_code for _ in range(8)]
    assert codes[:4] == [200] * 4
    assert 429 in codes


def test_without_redis_what_needs_only_the_database_goes_on(
    make_context: MakeContext, people: dict[str, Any], own_valkey: Valkey
) -> None:
    with serve(make_context(redis_url=own_valkey.url, limits=TIGHT)) as http:
        own_valkey.kill()
        headers = {"Authorization": f"Bearer {people['read_key']}"}
        answers = [http.get("/v1/events?status=dead", headers=headers) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}


def test_a_clock_that_was_set_back_locks_nobody_out(valkey: Valkey) -> None:
    key = access.ApiKey(5, "till", 1, "acme", "test", frozenset(), 100, True)
    limit = RateLimit(valkey.url, "rates", per_second=1, burst_seconds=1)
    with valkey.client() as client:
        client.set("rates:rate:5", "9000000000000000")
        wait_until(lambda: _passes(limit, key), seconds=2)
        assert 0 < client.pttl("rates:rate:5") <= 1100
    limit.close()


def _passes(limit: RateLimit, key: access.ApiKey) -> bool:
    try:
        limit.take(key)
    except TooManyRequests:
        return False
    return True
