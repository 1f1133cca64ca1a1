"""Payouts over all three gateways while everything goes wrong at once: faults of Stripe and of Wise, lost,
doubled, late and forged webhooks, transfers that people take back, banks that refuse, and processes that are
killed with -9.

In the end no payout has two payments that were not taken back, no cent is unexplained, and every payout has
ended or waits for a reason that is told. FAULTS_SEED makes another campaign, FAULTS_CAMPAIGN a larger one
(`make faults`: 21,000 payouts); what was drawn and how long recovery took is printed (-s).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from statistics import quantiles
from threading import Event, Thread
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import create_engine

from domain.audit.service import Actor
from domain.db import Tx, snapshot, transaction
from domain.payouts import service
from domain.payouts.errors import NotAbandonable
from domain.payouts.rules.attempts import BEING_ASKED, LEASE
from payspool_client import wire
from queues.connection import connect
from queues.inspect import inspect
from tests.e2e.installation import Installation, installed
from tests.faults.trade import BankTrade, Paid, StripeTrade, Trade, WiseTrade, facts, whole
from tests.workers.payouts.office import age_everything
from workers.sweeps import broken_invariants

pytestmark = [pytest.mark.xdist_group("three_gateways"), pytest.mark.slow]

SEED = int(os.environ.get("FAULTS_SEED") or 20261126)
PAYOUTS = int(os.environ.get("FAULTS_CAMPAIGN", "120"))
QUEUES = ("payouts", "sweeps", "webhooks")
KILL_EVERY_SECONDS = (1.0, 4.0)
STALLS_SECONDS = 300.0
"""How long settling may bring nothing further: how long it takes depends on the payouts and on the machine."""
COMMAND_SECONDS = 300.0
STORM_SECONDS = 6.0 + PAYOUTS / 150
VICTIMS = (
    ("worker", "--queue", "payouts"),
    ("worker", "--queue", "payouts"),
    ("worker", "--queue", "sweeps"),
    ("relay",),
    ("scheduler",),
    ("api", "--port"),
)

REVERSALS: list[dict[str, Any]] = [
    {"fault": "drop_before", "probability": 0.1},
    {"fault": "drop_after", "probability": 0.15},
    {"fault": "error_500_done", "probability": 0.1},
    {"fault": "garbage", "probability": 0.1},
]
STRIPE: list[dict[str, Any]] = [
    {"fault": "drop_before", "probability": 0.04},
    {"fault": "drop_during", "probability": 0.04},
    {"fault": "drop_after", "probability": 0.05},
    {"fault": "error_500_done", "probability": 0.04},
    {"fault": "error_500_not_done", "probability": 0.02},
    {"fault": "error_500_not_done", "stored": False, "probability": 0.03},
    {"fault": "rate_limit", "probability": 0.03},
    {"fault": "lock_timeout", "probability": 0.03},
    {"fault": "key_in_use", "probability": 0.02},
    {"fault": "garbage", "probability": 0.04},
    {"fault": "slow", "ms": 700, "when": "after", "probability": 0.02},
    {"fault": "unauthorized", "probability": 0.003},
    {"fault": "balance_dry", "probability": 0.002},
    {"fault": "account_deauthorized", "probability": 0.001},
]
WISE_CALLS = (
    ("POST", "/wise/v3/profiles/*/quotes"),
    ("POST", "/wise/v1/transfers"),
    ("POST", "/wise/v3/profiles/*/transfers/*/payments"),
    ("GET", "/wise/v1/transfers/*"),
)
WISE: list[dict[str, Any]] = [
    {"fault": "drop_before", "probability": 0.03},
    {"fault": "drop_during", "probability": 0.03},
    {"fault": "drop_after", "probability": 0.03},
    {"fault": "error_500_done", "probability": 0.02},
    {"fault": "error_500_not_done", "probability": 0.02},
    {"fault": "rate_limit", "probability": 0.02},
    {"fault": "garbage", "probability": 0.02},
    {"fault": "slow", "ms": 500, "when": "after", "probability": 0.01},
]
WEBHOOKS: list[dict[str, Any]] = [
    {"fault": "lose", "probability": 0.10},
    {"fault": "duplicate", "copies": 3, "probability": 0.10},
    {"fault": "reorder", "ms": 1500, "probability": 0.20},
    {"fault": "wrong_secret", "tries": 1, "probability": 0.03},
    {"fault": "stale", "tries": 1, "probability": 0.03},
    {"fault": "wrong_mode", "probability": 0.02},
    {"fault": "truncated", "tries": 1, "probability": 0.03},
]


@pytest.fixture
def pipeline() -> Iterator[Installation]:
    with installed(PAYSPOOL_PAYOUT_THREADS="12") as installation:
        started = installation.up()
        yield installation
        started.interrupt()
        assert started.end() == 0, started.said()
        assert installation.remains(0) == []


def test_over_three_gateways_nobody_is_paid_twice_or_left_without_a_reason(
    pipeline: Installation,
) -> None:
    draw = random.Random(SEED)
    print(f"\nFAULTS_SEED={SEED} FAULTS_CAMPAIGN={PAYOUTS}")  # noqa: T201
    share = PAYOUTS // 3
    stripe, wise = StripeTrade(pipeline, "stripes", share), WiseTrade(pipeline, "wises", share)
    banks = BankTrade(pipeline, "banks", PAYOUTS - 2 * share)
    trades: list[Trade] = [stripe, wise, banks]
    for trade in trades:
        trade.open()
    fund(pipeline, wise)
    with_faults(pipeline)
    hurry, reaper = Hurry(pipeline), Reaper(pipeline, random.Random(f"{SEED}/kills"))
    for thread in (hurry, reaper):
        thread.start()
    try:
        storm(pipeline, trades, draw)
        bank_day(pipeline, banks, draw)
    finally:
        reaper.stop()
    told = calm(pipeline)
    injected, webhooks = told["injected"], sum(r["injected"] for r in told["webhooks"])
    print(f"{sum(injected.values())} faults, {webhooks} of webhooks: {injected}")  # noqa: T201
    try:
        settle(pipeline, trades, draw)
    finally:
        hurry.stop()
    tell_recovery(reaper, hurry)
    assert reaper.failed is None, reaper.failed
    assert hurry.failed is None, hurry.failed
    assert_nobody_twice_and_nobody_forgotten(pipeline, trades)
    assert sum(injected.values()) > PAYOUTS / 10
    assert reaper.kills > 1


# What goes wrong


def fund(pipeline: Installation, wise: WiseTrade) -> None:
    admin = f"{pipeline.instance()['stripe_url']}/_sandbox"
    for path, body in (
        ("fund", {"amount": 90_000_000, "currency": "usd"}),
        ("wise/fund", {"profile": wise.profile, "amount": 90_000_000, "currency": "EUR"}),
    ):
        httpx.post(f"{admin}/{path}", json=body, trust_env=False).raise_for_status()


def with_faults(pipeline: Installation) -> None:
    rules = [{"method": "POST", "path": "/v1/transfers", **rule} for rule in STRIPE]
    rules += [{"method": "POST", "path": "/v1/transfers/*/reversals", **rule} for rule in REVERSALS]
    rules += [
        {"method": method, "path": path, **rule} for method, path in WISE_CALLS for rule in WISE
    ]
    plan = {"seed": SEED, "rules": rules, "webhooks": WEBHOOKS}
    url = f"{pipeline.instance()['stripe_url']}/_sandbox/faults"
    httpx.put(url, json=plan, trust_env=False).raise_for_status()


def calm(pipeline: Installation) -> dict[str, Any]:
    """No more faults; returns what was injected."""
    url = f"{pipeline.instance()['stripe_url']}/_sandbox/faults"
    told: dict[str, Any] = httpx.get(url, trust_env=False).json()
    httpx.delete(url, trust_env=False).raise_for_status()
    return told


def storm(pipeline: Installation, trades: list[Trade], draw: random.Random) -> None:
    """Runs of all merchants, one after the other, while people take transfers back."""
    stripe, wise, _ = trades
    assert isinstance(stripe, StripeTrade)
    assert isinstance(wise, WiseTrade)
    began = time.monotonic()
    more = True
    while more or time.monotonic() - began < STORM_SECONDS:
        built = [trade.owe_and_build() for trade in trades]
        more = any(built)
        fund(pipeline, wise)
        stripe.take_back(draw, share=0.02)
        wise.deliver(draw, bounces=0.05)
        time.sleep(0.5)


def bank_day(pipeline: Installation, banks: BankTrade, draw: random.Random) -> None:
    """Files for the bank, and its statement; the commands are killed in their middle, and given again."""
    for number, run in enumerate(banks.runs):
        out = pipeline.folder / f"run-{run}"
        form = "pain.001" if number % 2 else "csv"
        command = ["payouts", "export", banks.key, str(run), "--out", str(out), "--format", form]
        killed(pipeline, command, draw)
        for _ in range(2):
            done(pipeline, *command)
            banks.bank.take(out.read_bytes(), draw, refuses=0.05)
    for _ in range(2):
        statement(pipeline, banks, draw)


def statement(pipeline: Installation, banks: BankTrade, draw: random.Random) -> None:
    path = pipeline.folder / "statement.csv"
    banks.bank.statement(path, draw)
    command = ["payouts", "import-statement", banks.key, str(path)]
    killed(pipeline, command, draw)
    # 1: what came twice in it is refused by name.
    done(pipeline, *command, statuses=(0, 1))


def done(pipeline: Installation, *command: str, statuses: tuple[int, ...] = (0,)) -> None:
    """Give a command, and wait for as long as a busy machine may need for it."""
    ended = pipeline.run(*command, seconds=COMMAND_SECONDS)
    assert ended.returncode in statuses, f"{command}: {ended.stdout}{ended.stderr}"
    assert "Traceback" not in ended.stderr


def killed(pipeline: Installation, command: list[str], draw: random.Random) -> None:
    """Begin a command, and kill it at some moment of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "payspool", *command],
        cwd=pipeline.checkout,
        env=pipeline.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.3 + draw.random() * 1.2)
    process.kill()
    process.wait()


