"""Public double-pay cases, acted out against the sandbox (docs/compared.md)."""

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotCancelable, NotRetryable
from domain.payouts.rules import Leave
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.office import Office, age_everything
from workers import payouts


@pytest.fixture
def office(engine: Engine, platform: Platform) -> Office:
    platform.fund(10_000_000)
    return Office(engine, platform)


def test_a_refused_payout_that_was_given_back_is_not_sent_by_a_late_retry(office: Office) -> None:
    office.owe(1_000)
    [refused] = office.build()
    office.platform.plan({"fault": "balance_dry", "times": 1})
    payouts.send(office, refused)
    assert office.states() == {refused: "failed"}
    with transaction(office.engine) as tx:
        service.cancel(tx, refused, reason="it was refused")
    # There is money again, and the retry that was asked for before arrives late.
    office.platform.fund(10_000)
    office.look_for_money()
    assert isinstance(payouts.send(office, refused), Leave)
    [again] = office.build("next")
    office.work_off()
    assert office.states() == {refused: "canceled", again: "paid"}
    office.assert_paid_once()


def test_a_lost_answer_gives_nothing_back_and_no_later_run_pays_it_again(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "drop_after", "times": 1})
    payouts.send(office, payout_id)
    assert office.states() == {payout_id: "unknown"}
    with pytest.raises(NotCancelable), transaction(office.engine) as tx:
        service.cancel(tx, payout_id, reason="it looks failed")
    with pytest.raises(NotRetryable), transaction(office.engine) as tx:
        service.retry(tx, payout_id)
    assert office.build("next") == []
    office.work_off()
    assert office.states() == {payout_id: "paid"}
    office.assert_paid_once()


def test_a_claim_outlives_the_queues_and_any_time_after_an_answer_that_was_lost(
    office: Office, owner: Engine
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "drop_after", "times": 1})
    payouts.send(office, payout_id)
    assert office.states() == {payout_id: "unknown"}
    # What was to ask again was in the queues, and they were emptied. Eight days later the gateway has
    # forgotten the key, too.
    office.messages()
    office.platform.stripe.admin("POST", "clock", advance_seconds=8 * 24 * 3600)
    age_everything(owner, hours=8 * 24)
    assert isinstance(payouts.send(office, payout_id), Leave)
    assert office.build("next") == []
    office.execute("UPDATE payouts SET look_at = now() WHERE look_at > now()")
    assert payouts.sweep(office) == 1
    office.work_off()
    assert office.platform.posted() == 1
    assert office.states() == {payout_id: "paid"}
    office.assert_paid_once()
