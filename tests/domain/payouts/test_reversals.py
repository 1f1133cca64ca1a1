"""What came back is owed again only where nothing says that the payee still has the money."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotCancelable, NotReleasable, NotRetryable
from domain.payouts.gateway import SeenTransfer
from domain.payouts.service import Booked
from domain.payouts.service.unfreezing import agree_unfreeze, propose_unfreeze
from tests.domain.payouts.house import (
    POOR,
    SILENCE,
    SUCCESS,
    age,
    assert_whole,
    begin,
    execute,
    one_payout,
    record,
    rows,
    scalar,
)

ANN, BOB = Actor("command", "ann"), Actor("command", "bob")


def book(engine: Engine, key: str, *reversals: tuple[str, int], transfer: str = "tr_1") -> Booked:
    acme = scalar(engine, "SELECT id FROM merchants")
    with transaction(engine) as tx:
        return service.book_reversals(tx, acme, SeenTransfer(transfer, key, reversals))


def came_back_and_stopped(engine: Engine, *parts: int) -> int:
    """A payout of 10.00 of which parts came back, and that was seen to be paid twice."""
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    record(engine, attempt, SUCCESS)
    book(engine, attempt.key, *((f"trr_{n}", part) for n, part in enumerate(parts)))
    execute(engine, "UPDATE payouts SET frozen_reason = 'the books show two transfers for it'")
    return payout_id


def test_a_payout_that_is_stopped_is_not_released_until_two_people_let_it_go_on(
    engine: Engine,
) -> None:
    payout_id = came_back_and_stopped(engine, 1_000)
    with pytest.raises(NotReleasable, match="two transfers"), transaction(engine) as tx:
        service.release(tx, payout_id, reason="pay it again", actor=ANN)
    assert scalar(engine, "SELECT count(*) FROM earnings WHERE payout_id IS NULL") == 0
    with transaction(engine) as tx:
        propose_unfreeze(tx, payout_id, evidence="the other one was another's", actor=ANN)
    with transaction(engine) as tx:
        agree_unfreeze(tx, payout_id, actor=BOB)
    with transaction(engine) as tx:
        service.release(tx, payout_id, reason="pay it again", actor=ANN)
    assert scalar(engine, "SELECT count(*) FROM earnings WHERE payout_id IS NULL") == 1
    assert_whole(engine)


@pytest.mark.parametrize("owed", [True, False])
def test_nothing_is_decided_about_a_part_of_a_payout_that_is_stopped(
    engine: Engine, owed: bool
) -> None:
    came_back_and_stopped(engine, 300)
    [(reversal_id, acme)] = rows(engine, "SELECT id, merchant_id FROM payout_reversals")
    with pytest.raises(NotReleasable, match="two transfers"), transaction(engine) as tx:
        service.decide(tx, acme, reversal_id, owed=owed, reason="x", actor=ANN)
    assert rows(engine, "SELECT decision FROM payout_reversals") == [(None,)]
    assert_whole(engine)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE payouts SET release_confirmed_by = 'ann'",
        "UPDATE payout_reversals SET decision = 'owed', decided_by = 'ann', decided_at = now()",
    ],
)
def test_the_database_refuses_both_while_a_payout_is_stopped(engine: Engine, change: str) -> None:
    came_back_and_stopped(engine, 1_000)
    with pytest.raises(IntegrityError, match="is stopped"), transaction(engine) as tx:
        tx.execute(text(change))


def test_a_transfer_of_an_attempt_that_failed_here_stops_its_payout(engine: Engine) -> None:
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    record(engine, attempt, POOR)
    assert book(engine, attempt.key) is Booked.CONTRADICTS
    assert "attempt 1 is failed, yet the gateway made tr_1" in scalar(
        engine, "SELECT frozen_reason FROM payouts"
    )
    with pytest.raises(NotRetryable), transaction(engine) as tx:
        service.retry(tx, payout_id)
    with pytest.raises(NotCancelable), transaction(engine) as tx:
        service.cancel(tx, payout_id, reason="pay it with the next run")
    # Told again, it is stopped for the same reason, and only once.
    assert book(engine, attempt.key) is Booked.CONTRADICTS
    assert_whole(engine)


def test_an_attempt_that_was_given_up_and_has_paid_stops_its_payout(
    engine: Engine, owner: Engine
) -> None:
    payout_id = one_payout(engine)
    attempt = begin(engine, payout_id)
    record(engine, attempt, SILENCE)
    age(owner, attempt.attempt_id, 24)
    with transaction(engine) as tx:
        service.propose_abandon(tx, payout_id, evidence="not at Stripe", actor=ANN)
    with transaction(engine) as tx:
        service.agree_abandon(tx, payout_id, actor=BOB)
    assert book(engine, attempt.key) is Booked.CONTRADICTS
    with pytest.raises(NotRetryable, match="stopped"), transaction(engine) as tx:
        service.retry(tx, payout_id)
    assert_whole(engine)


def test_a_second_transfer_under_the_key_of_one_that_paid_stops_its_payout(engine: Engine) -> None:
    attempt = begin(engine, one_payout(engine))
    record(engine, attempt, SUCCESS)
    assert book(engine, attempt.key, transfer="tr_2") is Booked.CONTRADICTS
    assert "tr_2" in scalar(engine, "SELECT frozen_reason FROM payouts")
    assert book(engine, attempt.key) is Booked.BOOKED
    assert_whole(engine)