class Reaper(Thread):
    """Kills a process of the pipeline every few seconds; notes how long its queue's messages were away."""

    def __init__(self, pipeline: Installation, draw: random.Random) -> None:
        super().__init__(name="reaper")
        self.pipeline, self.draw, self.ended = pipeline, draw, Event()
        self.kills, self.back = 0, list[float]()
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            with connect(self.pipeline.endpoints().redis_url) as client:
                while not self.ended.wait(self.draw.uniform(*KILL_EVERY_SECONDS)):
                    pid = self.pipeline.pid_of(*self.draw.choice(VICTIMS))
                    if pid is None:
                        continue  # it was killed a moment ago
                    with suppress(psutil.NoSuchProcess):
                        psutil.Process(pid).send_signal(signal.SIGKILL)
                        self.kills += 1
                        self._wait_for_orphans(client)
        except BaseException as error:
            self.failed = error

    def _wait_for_orphans(self, client: Any) -> None:
        """Until nobody that is dead holds a message any more, or for as long as that may take."""
        began, held = time.monotonic(), False
        while time.monotonic() - began < 20 and not self.ended.is_set():
            orphans = sum(s.orphans for s in inspect(client, wire.NAMESPACE, QUEUES))
            held = held or orphans > 0
            if not orphans and (held or time.monotonic() - began > 2):
                break
            time.sleep(0.1)
        if held:
            self.back.append(time.monotonic() - began)

    def stop(self) -> None:
        self.ended.set()
        self.join(60)


