"""A payout that was stopped goes on by two people who looked at it, and never by one."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NotUnfreezable
from domain.payouts.gateway import SeenTransfer
from domain.payouts.rules import GatewayOutcome, Leave
from domain.payouts.service import Attempt, Booked, Resolution, unfreezing
from tests.domain.payouts.house import (
    CLOSED,
    PAPER,
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
MISUSED = GatewayOutcome("response", http_status=400, error_type="idempotency_error")


@pytest.fixture
def stopped(engine: Engine) -> int:
    """A payout whose key was misused, so that its outcome is unknown."""
    payout_id = one_payout(engine)
    record(engine, begin(engine, payout_id), MISUSED)
    assert scalar(engine, "SELECT frozen_reason FROM payouts") is not None
    return payout_id


def propose(engine: Engine, payout_id: int, who: Actor, evidence: str = "tr_1 alone") -> str:
    with transaction(engine) as tx:
        return unfreezing.propose_unfreeze(tx, payout_id, evidence=evidence, actor=who)


def agree(engine: Engine, payout_id: int, who: Actor) -> str:
    with transaction(engine) as tx:
        return unfreezing.agree_unfreeze(tx, payout_id, actor=who)


def test_two_people_let_it_go_on_under_the_key_that_it_has(engine: Engine, stopped: int) -> None:
    follows = propose(engine, stopped, ANN)
    assert "same key" in follows
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 0, "one person lets nothing go on"
    assert agree(engine, stopped, BOB) == follows
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 1
        [attempt_id] = tx.execute(text("SELECT id FROM payout_attempts")).scalars()
        resolution = service.begin_resolution(tx, attempt_id, "acct_paper")
    assert isinstance(resolution, Resolution)
    assert resolution.attempt.key.endswith("/1")
    record(engine, resolution.attempt, SUCCESS)
    assert rows(engine, "SELECT state, frozen_reason FROM payouts") == [("paid", None)]
    audited = rows(engine, "SELECT action, actor_id FROM audit_entries ORDER BY id")
    assert audited[-2:] == [("payout.unfreeze_proposed", "ann"), ("payout.unfrozen", "bob")]
    assert_whole(engine)


def test_one_person_is_not_enough(engine: Engine, stopped: int) -> None:
    with pytest.raises(NotUnfreezable, match="nobody has proposed"):
        agree(engine, stopped, ANN)
    propose(engine, stopped, ANN)
    with pytest.raises(NotUnfreezable, match="another person"):
        agree(engine, stopped, ANN)
    with pytest.raises(Invalid):
        propose(engine, stopped, ANN, "  ")


def test_what_is_not_stopped_is_not_let_go_on(engine: Engine) -> None:
    payout_id = one_payout(engine)
    with pytest.raises(NotUnfreezable, match="not stopped"):
        propose(engine, payout_id, ANN)


def test_an_agreement_is_about_what_stopped_it_then(engine: Engine, stopped: int) -> None:
    propose(engine, stopped, ANN)
    agree(engine, stopped, BOB)
    execute(engine, "UPDATE payouts SET frozen_reason = 'its key was used with other parameters'")
    with pytest.raises(NotUnfreezable, match="nobody has proposed"):
        agree(engine, stopped, BOB)
    propose(engine, stopped, ANN)
    execute(engine, "UPDATE payout_unfreezes SET frozen_reason = 'another' WHERE used_at IS NULL")
    with pytest.raises(NotUnfreezable, match="propose it anew"):
        agree(engine, stopped, BOB)


UNSTOPPED = "UPDATE payouts SET frozen_reason = NULL"


@pytest.mark.parametrize(
    "statements",
    [
        [UNSTOPPED],
        ["UPDATE payouts SET frozen_reason = 'something milder'"],
        ["UPDATE payout_unfreezes SET agreed_by = 'ann'"],
        ["UPDATE payout_unfreezes SET used_at = now()"],
        [
            "UPDATE payout_unfreezes SET agreed_by = 'bob', frozen_reason = 'another'",
            UNSTOPPED,
        ],
        ["UPDATE payout_unfreezes SET agreed_by = 'bob'", "UPDATE payout_unfreezes SET evidence = 'x'"],
        ["UPDATE payout_unfreezes SET agreed_by = 'bob'", UNSTOPPED,
         "UPDATE payouts SET frozen_reason = 'its key was used with other parameters'", UNSTOPPED],
    ],
)  # fmt: skip
def test_the_database_refuses_it_to_one_person_and_without_an_agreement_of_its_own(
    engine: Engine, stopped: int, statements: list[str]
) -> None:
    def run() -> None:
        with transaction(engine) as tx:
            for statement in statements:
                tx.execute(text(statement))

    propose(engine, stopped, ANN)
    with pytest.raises(IntegrityError):
        run()


def given_up(engine: Engine, owner: Engine) -> tuple[int, Attempt]:
    """A payout that a person has tried again, and its first attempt, which two people gave up."""
    payout_id = one_payout(engine)
    first = begin(engine, payout_id)
    record(engine, first, SILENCE)
    age(owner, first.attempt_id, 24)
    with transaction(engine) as tx:
        service.propose_abandon(tx, payout_id, evidence="nothing there", actor=ANN)
    with transaction(engine) as tx:
        service.agree_abandon(tx, payout_id, actor=BOB)
        service.retry(tx, payout_id)
    return payout_id, first


def test_where_an_attempt_was_given_up_nothing_is_sent_by_itself(
    engine: Engine, owner: Engine
) -> None:
    payout_id, first = given_up(engine, owner)
    record(engine, first, SUCCESS)
    assert "yet the gateway made tr_1" in scalar(engine, "SELECT frozen_reason FROM payouts")
    assert "may have paid" in propose(engine, payout_id, ANN)
    agree(engine, payout_id, BOB)
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 0
        begun = service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)
    assert begun == Leave("failed"), "the retry that was asked for before is not sent either"


def test_where_an_attempt_was_given_up_a_mended_account_has_nothing_sent(
    engine: Engine, owner: Engine
) -> None:
    payout_id, first = given_up(engine, owner)
    record(engine, begin(engine, payout_id), CLOSED)
    with transaction(engine) as tx:
        # A notice, whose transfer is asked about, shows that the first attempt has paid.
        seen = SeenTransfer("tr_1", first.key, ())
        assert service.book_reversals(tx, first.merchant_id, seen) is Booked.CONTRADICTS
    assert "nothing asks for it by itself" in propose(engine, payout_id, ANN)
    agree(engine, payout_id, BOB)
    with transaction(engine) as tx:
        # The gateway says that the account can be paid again: the first attempt has paid it.
        assert service.resume_payee(tx, first.merchant_id, "acct_ada") == 0
        assert service.sweep_stuck(tx) == 0
        begun = service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)
    assert begun == Leave("failed")


def test_where_an_attempt_was_given_up_a_later_unknown_one_is_looked_for_and_not_sent(
    engine: Engine, owner: Engine
) -> None:
    """Retry and cancel refuse what is unknown: if nobody asked, it would stay so for ever."""
    payout_id, first = given_up(engine, owner)
    second = begin(engine, payout_id)
    record(engine, second, SILENCE)
    record(engine, first, SUCCESS)
    assert "attempt 1 is abandoned" in scalar(engine, "SELECT frozen_reason FROM payouts")
    assert "its key is not sent any more" in propose(engine, payout_id, ANN)
    agree(engine, payout_id, BOB)
    hours = scalar(engine, "SELECT extract(epoch FROM look_at - now()) / 3600 FROM payouts")
    assert 22.9 < hours < 23, "when its key is forgotten, and not before"
    assert "not sent any more" in scalar(engine, "SELECT parked_reason FROM payouts")
    # By then it is only looked for, and people decide.
    age(owner, second.attempt_id, 24)
    execute(engine, "UPDATE payouts SET look_at = now()")
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 1
        looked = service.begin_resolution(tx, second.attempt_id, PAPER.account)
    assert isinstance(looked, Resolution)
    assert (looked.may_replay, looked.final) == (False, True)
    with transaction(engine) as tx:
        service.record_found(tx, looked.attempt, [], final=True)
    assert "a person decides" in scalar(engine, "SELECT parked_reason FROM payouts")
    assert_whole(engine)
