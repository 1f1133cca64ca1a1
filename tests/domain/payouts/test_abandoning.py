"""An outcome that nobody can find out is given up by two people, and never by one."""

import pytest
from psycopg.errors import CheckViolation
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NotAbandonable, NotRetryable
from domain.payouts.gateway import Found
from domain.payouts.service import Resolution
from tests.domain.payouts.house import (
    PAPER,
    SILENCE,
    SUCCESS,
    age,
    assert_whole,
    begin,
    execute,
    expire_lease,
    one_payout,
    record,
    scalar,
)

ANN, BOB = Actor("command", "ann"), Actor("command", "bob")


@pytest.fixture
def unknown(engine: Engine, owner: Engine) -> int:
    """A payout whose only attempt has been unknown for a day."""
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    record(engine, attempt, SILENCE)
    age(owner, attempt.attempt_id, 24)
    return payout_id


def propose(
    engine: Engine, payout_id: int, who: Actor, evidence: str = "nothing at Stripe"
) -> None:
    with transaction(engine) as tx:
        service.propose_abandon(tx, payout_id, evidence=evidence, actor=who)


def agree(engine: Engine, payout_id: int, who: Actor) -> None:
    with transaction(engine) as tx:
        service.agree_abandon(tx, payout_id, actor=who)


def test_two_people_give_it_up_and_the_next_attempt_pays_it(engine: Engine, unknown: int) -> None:
    propose(engine, unknown, ANN)
    agree(engine, unknown, BOB)
    assert scalar(engine, "SELECT state FROM payout_attempts") == "abandoned"
    assert scalar(engine, "SELECT state FROM payouts") == "failed"
    assert_whole(engine)
    with transaction(engine) as tx:
        service.retry(tx, unknown)
    second = begin(engine, unknown)
    assert second.key.endswith("/2")
    record(engine, second, SUCCESS)
    assert scalar(engine, "SELECT state FROM payouts") == "paid"
    assert_whole(engine)
    assert (
        scalar(engine, "SELECT count(*) FROM audit_entries WHERE action LIKE 'payout_attempt.%'")
        == 2
    )


def test_the_one_who_proposed_cannot_agree(engine: Engine, unknown: int) -> None:
    propose(engine, unknown, ANN)
    with pytest.raises(NotAbandonable, match="another person"):
        agree(engine, unknown, ANN)
    assert scalar(engine, "SELECT state FROM payout_attempts") == "unknown"


def test_the_database_itself_refuses_one_person(engine: Engine, unknown: int) -> None:
    with pytest.raises(IntegrityError) as refused, transaction(engine) as tx:
        tx.execute(
            text(
                "UPDATE payout_attempts SET state = 'abandoned', abandon_proposed_by = 'ann',"
                " abandon_agreed_by = 'ann', abandon_evidence = 'x', resolved_at = clock_timestamp()"
            )
        )
    assert isinstance(refused.value.orig, CheckViolation)
    assert scalar(engine, "SELECT state FROM payouts WHERE id = :id", id=unknown) == "unknown"


def test_nobody_agrees_to_what_was_not_proposed(engine: Engine, unknown: int) -> None:
    with pytest.raises(NotAbandonable, match="propose it"):
        agree(engine, unknown, BOB)


@pytest.mark.parametrize("evidence", ["", "   ", "x" * 501])
def test_evidence_is_needed_and_bounded(engine: Engine, unknown: int, evidence: str) -> None:
    with pytest.raises(Invalid, match="evidence"):
        propose(engine, unknown, ANN, evidence)


def test_inside_the_window_the_gateway_is_asked_instead(engine: Engine) -> None:
    payout_id = one_payout(engine)
    record(engine, begin(engine, payout_id), SILENCE)
    with pytest.raises(NotAbandonable, match="remembers"):
        propose(engine, payout_id, ANN)


def test_what_a_worker_asks_about_at_this_moment_is_not_given_up(
    engine: Engine, owner: Engine, unknown: int
) -> None:
    """Its last replay may have begun when the key was young enough, and pay while another attempt is sent."""
    attempt_id = scalar(engine, "SELECT id FROM payout_attempts")
    age(owner, attempt_id, -1.001)
    with transaction(engine) as tx:
        last = service.begin_resolution(tx, attempt_id, PAPER.account)
    assert isinstance(last, Resolution)
    assert last.may_replay
    age(owner, attempt_id, 0.002)
    with pytest.raises(NotAbandonable, match="may be executed yet"):
        propose(engine, unknown, ANN)
    gives_up = (
        "UPDATE payout_attempts SET state = 'abandoned', abandon_proposed_by = 'ann', abandon_agreed_by = 'bob',"
        " abandon_evidence = 'x', resolved_at = clock_timestamp(), lease_until = NULL"
    )
    with pytest.raises(IntegrityError, match="is being asked about it"):
        execute(engine, gives_up)
    record(engine, last.attempt, SUCCESS)
    assert scalar(engine, "SELECT state FROM payouts") == "paid"
    assert_whole(engine)


def test_once_the_worker_is_gone_it_is_given_up_and_what_it_finds_late_stops_the_payout(
    engine: Engine, owner: Engine, unknown: int
) -> None:
    attempt_id = scalar(engine, "SELECT id FROM payout_attempts")
    with transaction(engine) as tx:
        looking = service.begin_resolution(tx, attempt_id, PAPER.account)
    assert isinstance(looking, Resolution)
    expire_lease(engine, attempt_id)
    propose(engine, unknown, ANN)
    agree(engine, unknown, BOB)
    made = Found("tr_late", 1_000, 0, "usd", "acct_ada", looking.attempt.key)
    with transaction(engine) as tx:
        service.record_found(tx, looking.attempt, [made], final=True)
    assert "yet the gateway made tr_late" in scalar(engine, "SELECT frozen_reason FROM payouts")


def test_an_abandoned_attempt_that_proves_to_have_paid_freezes_its_payout(
    engine: Engine, owner: Engine
) -> None:
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    record(engine, attempt, SILENCE)
    age(owner, attempt.attempt_id, 24)
    propose(engine, payout_id, ANN)
    agree(engine, payout_id, BOB)
    record(engine, attempt, SUCCESS)
    assert scalar(engine, "SELECT frozen_reason FROM payouts") is not None
    with pytest.raises(NotRetryable), transaction(engine) as tx:
        service.retry(tx, payout_id)


def test_a_clock_that_is_behind_after_a_failover_neither_sends_it_nor_gives_it_up(
    engine: Engine, owner: Engine
) -> None:
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    record(engine, attempt, SILENCE)
    age(owner, attempt.attempt_id, -0.1)
    with transaction(engine) as tx:
        resolution = service.begin_resolution(tx, attempt.attempt_id, PAPER.account)
    assert isinstance(resolution, Resolution)
    assert (resolution.may_replay, resolution.final) == (False, False)
    with transaction(engine) as tx:
        service.record_found(tx, resolution.attempt, [], final=resolution.final)
    assert scalar(engine, "SELECT parked_reason IS NULL AND look_at > now() FROM payouts")
    with pytest.raises(NotAbandonable, match="still remembers"):
        propose(engine, payout_id, ANN)
    # The clock has caught up.
    age(owner, attempt.attempt_id, 0.2)
    with transaction(engine) as tx:
        again = service.begin_resolution(tx, attempt.attempt_id, PAPER.account)
    assert isinstance(again, Resolution)
    assert again.may_replay
