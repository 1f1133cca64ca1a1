from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from payspool_client.wire import list_key
from tests.web.conftest import MakeContext
from tests.web.support import (
    NAMESPACE,
    Api,
    Valkey,
    conversion,
    event,
    serve,
    wait_until,
)
from web.app import ApiLimits

NDJSON = "application/x-ndjson"


def statuses(answer: httpx.Response) -> list[str]:
    return [result["status"] for result in answer.json()["results"]]


def reasons(answer: httpx.Response) -> list[str | None]:
    return [result["reason"] for result in answer.json()["results"]]


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/cloudevents+json", "Application/JSON; charset=UTF-8"],
)
def test_one_event_is_queued_and_told(api: Api, kind: str) -> None:
    answer = api.post(event(1), kind=kind)
    assert answer.status_code == 202
    queued = {"index": 0, "source": "shop", "id": "e-1", "status": "queued"}
    nothing = {"reason": None, "field": None, "message": None}
    assert answer.json() == {"accepted": 1, "rejected": 0, "results": [queued | nothing]}
    assert api.valkey.queued() == [json.dumps(event(1))]


def test_the_queue_holds_exactly_the_texts_that_were_sent(api: Api) -> None:
    written = [
        json.dumps(event(1), indent=4),
        json.dumps(event(2, data={"user_id": "Zoë €", "method": "stripe"}), ensure_ascii=False),
        json.dumps(event(3, data={"user_id": "Zoë", "method": "stripe"})),
        json.dumps(conversion(4, note='],[\\"{', rate=1.50)).replace("1.5", "1.50e0"),
    ]
    array = ("\ufeff [" + ",\n ".join(written) + "]\n").encode()
    assert api.post(array, kind="application/cloudevents-batch+json").status_code == 202
    by_line = [json.dumps(json.loads(text), separators=(",", ":")) for text in written]
    assert api.post("\r\n".join(by_line), kind=NDJSON).status_code == 202
    assert api.valkey.queued() == written + by_line


def test_a_thousand_events_are_queued_in_their_order_and_one_more_is_refused(api: Api) -> None:
    events = [event(number) for number in range(1001)]
    refused = api.post(events)
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "too_many_events"
    assert "1000 events" in refused.json()["error"]["message"]
    by_line = api.post("\n".join(map(json.dumps, events)), kind=NDJSON)
    assert by_line.json()["error"]["code"] == "too_many_events"
    assert api.valkey.queued() == []

    answer = api.post(events[:1000])
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1000)
    assert api.valkey.queued() == [json.dumps(one) for one in events[:1000]]


def test_all_events_of_a_request_are_queued_in_one_transaction(api: Api) -> None:
    with api.valkey.client() as client:
        client.config_resetstat()
        assert api.post([event(number) for number in range(1000)]).status_code == 202
        assert client.info("commandstats")["cmdstat_exec"]["calls"] == 1


def test_publishing_again_is_harmless(own_api: Api) -> None:
    assert [own_api.post(event(1)).status_code for _ in range(2)] == [202, 202]
    own_api.apply_queued()
    assert own_api.rows("SELECT event_id, status FROM inbox_events") == [("e-1", "applied")]


