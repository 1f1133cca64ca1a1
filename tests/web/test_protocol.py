"""What is no HTTP, or not all of it, said by raw sockets to a real server."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import httpx
import pytest

from tests.web.conftest import MakeContext
from tests.web.support import Api, event, serve, wait_until
from web import protocol
from web.app import ApiLimits

SECONDS = 10.0
AUTH = "Authorization: Bearer {key}\r\n"


def connected(api: Api) -> socket.socket:
    url = api.http.base_url
    return socket.create_connection((url.host, url.port or 80), SECONDS)


def heard(peer: socket.socket) -> bytes:
    """All that the server says until it closes."""
    said = b""
    while part := peer.recv(65_536):
        said += part
    return said


def error_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    found: dict[str, Any] = json.loads(body)["error"]
    assert f"x-request-id: {found['request_id']}".encode() in head.lower()
    return found


def request(api: Api, body: bytes, *headers: str, line: str = "POST /v1/events HTTP/1.1") -> bytes:
    lines = [
        line,
        "Host: payspool",
        f"Authorization: Bearer {api.key}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


GARBAGE = {
    "a binary": bytes(range(256)),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": b"POST /v1/events\r\n\r\n",
    "a blank in a name": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "a length of words": b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n",
    "a negative length": b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "an unknown transfer": b"POST /v1/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "an endless head": b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100_000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_http_is_told_so_in_json(api: Api, garbage: bytes) -> None:
    with connected(api) as peer:
        peer.sendall(garbage)
        answer = heard(peer)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert error_of(answer)["code"] == "invalid_http"
    assert api.http.get("/healthz").status_code == 200


def test_a_broken_chunk_after_a_good_head_queues_nothing(api: Api) -> None:
    body = b"5\r\n[1,2,\r\nzz\r\n"
    with connected(api) as peer:
        peer.sendall(request(api, body, "Transfer-Encoding: chunked"))
        assert error_of(heard(peer))["code"] == "invalid_http"
    assert api.valkey.queued() == []


def test_a_client_that_leaves_within_its_body_queues_nothing(api: Api) -> None:
    whole = json.dumps([event(1), event(2)]).encode()
    for sent in (b"", whole[:40], whole):
        with connected(api) as peer:
            peer.sendall(request(api, sent, f"Content-Length: {len(whole) + 1}"))
    assert api.http.get("/healthz").status_code == 200
    assert api.valkey.queued() == []


def test_more_body_than_announced_is_another_request_and_no_good_one(api: Api) -> None:
    one = json.dumps(event(1)).encode()
    with connected(api) as peer:
        peer.sendall(request(api, one + b"\r\n{more}", f"Content-Length: {len(one)}"))
        answers = heard(peer)
    assert answers.startswith(b"HTTP/1.1 202 ")
    assert answers.count(b"HTTP/1.1 400 ") == 1
    assert b"invalid_http" in answers
    assert len(api.valkey.queued()) == 1


def test_requests_in_one_breath_are_answered_in_their_order(api: Api) -> None:
    bodies = [json.dumps(event(n)).encode() for n in range(5)]
    with connected(api) as peer:
        for body in bodies[:-1]:
            peer.sendall(request(api, body, f"Content-Length: {len(body)}"))
        last = bodies[-1]
        peer.sendall(request(api, last, f"Content-Length: {len(last)}", "Connection: close"))
        answers = heard(peer)
    assert answers.count(b"HTTP/1.1 202 ") == 5
    assert [json.loads(text)["id"] for text in api.valkey.queued()] == [f"e-{n}" for n in range(5)]


def test_a_client_that_waits_for_permission_gets_it_or_the_refusal(api: Api) -> None:
    body = json.dumps(event(1)).encode()
    with connected(api) as peer:
        expect = ("Expect: 100-continue", f"Content-Length: {len(body)}", "Connection: close")
        peer.sendall(request(api, b"", *expect))
        assert peer.recv(1000).startswith(b"HTTP/1.1 100 ")
        peer.sendall(body)
        assert heard(peer).startswith(b"HTTP/1.1 202 ")
    with connected(api) as peer:
        stranger = request(api, b"", *expect).replace(api.key.encode(), b"psk_test_wrong")
        peer.sendall(stranger)
        assert peer.recv(1000).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost:"], ids=["none", "begun"])
def test_a_head_that_does_not_come_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    with connected(api) as peer:
        peer.sendall(start)
        began = time.monotonic()
        assert heard(peer) == b""
        assert time.monotonic() - began < 5
    with connected(api) as other:
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while b"alive" not in answer:
            answer += other.recv(1000)
        other.sendall(b"GET /hea")
        assert heard(other) == b""


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_refused_by_name(api: Api, encoding: str) -> None:
    answer = api.post(event(1), Content_Encoding=encoding)
    assert answer.status_code == 415
    assert answer.json()["error"]["field"] == "Content-Encoding"
    assert encoding.lower() in answer.json()["error"]["message"]


def test_bodies_that_add_up_to_too_much_are_turned_away_and_forgotten_with_their_requests(
    make_context: MakeContext, people: dict[str, Any]
) -> None:
    limits = ApiLimits(bodies_bytes=100_000)
    body = b" " * 60_000
    headers = {"Authorization": f"Bearer {people['key']}", "Content-Type": "application/json"}
    with serve(make_context(limits=limits)) as http:

        def post() -> httpx.Response:
            return http.post("/v1/events", content=body, headers=headers)

        assert post().json()["error"]["code"] == "empty_body"
        head = (
            "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {people['key']}\r\nContent-Length: 60001\r\n\r\n"
        )
        address = (http.base_url.host, http.base_url.port or 80)
        with socket.create_connection(address, SECONDS) as peer:
            peer.sendall(head.encode() + body)
            wait_until(lambda: post().status_code == 503)
            assert post().json()["error"]["code"] == "crowded"
        wait_until(lambda: post().status_code == 400)