class Hurry(Thread):
    """What waits 10 s to an hour, to spare a gateway in trouble, waits a second here. Its keys stay young.

    Nothing is hurried while its queue has work: the workers would be asked for the same thing every second, and
    the queue grow faster than they can empty it.
    """

    def __init__(self, pipeline: Installation) -> None:
        super().__init__(name="hurry")
        self.pipeline, self.ended = pipeline, Event()
        self.failed: BaseException | None = None
        self.lost: dict[int, float] = {}
        self.found: list[float] = []
        self.longest: Counter[str] = Counter()

    ALWAYS = (
        # A sender that was killed: its lease of two minutes is over. One that lives is only asked after.
        "UPDATE payout_attempts SET lease_until = now() WHERE lease_until > now()"
        " AND sent_at < now() - interval '3 seconds' AND state = 'sending'",
        "UPDATE reversal_requests SET lease_until = now() WHERE lease_until > now()"
        " AND sent_at < now() - interval '3 seconds' AND state = 'sending'",
        "UPDATE payout_shortfalls SET probe_at = now() WHERE ended_at IS NULL",
        "UPDATE payout_stops SET probe_at = now() WHERE lifted_at IS NULL AND probe_at > now()",
    )
    WHILE_IDLE = (
        (
            # What finds lost payouts and notices looks as often as its workers can. (What checks all the books
            # would keep a large campaign busy with nothing else.)
            "sweeps",
            "UPDATE schedules SET next_fire_at = now() WHERE next_fire_at > now()"
            " AND actor ~ '^(payouts|webhooks|schedules)[.]' AND every_seconds IS NOT NULL",
        ),
        (
            "payouts",
            "UPDATE outbox SET run_at = now() WHERE run_at > now()",
            "UPDATE payouts SET next_try_at = now() WHERE next_try_at > now()",
            "UPDATE payouts SET look_at = now() WHERE look_at > now()"
            " AND state IN ('approved', 'sending', 'unknown', 'in_transit', 'failed')",
            "UPDATE reversal_requests SET look_at = now() WHERE look_at > now()",
        ),
        (
            "webhooks",
            "UPDATE gateway_events SET look_at = now() WHERE look_at > now() AND state = 'received'",
        ),
    )
    IDLE = 20
    """Messages on a queue: its workers have these done within a second or two."""

    def run(self) -> None:
        try:
            with connect(self.pipeline.endpoints().redis_url) as client:
                while not self.ended.wait(1.0):
                    self._hurry(self.ALWAYS)
                    for queue, *statements in self.WHILE_IDLE:
                        [state] = inspect(client, wire.NAMESPACE, [queue])
                        waiting = state.ready + state.in_flight
                        self.longest[queue] = max(self.longest[queue], waiting)
                        if waiting <= self.IDLE:
                            self._hurry(statements)
                    self._look()
        except BaseException as error:
            self.failed = error

    def _hurry(self, statements: Sequence[str]) -> None:
        for statement in statements:
            with self.pipeline.engine().begin() as tx:
                tx.exec_driver_sql(statement)

    def _look(self) -> None:
        """How long payouts are neither paid nor refused after their first answer was lost."""
        now = time.monotonic()
        rows = self.pipeline.rows("SELECT id FROM payouts WHERE state IN ('unknown', 'sending')")
        open_now = {row.id for row in rows}
        self.found += [now - since for id, since in self.lost.items() if id not in open_now]
        self.lost = {id: self.lost.get(id, now) for id in open_now}

    def stop(self) -> None:
        self.ended.set()
        self.join(60)