BAD: dict[str, tuple[str | bytes, str, str | None]] = {
    "unknown type": (json.dumps(event(9, type="coupon.used")), "unknown_type", "type"),
    "float amount": (json.dumps(conversion(9, amount=129.0)), "wrong_type", "data.amount"),
    "negative amount": (json.dumps(conversion(9, amount=-1)), "negative_amount", "data.amount"),
    "huge string": (
        json.dumps(conversion(9, referred_user_id="u" * 60_000)),
        "too_long",
        "data.referred_user_id",
    ),
    "huge event": (json.dumps(conversion(9, note="n" * 70_000)), "too_large", None),
    "NUL": (json.dumps(conversion(9, note="a\0b")), "nul_character", "data.note"),
    "lone surrogate": (json.dumps(conversion(9, note="\ud800")), "invalid_unicode", "data.note"),
    "2^63": (json.dumps(conversion(9, amount=2**63)), "integer_out_of_range", "data.amount"),
    "5,000 digits": (
        json.dumps(conversion(9)).replace("12900", "9" * 5000),
        "integer_out_of_range",
        "data.amount",
    ),
    "NaN": (json.dumps(conversion(9, amount=float("nan"))), "not_finite", "data.amount"),
    "invalid UTF-8": (
        json.dumps(conversion(9, note="?")).encode().replace(b"?", b"\xff"),
        "invalid_unicode",
        None,
    ),
    "duplicate key": (
        json.dumps(conversion(9)).replace('"amount": 12900', '"amount": 1, "amount": 12900'),
        "duplicate_key",
        "data.amount",
    ),
    "no source": (json.dumps({**event(9), "source": ""}), "empty", "source"),
    "too deep": (
        json.dumps(conversion(9)).replace("12900", "[" * 2000 + "]" * 2000),
        "too_deep",
        None,
    ),
    "no object": ("[1]", "not_an_object", None),
    "not JSON": ('{"specversion" "1.0"}', "invalid_json", None),
    "foreign merchant": (json.dumps(event(9, merchant="globex")), "forbidden_merchant", "merchant"),
}


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@pytest.fixture
def good() -> list[bytes]:
    return [json.dumps(event(number)).encode() for number in (1, 2)]


@pytest.mark.parametrize("by_line", [False, True], ids=["array", "ndjson"])
def test_what_is_wrong_is_refused_by_its_field_and_its_neighbours_are_queued(
    api: Api, good: list[bytes], by_line: bool
) -> None:
    before, after = good
    parts = [before, *(as_bytes(bad) for bad, _, _ in BAD.values()), after]
    if by_line:
        answer = api.post(b"\n".join(parts), kind=NDJSON)
    else:
        answer = api.post(b"[" + b",".join(parts) + b"]")
    assert answer.status_code == 207
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (2, len(BAD))
    assert [result["index"] for result in told["results"]] == list(range(len(parts)))
    assert statuses(answer) == ["queued", *(["refused"] * len(BAD)), "queued"]
    for (name, (_, reason, field)), result in zip(BAD.items(), told["results"][1:], strict=False):
        assert (name, result["reason"]) == (name, reason)
        assert result["message"]
        if field is not None:
            assert (name, result["field"]) == (name, field)
    assert [text.encode() for text in api.valkey.queued()] == good


def test_each_wrong_event_alone_is_an_error_of_its_own_and_queues_nothing(api: Api) -> None:
    expected = {"invalid_json": 400, "forbidden_merchant": 403}
    for name, (bad, reason, field) in BAD.items():
        answer = api.post(bad, kind=NDJSON)
        assert (name, answer.status_code) == (name, expected.get(reason, 422))
        error = answer.json()["error"]
        assert error["code"] == reason
        assert error["message"] == answer.json()["results"][0]["message"]
        assert field is None or error["field"] == field
    assert api.valkey.queued() == []


def test_a_refused_event_is_told_by_its_name_where_it_can_be_read(api: Api) -> None:
    answer = api.post([conversion(7, amount=-1), event(8, merchant="globex"), 5])
    named = [(r["source"], r["id"]) for r in answer.json()["results"]]
    assert named == [("shop", "e-7"), ("shop", "e-8"), (None, None)]
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "all_refused"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "application/json", "empty_body"),
        (b" \n", "application/json", "empty_body"),
        (b"\n\r\n", NDJSON, "empty_body"),
        (b"hello", "application/json", "invalid_json"),
        (b"hello\nworld", NDJSON, "invalid_json"),
        (b'[{"a": 1}', "application/json", "invalid_json"),
        (b'[{"a": 1}] x', "application/json", "invalid_json"),
        (b'{"specversion": "1.0",', "application/json", "invalid_json"),
        (json.dumps(event(1)).encode("utf-16"), "application/json", "invalid_unicode"),
    ],
)
def test_a_body_that_is_no_json_is_refused_whole(
    api: Api, body: bytes, kind: str, code: str
) -> None:
    answer = api.post(body, kind=kind)
    assert answer.status_code == (422 if code == "invalid_unicode" else 400)
    assert answer.json()["error"]["code"] == code
    assert api.valkey.queued() == []


