"""`payspool demo`, as a process: what it leaves equals what the independent model calculates."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import create_engine, pool, text

from domain import clock
from domain.db import snapshot
from domain.loyalty.store import views
from domain.referrals.rules.holds import SAME_EMAIL
from sandbox.books import Books
from tests.e2e.demo_facts import Facts, facts_of
from tests.e2e.installation import CHECKOUT, Installation, installed, new_folder, wait_for
from tests.oracles.cdnow import Result, calculate

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.slow]

DEMO_SECONDS = 120.0
"""`payspool demo --once` from nothing, on two cores that others use too."""
REASONS = {"below_minimum_purchase": "no_points"}
"""What the model calls otherwise: a purchase below one dollar earns no points."""


@dataclass
class Played:
    installation: Installation
    done: subprocess.CompletedProcess[str]
    seconds: float


def play(installation: Installation, **env: str) -> Played:
    began = time.monotonic()
    data = str(installation.data)
    done = installation.run("demo", "--once", "--data", data, seconds=2 * DEMO_SECONDS, **env)
    return Played(installation, done, time.monotonic() - began)


@pytest.fixture(scope="module")
def oracle() -> Result:
    return calculate(CHECKOUT / "examples" / "cdnow_purchases.csv")


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    with installed() as installation:
        yield play(installation)


@pytest.fixture(scope="module")
def facts(played: Played) -> Facts:
    return facts_of(played.installation)


@pytest.fixture
def copy(played: Played, facts: Facts) -> Iterator[Installation]:
    """An installation with what the played one left."""
    made = Installation(new_folder())
    try:
        made.data.mkdir()
        subprocess.run(
            ["cp", "-a", played.installation.data / "demo", made.data], check=True, timeout=60
        )
        yield made
    finally:
        made.close()


def assert_equal(facts: Facts, oracle: Result) -> None:
    """To the cent and the point, for every payee, card and event."""
    payees = oracle.payees
    for name in ("earned", "reversed", "carried_over"):
        ours = getattr(facts, name)
        assert {u: ours.get(u, 0) for u in payees} == {
            u: getattr(p, name) for u, p in payees.items()
        }
        assert set(ours) <= set(payees)
    assert facts.unpaid == []
    assert facts.payouts == {u: p.payouts for u, p in payees.items() if p.payouts}
    assert facts.cards == {
        c.number: (c.issued, c.redeemed, c.expired, c.booked_balance) for c in oracle.cards.values()
    }
    assert facts.applied - Counter({"payee.updated": 36}) == oracle.applied
    assert facts.rejected == oracle.rejected
    assert facts.reasons == {REASONS.get(r, r): n for r, n in oracle.reasons.items()}
    assert facts.notes["nothing_to_reverse"] == oracle.nothing_to_reverse
    assert (facts.others, facts.broken) == ([], [])
    assert facts.left_over == {"outbox": 0, "unreadable": 0, "conflicts": 0}
    assert facts.sandbox_paid_to == facts.paid_to


def test_the_demo_ends_with_0_within_two_minutes_and_leaves_no_process(played: Played) -> None:
    print(f"demo --once: {played.seconds:.1f} s")  # noqa: T201
    assert played.done.returncode == 0, played.done.stdout + played.done.stderr
    assert played.seconds < DEMO_SECONDS
    assert "every invariant holds" in played.done.stdout
    assert "books equal ours to the cent" in played.done.stdout
    assert played.installation.remains(0) == []


def test_every_payee_card_and_event_is_as_the_model_says(facts: Facts, oracle: Result) -> None:
    assert_equal(facts, oracle)


def test_a_second_shop_leaves_something_of_each_kind_for_a_person(played: Played) -> None:
    with played.installation.opened("demo") as endpoints:
        engine = create_engine(endpoints.runtime_url, poolclass=pool.NullPool)
        with snapshot(engine) as tx:
            left = dict(tx.execute(text(_LEFT_FOR_A_PERSON)).one()._mapping)
            now = clock.business_now(tx)
            forecast = views.forecast(tx, left["cdnow"], now, now + timedelta(weeks=26))
        engine.dispose()
    assert left["failed"] == [["eve", 6_000]]
    assert left["paid"] == {"ada": 1_200, "ben": 2_400, "cleo": 3_600, "dan": 4_800}
    assert left["waiting"] == {
        "ada": 1_200,
        "ben": 2_400,
        "cleo": 3_600,
        "dan": 4_800,
        "eve": 6_000,
    }
    assert left["run"] == "pending_approval"
    assert left["held"] == [SAME_EMAIL]
    assert len(left["dead"]) == 1
    assert left["dead"][0].startswith("undecodable")
    assert left["tries"] == 2, "an answer was lost, and the same key asked again"
    assert sum(row.points for row in forecast) > 0
    with Books(played.installation.data / "demo" / "sandbox") as books:
        sent = [
            t.net for t in books.transfers() if t.metadata.get("merchant") == str(left["encore"])
        ]
    assert sorted(sent) == [1_200, 2_400, 3_600, 4_800], "each was paid once"


_LEFT_FOR_A_PERSON = """
    WITH encore AS (SELECT id FROM merchants WHERE key = 'encore'),
         made AS (SELECT p.*, r.name AS run FROM payouts p JOIN payout_runs r ON r.id = p.run_id
                  WHERE p.merchant_id = (SELECT id FROM encore))
    SELECT (SELECT id FROM encore) AS encore, (SELECT id FROM merchants WHERE key = 'cdnow') AS cdnow,
           (SELECT jsonb_agg(jsonb_build_array(user_id, amount)) FROM made WHERE state = 'failed') AS failed,
           (SELECT jsonb_object_agg(user_id, amount) FROM made WHERE state = 'paid') AS paid,
           (SELECT jsonb_object_agg(user_id, amount) FROM made WHERE run = 'august') AS waiting,
           (SELECT state FROM payout_runs WHERE name = 'august') AS run,
           (SELECT jsonb_agg(kind) FROM tracking_holds WHERE outcome IS NULL) AS held,
           (SELECT jsonb_agg(reason) FROM dead_letters WHERE state = 'open') AS dead,
           (SELECT max(a.tries) FROM payout_attempts a JOIN made ON made.id = a.payout_id) AS tries