# What must be true in the end


def settle(pipeline: Installation, trades: list[Trade], draw: random.Random) -> None:
    stripe, wise, banks = trades
    assert isinstance(wise, WiseTrade)
    assert isinstance(banks, BankTrade)
    began = time.monotonic()
    further = Further()
    while moving := under_way(pipeline):
        assert further.than(moving), why_open(pipeline)
        fund(pipeline, wise)
        people_retry_dead_letters(pipeline)
        time.sleep(2)
    rested = time.monotonic()
    people_give_up(pipeline)
    further = Further()
    while left := still_open(pipeline):
        assert further.than(len(left)), (
            f"{len(left)} payouts are still open, as {left[:5]}\n{why_open(pipeline)}"
        )
        fund(pipeline, wise)
        wise.deliver(draw, bounces=0.0)
        retry_what_banks_refused(pipeline, banks, draw)
        time.sleep(1)
    ended = time.monotonic()
    unheard = wise.bounce_unheard(draw, share=0.02)
    # What was taken back at Stripe and told by a notice that was lost is found by polling; what came back at
    # Wise, in what Wise lists as come back.
    for trade in (stripe, wise):
        further = Further()
        while found := differing(pipeline, trade):
            assert further.than(len(found)), disagreement(pipeline, trade)
            time.sleep(1)
    print(  # noqa: T201
        f"sending came to rest in {rested - began:.0f} s, every payout ended in {ended - rested:.0f} s,"
        f" the books agreed in {time.monotonic() - ended:.0f} s;"
        f" {unheard} came back that nobody was told of"
    )


class Further:
    """Whether what is left becomes less; not to become less for STALLS_SECONDS is to hang."""

    def __init__(self) -> None:
        self.least, self.since = sys.maxsize, time.monotonic()

    def than(self, left: int) -> bool:
        """Whether there is hope: so little was never left before, or it was not long ago."""
        if left < self.least:
            self.least, self.since = left, time.monotonic()
        return time.monotonic() - self.since < STALLS_SECONDS


def differing(pipeline: Installation, trade: Trade) -> dict[int, tuple[list[int], int]]:
    """By payout that does not stop for a person: what was really paid, and what we know."""
    really = trade.really_paid()
    known = {
        id: row.amount - row.reversed_amount if row.state == "paid" else 0
        for id, row in facts(pipeline).items()
        if row.merchant_id == trade.merchant_id and row.frozen_reason is None
    }
    return {
        id: (really.get(id, []), net)
        for id, net in known.items()
        if really.get(id, []) != ([net] if net else [])
    }


