"""A destination that changes later is looked at again: what is not yet paid is held once, and nothing is let go."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.inbox import service as inbox
from domain.payouts import service as payouts
from domain.payouts.rules.recipients import parse_recipient
from domain.payouts.service import PayeeUpdate, RunResult, RunSpec
from domain.payouts.store import destinations
from domain.referrals import hold_store, holds
from domain.referrals.rules.holds import HoldPolicy
from domain.secrets import SecretBox, new_key
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    PATIENCE,
    PERCENTAGE,
    assert_whole,
    code,
    conversion,
    event,
    merchant,
    open_shop,
    program,
    read,
    rows,
    said,
    scalar,
    send,
    wait_until_blocked,
)
from workers import looking_again
from workers import payouts as workers_payouts
from workers.context import Runtime


def look_again(engine: Any, merchant_id: int | None = None) -> dict[str, int]:
    return looking_again.look_again(engine, merchant_id)


MIA = Actor("person", "mia")
HELD = "SELECT user_id, kind FROM earnings WHERE hold_reason = 'shared_destination' ORDER BY id"
LOOKS = "SELECT count(*) FROM destination_looks"


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


def shop(db: Any, **terms: Any) -> int:
    """A shop that looks at destinations; ada and ben are paid to accounts of their own."""
    acme = open_shop(db, PERCENTAGE, **terms)
    with transaction(db) as tx:
        holds.set_policy(tx, acme, None, HoldPolicy(shared_destination=True), actor=MIA)
    move(db, acme, "ada", "acct_a")
    move(db, acme, "ben", "acct_b")
    return acme


def move(db: Any, acme: int, user: str, account: str | None, at: datetime = JUNE) -> None:
    with transaction(db) as tx:
        payouts.put_payees(tx, [PayeeUpdate(acme, user, "stripe", at, account)])


def open_holds(db: Any, acme: int) -> list[Any]:
    with transaction(db) as tx:
        return holds.listing(tx, acme, limit=100)


@pytest.mark.parametrize("who", ["ada", "ben"])
def test_who_changes_to_the_others_account_has_what_is_unpaid_held(db: Any, who: str) -> None:
    acme = shop(db, referee_rule={"amount": 50})
    send(db, conversion("o1"), conversion("o2"), conversion("o3", "cyd"))
    look_again(db)
    assert rows(db, HELD) == []
    move(db, acme, who, "acct_b" if who == "ada" else "acct_a", JUNE + DAY)
    assert look_again(db)["held"] == 2
    assert rows(db, HELD) == [("ada", "reward"), ("ben", "referee_reward")] * 2
    hold = open_holds(db, acme)[0]
    assert hold.kind == "shared_destination"
    assert datetime.fromisoformat(hold.evidence.pop("at"))
    assert hold.evidence == {
        "referrer": "ada",
        "referred": "ben",
        "found": "after a destination changed",
    }
    assert_whole(db)


def test_an_event_of_the_payee_is_a_change_as_well(db: Any) -> None:
    shop(db)
    send(db, conversion("o1"))
    said_so = event(
        "payee.updated", "p1", JUNE + DAY, user_id="ben", method="stripe", account="acct_a"
    )
    assert said(send(db, said_so)) == ["applied"]
    assert look_again(db)["held"] == 1


def test_the_same_bank_account_under_two_references_is_one_destination(db: Any) -> None:
    acme = shop(db)
    send(db, conversion("o1"))
    box = SecretBox([new_key()])
    bank = parse_recipient('{"type": "iban", "name": "A. B.", "iban": "DE89370400440532013000"}')
    for user in ("ada", "ben"):
        with transaction(db) as tx:
            payouts.set_recipient(tx, acme, user, bank, at=JUNE + DAY, box=box, actor=MIA)
    assert scalar(db, "SELECT count(DISTINCT account) FROM payees") == 2
    assert look_again(db)["held"] == 1
    move(db, acme, "ada", "acct_a", JUNE + 2 * DAY)
    send(db, conversion("o2"))
    assert rows(db, HELD) == [("ada", "reward")], "by what is paid now, not by what was stored once"


def test_a_program_that_does_not_look_at_destinations_holds_nothing(db: Any) -> None:
    acme = shop(db)
    with transaction(db) as tx:
        program(tx, acme, PERCENTAGE, "other")
        code(tx, acme, "ADA-02", "ada", "other")
        holds.set_policy(tx, acme, "other", HoldPolicy(shared_destination=False), actor=MIA)
    send(db, conversion("o1", by="ADA-02"), conversion("o2"))
    move(db, acme, "ben", "acct_a")
    assert look_again(db)["held"] == 1


def test_what_a_person_released_is_not_held_again(db: Any) -> None:
    acme = shop(db)
    send(db, conversion("o1"))
    move(db, acme, "ben", "acct_a")
    look_again(db)
    [hold] = open_holds(db, acme)
    with transaction(db) as tx:
        holds.release(tx, acme, hold.id, actor=MIA, reason="a family")
    for account in ("acct_c", "acct_a"):
        move(db, acme, "ben", account)
        assert look_again(db)["held"] == 0
    assert (open_holds(db, acme), rows(db, HELD)) == ([], [])


def test_an_account_that_parts_again_releases_nothing(db: Any) -> None:
    acme = shop(db)
    send(db, conversion("o1"))
    move(db, acme, "ben", "acct_a")
    look_again(db)
    move(db, acme, "ben", "acct_b")
    look_again(db)
    assert rows(db, HELD) == [("ada", "reward")]


def test_another_merchants_payees_are_nobody_to_compare_with(db: Any) -> None:
    acme = shop(db)
    send(db, conversion("o1"))
    with transaction(db) as tx:
        globex = merchant(tx, "globex")
    move(db, globex, "ben", "acct_a")
    assert look_again(db, acme)["held"] == 0


def test_what_a_run_has_claimed_is_left_to_it_and_a_run_looks_first(engine: Engine) -> None:
    acme = shop(engine)
    send(engine, conversion("o1"))
    payouts.build_run(engine, RunSpec(acme, "first", JUNE + DAY))
    send(engine, conversion("o2"))
    move(engine, acme, "ben", "acct_a")
    assert look_again(engine)["held"] == 1
    assert rows(
        engine,
        "SELECT t.transaction_id, e.payout_id IS NOT NULL, e.held_at IS NOT NULL FROM trackings t"
        " JOIN earnings e ON e.source_id = t.id AND e.source_kind = 'tracking' ORDER BY 1",
    ) == [("o1", True, False), ("o2", False, True)]
    assert_whole(engine)


def test_a_conversion_that_was_decided_by_the_account_of_before_is_found_by_the_last_look(
    engine: Engine,
) -> None:
    acme = shop(engine)
    for _ in range(2):
        look_again(engine)
    with engine.begin() as batch:
        inbox.apply(batch, read(conversion("o1")))
        move(engine, acme, "ben", "acct_a")
        assert look_again(engine) == {"looked": 1, "held": 0}
        assert look_again(engine) == {"looked": 0, "held": 0}, "it waits for the batch"
        assert scalar(engine, LOOKS) == 1
    assert look_again(engine) == {"looked": 1, "held": 1}
    assert scalar(engine, LOOKS) == 0
    assert rows(engine, HELD) == [("ada", "reward")]


def test_looks_beside_each_other_and_beside_a_run_hold_once_and_nothing_claimed(
    engine: Engine,
) -> None:
    acme = shop(engine)
    send(engine, *[conversion(f"o{i}") for i in range(12)])
    move(engine, acme, "ben", "acct_a")
    with ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look_again, engine) for _ in range(3)]
        building = pool.submit(payouts.build_run, engine, RunSpec(acme, "first", JUNE + DAY))
        for one in looking:
            one.result(PATIENCE)
        building.result(PATIENCE)
    assert (
        scalar(
            engine,
            "SELECT count(*) FROM earnings WHERE held_at IS NOT NULL AND payout_id IS NOT NULL",
        )
        == 0
    )
    held = scalar(engine, "SELECT count(*) FROM tracking_holds")
    assert held in (0, 12), "the payable account is one, and is taken whole"
    assert_whole(engine)


@pytest.mark.parametrize("who", ["ada", "ben"])
def test_a_run_that_is_being_built_when_a_destination_changes_claims_nothing_of_the_two(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setattr("domain.payouts.service.building.ONE_BUSY_SECONDS", PATIENCE)
    acme = shop(engine)
    send(engine, conversion("o1"))
    looking_again.look_before_run(engine, acme)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as other:
            other.execute(text("SELECT FROM ledger_accounts WHERE owner = 'ada' FOR NO KEY UPDATE"))
            building = pool.submit(payouts.build_run, engine, RunSpec(acme, "first", JUNE + DAY))
            wait_until_blocked(engine)
            move(engine, acme, who, "acct_b" if who == "ada" else "acct_a")
        run = building.result(PATIENCE)
    assert (run.created, run.reasons) == (0, {"shared_destination": 1})
    looking_again.look_before_run(engine, acme)
    assert rows(engine, HELD) == [("ada", "reward")]
    [hold] = open_holds(engine, acme)
    with transaction(engine) as tx:
        holds.release(tx, acme, hold.id, actor=MIA, reason="a family")
    assert payouts.build_run(engine, RunSpec(acme, "second", JUNE + DAY)).created == 1
    assert_whole(engine)


def test_a_change_that_cannot_be_settled_while_a_backup_runs_keeps_nobody_from_being_paid_for_long(
    engine: Engine,
) -> None:
    acme = shop(engine)
    send(engine, conversion("o1", "cyd"))
    with engine.begin() as backup:
        backup.execute(text("SELECT pg_current_xact_id()"))
        move(engine, acme, "ben", "acct_a")
        looking_again.look_before_run(engine, acme)
        first = payouts.build_run(engine, RunSpec(acme, "first", JUNE + DAY))
        assert first.reasons == {"shared_destination": 1}
        with transaction(engine) as tx:
            tx.execute(
                text("UPDATE destination_looks SET changed_at = changed_at - interval '11 minutes'")
            )
        second = payouts.build_run(engine, RunSpec(acme, "second", JUNE + DAY))
        assert second.created == 1


@pytest.mark.parametrize(
    ("merchants", "programs", "left_out"),
    [(None, None, 0), (False, None, 0), (False, False, 0), (True, False, 2), (False, True, 2)],
)
def test_who_shares_a_new_destination_is_left_out_only_where_a_policy_looks_at_it(
    db: Any, merchants: bool | None, programs: bool | None, left_out: int
) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        for key, looks in ((None, merchants), ("refer", programs)):
            if looks is not None:
                holds.set_policy(tx, acme, key, HoldPolicy(shared_destination=looks), actor=MIA)
    for user in ("ada", "eve"):
        move(db, acme, user, "acct_a")
    with transaction(db) as tx:
        assert len(destinations.unlooked(tx, acme, ["ada", "eve"])) == left_out


def by_a_fire(rt: Runtime, acme: int) -> RunResult:
    return workers_payouts.build(rt, acme, "first", JUNE + DAY)


def by_the_api_or_the_dashboard(rt: Runtime, acme: int) -> RunResult:
    with transaction(rt.engine) as tx:
        asked = payouts.prepare(
            tx,
            acme,
            name="first",
            as_of=JUNE + DAY,
            minimums={},
            methods=("stripe",),
            actor=MIA,
        )
    return workers_payouts.finish_run(rt, asked.run_id)


@pytest.mark.parametrize("build", [by_a_fire, by_the_api_or_the_dashboard])
def test_whoever_asks_for_a_run_it_looks_before_it_claims(
    engine: Engine, build: Callable[[Runtime, int], RunResult]
) -> None:
    acme = shop(engine)
    send(engine, conversion("o1"))
    move(engine, acme, "ben", "acct_a")
    rt = cast(Runtime, SimpleNamespace(engine=engine, pace=SimpleNamespace(rate=0.0)))
    assert build(rt, acme).reasons == {"on_hold": 1}
    assert rows(engine, HELD) == [("ada", "reward")]
    assert_whole(engine)


def test_a_look_waits_for_the_events_of_a_transaction(engine: Engine) -> None:
    acme = shop(engine)
    send(engine, conversion("o1"))
    move(engine, acme, "ben", "acct_a")
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as batch:
            hold_store.lock_correlation(batch, acme, 0, "o1")
            looking = pool.submit(look_again, engine)
            wait_until_blocked(engine)
        assert looking.result(PATIENCE)["held"] == 1


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.sampled_from(["ada-a", "ada-b", "ben-a", "ben-b", "buy", "look", "release"]), max_size=14
    )
)
def test_whatever_happens_what_is_shared_and_unpaid_is_held_once(tx: Tx, steps: list[str]) -> None:
    db: Any = Rolled(tx)
    with db.scratch():
        acme = shop(db)
        at, released = {"ada": "a", "ben": "b"}, 0
        for number, step in enumerate([*steps, "look"]):
            if step == "buy":
                send(db, conversion(f"o{number}"))
            elif step == "look":
                look_again(db)
                if at["ada"] == at["ben"]:
                    assert (
                        scalar(db, "SELECT count(*) FROM earnings WHERE held_at IS NULL")
                        == released
                    )
            elif step == "release":
                for hold in open_holds(db, acme)[:1]:
                    with transaction(db) as inner:
                        holds.release(inner, acme, hold.id, actor=MIA, reason="looked at it")
                    released += 1
            else:
                user, account = step.split("-")
                at[user] = account
                move(db, acme, user, f"acct_{account}")
        assert scalar(
            db, "SELECT count(*) FROM tracking_holds WHERE kind = 'shared_destination'"
        ) == scalar(db, "SELECT count(DISTINCT tracking_id) FROM tracking_holds")
        assert_whole(db)
