"""The kill switch: nothing is sent while it is in force, nothing is lost, and what waited goes on after."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import AlreadyStopped, NotStopped
from domain.payouts.rules import Leave
from domain.payouts.service import Attempt, Resolution, stopping
from tests.domain.payouts import house
from tests.domain.payouts.house import PAPER, POOR, SILENCE, assert_whole, one_payout
from tests.domain.waiting import PATIENCE, until_one_waits_for

ANN = Actor("person", "ann")


def stop(engine: Engine, **reach: object) -> None:
    with transaction(engine) as tx:
        stopping.stop(tx, actor=ANN, reason="wrong amounts", **reach)  # type: ignore[arg-type]


def lift(engine: Engine) -> int:
    with transaction(engine) as tx:
        return stopping.lift(tx, actor=ANN)[1]


def try_to_begin(engine: Engine, payout_id: int) -> Attempt | Leave:
    with transaction(engine) as tx:
        return service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)


def sweep(engine: Engine) -> int:
    with transaction(engine) as tx:
        return service.sweep_stuck(tx)


def let_looks_be_due(engine: Engine) -> None:
    house.execute(engine, "UPDATE payouts SET look_at = now() WHERE look_at IS NOT NULL")


def test_a_stopped_payout_waits_and_says_who_stopped_it_and_why(engine: Engine) -> None:
    payout_id = one_payout(engine)
    stop(engine)
    assert try_to_begin(engine, payout_id) == Leave("stopped")
    [(state, reason, looked_at)] = house.rows(
        engine, "SELECT state, parked_reason, look_at > now() FROM payouts"
    )
    assert (state, looked_at) == ("approved", True)
    assert reason.startswith("stopped by ann: wrong amounts")
    assert_whole(engine)


def test_the_sweep_asks_for_nothing_that_is_stopped_and_at_once_when_it_is_lifted(
    engine: Engine,
) -> None:
    payout_id = one_payout(engine)
    stop(engine)
    assert try_to_begin(engine, payout_id) == Leave("stopped")
    let_looks_be_due(engine)
    assert sweep(engine) == 0
    house.execute(engine, "UPDATE payouts SET look_at = now() + interval '1 hour'")
    assert lift(engine) == 1
    assert sweep(engine) == 1
    assert isinstance(try_to_begin(engine, payout_id), Attempt)


def test_a_failed_payout_that_heals_is_tried_again_after_the_stop(engine: Engine) -> None:
    payout_id = one_payout(engine)
    house.record(engine, house.begin(engine, payout_id), POOR)
    house.execute(engine, "UPDATE payouts SET next_try_at = now()")
    stop(engine)
    assert try_to_begin(engine, payout_id) == Leave("stopped")
    assert house.rows(engine, "SELECT state, error_code FROM payouts") == [
        ("failed", "balance_insufficient")
    ]
    lift(engine)
    acme = house.scalar(engine, "SELECT merchant_id FROM payouts")
    with transaction(engine) as tx:
        service.resume_parked(tx, acme, "usd")
    begun = try_to_begin(engine, payout_id)
    assert isinstance(begun, Attempt)
    assert begun.key.endswith("/2")


def test_an_attempt_that_was_turned_away_waits_under_its_key(engine: Engine) -> None:
    payout_id = one_payout(engine)
    first = house.begin(engine, payout_id)
    house.record(engine, first, house.BUSY)
    house.execute(engine, "UPDATE payouts SET next_try_at = now()")
    stop(engine)
    assert try_to_begin(engine, payout_id) == Leave("stopped")
    let_looks_be_due(engine)
    assert sweep(engine) == 0
    lift(engine)
    again = try_to_begin(engine, payout_id)
    assert isinstance(again, Attempt)
    assert again.key == first.key


def test_while_stopped_an_unknown_is_looked_up_never_sent_and_stays_unknown(
    engine: Engine,
) -> None:
    payout_id = one_payout(engine)
    attempt = house.begin(engine, payout_id)
    house.record(engine, attempt, SILENCE)
    stop(engine)
    let_looks_be_due(engine)
    assert sweep(engine) == 1, "what may have been paid is still asked about"
    with transaction(engine) as tx:
        held = service.begin_resolution(tx, attempt.attempt_id, PAPER.account)
    assert isinstance(held, Resolution)
    assert (held.may_replay, held.final) == (False, False)
    with transaction(engine) as tx:
        service.record_found(tx, held.attempt, [], final=held.final)
    [(state, reason, looked_at)] = house.rows(
        engine, "SELECT state, parked_reason, look_at > now() FROM payouts"
    )
    assert (state, looked_at) == ("unknown", True)
    assert reason.startswith("stopped by ann")
    assert lift(engine) == 1
    with transaction(engine) as tx:
        again = service.begin_resolution(tx, attempt.attempt_id, PAPER.account)
    assert isinstance(again, Resolution)
    assert again.may_replay
    assert_whole(engine)


def test_a_stop_commits_only_after_the_sends_that_did_not_see_it(engine: Engine) -> None:
    payout_id = one_payout(engine)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            begun = service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)
            assert isinstance(begun, Attempt)
            stopped = pool.submit(stop, engine)
            until_one_waits_for(engine, tx)
        stopped.result(PATIENCE)
    assert house.rows(engine, "SELECT state FROM payout_attempts") == [("sending",)]


def test_a_send_that_comes_while_a_stop_is_written_waits_for_it_and_leaves(engine: Engine) -> None:
    payout_id = one_payout(engine)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            stopping.stop(tx, actor=ANN, reason="wrong amounts")
            begun = pool.submit(try_to_begin, engine, payout_id)
            until_one_waits_for(engine, tx)
        assert begun.result(PATIENCE) == Leave("stopped")
    assert house.rows(engine, "SELECT id FROM payout_attempts") == []


def test_a_stop_does_not_wait_for_a_backup(engine: Engine) -> None:
    payout_id = one_payout(engine)
    with engine.connect() as backup:
        # As pg_dump holds every table from its beginning to its end.
        backup.execute(text("LOCK TABLE payout_stops IN ACCESS SHARE MODE"))
        with transaction(engine) as tx:
            tx.execute(text("SET LOCAL lock_timeout = '2s'"))
            stopping.stop(tx, actor=ANN, reason="wrong amounts")
    assert try_to_begin(engine, payout_id) == Leave("stopped")


def test_a_stop_names_its_reason_once_and_is_lifted_by_its_own_reach(engine: Engine) -> None:
    stop(engine)
    with pytest.raises(AlreadyStopped):
        stop(engine)
    stop(engine, method="stripe")
    with pytest.raises(NotStopped), transaction(engine) as tx:
        stopping.lift(tx, actor=ANN, method="wise")
    with pytest.raises(Invalid), transaction(engine) as tx:
        stopping.stop(tx, actor=ANN, reason=" ")
    with pytest.raises(Invalid):
        stop(engine, method="paypal")
    assert lift(engine) == 0
    assert house.rows(engine, "SELECT action FROM audit_entries ORDER BY id") == [
        ("payouts.stopped",),
        ("payouts.stopped",),
        ("payouts.resumed",),
    ]