"""


def test_the_summary_tells_the_models_totals(played: Played, oracle: Result) -> None:
    def dollars(cents: int) -> str:
        return f"{cents // 100:,}.{cents % 100:02} USD"

    totals = oracle.totals
    said = [" ".join(line.split()) for line in played.done.stdout.splitlines()]
    for name in ("earned", "reversed", "paid", "carried_over"):
        title = name.replace("_", " ").capitalize()
        assert any(line.startswith(f"{title} {dollars(totals[name])}") for line in said), title
    assert any(f"in {totals['payouts']:,} payouts" in line for line in said)
    assert f"Points issued {totals['issued']:,} program music" in said
    assert f"expired {totals['expired']:,}" in said


def test_the_same_data_again_changes_nothing_and_pays_nobody(
    copy: Installation, facts: Facts, oracle: Result
) -> None:
    again = play(copy)
    print(f"the second run: {again.seconds:.1f} s")  # noqa: T201
    assert again.done.returncode == 0, again.done.stdout + again.done.stderr
    after = facts_of(copy)
    assert after == facts
    assert_equal(after, oracle)


def test_a_demo_that_is_killed_while_it_publishes_and_while_it_pays_ends_with_the_same_amounts(
    oracle: Result,
) -> None:
    with installed() as installation:
        kill_after(installation, datetime(1997, 3, 20, 9, tzinfo=UTC))
        kill_while_it_pays(installation, datetime(1997, 8, 27, tzinfo=UTC))
        last = play(installation)
        print(f"the resumed run: {last.seconds:.1f} s")  # noqa: T201
        assert last.done.returncode == 0, last.done.stdout + last.done.stderr
        assert "Found the data of an earlier run" in last.done.stdout
        assert_equal(facts_of(installation), oracle)
        assert installation.remains(0) == []


def kill_after(installation: Installation, moment: datetime) -> None:
    """Start the demo, and kill -9 it once its clock has reached ``moment``."""
    started = installation.start("demo", "--once", "--data", str(installation.data))
    wait_for_clock(installation, moment)
    installation.processes()
    started.kill()
    assert installation.remains(20) == []


def kill_while_it_pays(installation: Installation, moment: datetime) -> None:
    """Kill everything of it at once in the first payout run after ``moment``: attempts hold their leases."""
    started = installation.start("demo", "--once", "--data", str(installation.data))
    wait_for_clock(installation, moment)
    httpx.put(
        installation.instance("demo")["stripe_url"] + "/_sandbox/faults",
        json={"rules": [{"method": "POST", "path": "/v1/transfers", "fault": "slow", "ms": 1500}]},
        trust_env=False,
    ).raise_for_status()
    sending = "SELECT FROM payout_attempts WHERE state = 'sending' AND lease_until > now()"
    wait_for("it pays", lambda: installation.rows(sending, "demo"), 60)
    installation.kill_everything()
    assert started.end() == -signal.SIGKILL


def wait_for_clock(installation: Installation, moment: datetime) -> None:
    def reached() -> bool:
        # The tables are there once the file is; the clock once the story has begun.
        if not (installation.runs("demo") and installation.has_instance("demo")):
            return False
        now = installation.rows("SELECT simulated_at FROM business_clock", "demo")
        return bool(now) and now[0].simulated_at >= moment

    wait_for(f"the demo's clock is at {moment}", reached, DEMO_SECONDS)


def test_what_is_broken_on_purpose_ends_the_demo_with_1_and_is_named(copy: Installation) -> None:
    with copy.opened("demo") as endpoints:
        owner = create_engine(endpoints.owner_url, poolclass=pool.NullPool)
        with owner.begin() as tx:
            account = tx.execute(
                text(
                    "UPDATE ledger_accounts SET balance = balance + 1 WHERE id ="
                    " (SELECT min(id) FROM ledger_accounts WHERE kind = 'payable') RETURNING id, owner"
                )
            ).one()
            tx.execute(
                text(
                    "INSERT INTO inbox_events (merchant_id, source, event_id, type, received_at, content_hash,"
                    " status, reason) SELECT id, 'test', 'dead', 'conversion.recorded', now(),"
                    " sha256('x'), 'dead', 'bug' FROM merchants"
                )
            )
    again = play(copy)
    assert again.done.returncode == 1
    assert f"ledger account {account.id} ({account.owner}, usd) keeps" in again.done.stdout
    assert "1 events of type conversion.recorded are dead: bug" in again.done.stdout
    assert "every invariant holds" not in again.done.stdout