def disagreement(pipeline: Installation, trade: Trade) -> str:
    """What we know of payouts whose books differ, for whoever reads the failure."""
    found = differing(pipeline, trade)
    rows = pipeline.rows(
        "SELECT p.id, p.state, p.amount, p.reversed_amount, p.external_transaction_id, r.n, r.amount, r.state,"
        " r.outcome, r.http_status, r.replayed, r.look_at - now() AS looks, r.emit_count, r.waits_for"
        " FROM payouts p LEFT JOIN reversal_requests r ON r.payout_id = p.id WHERE p.id = ANY(:ids)",
        ids=list(found)[:20],
    )
    notices = pipeline.rows(
        "SELECT type, state, error, brought_by, created_at FROM gateway_events WHERE payload::text LIKE ANY(:ids)",
        ids=[f"%{row.external_transaction_id}%" for row in rows if row.external_transaction_id],
    )
    polls = pipeline.rows("SELECT * FROM event_polls WHERE account = ''")
    looks = pipeline.rows(
        "SELECT l.*, s.every_seconds, s.next_fire_at FROM return_looks l, schedules s"
        " WHERE s.actor = 'payouts.returns'"
    )
    return "\n".join(str(row) for row in [found, *rows, *notices, *polls, *looks])


def under_way(pipeline: Installation) -> int:
    """How many payouts are on their way to a gateway, but for what the gateway remembers as a 500."""
    rows = pipeline.rows(
        "SELECT count(*) FROM payouts p WHERE method <> 'manual' AND frozen_reason IS NULL AND (state IN ('draft', 'approved', 'sending')"
        " OR (state = 'unknown' AND NOT EXISTS (SELECT FROM payout_attempts a WHERE a.payout_id = p.id"
        "     AND a.state = 'unknown' AND a.http_status = 500 AND a.replayed)))"
    )
    return int(rows[0][0])


def why_open(pipeline: Installation) -> str:
    """What keeps sending from its rest, for whoever reads the failure."""
    rows = pipeline.rows(
        "SELECT p.id, p.method, p.state, p.parked_reason, p.frozen_reason, p.look_at - now() AS looks,"
        " p.emit_count, a.state, a.n, a.tries, a.outcome, a.http_status, a.error_code, a.replayed, a.lease_until - now() AS lease"
        " FROM payouts p LEFT JOIN payout_attempts a ON a.payout_id = p.id WHERE p.method <> 'manual'"
        " AND p.state IN ('draft', 'approved', 'sending', 'unknown', 'in_transit', 'returned')"
        " ORDER BY p.state, p.id LIMIT 20"
    )
    with connect(pipeline.endpoints().redis_url) as client:
        queues = inspect(client, wire.NAMESPACE, QUEUES)
    more = pipeline.rows("SELECT * FROM payout_stops WHERE lifted_at IS NULL")
    waiting = pipeline.rows("SELECT actor, count(*) FROM outbox GROUP BY actor")
    notices = pipeline.rows(
        "SELECT method, type, state, count(*) FROM gateway_events GROUP BY 1, 2, 3"
    )
    return "\n".join(str(row) for row in [*rows, *more, *waiting, *notices, *queues])


def people_retry_dead_letters(pipeline: Installation) -> None:
    """A message whose workers were killed again and again became a dead letter: somebody puts it back."""
    rows = pipeline.rows("SELECT id FROM dead_letters WHERE state = 'open' LIMIT 200")
    if rows:
        print(f"{len(rows)} dead letters were put back")  # noqa: T201
        ids = [str(row.id) for row in rows]
        done(pipeline, "dead", "retry", *ids, "--reason", "its workers were killed")


def people_give_up(pipeline: Installation) -> None:
    """A day later two people see that a 500 which Stripe remembers has paid nobody, and let it be sent anew."""
    rows = pipeline.rows("SELECT id FROM payouts WHERE state = 'unknown' AND frozen_reason IS NULL")
    print(f"{len(rows)} payouts were left to people")  # noqa: T201
    owner = create_engine(pipeline.endpoints().owner_url)
    age_everything(owner, hours=24)
    owner.dispose()
    for row in rows:
        unless_asked(pipeline, propose_abandon, row.id)
        unless_asked(pipeline, agree_abandon, row.id)


