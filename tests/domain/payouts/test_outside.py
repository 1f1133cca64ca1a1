"""A payout that was paid elsewhere is paid here by two people's word, once, and never sent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NotCancelable, NotExportable, NotMarkable, NotRetryable
from domain.payouts.rules import Leave
from domain.payouts.rules.outside import SAID
from domain.payouts.service import Attempt, outside, unfreezing
from tests.domain.payouts.house import (
    CLOSED,
    PAPER,
    SILENCE,
    SUCCESS,
    assert_whole,
    begin,
    execute,
    one_payout,
    record,
    rows,
    scalar,
)
from tests.domain.payouts.test_bank_files import export, manual_run
from tests.domain.waiting import PATIENCE, until_one_waits_for

ANN, BOB = Actor("command", "ann"), Actor("command", "bob")


def propose(engine: Engine, payout_id: int, who: Actor = ANN) -> None:
    with transaction(engine) as tx:
        outside.propose_outside(
            tx, payout_id, reference="TR-5", evidence="statement of 5 June", actor=who
        )


def agree(engine: Engine, payout_id: int, who: Actor = BOB) -> None:
    with transaction(engine) as tx:
        outside.agree_outside(tx, payout_id, actor=who)


@pytest.fixture(params=["approved", "failed", "manual"])
def payout(request: pytest.FixtureRequest, engine: Engine) -> int:
    """One that can have been paid outside: approved, refused by its gateway, or for a bank file."""
    if request.param == "manual":
        return manual_run(engine)[2]
    made = one_payout(engine)
    if request.param == "failed":
        record(engine, begin(engine, made), CLOSED)
    return made


def test_two_people_pay_it_and_the_ledger_says_that_no_gateway_did(
    engine: Engine, payout: int
) -> None:
    propose(engine, payout)
    assert scalar(engine, "SELECT parked_reason FROM payouts") == SAID
    agree(engine, payout)
    assert rows(engine, "SELECT state, external_transaction_id, look_at FROM payouts") == [
        ("paid", "TR-5", None)
    ]
    assert rows(
        engine,
        "SELECT c.owner FROM ledger_transfers l JOIN ledger_accounts c ON c.id = l.credit_account_id"
        " WHERE l.kind = 'payout_paid'",
    ) == [("outside",)]
    assert rows(engine, "SELECT action, actor_id, reason FROM audit_entries"
                        " WHERE action LIKE 'payout.%outside%' ORDER BY id") == [
        ("payout.outside_proposed", "ann", "statement of 5 June"),
        ("payout.paid_outside", "bob", "statement of 5 June"),
    ]  # fmt: skip
    assert_whole(engine)


def test_once_it_is_paid_outside_nothing_sends_cancels_or_retries_it(
    engine: Engine, payout: int
) -> None:
    propose(engine, payout)
    agree(engine, payout)
    for road in (straight, service.begin_attempt):
        with transaction(engine) as tx:
            assert isinstance(road(tx, payout, PAPER), Leave)
    with pytest.raises(NotCancelable), transaction(engine) as tx:
        service.cancel(tx, payout, reason="no")
    with pytest.raises(NotRetryable), transaction(engine) as tx:
        service.retry(tx, payout)
    with pytest.raises(NotMarkable), transaction(engine) as tx:
        service.mark_failed(tx, payout, reason="no")
    for again in (propose, agree):
        with pytest.raises(NotMarkable, match="it is paid"):
            again(engine, payout)
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 0
    assert_whole(engine)


def straight(tx: Tx, payout_id: int, _gateway: object) -> Attempt | Leave:
    return service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)


@pytest.mark.parametrize("road", [straight, service.begin_attempt])
def test_while_one_person_says_so_nothing_happens_to_it(
    engine: Engine, payout: int, road: Callable[..., Attempt | Leave]
) -> None:
    before = scalar(engine, "SELECT state FROM payouts")
    propose(engine, payout)
    with transaction(engine) as tx:
        assert isinstance(road(tx, payout, PAPER), Leave)
        service.leave_for_bank_file(tx, payout)
    with pytest.raises(NotCancelable, match="another one has to agree"), transaction(engine) as tx:
        service.cancel(tx, payout, reason="no")
    with pytest.raises(NotRetryable, match="another one has to agree"), transaction(engine) as tx:
        service.retry(tx, payout)
    acme, run_id = rows(engine, "SELECT merchant_id, run_id FROM payouts")[0]
    with pytest.raises(NotExportable):
        export(engine, acme, run_id)
    assert rows(engine, "SELECT state, parked_reason FROM payouts") == [(before, SAID)]
    assert_whole(engine)


@pytest.mark.parametrize("road", [straight, service.begin_attempt])
def test_a_send_waits_for_a_proposal_that_is_being_written_and_sends_nothing(
    engine: Engine, road: Callable[..., Attempt | Leave]
) -> None:
    payout = one_payout(engine)

    def send() -> Attempt | Leave:
        with transaction(engine) as tx:
            return road(tx, payout, PAPER)

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            outside.propose_outside(tx, payout, reference="TR-5", evidence="seen", actor=ANN)
            sent = pool.submit(send)
            until_one_waits_for(engine, tx)
        assert sent.result(PATIENCE) == Leave("said_paid_outside")
    assert_whole(engine)


def test_what_was_said_still_holds_after_the_payout_was_stopped_and_let_go_on(
    engine: Engine,
) -> None:
    """Canceled then, its earnings would be paid by the next run, though they were paid outside."""
    payout = one_payout(engine)
    attempt = begin(engine, payout)
    record(engine, attempt, CLOSED)
    propose(engine, payout)
    record(engine, attempt, SUCCESS)
    assert scalar(engine, "SELECT frozen_reason FROM payouts") is not None
    with transaction(engine) as tx:
        unfreezing.propose_unfreeze(tx, payout, evidence="tr_1 is another's", actor=ANN)
    with transaction(engine) as tx:
        unfreezing.agree_unfreeze(tx, payout, actor=BOB)
    with pytest.raises(NotCancelable, match="another one has to agree"), transaction(engine) as tx:
        service.cancel(tx, payout, reason="no")
    with pytest.raises(NotRetryable, match="another one has to agree"), transaction(engine) as tx:
        service.retry(tx, payout)
    assert_whole(engine)


def test_the_database_cancels_nothing_that_a_person_says_was_paid_outside(
    engine: Engine, payout: int
) -> None:
    propose(engine, payout)
    execute(engine, "UPDATE payouts SET parked_reason = NULL")
    with pytest.raises(IntegrityError, match="cannot be canceled"), transaction(engine) as tx:
        service.cancel(tx, payout, reason="no")
    assert_whole(engine)


def test_one_person_alone_or_without_evidence_marks_nothing(engine: Engine, payout: int) -> None:
    with pytest.raises(NotMarkable, match="nobody said"):
        agree(engine, payout)
    propose(engine, payout)
    with pytest.raises(NotMarkable, match="another person"):
        agree(engine, payout, ANN)
    with pytest.raises(NotMarkable, match="said so already"):
        propose(engine, payout, BOB)
    for reference, evidence in (("", "seen"), ("TR-5", " "), ("TR-5", "x" * 501)):
        with pytest.raises(Invalid), transaction(engine) as tx:
            outside.propose_outside(tx, payout, reference=reference, evidence=evidence, actor=ANN)
    assert scalar(engine, "SELECT count(*) FROM payout_attempts WHERE state = 'succeeded'") == 0
    assert_whole(engine)


def test_what_was_taken_back_goes_on_as_it_was(engine: Engine) -> None:
    payout = one_payout(engine)
    propose(engine, payout)
    with transaction(engine) as tx:
        outside.withdraw_outside(tx, payout, reason="it was another payee", actor=BOB)
    with pytest.raises(NotMarkable, match="nobody said"):
        agree(engine, payout)
    with transaction(engine) as tx:
        assert service.sweep_stuck(tx) == 1
    record(engine, begin(engine, payout), SUCCESS)
    assert scalar(engine, "SELECT state FROM payouts") == "paid"
    assert_whole(engine)


def test_what_an_attempt_may_pay_is_not_marked(engine: Engine) -> None:
    payout = one_payout(engine)
    attempt = begin(engine, payout)
    with pytest.raises(NotMarkable, match="sending"):
        propose(engine, payout)
    record(engine, attempt, SILENCE)
    with pytest.raises(NotMarkable, match="unknown"):
        propose(engine, payout)
    assert_whole(engine)


def test_a_send_and_an_agreement_at_once_make_one_attempt(engine: Engine) -> None:
    payout = one_payout(engine)

    def send() -> object:
        with transaction(engine) as tx:
            return straight(tx, payout, PAPER)

    def say() -> object:
        try:
            propose(engine, payout)
            agree(engine, payout)
        except NotMarkable as error:
            return error
        return None

    with ThreadPoolExecutor(2) as pool:
        sent, said = pool.submit(send), pool.submit(say)
        assert isinstance(sent.result(), Attempt) == (said.result() is not None)
    assert scalar(engine, "SELECT count(*) FROM payout_attempts") == 1


OUTSIDE = """
    INSERT INTO payout_attempts (merchant_id, payout_id, n, idempotency_key, params, params_hash,
                                 api_version, platform_account, state)
    SELECT merchant_id, id, 1, 'k', '{"reference": "TR-5"}', '', '1', %s, 'sending' FROM payouts
