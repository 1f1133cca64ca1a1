"""Events that come in steadily, a reaper among the processes, and what must be true in the end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import redis
from sqlalchemy.exc import OperationalError

from domain.clock import business_now
from domain.db import snapshot, transaction
from domain.payouts import service as payouts
from domain.payouts.service import RunSpec
from payspool_client import (
    CardCreated,
    Event,
    PointsEarned,
    Publisher,
    QueueRefused,
    QueueUnavailable,
)
from queues.inspect import QueueState, inspect
from queues.keys import QueueKeys
from sandbox.books import Books
from tests.e2e.installation import Installation, wait_for
from tests.e2e.shop import NOW, Shop
from workers.sweeps import broken_invariants

EVENTS_PER_ROUND = 600
ROUND_SECONDS = 4.0
HOLDS_SECONDS = 60.0
"""Within so long a process that was started again holds a message, on a slow machine too."""
NAMESPACE = "payspool"
QUEUES = ("events", "payouts", "sweeps")
REFERRERS = tuple(f"r{n:02}" for n in range(20))
CARDS = 40


@dataclass
class Death:
    """A kill, and after how many seconds all that the process held was acknowledged.

    What a second process held when it was killed too counts from that second death.
    """

    name: str
    at: float
    queue: str | None = None
    owner: bytes = b""
    held: set[bytes] = field(default_factory=set)
    back: float | None = None


def all_events(shop: Shop, rounds: int) -> list[Event]:
    """Known before the first is sent: two conversions, then points, and so on; the cards come first."""

    def of(data: Any, event_id: str) -> Event:
        return Event.of(data, merchant=shop.key, source="shop", id=event_id, time=NOW)

    made = [
        of(
            CardCreated(card=f"card-{n:03}", customer_id=f"customer-{n}", program="points"),
            f"card-{n}",
        )
        for n in range(CARDS)
    ]
    for n in range(rounds * EVENTS_PER_ROUND):
        if n % 3 < 2:
            referrer = REFERRERS[n % len(REFERRERS)]
            made.append(shop.purchase(f"order-{n}", amount_of(n), referrer, f"buyer-{n}"))
        else:
            points = PointsEarned(
                card=f"card-{n % CARDS:03}", purchase_amount=amount_of(n), purchase_currency="usd"
            )
            made.append(of(points, f"points-{n}"))
    return made


def amount_of(n: int) -> int:
    """Whole dollars, so that a tenth of it is exact."""
    return 1_000 + 100 * (n % 97)


class Producer(threading.Thread):
    """Publishes steadily, in turn by Valkey and by HTTP; repeats what was not acknowledged.

    When all is published it says some of it again, until nothing is killed any more: on a slow machine
    too there is work to be killed in.
    """

    def __init__(self, installation: Installation, shop: Shop, events: list[Event]) -> None:
        super().__init__(name="producer")
        self._installation, self._events = installation, events
        self._redis_url = installation.endpoints().redis_url
        self._http = httpx.Client(
            base_url=installation.instance()["api_url"],
            headers={
                "Authorization": f"Bearer {shop.api_key}",
                "Content-Type": "application/x-ndjson",
            },
            timeout=5,
            trust_env=False,
        )
        self.repeated = 0
        self.failed: BaseException | None = None
        self.may_end = threading.Event()

    def enrol(self) -> None:
        """Make the cards before all else: points that overtake their card are refused, as they should be."""
        with Publisher(self._redis_url, namespace=NAMESPACE) as publisher:
            publisher.publish_many(self._events[:CARDS])
        wait_for("the cards are there", self._cards_are_there, 60)

    def run(self) -> None:
        try:
            with self._http, Publisher(self._redis_url, namespace=NAMESPACE) as publisher:
                self._publish(publisher)
        except BaseException as error:
            self.failed = error

    def _publish(self, publisher: Publisher) -> None:
        began, size = time.monotonic(), 10
        pause = ROUND_SECONDS * size / EVENTS_PER_ROUND
        for turn, start in enumerate(range(CARDS, len(self._events), size)):
            part = self._events[start : start + size]
            for _ in range(200):
                if self._sent(publisher, part) if turn % 2 else self._posted(part):
                    break
                self.repeated += 1
                time.sleep(0.2)
            else:
                raise AssertionError(f"{part[0].id} was not acknowledged within 40 s")
            if turn % 20 == 0:  # a producer that does not trust its own memory
                with suppress(QueueUnavailable, QueueRefused):  # all of it is acknowledged already
                    publisher.publish_many(part)
            time.sleep(max(0.0, began + (turn + 1) * pause - time.monotonic()))
        while not self.may_end.wait(pause):
            self._sent(publisher, self._events[-size:])

    def _cards_are_there(self) -> bool:
        [row] = self._installation.rows("SELECT count(*) AS made FROM cards")
        return bool(row.made == CARDS)

    def _sent(self, publisher: Publisher, part: list[Event]) -> bool:
        try:
            if part[0].id.endswith("7"):
                publisher.publish_many(part)  # one message of many events
            else:
                for event in part:
                    publisher.publish(event)
        except (QueueUnavailable, QueueRefused):  # away, or back and reading its file
            return False
        return True

    def _posted(self, part: list[Event]) -> bool:
        try:
            body = "\n".join(event.to_json() for event in part)
            return self._http.post("/v1/events", content=body).status_code == 202
        except httpx.TransportError:
            return False


class Reaper:
    """Kills processes of an installation, and watches all the while what becomes of what they held."""

    def __init__(self, installation: Installation, shop: Shop) -> None:
        self.installation, self.shop = installation, shop
        self.deaths: list[Death] = []
        self._redis = redis.Redis.from_url(installation.endpoints().redis_url)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher")
        self._watcher.start()

    def close(self) -> None:
        self._ended.set()
        self._watcher.join()
        self._redis.close()

    def states(self) -> dict[str, QueueState]:
        return {state.queue: state for state in inspect(self._redis, NAMESPACE, QUEUES)}

    def kill(self, words: tuple[str, ...], queue: str | None) -> None:
        """Kill a process of a kind; where it works on a queue, in the middle of a message."""
        wait_for(f"a process {words} runs", lambda: self.installation.pid_of(*words), 30)
        pid = self.installation.pid_of(*words)
        assert pid is not None
        process = psutil.Process(pid)
        death = Death(words[-1], 0.0, queue)
        if queue is not None:
            death.owner, death.held = self._stopped_in_the_middle(process, queue)
        with self._lock:
            for earlier in self.deaths:
                if earlier.queue == queue:
                    earlier.held -= death.held
            process.kill()
            death.at = time.monotonic()
            self.deaths.append(death)

    def _stopped_in_the_middle(
        self, process: psutil.Process, queue: str
    ) -> tuple[bytes, set[bytes]]:
        """Halt the process at a moment when it holds messages: only what it holds stays in flight."""
        deadline = time.monotonic() + HOLDS_SECONDS
        while time.monotonic() < deadline:
            if queue == "payouts" and not self._in_flight(queue):
                build_run(self.installation, self.shop)
            if self._in_flight(queue):
                process.send_signal(signal.SIGSTOP)
                before = self._in_flight(queue)
                time.sleep(0.3)
                after = self._in_flight(queue)
                held = {o: ids & after.get(o, set()) for o, ids in before.items()}
                held = {owner: ids for owner, ids in held.items() if ids}
                if len(held) == 1:
                    return held.popitem()
                process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
        raise AssertionError(f"{process.cmdline()} never held a message of {queue}")

    def _in_flight(self, queue: str) -> dict[bytes, set[bytes]]:
        """What each owner holds that we have not killed."""
        keys = QueueKeys(NAMESPACE, queue)
        owners = self._redis.smembers(keys.owners) - {death.owner for death in self.deaths}
        sets = {o: set(self._redis.zrange(keys.in_flight(o.decode()), 0, -1)) for o in owners}
        return {owner: ids for owner, ids in sets.items() if ids}

    def all_are_back(self) -> bool:
        return all(death.back is not None for death in self.deaths if death.held)

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            # A server that was killed is back in a moment.
            with suppress(redis.RedisError), self._lock:
                self._look()

    def _look(self) -> None:
        """Note which deaths are over: nothing is left of what was held, neither here nor as a dead letter."""
        for death in self.deaths:
            if death.back is None and death.held:
                assert death.queue is not None
                keys = QueueKeys(NAMESPACE, death.queue)
                if not any(self._redis.hmget(keys.messages, list(death.held))):
                    death.back = time.monotonic() - death.at


def build_run(installation: Installation, shop: Shop) -> int:
    """A run of what is due now; returns how many payouts it made."""
    engine = installation.engine()
    with transaction(engine) as tx:
        spec = RunSpec(shop.merchant_id, "kills", business_now(tx), {})
    return payouts.build_run(engine, spec).created


@contextmanager
def campaign(installation: Installation, shop: Shop, events: list[Event]) -> Iterator[Reaper]:
    """Events come in while the block kills; after it everything has come to rest and is paid."""
    slow_transfers(installation)
    producer = Producer(installation, shop, events)
    producer.enrol()
    reaper = Reaper(installation, shop)
    producer.start()
    try:
        time.sleep(1)
        yield reaper
        producer.may_end.set()
        producer.join(len(events) / EVENTS_PER_ROUND * ROUND_SECONDS + 60)
        assert not producer.is_alive()
        assert producer.failed is None, producer.failed
        wait_for("all that the dead held is acknowledged", reaper.all_are_back, 60)
        settle(installation, shop, reaper)
        states = reaper.states().values()
        assert [(s.queue, s.orphans, s.dead) for s in states if s.orphans or s.dead] == []
        print(f"\nthe producer repeated {producer.repeated} requests")  # noqa: T201
    finally:
        producer.may_end.set()
        producer.join(60)
        reaper.close()


def can_build_a_run(installation: Installation, shop: Shop) -> bool:
    try:
        build_run(installation, shop)
    except OperationalError:
        return False
    return True


def slow_transfers(installation: Installation) -> None:
    """A gateway as slow as a real one, so that there is a middle of a payout to be killed in."""
    rule = {"method": "POST", "path": "/v1/transfers", "fault": "slow", "ms": 150}
    httpx.put(
        installation.instance()["stripe_url"] + "/_sandbox/faults",
        json={"rules": [rule]},
        trust_env=False,
    ).raise_for_status()


def settle(installation: Installation, shop: Shop, reaper: Reaper) -> None:
    """Everything comes to rest, and what is still owed is paid."""

    def at_rest() -> bool:
        return all(state.idle for state in reaper.states().values())

    wait_for("the queues are empty", at_rest, 60)
    build_run(installation, shop)
    deadline = time.monotonic() + 60
    while True:
        wait_for("the queues are empty", at_rest, 60)
        [row] = installation.rows(
            "SELECT (SELECT count(*) FROM outbox WHERE queue = 'payouts') + (SELECT count(*) FROM payouts"
            " WHERE state NOT IN ('paid', 'canceled')) AS open"
        )
        if row.open == 0:
            return
        assert time.monotonic() < deadline, f"{row.open} payouts or messages are still open"
        if at_rest():
            # The sender of an attempt whose lease still runs was killed. The lease lasts two minutes,
            # and the sweep looks half a minute after its end: here both are over at once.
            with installation.engine().begin() as tx:
                tx.exec_driver_sql(
                    "UPDATE payout_attempts SET lease_until = now() WHERE lease_until > now()"
                )
                tx.exec_driver_sql(
                    "UPDATE payouts SET look_at = now() WHERE look_at > now()"
                    " AND state IN ('approved', 'sending', 'unknown')"
                )
        time.sleep(0.5)


def tell(reaper: Reaper) -> None:
    worst = max((death.back or 0.0 for death in reaper.deaths), default=0.0)
    print(f"{len(reaper.deaths)} kills; the worst return took {worst:.1f} s")  # noqa: T201
    for death in reaper.deaths:
        if death.back is not None:
            held = f"held {len(death.held)}, acknowledged after {death.back:.1f} s"
            print(f"  {death.name}: {held}")  # noqa: T201


def assert_each_counts_once(installation: Installation, events: list[Event]) -> None:
    inbox = installation.rows("SELECT event_id, status, reason FROM inbox_events")
    missing = {event.id for event in events} - {row.event_id for row in inbox}
    assert (len(inbox), sorted(missing)) == (len(events), [])
    assert [tuple(row) for row in inbox if row.status != "applied"] == []
    conversions = [e for e in events if e.type == "conversion.recorded"]
    [trackings] = installation.rows(
        "SELECT count(*) AS trackings, count(DISTINCT transaction_id) AS transactions FROM trackings"
    )
    assert tuple(trackings) == (len(conversions), len(conversions))
    points: dict[str, int] = {}
    for event in events:
        if event.type == "loyalty.points_earned":
            card = event.payload["card"]
            points[card] = points.get(card, 0) + event.payload["purchase_amount"] // 100
    cards = installation.rows("SELECT number, points_balance FROM cards WHERE points_balance > 0")
    assert {row.number: row.points_balance for row in cards} == points
    assert installation.rows("SELECT FROM rejected_messages") == []


def assert_each_is_paid_once(installation: Installation, shop: Shop, events: list[Event]) -> None:
    owed = dict.fromkeys(shop.accounts.values(), 0)
    for event in events:
        if event.type == "conversion.recorded":
            user = event.payload["code"].removeprefix("CODE-").lower()
            owed[shop.accounts[user]] += event.payload["amount"] // 10
    ours = installation.rows("SELECT id, amount, destination, external_transaction_id FROM payouts")
    assert len(ours) > 2 * len(REFERRERS)
    with Books(installation.data / "up" / "sandbox") as books:
        assert books.check() == []
        assert books.paid_by_destination("usd") == owed
        by_payout = books.transfers_by_metadata("payout")
    told = {
        int(payout_id): [(t.net, t.destination, t.id) for t in transfers if t.net]
        for payout_id, transfers in by_payout.items()
    }
    assert told == {
        row.id: [(row.amount, row.destination, row.external_transaction_id)] for row in ours
    }
    with snapshot(installation.engine()) as tx:
        assert broken_invariants(tx) == []