def unless_asked(pipeline: Installation, act: Callable[[Tx, int], None], payout_id: int) -> None:
    """Nobody gives up what a worker asks about at this moment: they come back a little later."""
    until = time.monotonic() + LEASE.total_seconds() + 30
    while True:
        try:
            with transaction(pipeline.engine()) as tx:
                return act(tx, payout_id)
        except NotAbandonable as refused:
            if BEING_ASKED not in str(refused) or time.monotonic() > until:
                raise
        time.sleep(0.2)


def propose_abandon(tx: Tx, payout_id: int) -> None:
    service.propose_abandon(
        tx, payout_id, evidence="no transfer in the books", actor=Actor("person", "ann")
    )


def agree_abandon(tx: Tx, payout_id: int) -> None:
    service.agree_abandon(tx, payout_id, actor=Actor("person", "bob"))
    service.retry(tx, payout_id)


def retry_what_banks_refused(pipeline: Installation, banks: BankTrade, draw: random.Random) -> None:
    failed = pipeline.rows(
        "SELECT id, run_id FROM payouts WHERE merchant_id = :m AND state IN ('failed', 'returned')",
        m=banks.merchant_id,
    )
    for row in failed:
        with transaction(pipeline.engine()) as tx:
            service.retry(tx, row.id)
    for run in sorted({row.run_id for row in failed}):
        out = pipeline.folder / f"again-{run}"
        done(pipeline, "payouts", "export", banks.key, str(run), "--out", str(out))
        banks.bank.take(out.read_bytes(), draw, refuses=0.0)
    if failed:
        statement(pipeline, banks, draw)


def still_open(pipeline: Installation) -> list[Any]:
    """Payouts that have not ended, and for which nobody can say what they wait for."""
    return [
        (row.id, row.method, row.state, row.parked_reason, row.error_code)
        for row in facts(pipeline).values()
        if row.state not in ("paid", "reversed", "canceled")
        and not (row.state == "failed" and row.error_code and row.method != "manual")
        and row.frozen_reason is None
    ]


def at_one_moment(
    pipeline: Installation, trades: list[Trade]
) -> tuple[dict[int, Any], dict[str, Paid]]:
    """Our payouts, and what was really paid meanwhile: one that failed may just be paid by a later attempt."""
    while True:
        ours = facts(pipeline)
        books = {trade.key: trade.really_paid() for trade in trades}
        if facts(pipeline) == ours:
            return ours, books


def assert_nobody_twice_and_nobody_forgotten(pipeline: Installation, trades: list[Trade]) -> None:
    ours, books = at_one_moment(pipeline, trades)
    assert len(ours) == PAYOUTS
    states: Counter[str] = Counter()
    for trade in trades:
        mine = {id: row for id, row in ours.items() if row.merchant_id == trade.merchant_id}
        assert len(mine) == trade.payouts
        assert sum(row.amount for row in mine.values()) == sum(
            range(1_000, 1_000 + trade.payouts)
        ), "what was owed is in the payouts, to the cent"
        paid = {
            id: row.amount - row.reversed_amount
            for id, row in mine.items()
            if row.state == "paid" and row.amount > row.reversed_amount
        }
        # What was taken back before its answer was found stops for a person; it was paid once at most.
        stopped = {id for id, row in mine.items() if row.frozen_reason is not None}
        really = whole(books[trade.key])
        assert {id: net for id, net in really.items() if id not in stopped} == {
            id: net for id, net in paid.items() if id not in stopped
        }, trade.key
        for id, row in mine.items():
            assert id in stopped or row.state in ("paid", "reversed", "failed"), row
            assert row.state != "failed" or row.error_code, row
            assert id not in stopped or "reversed" in row.frozen_reason, row
            states[f"{trade.method} {'stopped' if id in stopped else row.state}"] += 1
    print(dict(sorted(states.items())))  # noqa: T201
    with snapshot(pipeline.engine()) as tx:
        assert broken_invariants(tx) == []


def tell_recovery(reaper: Reaper, hurry: Hurry) -> None:
    print(f"{reaper.kills} processes were killed; longest queues {dict(hurry.longest)}")  # noqa: T201
    for what, seconds in (
        ("what a killed process held was taken up again", reaper.back),
        (
            "a payout whose answer was lost was settled (waits shortened to 1 s where a queue is idle)",
            hurry.found,
        ),
    ):
        if len(seconds) > 1:
            cuts = quantiles(seconds, n=100, method="inclusive")
            print(f"{what}: p50 {cuts[49]:.1f} s, p99 {cuts[98]:.1f} s of {len(seconds)}")  # noqa: T201
