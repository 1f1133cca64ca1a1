"""Hard limits: what is claimed stays within them, whoever builds; the rest stays owed, and says why."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.errors import RestrictViolation
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain import clock
from domain.db import transaction
from domain.earnings import service as earnings
from domain.payouts import service
from domain.payouts.rules import Pay, Skip
from domain.payouts.rules.approving import Limits
from domain.payouts.rules.limits import Room
from domain.payouts.service import RunSpec
from domain.payouts.service.claiming import claim_shard
from domain.payouts.store import policies
from tests.domain.payouts import house
from tests.domain.payouts.house import JUNE, assert_whole
from tests.domain.payouts.test_races import together

USERS = ("ada", "bob", "cyd", "dan", "eve")
PAID = "SELECT user_id, amount FROM payouts WHERE run_id = :run AND state <> 'canceled' ORDER BY id"
LEFT = (
    "SELECT user_id, reason, detail FROM payout_exclusions WHERE run_id = :run ORDER BY account_id"
)
_merchants = count(1)


def merchant(engine: Engine, *amounts: int, **limits: int) -> int:
    """A merchant with a policy of dollars who owes each user an amount."""
    with transaction(engine) as tx:
        made = house.merchant(tx, f"m{next(_merchants)}")
        policies.put(tx, made, "never", 72)
        policies.put_limits(tx, made, "usd", Limits(**limits))
        for user in USERS:
            house.payee(tx, made, user, f"acct_{user}")
        for user, amount in zip(USERS, amounts, strict=False):
            house.earn(tx, made, amount, user)
    return made


def run(engine: Engine, acme: int, name: str = "run", **more: Any) -> tuple[Any, Any]:
    """Build a run; whom it paid what, and whom it left out and why."""
    made = house.run(engine, acme, name, **more).run_id
    return house.rows(engine, PAID, run=made), house.rows(engine, LEFT, run=made)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.payouts.service.claiming.SHARD", 2)


@pytest.mark.parametrize(
    ("limits", "paid", "why"),
    [
        ({"max_payout": 500}, "ada bob", "501 is above the 500 of one payout"),
        ({"max_payee_day": 500}, "ada bob", "501 is above the 500 of a payee on"),
        (
            {"max_run": 1_100},
            "ada bob",
            "501 is above the 100 that are left of the 1100 of one run",
        ),
        ({"max_day": 1_100}, "ada bob", "501 is above the 100 that are left of the 1100 of all"),
        ({"max_run": 1_001}, "ada cyd", "500 is above the 499 that are left"),
    ],
)
def test_whoever_does_not_fit_is_carried_over_whole_and_told_which_limit_and_what_was_left(
    engine: Engine, limits: dict[str, int], paid: str, why: str
) -> None:
    # By ascending account: who comes later and fits is paid.
    amounts = (502, 500, 499) if paid == "ada cyd" else (500, 500, 501)
    acme = merchant(engine, *amounts, **limits)
    paid_to, left = run(engine, acme)
    assert [user for user, _ in paid_to] == paid.split()
    [(_, reason, detail)] = left
    assert reason == "over_limit"
    assert why in detail
    assert_whole(engine)
    # Nothing was split, and nothing is lost: without the limit the next run pays it.
    with transaction(engine) as tx:
        policies.put_limits(tx, acme, "usd", Limits())
    [(_, amount)], _ = run(engine, acme, "next")
    assert amount == int(why.split()[0])


def test_no_limit_is_the_default_and_another_currency_has_limits_of_its_own(engine: Engine) -> None:
    acme = merchant(engine, 900, max_payout=100)
    with transaction(engine) as tx:
        house.earn(tx, acme, 2**40, "ada", currency="jpy", method="manual")
        house.payee(tx, acme, "max", "iban", method="manual")
        house.earn(tx, acme, 2**63 - 1, "max", currency="eur")
        house.earn(tx, acme, 2**63 - 1, "max", currency="chf")
    made = house.run(engine, acme, methods=("stripe", "manual"))
    assert made.reasons == {"over_limit": 1, "other_method": 1}
    assert made.created == 2
    assert_whole(engine)


def test_a_day_s_limits_are_of_all_its_runs_and_of_no_other_day(engine: Engine) -> None:
    acme = merchant(engine, 300, 300, max_payee_day=400, max_day=700)
    assert run(engine, acme, "1") == ([("ada", 300), ("bob", 300)], [])
    with transaction(engine) as tx:
        day = service.limit_day(tx)
        for user in ("ada", "cyd"):
            house.earn(tx, acme, 101, user)
    paid, left = run(engine, acme, "2")
    assert paid == []
    assert [detail for _, _, detail in left] == [
        f"101 is above the 100 that are left of the 400 of a payee on {day}",
        f"101 is above the 100 that are left of the 700 of all payouts on {day}",
    ]
    with transaction(engine) as tx:
        clock.simulate(tx, datetime.now(UTC) + timedelta(days=1), sandbox=True)
    assert run(engine, acme, "3") == ([("ada", 101), ("cyd", 101)], [])
    assert_whole(engine)


def test_a_run_of_another_time_counts_for_the_day_on_which_it_is_opened(engine: Engine) -> None:
    acme = merchant(engine, 300, 300, max_day=300)
    assert len(run(engine, acme, "late")[0]) == 1
    early = RunSpec(acme, "early", JUNE + timedelta(hours=1))
    assert service.build_run(engine, early).reasons == {"over_limit": 1}


def test_what_is_canceled_gives_its_use_back_and_what_is_paid_or_failed_does_not(
    engine: Engine,
) -> None:
    acme = merchant(engine, 400, 300, max_day=700, max_payee_day=400)
    run(engine, acme, "1")
    first = house.scalar(engine, "SELECT min(id) FROM payouts")
    house.record(engine, house.begin(engine, first + 1), house.CLOSED)
    with transaction(engine) as tx:
        service.cancel(tx, first, reason="not her")
        house.earn(tx, acme, 1, "bob")
        house.earn(tx, acme, 1, "cyd")
    paid, left = run(engine, acme, "2")
    assert paid == [("ada", 400)]
    assert [(user, reason) for user, reason, _ in left] == [
        ("bob", "over_limit"),
        ("cyd", "over_limit"),
    ]
    assert_whole(engine)


@pytest.mark.parametrize(
    ("asked", "policy", "smallest"),
    [(100, 500, 500), (500, 100, 500), (0, 500, 500), (500, None, 500)],
)
def test_the_minimum_is_the_larger_of_the_policy_s_and_what_is_asked_for(
    engine: Engine, asked: int, policy: int | None, smallest: int
) -> None:
    acme = merchant(engine, 499, 500, **({} if policy is None else {"minimum": policy}))
    paid, left = run(engine, acme, minimums={"usd": asked})
    assert paid == [("bob", 500)]
    assert left == [("ada", "below_minimum", f"499 of at least {smallest}")]


def test_a_run_keeps_the_limits_that_it_was_opened_with(engine: Engine) -> None:
    acme = merchant(engine, 300, 300, max_payout=300, minimum=300)
    with transaction(engine) as tx:
        run_id = service.open_run(tx, RunSpec(acme, "run", JUNE))
        policies.put_limits(tx, acme, "usd", Limits(max_payout=1))
    assert service.finish_run(engine, run_id).created == 2


def test_two_people_who_change_a_policy_at_once_do_not_undo_each_other(engine: Engine) -> None:
    acme = merchant(engine)

    def change(**limits: int) -> None:
        with transaction(engine) as tx:
            policies.lock(tx, acme)
            before = policies.of(tx, acme).limits["usd"]
            time.sleep(0.05)
            policies.put_limits(tx, acme, "usd", replace(before, **limits))

    together(lambda: change(max_day=5), lambda: change(max_run=7))
    with transaction(engine) as tx:
        assert policies.of(tx, acme).limits["usd"] == Limits(max_day=5, max_run=7)


def test_a_minimum_above_the_largest_payout_cannot_be_set(engine: Engine) -> None:
    with pytest.raises(IntegrityError, match="ck_payout_limits_minimum"):
        merchant(engine, minimum=2, max_payout=1)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_payout": 299}, "of a payout"),
        ({"max_run": 599}, "of a run"),
        ({"max_day": 599}, "of a day"),
        ({"max_payee_day": 299}, "of a payee and day"),
    ],
)
def test_the_database_refuses_a_payout_above_a_limit_whatever_the_code_decides(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int], said: str
) -> None:
    acme = merchant(engine, 300, 300, **limits)
    monkeypatch.setattr(Room, "admit", lambda _self, _account, _currency, decision: decision)
    with pytest.raises(RestrictViolation, match=said):
        run(engine, acme)
    assert house.scalar(engine, "SELECT count(*) FROM payouts") == 0


def test_what_is_counted_and_its_day_cannot_be_moved_by_whoever_runs_payspool(
    engine: Engine,
) -> None:
    acme = merchant(engine, 300)
    run(engine, acme)
    with pytest.raises(IntegrityError, match="never changes"):
        house.execute(engine, "UPDATE payout_runs SET limit_day = limit_day - 1")
    house.execute(engine, "UPDATE payout_run_totals SET amount = 299")
    with transaction(engine) as tx:
        assert service.check_invariants(tx) == ["run 1 counts 299 usd, its payouts sum to 300"]


@pytest.mark.usefixtures("small_shards")
def test_runs_that_are_built_at_once_share_the_limits_of_the_day(engine: Engine) -> None:
    acme = merchant(engine, max_day=1_000, max_payee_day=1_000)
    users = [f"u{n:02}" for n in range(24)]
    with transaction(engine) as tx:
        for user in users:
            house.payee(tx, acme, user, f"acct_{user}")
        earnings.record(tx, [house.earning(acme, 90, user) for user in users])
    together(*(lambda n=n: house.run(engine, acme, f"run {n % 2}") for n in range(4)))
    amounts = house.rows(engine, "SELECT sum(amount), count(DISTINCT user_id) FROM payouts")
    assert amounts == [(990, 11)], "as many as fit, and each once"
    assert_whole(engine)


def test_a_builder_waits_for_what_another_run_claims_of_the_day(engine: Engine) -> None:
    acme = merchant(engine, 600, 500, 400, max_day=1_000)
    with transaction(engine) as tx:
        first = service.open_run(tx, RunSpec(acme, "first", JUNE))
    hold = "SELECT FROM ledger_accounts WHERE owner IN ('bob', 'cyd') FOR NO KEY UPDATE"
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            with transaction(engine) as holder:
                holder.execute(text(hold))
                claim_shard(tx, first)
            # It has claimed Ada's 600, not committed yet; Bob and Cyd are free for another run.
            second = pool.submit(house.run, engine, acme, "second")
            wait_until_blocked(engine)
        made = second.result(30)
    assert made.by_currency == {"usd": {"payouts": 1, "amount": 400}}
    assert made.reasons == {"over_limit": 1}
    assert_whole(engine)


def wait_until_blocked(engine: Engine) -> None:
    """Until some transaction waits for a lock."""
    blocked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(500):
        if house.scalar(engine, blocked):
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


@pytest.mark.usefixtures("small_shards")
def test_builders_of_one_run_share_its_limit(engine: Engine) -> None:
    acme = merchant(engine, max_run=1_000)
    users = [f"u{n:02}" for n in range(24)]
    with transaction(engine) as tx:
        for user in users:
            house.payee(tx, acme, user, f"acct_{user}")
        earnings.record(tx, [house.earning(acme, 90, user) for user in users])
    made = together(*(lambda: house.run(engine, acme) for _ in range(3)))
    assert [one.created for one in made] == [11, 11, 11]
    assert [u for (u,) in house.rows(engine, "SELECT user_id FROM payouts ORDER BY id")] == users[
        :11
    ]
    assert_whole(engine)


def test_a_cancellation_beside_a_build_gives_back_what_was_counted(engine: Engine) -> None:
    acme = merchant(engine, 100, 100, 100, max_day=10_000)
    run(engine, acme, "1")
    first = house.scalar(engine, "SELECT min(id) FROM payouts")

    def cancel(payout_id: int) -> None:
        with transaction(engine) as tx:
            service.cancel(tx, payout_id, reason="not now")

    together(
        lambda: cancel(first),
        lambda: cancel(first + 1),
        lambda: house.run(engine, acme, "2"),
        lambda: house.run(engine, acme, "3"),
    )
    assert_whole(engine)


AMOUNTS = st.one_of(st.none(), st.integers(0, 600))
LIMITS = st.builds(
    lambda largest, payee_day, day, run: Limits(
        max_payout=largest, max_payee_day=payee_day, max_day=day, max_run=run
    ),
    *([AMOUNTS] * 2),
    st.one_of(st.none(), st.integers(0, 1_500)),
    st.one_of(st.none(), st.integers(0, 1_500)),
)
OWED = st.lists(
    st.tuples(
        st.sampled_from(USERS), st.sampled_from(("usd", "kwd")), st.integers(-100, 500).filter(bool)
    ),
    max_size=12,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(first=OWED, second=OWED, usd=LIMITS, kwd=LIMITS, minimum=st.integers(0, 50))
@pytest.mark.usefixtures("small_shards")
def test_a_preview_says_what_the_run_then_does_and_nothing_exceeds_a_limit(
    engine: Engine,
    first: list[tuple[str, str, int]],
    second: list[tuple[str, str, int]],
    usd: Limits,
    kwd: Limits,
    minimum: int,
) -> None:
    acme = merchant(engine)
    with transaction(engine) as tx:
        policies.put_limits(tx, acme, "usd", usd)
        policies.put_limits(tx, acme, "kwd", kwd)
    for name, owed in (("first", first), ("second", second)):
        with transaction(engine) as tx:
            earnings.record(
                tx, [house.earning(acme, amount, u, currency=c) for u, c, amount in owed]
            )
        spec = RunSpec(
            acme, name, JUNE + timedelta(days=name == "second"), {"usd": minimum, "kwd": minimum}
        )
        with transaction(engine) as tx:
            foreseen = [(x.account_id, x.decision) for x in service.preview(tx, spec)]
        made = service.build_run(engine, spec)
        assert done(engine, made.run_id) == [
            (account, decision.amount, "")
            if isinstance(decision, Pay)
            else (account, decision.reason, decision.detail)
            for account, decision in foreseen
            if isinstance(decision, Pay | Skip)
        ]
    for currency, limits in (("usd", usd), ("kwd", kwd)):
        [(largest, of_run, of_payee, of_day)] = house.rows(engine, SUMS, m=acme, c=currency)
        for used, limit in (
            (largest, limits.max_payout),
            (of_run, limits.max_run),
            (of_payee, limits.max_payee_day),
            (of_day, limits.max_day),
        ):
            assert limit is None or used <= limit
    assert_whole(engine)


SUMS = """
    SELECT coalesce(max(amount), 0),
           coalesce((SELECT max(s) FROM (SELECT sum(amount) s FROM payouts WHERE merchant_id = :m
                                         AND currency = :c GROUP BY run_id) r), 0),
           coalesce((SELECT max(s) FROM (SELECT sum(amount) s FROM payouts WHERE merchant_id = :m
                                         AND currency = :c GROUP BY user_id) r), 0),
           coalesce(sum(amount), 0)
    FROM payouts WHERE merchant_id = :m AND currency = :c
"""


def done(engine: Engine, run_id: int) -> list[tuple[Any, ...]]:
    """What a run did with each account, in order: an amount, or a reason and its detail."""
    with transaction(engine) as tx:
        rows = tx.execute(
            text(
                """
                SELECT account_id, amount, NULL AS reason, '' AS detail FROM payouts WHERE run_id = :run
                UNION ALL
                SELECT account_id, amount, reason, detail FROM payout_exclusions WHERE run_id = :run
                ORDER BY account_id
                """
            ),
            {"run": run_id},
        )
        return [(r.account_id, r.reason or r.amount, r.detail) for r in rows]
