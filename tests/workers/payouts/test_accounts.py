"""An attempt belongs to the account that it went through: no other one is asked to send or to find it."""

import pytest
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.payouts.rules import Leave
from tests.workers.gateways.local_stripe import LocalStripe, Platform
from tests.workers.payouts.office import Office
from workers import payouts


@pytest.fixture
def office(engine: Engine, platform: Platform) -> Office:
    platform.fund(10_000)
    return Office(engine, platform)


@pytest.mark.parametrize("hours", [0, 25])
def test_an_unknown_attempt_is_held_while_the_key_is_of_another_account(
    office: Office, platform: Platform, local_stripe: LocalStripe, hours: int
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    platform.plan({"fault": "drop_after", "times": 1})
    payouts.send(office, payout_id)
    [(_, args)] = [m for m in office.messages() if m[0] == "payouts.resolve"]
    other = local_stripe.platform()
    other.fund(10_000)
    office.platform = other
    assert payouts.resolve(office, **args) == Leave("other_account")
    assert office.states() == {payout_id: "unknown"}
    assert other.transfers() == []
    with transaction(office.engine) as tx:
        waits = tx.execute(text("SELECT parked_reason FROM payouts")).scalar_one()
    assert platform.account_id in waits
    assert other.account_id in waits

    office.platform = platform
    office.execute("UPDATE payouts SET look_at = now()")
    assert payouts.sweep(office) == 1
    office.work_off()
    assert office.states() == {payout_id: "paid"}
    assert len(platform.transfers()) == 1
    with transaction(office.engine) as tx:
        assert tx.execute(text("SELECT parked_reason FROM payouts")).scalar_one() is None
    other.close()


def test_an_attempt_that_was_turned_away_waits_for_a_key_of_its_account(
    office: Office, platform: Platform, local_stripe: LocalStripe
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    platform.plan({"fault": "rate_limit", "retry_after": 30, "times": 1})
    payouts.send(office, payout_id)
    office.messages()
    other = local_stripe.platform()
    office.platform = other
    assert payouts.send(office, payout_id) == Leave("other_account")
    assert office.states() == {payout_id: "sending"}
    office.platform = platform
    office.execute("UPDATE payouts SET look_at = now()")
    payouts.sweep(office)
    office.work_off()
    assert office.states() == {payout_id: "paid"}
    assert other.transfers() == []
    other.close()


def test_a_sender_that_vanished_is_unknown_and_held_too(
    office: Office, platform: Platform, local_stripe: LocalStripe
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    with transaction(office.engine) as tx:
        attempt = payouts.service.begin_attempt(tx, payout_id, platform.gateway())
    assert not isinstance(attempt, Leave)
    office.give_up_leases()
    other = local_stripe.platform()
    office.platform = other
    assert payouts.resolve(office, attempt.attempt_id) == Leave("other_account")
    assert office.states() == {payout_id: "unknown"}
    assert other.transfers() == []
    other.close()
