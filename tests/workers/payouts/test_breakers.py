"""A gateway that is down stops its merchant alone, is asked whether it is back, and then goes on."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts.errors import BreakerNotOpen
from domain.payouts.rules import Leave
from domain.payouts.rules.breaker import FAILURES_TO_OPEN
from domain.payouts.service import Recorded, breakers
from tests.workers.gateways.local_stripe import LocalStripe, Platform
from tests.workers.payouts.office import Office
from workers import payouts, probing

ADA = Actor("person", "ada")
DOWN = {"fault": "error_500_not_done", "stored": False}
NO_BALANCE = {"method": "GET", "path": "/v1/balance"}


@pytest.fixture
def office(engine: Engine, platform: Platform) -> Office:
    platform.fund(10_000_000)
    return Office(engine, platform)


def stops(office: Office) -> list[Any]:
    with transaction(office.engine) as tx:
        return list(
            tx.execute(
                text(
                    "SELECT *, extract(epoch FROM probe_at - clock_timestamp()) AS wait"
                    " FROM payout_stops ORDER BY id"
                )
            )
        )


def send_all(office: Office, ids: list[int]) -> list[Recorded | Leave]:
    return [payouts.send(office, payout_id) for payout_id in ids]


def probed(office: Office) -> tuple[int, int]:
    """How many gateways were asked, and how many breakers closed."""
    did = probing.probe(office)
    return did["probed"], did["closed"]


def due(office: Office) -> None:
    office.execute("UPDATE payout_stops SET probe_at = now()")


def test_five_failures_in_a_row_stop_this_merchant_and_method_and_the_rest_waits_unsent(
    office: Office,
) -> None:
    office.owe(*range(1_000, 1_008))
    ids = office.build()
    office.platform.plan(DOWN)
    results = send_all(office, ids)
    assert office.platform.posted() == FAILURES_TO_OPEN
    assert results[FAILURES_TO_OPEN:] == [Leave("stopped")] * 3
    [stop] = stops(office)
    assert (stop.kind, stop.merchant_id, stop.method) == ("breaker", office.merchant_id, "stripe")
    assert "status 500" in stop.reason
    assert 10 < stop.wait <= 15
    with transaction(office.engine) as tx:
        waits = tx.execute(text("SELECT parked_reason FROM payouts WHERE state = 'approved'"))
        assert all("status 500" in reason for reason in waits.scalars())
        audited = tx.execute(text("SELECT action FROM audit_entries WHERE action LIKE 'breaker.%'"))
        assert audited.scalars().all() == ["breaker.opened"]

    office.platform.plan()
    office.work_off()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()


def test_an_answer_between_failures_opens_nothing(office: Office) -> None:
    office.owe(*range(1_000, 1_010))
    ids = office.build()
    office.platform.plan({**DOWN, "nth": [1, 2, 3, 4, 6, 7, 8, 9]})
    send_all(office, ids)
    assert stops(office) == []


def test_what_may_have_been_paid_is_looked_up_while_the_breaker_is_open_but_not_sent(
    office: Office,
) -> None:
    office.owe(*range(1_000, 1_005))
    ids = office.build()
    office.messages()
    office.platform.plan({"fault": "drop_after"})
    send_all(office, ids)
    assert len(stops(office)) == 1
    with transaction(office.engine) as tx:
        attempts = tx.execute(text("SELECT id FROM payout_attempts")).scalars().all()
    for attempt_id in attempts:
        payouts.resolve(office, attempt_id)
    assert office.platform.posted() == FAILURES_TO_OPEN
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()


def test_a_silent_gateway_is_probed_less_and_less_often_and_a_probe_that_is_answered_lifts_it(
    office: Office, local_stripe: LocalStripe
) -> None:
    office.owe(*range(1_000, 1_006))
    ids = office.build()
    office.messages()
    office.platform.plan(DOWN)
    send_all(office, ids)
    assert probed(office) == (0, 0), "its time has not come"
    local_stripe.admin("PUT", "faults", seed=0, rules=[{**NO_BALANCE, **DOWN}])
    waits = []
    for _ in range(3):
        due(office)
        assert probed(office) == (1, 0)
        waits.append(round(stops(office)[0].wait, -1))
    assert waits == [30, 60, 120]
    local_stripe.admin("DELETE", "faults")
    due(office)
    assert probed(office) == (1, 1)
    [stop] = stops(office)
    assert stop.lifted_by == "payouts.probe"
    assert payouts.sweep(office) == 1, "what waited is asked for at once"
    office.platform.plan()
    office.work_off()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()


def test_a_breaker_that_opens_again_at_once_goes_on_with_longer_waits(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.messages()
    office.platform.plan({"fault": "unauthorized"})
    waits = []
    for _ in range(4):
        office.execute("UPDATE payouts SET next_try_at = now(), look_at = now()")
        payouts.send(office, payout_id)
        waits.append(round(stops(office)[-1].wait / 15) * 15)
        due(office)
        assert probing.probe(office)["closed"] == 1, "its balance can be read"
    assert waits == [15, 30, 60, 120]


def test_a_refused_key_opens_at_once_and_a_new_key_closes_it(office: Office) -> None:
    office.owe(1_000, 2_000)
    ids = office.build()
    office.platform.plan({"fault": "unauthorized", "times": 1})
    assert isinstance(payouts.send(office, ids[0]), Recorded)
    assert payouts.send(office, ids[1]) == Leave("stopped")
    [stop] = stops(office)
    assert "refuses the key" in stop.reason
    with transaction(office.engine) as tx:
        assert breakers.key_was_set(tx, office.merchant_id, "stripe", actor=ADA)
        assert not breakers.key_was_set(tx, office.merchant_id, "stripe", actor=ADA)
    assert stops(office)[0].lifted_by == "ada"
    office.execute("UPDATE payouts SET look_at = now()")
    payouts.sweep(office)
    office.work_off()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()


def test_a_new_key_does_not_close_what_silence_opened(office: Office) -> None:
    office.owe(*range(1_000, 1_005))
    ids = office.build()
    office.platform.plan(DOWN)
    send_all(office, ids)
    with transaction(office.engine) as tx:
        assert not breakers.key_was_set(tx, office.merchant_id, "stripe", actor=ADA)


def test_a_person_closes_it_by_hand_and_only_one_that_is_open(office: Office) -> None:
    office.owe(*range(1_000, 1_006))
    ids = office.build()
    office.platform.plan(DOWN)
    send_all(office, ids)
    with transaction(office.engine) as tx:
        assert breakers.close_breaker(tx, office.merchant_id, "stripe", actor=ADA) == 1
    with transaction(office.engine) as tx, pytest.raises(BreakerNotOpen):
        breakers.close_breaker(tx, office.merchant_id, "stripe", actor=ADA)
