"""The straight road ends where the careful one does, in fewer statements."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from domain.db import Tx, transaction
from domain.payouts import service
from domain.payouts.rules import Leave
from domain.payouts.rules.outside import SAID
from domain.payouts.service import Attempt
from tests.domain.payouts import house
from tests.domain.payouts.house import PAPER, SILENCE, SUCCESS, assert_whole, execute, one_payout
from tests.domain.waiting import PATIENCE, until_one_waits_for

Road = Callable[[Tx, int], Attempt | Leave]


def straight(tx: Tx, payout_id: int) -> Attempt | Leave:
    return service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)


def careful(tx: Tx, payout_id: int) -> Attempt | Leave:
    return service.begin_attempt(tx, payout_id, PAPER)


def begin_on(road: Road, engine: Engine, payout_id: int) -> Attempt | Leave:
    with transaction(engine) as tx:
        return road(tx, payout_id)


STOP = (
    "INSERT INTO payout_stops (kind, merchant_id, method, reason, stopped_by)"
    " SELECT 'kill_switch', {}, {}, 'wrong amounts', 'ann' FROM merchants"
)
LIFTED = (
    "INSERT INTO payout_stops (kind, reason, stopped_by, lifted_at, lifted_by)"
    " VALUES ('kill_switch', 'wrong amounts', 'ann', now(), 'ben')"
)
SHORT = (
    "INSERT INTO payout_shortfalls (merchant_id, method, currency, available, probe_at)"
    " SELECT id, 'stripe', {}, {}, now() FROM merchants"
)
SITUATIONS = {
    "nothing in the way": ("", None),
    "its payee is blocked": ("UPDATE payees SET blocked_reason = 'restricted'", "blocked"),
    "its payee moved": ("UPDATE payees SET account = 'acct_new'", "destination_changed"),
    "its payee has no account": ("UPDATE payees SET account = NULL", "destination_changed"),
    "its payee changed method": ("UPDATE payees SET method = 'manual'", "destination_changed"),
    "an earning is held": (
        "UPDATE earnings SET held_at = now(), hold_reason = 'velocity'",
        "on_hold",
    ),
    "it is frozen": ("UPDATE payouts SET frozen_reason = 'look'", "frozen"),
    "all is stopped": (STOP.format("NULL", "NULL"), "stopped"),
    "its merchant is stopped": (STOP.format("id", "NULL"), "stopped"),
    "its method is stopped": (STOP.format("NULL", "'stripe'"), "stopped"),
    "another method is stopped": (STOP.format("NULL", "'wise'"), None),
    "a stop was lifted": (LIFTED, None),
    "its breaker is open": (
        STOP.format("id", "'stripe'").replace("kill_switch", "breaker"),
        "stopped",
    ),
    "money is short": (SHORT.format("'usd'", 999), "balance_insufficient"),
    "money is short, but not for it": (SHORT.format("'usd'", 1_000), None),
    "other money is short": (SHORT.format("'eur'", 0), None),
    "it is said to be paid outside": (
        f"UPDATE payouts SET parked_reason = '{SAID}'",
        "said_paid_outside",
    ),
    "it is canceled": ("UPDATE payouts SET state = 'canceled'", "canceled"),
}


@pytest.mark.parametrize("road", [straight, careful])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_both_roads_begin_or_leave_alike(engine: Engine, road: Road, situation: str) -> None:
    payout_id = one_payout(engine, (700, 300))
    statement, reason = SITUATIONS[situation]
    if statement:
        execute(engine, statement)
    begun = begin_on(road, engine, payout_id)
    attempts = house.rows(engine, "SELECT n, state, tries FROM payout_attempts")
    if reason is not None:
        assert begun == Leave(reason)
        assert attempts == []
        return
    assert isinstance(begun, Attempt)
    assert attempts == [(1, "sending", 1)]
    assert house.rows(
        engine, "SELECT state, tries, emit_count, parked_reason, look_at > now() FROM payouts"
    ) == [("sending", 1, 0, None, True)]
    assert house.rows(
        engine, "SELECT kind, amount FROM ledger_transfers ORDER BY id DESC LIMIT 1"
    ) == [("payout_sent", 1_000)]
    assert begin_on(road, engine, payout_id) == Leave("leased")
    assert_whole(engine)


@pytest.mark.parametrize("road", [straight, careful])
def test_a_send_waits_for_a_block_that_is_being_written_and_sends_nothing(
    engine: Engine, road: Road
) -> None:
    payout_id = one_payout(engine)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            tx.execute(text("UPDATE payees SET blocked_reason = 'restricted'"))
            begun = pool.submit(begin_on, road, engine, payout_id)
            until_one_waits_for(engine, tx)
        assert begun.result(PATIENCE) == Leave("blocked")
    assert house.rows(engine, "SELECT id FROM payout_attempts") == []
    assert house.rows(engine, "SELECT state FROM payouts") == [("canceled",)]
    assert_whole(engine)


HOLD = "UPDATE earnings SET held_at = now(), hold_reason = 'velocity'"


@pytest.mark.parametrize("road", [straight, careful])
def test_a_hold_that_is_set_while_a_send_waits_for_its_payee_is_seen(
    engine: Engine, road: Road
) -> None:
    payout_id = one_payout(engine, (700, 300))
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            tx.execute(text("SELECT FROM payees FOR UPDATE"))
            begun = pool.submit(begin_on, road, engine, payout_id)
            until_one_waits_for(engine, tx)
            execute(engine, HOLD)
        assert begun.result(PATIENCE) == Leave("on_hold")
    # The careful road says so at once, or with the next message, that it asks for.
    begin_on(road, engine, payout_id)
    assert house.rows(engine, "SELECT id FROM payout_attempts") == []
    assert house.rows(engine, "SELECT state FROM payouts") == [("canceled",)]
    assert_whole(engine)


@pytest.mark.parametrize("road", [straight, careful])
def test_a_send_waits_for_a_hold_that_is_being_set_and_sends_nothing(
    engine: Engine, road: Road
) -> None:
    payout_id = one_payout(engine, (700, 300))
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            tx.execute(text(HOLD))
            begun = pool.submit(begin_on, road, engine, payout_id)
            until_one_waits_for(engine, tx)
        assert begun.result(PATIENCE) == Leave("on_hold")
    begin_on(road, engine, payout_id)
    assert house.rows(engine, "SELECT id FROM payout_attempts") == []
    assert house.rows(engine, "SELECT state FROM payouts") == [("canceled",)]
    assert_whole(engine)


@pytest.mark.parametrize("road", [straight, careful])
def test_a_hold_is_set_only_after_the_sends_that_did_not_see_it(engine: Engine, road: Road) -> None:
    payout_id = one_payout(engine, (700, 300))
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            assert isinstance(road(tx, payout_id), Attempt)
            held = pool.submit(execute, engine, HOLD)
            until_one_waits_for(engine, tx)
        held.result(PATIENCE)
    assert house.rows(engine, "SELECT state FROM payouts") == [("sending",)]
    assert_whole(engine)


@pytest.mark.parametrize("road", [straight, careful])
def test_a_block_is_committed_only_after_the_sends_that_did_not_see_it(
    engine: Engine, road: Road
) -> None:
    payout_id = one_payout(engine)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            assert isinstance(road(tx, payout_id), Attempt)
            block = "UPDATE payees SET blocked_reason = 'restricted'"
            blocked = pool.submit(execute, engine, block)
            until_one_waits_for(engine, tx)
        blocked.result(PATIENCE)
    assert house.rows(engine, "SELECT state FROM payout_attempts") == [("sending",)]
    assert_whole(engine)


def test_a_first_success_is_settled_as_a_careful_one(engine: Engine) -> None:
    payout_id = one_payout(engine)
    attempt = house.begin(engine, payout_id)
    assert house.record(engine, attempt, SUCCESS).payout_state == "paid"
    # The same answer again finds it settled, and changes nothing.
    assert house.record(engine, attempt, SUCCESS).payout_state == "paid"
    assert house.rows(
        engine,
        "SELECT state, external_transaction_id, processed_at IS NOT NULL, look_at FROM payouts",
    ) == [("paid", "tr_1", True, None)]
    assert house.rows(
        engine,
        "SELECT state, external_id, lease_until, jsonb_array_length(history) FROM payout_attempts",
    ) == [("succeeded", "tr_1", None, 1)]
    assert_whole(engine)


def test_a_success_after_the_lease_was_lost_goes_the_careful_road(engine: Engine) -> None:
    payout_id = one_payout(engine)
    late = house.begin(engine, payout_id)
    house.expire_lease(engine, late.attempt_id)
    assert begin_on(straight, engine, payout_id) == Leave("unknown")
    assert house.record(engine, late, SILENCE).payout_state == "unknown"
    assert house.record(engine, late, SUCCESS).payout_state == "paid"
    assert_whole(engine)


def test_a_plain_payout_takes_seven_statements(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        for user in ("ada", "ben"):
            house.payee(tx, acme, user, f"acct_{user}")
            house.earn(tx, acme, 1_000, user)
    house.run(engine, acme)
    first, second = (i for (i,) in house.rows(engine, "SELECT id FROM payouts ORDER BY id"))
    house.record(engine, house.begin(engine, first), SUCCESS)  # makes the merchant's accounts
    seen: list[Any] = []
    event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    house.record(engine, house.begin(engine, second), replace(SUCCESS, external_id="tr_2"))
    assert len(seen) == 7, seen