def test_an_empty_array_is_an_empty_batch(api: Api) -> None:
    answer = api.post([])
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 0, "rejected": 0, "results": []}


def test_an_event_far_ahead_of_time_is_left_to_the_receivers_clock(api: Api) -> None:
    assert api.post(event(1, time="2999-01-01T00:00:00Z")).status_code == 202


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content_Type": "text/plain"}, "unsupported_media_type"),
        ({"Content_Type": ""}, "unsupported_media_type"),
        ({"Content_Type": "application/xml"}, "unsupported_media_type"),
        ({"Content_Type": "application/json; charset=utf-16"}, "unsupported_charset"),
        ({"Content_Encoding": "gzip"}, "unsupported_encoding"),
    ],
)
def test_other_kinds_of_body_are_refused(api: Api, headers: dict[str, str], code: str) -> None:
    answer = api.post(event(1), **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, code)
    assert api.valkey.queued() == []


@pytest.mark.parametrize("announced", [True, False], ids=["with its length", "in chunks"])
@pytest.mark.parametrize("times", [1, 3], ids=["a little", "far"])
def test_a_body_over_the_limit_is_refused_with_the_limit(
    make_context: MakeContext, people: dict[str, Any], announced: bool, times: int
) -> None:
    limit = 1024 * 1024
    context = make_context(limits=ApiLimits(events_body_bytes=limit))
    body = b" " * (limit * times + 1)
    content = (
        body if announced else iter([body[i : i + 65_536] for i in range(0, len(body), 65_536)])
    )
    headers = {"Authorization": f"Bearer {people['key']}", "Content-Type": "application/json"}
    with serve(context) as http:
        answer = http.post("/v1/events", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "body_too_large"
        assert "1024 KiB" in answer.json()["error"]["message"]
        assert http.get("/healthz").status_code == 200


def spoken(http: httpx.Client, key: object, length: int, body: bytes) -> bytes:
    """What a client hears that sends its whole body before it listens."""
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: payspool\r\nContent-Length: {length}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    with socket.create_connection((http.base_url.host, http.base_url.port or 80), 5) as peer:
        peer.sendall(head.encode() + body)
        return peer.recv(100)


def test_a_body_that_does_not_arrive_in_time_is_given_up(
    make_context: MakeContext, people: dict[str, Any]
) -> None:
    with serve(make_context(limits=ApiLimits(body_seconds=0.2))) as http:
        assert spoken(http, people["key"], 10, b"[").startswith(b"HTTP/1.1 408 ")


def test_a_body_announced_far_over_the_limit_is_not_waited_for(api: Api) -> None:
    assert spoken(api.http, api.key, 10**12, b"[").startswith(b"HTTP/1.1 413 ")


def test_a_client_that_sends_too_much_before_it_listens_still_hears_why(api: Api) -> None:
    body = b" " * (16 * 1024 * 1024)
    assert spoken(api.http, api.key, len(body), body).startswith(b"HTTP/1.1 413 ")


AWAY = {"stopped": "queue_unavailable", "a replica": "queue_refused", "full": "backlog_full"}


@pytest.mark.parametrize("way", AWAY)
def test_while_redis_takes_nothing_the_client_is_told_to_come_back(
    make_context: MakeContext, people: dict[str, Any], own_valkey: Valkey, way: str
) -> None:
    headers = {"Authorization": f"Bearer {people['key']}", "Content-Type": "application/json"}
    body = json.dumps([event(1), conversion(2, amount=-1)])
    with serve(make_context(redis_url=own_valkey.url)) as http:
        if way == "stopped":
            own_valkey.kill()
        with own_valkey.client() as client:
            if way == "a replica":
                client.replicaof("127.0.0.1", 1)
            elif way == "full":
                client.config_set("maxmemory", 1)
        answer = http.post("/v1/events", content=body, headers=headers)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        error = answer.json()["error"]
        assert error["code"] == AWAY[way]
        assert "Nothing was queued" in error["message"]
        if way == "full":
            with own_valkey.client() as client:
                client.config_set("maxmemory", 0)
                assert client.llen(list_key(NAMESPACE)) == 0

            def taken() -> bool:
                return http.post("/v1/events", content=body, headers=headers).status_code == 207

            wait_until(taken)
