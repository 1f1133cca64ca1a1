"""What happened reaches each endpoint that wants to know: at least once, whatever is in the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.db import transaction, trial
from domain.secrets import SecretBox
from domain.webhooks import deliveries, rules, service
from domain.webhooks import store as endpoints
from payspool_client.webhooks import verify
from tests.workers.hooks.world import MIA, World, earn, wait_until
from workers.posting import Poster

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
STARTS = 60.0
"""Seconds that a process may take to start or end where the machine is busy."""
EVIL = "<script>alert(1)</script>\x1b[31m"


@pytest.fixture
def box() -> SecretBox:
    return SecretBox([KEY])


def test_in_the_calm_each_event_comes_once_to_each_endpoint_that_wants_it(
    world: World, receiver: Any, couriers: Any
) -> None:
    one, other, deaf = receiver(), receiver(), receiver()
    _, secret = world.endpoint(one.url)
    world.endpoint(other.url, "*")
    world.endpoint(deaf.url, "payout.paid")
    couriers()
    couriers()
    for n in range(20):
        world.earn(n + 1, n + 2)
    wait_until(lambda: world.states().count("delivered") == 80)
    assert len(one.got) == len(set(one.ids())) == 40
    assert sorted(one.ids()) == sorted(other.ids())
    assert deaf.got == []
    told = [verify(body, headers, secret) for headers, body in one.got]
    assert sorted(event["data"]["amount"] for event in told) == sorted(
        [*range(1, 21), *range(2, 22)]
    )
    [first] = [e for e in told if e["data"]["amount"] == 1]
    assert (first["type"], first["merchant"], first["mode"]) == ("earning.created", "acme", "test")
    assert first["data"] == {
        "earning": first["data"]["earning"],
        "kind": "reward",
        "user_id": "ada",
        "currency": "usd",
        "amount": 1,
        "available_at": "2026-06-01T00:00:00.000000Z",
        "reverses": None,
    }
    assert {a.outcome for a in world.attempts()} == {"delivered"}
    assert len(world.attempts()) == 80


def test_nothing_is_written_for_a_merchant_without_an_endpoint_for_it(
    world: World, receiver: Any
) -> None:
    world.earn(5)
    gone, _ = world.endpoint(receiver().url)
    off, _ = world.endpoint(receiver().url)
    world.endpoint(receiver().url, "payout.paid", "card.created")
    with transaction(world.engine) as tx:
        service.remove(tx, world.merchant_id, gone, actor=MIA)
        service.disable(tx, world.merchant_id, off, reason="a pause", actor=MIA)
    world.earn(5, 6)
    assert world.rows("SELECT FROM webhook_events") == []
    assert world.deliveries() == []


def test_a_change_that_is_rolled_back_tells_nobody(world: World, receiver: Any) -> None:
    world.endpoint(receiver().url)
    with trial(world.engine) as tx:
        earn(tx, world.merchant_id, [(1, 100)])
        assert len(list(tx.execute(text("SELECT FROM webhook_deliveries")))) == 1
    assert world.rows("SELECT FROM webhook_events") == []


def test_an_endpoint_that_fails_gets_everything_in_the_end_under_the_same_ids(
    world: World, receiver: Any, couriers: Any
) -> None:
    shop = receiver()
    shop.answer = lambda n: (500, {}, EVIL.encode()) if n <= 6 else (204, {}, b"")
    _, secret = world.endpoint(shop.url)
    couriers()
    world.earn(7, 8)
    wait_until(lambda: world.states() == ["delivered"] * 2)
    assert len(shop.got) == 8
    assert len(set(shop.ids())) == 2
    assert {verify(body, headers, secret)["id"] for headers, body in shop.got} == set(shop.ids())
    failed = [a for a in world.attempts() if a.outcome == "refused"]
    assert len(failed) == 6
    assert failed[0].status == 500
    assert failed[0].response == EVIL.replace("\x1b", "\ufffd")
    [endpoint] = world.rows("SELECT * FROM webhook_endpoints")
    assert (endpoint.failures, endpoint.failing_since) == (0, None)


def test_a_receiver_that_is_not_there_or_too_slow_is_tried_again(
    world: World, receiver: Any, couriers: Any
) -> None:
    nobody, _ = world.endpoint("http://127.0.0.1:9/hooks")
    slow = receiver()
    slow.answer = lambda n: slow.hold.wait(3) and (200, {}, b"") if n == 1 else (200, {}, b"")  # type: ignore[return-value]
    late, _ = world.endpoint(slow.url)
    couriers(delays=(0.05, 0.05), seconds=0.5)
    world.earn(7)
    wait_until(lambda: sorted(world.states()) == ["delivered", "failed"])
    by_endpoint = {d.endpoint_id: d for d in world.deliveries()}
    assert by_endpoint[nobody].tries == 3
    assert by_endpoint[nobody].error == "the connection was refused"
    assert by_endpoint[late].state == "delivered"
    errors = [a.error for a in world.attempts() if a.outcome == "unreached"]
    assert errors.count("no answer within 0.5 s") == 1
    assert errors.count("the connection was refused") == 3


def test_an_answer_that_drips_ends_in_its_time(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            peer, _ = server.accept()
            with peer:
                try:
                    for _ in range(100):
                        peer.sendall(b"H")
                        time.sleep(0.1)
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        endpoint, _ = world.endpoint(f"http://127.0.0.1:{server.getsockname()[1]}/")
        world.earn(5)
        started = time.monotonic()
        poster = Poster(world.reach, seconds=0.5)
        assert world.deliver(endpoint, poster=poster) == "retried"
        assert time.monotonic() - started < 1.5
    assert world.attempts()[0].error == "no answer within 0.5 s"


def test_a_hanging_endpoint_holds_up_nobody_else(
    world: World, receiver: Any, couriers: Any
) -> None:
    hanging, well = receiver(), receiver()
    hanging.answer = lambda _n: (hanging.hold.wait(30) and (200, {}, b"")) or (200, {}, b"")  # type: ignore[return-value]
    stuck, _ = world.endpoint(hanging.url)
    world.endpoint(well.url)
    couriers(seconds=60.0, threads=6)
    world.earn(*range(1, 41))
    wait_until(lambda: len(well.got) == 40, seconds=50)
    # All of the one were delivered while the first of the other are still waited for.
    assert 0 < len(hanging.got) <= rules.PER_ENDPOINT
    tried = "SELECT FROM webhook_attempts JOIN webhook_deliveries d ON d.id = delivery_id WHERE endpoint_id = :id"
    assert world.rows(tried, id=stuck) == []
    hanging.hold.set()


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("2", 1.5, 2.5), ("999999999", 86_000, 86_401)]
)
def test_a_receiver_may_ask_for_time_within_bounds(
    world: World, receiver: Any, asked: str, least: float, most: float
) -> None:
    shop = receiver()
    shop.answer = lambda _n: (429, {"retry-after": asked}, b"")
    endpoint, _ = world.endpoint(shop.url)
    world.earn(5)
    assert world.deliver(endpoint) == "retried"
    [row] = world.rows(
        "SELECT extract(epoch FROM due_at - clock_timestamp())::float8 AS wait FROM webhook_deliveries"
    )
    assert least <= row.wait <= most


def test_a_redirect_is_no_delivery_and_is_not_followed(world: World, receiver: Any) -> None:
    shop, elsewhere = receiver(), receiver()
    shop.answer = lambda _n: (307, {"location": elsewhere.url}, b"")
    endpoint, _ = world.endpoint(shop.url)
    world.earn(5)
    assert world.deliver(endpoint) == "retried"
    assert elsewhere.got == []
    assert world.deliveries()[0].error == "answered 307"


def test_an_endpoint_that_is_gone_is_disabled_and_what_waits_for_it_waits(
    world: World, receiver: Any
) -> None:
    shop = receiver()
    shop.answer = lambda _n: (410, {}, b"")
    endpoint, _ = world.endpoint(shop.url)
    world.earn(5, 6)
    assert world.deliver(endpoint) == "retried"
    assert world.deliver(endpoint) is None
    with transaction(world.engine) as tx:
        [told] = endpoints.stopped_by_themselves(tx, 10)
    assert told.disabled_reason == "It answered 410 Gone: the receiver wants no more."
    world.earn(7)
    assert len(world.deliveries()) == 2, "what happens while it is disabled is not kept for it"
    shop.answer = lambda _n: (200, {}, b"")
    with transaction(world.engine) as tx:
        assert service.enable(tx, world.merchant_id, endpoint, actor=MIA)
        assert not service.enable(tx, world.merchant_id, endpoint, actor=MIA)
    assert [world.deliver(endpoint) for _ in range(3)] == ["delivered", "delivered", None]
    assert world.rows(
        "SELECT actor_id FROM audit_entries WHERE action = 'webhook_endpoint.disabled'"
    ) == [("courier",)]


def test_an_endpoint_that_failed_for_five_days_is_disabled_with_its_reason(
    world: World, receiver: Any
) -> None:
    shop = receiver()
    shop.answer = lambda _n: (503, {}, b"")
    endpoint, _ = world.endpoint(shop.url)
    world.earn(5, 6)
    assert world.deliver(endpoint) == "retried"
    age = "UPDATE webhook_endpoints SET failing_since = clock_timestamp() - CAST(:age AS interval)"
    world.run(age, age=timedelta(days=4, hours=23))
    world.run("UPDATE webhook_deliveries SET due_at = clock_timestamp()")
    assert world.deliver(endpoint) == "retried"
    world.run(age, age=timedelta(days=5))
    assert world.deliver(endpoint) == "retried"
    [row] = world.rows("SELECT * FROM webhook_endpoints")
    assert (row.state, row.disabled_by) == ("disabled", "courier")
    assert row.disabled_reason == "Every attempt failed for 5 days; the last: it answered 503."


def test_while_it_fails_an_endpoint_is_tried_one_at_a_time_and_ever_more_seldom(
    world: World, receiver: Any
) -> None:
    shop = receiver()
    shop.answer = lambda _n: (500, {}, b"")
    endpoint, _ = world.endpoint(shop.url)
    world.earn(*range(1, 8))
    assert [world.deliver(endpoint) for _ in range(6)] == ["retried"] * 5 + [None]
    world.run("UPDATE webhook_endpoints SET quiet_until = NULL")
    with transaction(world.engine) as tx:
        assert deliveries.claim(tx, endpoint, box=world.box) is not None
        assert deliveries.claim(tx, endpoint, box=world.box) is None


def test_of_an_endpoint_no_more_than_its_bound_is_in_flight_across_couriers(
    world: World, receiver: Any
) -> None:
    endpoint, _ = world.endpoint(receiver().url)
    world.earn(*range(1, 8))
    claimed = []
    for _ in range(6):
        with transaction(world.engine) as tx:
            claimed.append(deliveries.claim(tx, endpoint, box=world.box))
    assert [one is not None for one in claimed] == [True] * 4 + [False] * 2
    assert len({one.delivery_id for one in claimed if one}) == 4


def test_what_a_killed_courier_held_is_sent_again_under_the_same_id(
    world: World, receiver: Any, database_url: str, redis_url: str
) -> None:
    shop = receiver()
    shop.answer = lambda n: shop.hold.wait(120) and (200, {}, b"") if n == 1 else (200, {}, b"")  # type: ignore[return-value]
    world.endpoint(shop.url)
    world.earn(5)
    environment = os.environ | {
        "PAYSPOOL_DATABASE_URL": database_url,
        "PAYSPOOL_REDIS_URL": redis_url,
        "PAYSPOOL_NAMESPACE": world.rt.namespace,
        "PAYSPOOL_SECRET_KEYS": KEY,
    }

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "payspool", "courier"], env=environment)

    killed = start()
    try:
        wait_until(lambda: len(shop.got) == 1, STARTS)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
    assert world.states() == ["pending"]
    assert world.attempts() == []
    heir = start()
    try:
        time.sleep(2)
        assert len(shop.got) == 1, "its claim is not over"
        world.run(
            "UPDATE webhook_deliveries SET due_at = clock_timestamp(), claimed_until = clock_timestamp()"
        )
        wait_until(lambda: world.states() == ["delivered"], STARTS)
    finally:
        heir.terminate()
        assert heir.wait(STARTS) == 0
    assert len(shop.got) == 2
    assert len(set(shop.ids())) == 1
    assert shop.got[0][1] == shop.got[1][1]


def test_whoever_comes_back_after_its_claim_decides_nothing_but_a_delivery(
    world: World, receiver: Any
) -> None:
    endpoint, _ = world.endpoint(receiver().url)
    world.earn(5)
    with transaction(world.engine) as tx:
        slow = deliveries.claim(tx, endpoint, box=world.box)
    assert slow is not None
    world.run(
        "UPDATE webhook_deliveries SET due_at = clock_timestamp(), claimed_until = clock_timestamp()"
    )
    with transaction(world.engine) as tx:
        assert deliveries.claim(tx, endpoint, box=world.box) is not None
    bad = deliveries.Answer(500, 10)
    with transaction(world.engine) as tx:
        assert deliveries.book(tx, slow, bad, jitter=0.5) == "late"
    assert world.deliveries()[0].claimed_until is not None
    with transaction(world.engine) as tx:
        assert deliveries.book(tx, slow, deliveries.Answer(200, 10), jitter=0.5) == "delivered"
        assert deliveries.book(tx, slow, deliveries.Answer(200, 10), jitter=0.5) == "late"
    assert world.states() == ["delivered"]