"""


@pytest.mark.parametrize(
    "statements",
    [
        [OUTSIDE % "'outside'"],
        [OUTSIDE % "'acct_1'"],
        ["UPDATE outside_payments SET agreed_by = 'ann'"],
        ["UPDATE outside_payments SET agreed_by = 'bob', reference = 'TR-6'"],
        ["UPDATE outside_payments SET used_at = now()"],
        ["UPDATE outside_payments SET agreed_by = 'bob'",
         (OUTSIDE % "'outside'").replace("TR-5", "TR-6")],
        ["UPDATE outside_payments SET withdrawn_by = 'bob'", OUTSIDE % "'outside'"],
        ["DELETE FROM outside_payments"],
    ],
)  # fmt: skip
def test_the_database_refuses_it_to_one_person_and_any_other_attempt_meanwhile(
    engine: Engine, statements: list[str]
) -> None:
    propose(engine, one_payout(engine))
    execute(engine, "UPDATE payouts SET parked_reason = NULL")

    def run() -> None:
        with transaction(engine) as tx:
            for statement in statements:
                tx.execute(text(statement.replace(":", r"\:")))

    with pytest.raises(
        Exception, match=r"outside|frozen|agreed_by_another|used_by_two|permission"
    ) as refused:
        run()
    assert not isinstance(refused.value, NotMarkable)


def test_the_database_takes_what_two_people_agreed_on(engine: Engine) -> None:
    propose(engine, one_payout(engine))
    execute(engine, "UPDATE outside_payments SET agreed_by = 'bob'")
    with transaction(engine) as tx:
        tx.execute(text((OUTSIDE % "'outside'").replace(":", r"\:")))
    assert scalar(engine, "SELECT used_at IS NOT NULL FROM outside_payments")
    with pytest.raises(IntegrityError):
        execute(engine, "UPDATE outside_payments SET withdrawn_by = 'ann'")


def test_what_was_said_holds_on_after_two_others_let_the_stopped_payout_go_on(
    engine: Engine,
) -> None:
    payout = one_payout(engine)
    late = begin(engine, payout)
    record(engine, late, CLOSED)
    propose(engine, payout)
    record(engine, late, SUCCESS)
    assert "yet the gateway made" in scalar(engine, "SELECT frozen_reason FROM payouts")
    with transaction(engine) as tx:
        unfreezing.propose_unfreeze(tx, payout, evidence="tr_1 is another one's", actor=ANN)
    with transaction(engine) as tx:
        unfreezing.agree_unfreeze(tx, payout, actor=BOB)
    with transaction(engine) as tx, pytest.raises(NotRetryable, match="paid outside"):
        service.retry(tx, payout)
    with transaction(engine) as tx, pytest.raises(NotCancelable, match="paid outside"):
        service.cancel(tx, payout, reason="no")
    agree(engine, payout)
    assert scalar(engine, "SELECT state FROM payouts") == "paid"
    assert_whole(engine)


def test_a_dead_letter_of_it_changes_nothing_about_what_was_said(engine: Engine) -> None:
    payout = one_payout(engine)
    propose(engine, payout)
    execute(engine, "UPDATE payouts SET look_at = now()")
    with transaction(engine) as tx:
        service.set_aside(tx, payout_id=payout)
    with transaction(engine) as tx, pytest.raises(NotRetryable, match="paid outside"):
        service.retry(tx, payout)


def test_what_is_stopped_can_be_said_to_be_paid_before_it_is_let_go_on_and_is_not_sent_then(
    engine: Engine, payout: int
) -> None:
    """As after a failover that forgot which attempt paid: let go on first, it would be sent."""
    execute(engine, "UPDATE payouts SET frozen_reason = 'a forgotten attempt made tr_9'")
    propose(engine, payout)
    with pytest.raises(NotMarkable, match="it is stopped"):
        agree(engine, payout)
    with transaction(engine) as tx:
        follows = unfreezing.propose_unfreeze(tx, payout, evidence="tr_9 paid it", actor=ANN)
    assert "nothing is sent" in follows
    with transaction(engine) as tx:
        unfreezing.agree_unfreeze(tx, payout, actor=BOB)
    with transaction(engine) as tx, pytest.raises(NotCancelable, match="paid outside"):
        service.cancel(tx, payout, reason="no")
    agree(engine, payout)
    assert scalar(engine, "SELECT state FROM payouts") == "paid"
    assert_whole(engine)
