"""What the description allows and forbids, and what is not even HTTP, sent to a running API.

FUZZ_INPUTS is how many requests are made up in all; FUZZ_SEED says which.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from domain.access import service as access
from domain.db import transaction
from domain.loyalty import service as loyalty
from tests.web.conftest import ACTOR, MakeContext
from tests.web.support import Api, event, serve
from web import protocol
from web.app import ApiLimits

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web-fuzz")]

INPUTS = int(os.environ.get("FUZZ_INPUTS", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261120"))
#: One in so many requests is a good event, whose fate must not depend on its neighbours.
GOOD_EVERY = 10
RAW_INPUTS = max(INPUTS // 4, 1)
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


class Neighbours:
    """Good events between the others."""

    def __init__(self, api: Api, key: str) -> None:
        self.api, self.key = api, key
        self.sent: list[str] = []
        self._numbers = count()

    def send(self) -> None:
        number = next(self._numbers)
        good = event(number, source="neighbour")
        answer = self.api.post(good, key=self.key)
        assert answer.status_code == 202, answer.text
        self.sent.append(good["id"])

    def check(self) -> None:
        """All are queued, once and in their order; and what was queued beside them can be applied."""
        queued = [json.loads(one) for one in self.api.valkey.queued()]
        assert [one["id"] for one in queued if one["source"] == "neighbour"] == self.sent
        self.api.apply_queued()
        applied = self.api.rows(
            "SELECT event_id FROM inbox_events WHERE source = 'neighbour' AND status = 'applied' ORDER BY id"
        )
        assert {row.event_id for row in applied} == set(self.sent)


@pytest.fixture
def neighbours(own_api: Api) -> Neighbours:
    with transaction(own_api.engine) as tx:
        loyalty.create_program(
            tx, own_api.merchant.id, "points", name="Points", currency="eur", welcome_bonus=50
        )
        key = access.create(tx, own_api.merchant, "all", access.SCOPES, actor=ACTOR)
    return Neighbours(own_api, key)


def test_no_request_that_can_be_made_up_gets_an_answer_that_is_not_described(
    neighbours: Neighbours,
) -> None:
    base = str(neighbours.api.http.base_url).rstrip("/")
    session = requests.Session()
    session.trust_env = False
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    operations = [one.ok() for one in schema.get_all_operations()]
    each = max(INPUTS // (2 * len(operations)), 1)
    seen: Counter[tuple[str, int]] = Counter()

    for operation in operations:
        for mode in GenerationMode:
            if mode.is_negative and not (operation.body or any(operation.iter_parameters())):
                continue  # there is nothing about it that could be wrong

            @seed(SEED)
            @settings(
                max_examples=each,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def fuzz(case: Case) -> None:
                headers = {"Authorization": f"Bearer {neighbours.key}"}
                answer = case.call(base_url=base, headers=headers, session=session)
                label = f"{case.operation.label}"
                seen[label, answer.status_code] += 1
                assert answer.status_code < 500, answer.text
                assert "x-request-id" in answer.headers
                case.validate_response(answer, checks=CHECKS)
                if seen.total() % GOOD_EVERY == 0:
                    neighbours.send()

            fuzz()
    session.close()
    assert seen.total() >= each * len(operations)
    # It is no test if everything is refused at the door.
    accepted = {label for label, status in seen if status < 300}
    assert accepted >= {"POST /v1/events", "GET /v1/events", "GET /v1/users/{user}/earnings"}, seen
    neighbours.check()


GOOD_HEAD = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
PEERS = 16
#: Longer than the API waits for what does not come.
SILENCE_SECONDS = 1.0
DIRT = [b"\r\n", b"\0", b"\xff", b":", b"  ", b"\n"]


def garbage(chance: random.Random, key: str) -> bytes:
    """Bytes that are no HTTP, or a request that is cut off or damaged."""
    body = json.dumps([event(n, source="damaged") for n in range(3)]).encode()
    head = f"Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n".encode()
    whole = GOOD_HEAD + head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    way = chance.randrange(5)
    if way == 0:
        return chance.randbytes(chance.randrange(1, 400))
    if way == 1:
        return whole[: chance.randrange(1, len(whole))]
    damaged = bytearray(whole)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(damaged))
        if way == 2:
            damaged[place] = chance.randrange(256)
        elif way == 3:
            del damaged[place : place + chance.randrange(1, 9)]
        else:
            damaged[place:place] = chance.choice(DIRT)
    return bytes(damaged)


def test_bytes_that_are_no_request_hurt_nobody(
    neighbours: Neighbours, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    limits = ApiLimits(body_seconds=0.1, rate_per_second=100_000)
    context = make_context(engine=neighbours.api.engine, limits=limits)
    chance = random.Random(SEED)
    inputs = [garbage(chance, neighbours.key) for _ in range(RAW_INPUTS)]
    with serve(context) as http, ThreadPoolExecutor(PEERS) as pool:
        url = http.base_url

        def say(data: bytes) -> list[int]:
            with socket.create_connection((url.host, url.port or 80), SILENCE_SECONDS) as peer:
                peer.sendall(data)
                return list(statuses(peer))

        heard = pool.map(say, inputs)
        said: Counter[int] = Counter()
        for number, answers in enumerate(heard):
            said.update(answers)
            if number % GOOD_EVERY == 0:
                neighbours.send()
        assert http.get("/healthz").status_code == 200
    assert max(said) < 500, said
    assert {400, 401, 408} <= said.keys(), said
    # Which of the damaged ones arrives first, and so is new as a whole (202), is up to the threads.
    assert said[202] + said[207] > 0, said
    neighbours.check()


def statuses(peer: socket.socket) -> Iterator[int]:
    """The status of each answer until the server closes. Each error is JSON in the one shape."""
    said = b""
    with contextlib.suppress(ConnectionResetError, TimeoutError, BrokenPipeError):
        while part := peer.recv(65_536):
            said += part
    while said:
        head, _, rest = said.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        lengths = [
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        ]
        size = int(lengths[0].partition(b":")[2])
        if status >= 400:
            body: Any = json.loads(rest[:size])
            assert body["error"].keys() >= {"code", "message", "request_id"}
        yield status
        said = rest[size:]
